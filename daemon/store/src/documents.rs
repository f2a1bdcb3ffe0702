//! Documents: create, get, update, delete, list. Values are valid when they come in; what only the
//! database can know is checked here: uniqueness, the documents referred to, the revision.
//!
//! The account of a user hangs on its document in `users`; see [`crate::accounts`].

mod aggregate;
mod cascade;
mod expand;
mod explain;
mod list;
mod read;
mod show;
mod snippets;
mod sql;

use std::sync::Arc;

use alyx_core::document::Document;
use alyx_core::query::{AggregateQuery, Expand, ListQuery};
use alyx_core::rules::RowFilter;
use alyx_core::schema::{Collection, FieldKind};
use alyx_core::value::Value;
use rusqlite::params_from_iter;

pub use aggregate::AggregatePage;
pub use explain::Plan;
pub use list::{ListPage, Watched};
pub(crate) use read::{Where, fetch, find, select, select_where};

use crate::changes::{self, Change};
use crate::readers::Lane;
use crate::values::{Bound, bound};
use crate::writer::{Command, Session};
use crate::{AuditRow, Error, Pending, Store, accounts, audit, sessions};

/// Input of [`create`].
#[derive(Debug)]
pub(crate) struct Create {
    collection: Arc<Collection>,
    document: Document,
    actor: String,
}

/// Input of [`update`].
#[derive(Debug)]
pub(crate) struct Update {
    collection: Arc<Collection>,
    id: String,
    expected_rev: i64,
    document: Document,
    actor: String,
}

/// Input of [`delete`].
#[derive(Debug)]
pub(crate) struct Delete {
    collection: Arc<Collection>,
    id: String,
    expected_rev: i64,
    actor: String,
}

impl Store {
    /// Stores a new document. Answers it with revision 1. `actor` is an identity's label.
    ///
    /// Fails with [`Error::UniqueViolation`], [`Error::ForeignKey`], or what hits any write:
    /// [`Error::Busy`], [`Error::Interrupted`], [`Error::DiskFull`], [`Error::ReadOnly`].
    pub fn create(
        &self,
        collection: Arc<Collection>,
        document: Document,
        actor: String,
    ) -> Pending<Document> {
        self.write(Command::CreateDocument, Create { collection, document, actor })
    }

    /// The document with this id.
    pub fn get(&self, collection: Arc<Collection>, id: String) -> Pending<Option<Document>> {
        self.read(Lane::Point, move |connection| fetch(connection, &collection, &id))
    }

    /// Replaces the values of a document that is at `expected_rev`. Its id stays. Answers the document
    /// with its new revision.
    ///
    /// An account that is disabled by it loses its sessions.
    ///
    /// Fails with [`Error::NotFound`], [`Error::Stale`], and as [`Store::create`].
    pub fn update(
        &self,
        collection: Arc<Collection>,
        id: String,
        expected_rev: i64,
        document: Document,
        actor: String,
    ) -> Pending<Document> {
        self.write(Command::UpdateDocument, Update { collection, id, expected_rev, document, actor })
    }

    /// Deletes a document that is at `expected_rev`, and treats those that refer to it as their relation
    /// says. A user's account and sessions end with its document.
    ///
    /// Fails with [`Error::NotFound`], [`Error::Stale`], [`Error::Restricted`],
    /// [`Error::CascadeTooLarge`], and as [`Store::create`].
    pub fn delete(
        &self,
        collection: Arc<Collection>,
        id: String,
        expected_rev: i64,
        actor: String,
    ) -> Pending<()> {
        self.write(Command::DeleteDocument, Delete { collection, id, expected_rev, actor })
    }

    /// How [`Store::list`] would be answered. A rule that selects nothing has no statement.
    pub fn explain_list(
        &self,
        collection: Arc<Collection>,
        rule: RowFilter,
        query: ListQuery,
    ) -> Pending<Plan> {
        self.read(Lane::Scan, move |connection| explain::explain(connection, &collection, &rule, &query))
    }

    /// The document with this id, and the JSON of what is related to it: an object of the relations, empty
    /// text where none is asked for.
    pub fn get_expanded(
        &self,
        collection: Arc<Collection>,
        id: String,
        expand: Vec<Expand>,
    ) -> Pending<Option<(Document, Vec<u8>)>> {
        self.read(Lane::Point, move |connection| read::fetch_expanded(connection, &collection, &id, &expand))
    }

    /// The documents that a query asks for, as JSON of what it shows of them.
    ///
    /// Fails with [`Error::ScanTooLarge`] where the rule has to be checked for too many documents, and with
    /// [`Error::AnswerTooLarge`].
    pub fn list(&self, collection: Arc<Collection>, query: ListQuery) -> Pending<ListPage> {
        self.read(Lane::Scan, move |connection| list::list(connection, &collection, &query))
    }

    /// What a query finds, with the place in the change feed at which it does. Fails like a list.
    pub fn watch(&self, collection: Arc<Collection>, query: ListQuery) -> Pending<Watched> {
        self.read(Lane::Scan, move |connection| list::watch(connection, &collection, &query))
    }

    /// Calculates over the documents that a query asks for.
    pub fn aggregate(&self, collection: Arc<Collection>, query: AggregateQuery) -> Pending<AggregatePage> {
        self.read(Lane::Scan, move |connection| aggregate::aggregate(connection, &collection, &query))
    }
}

pub(crate) fn create(session: &mut Session<'_>, input: Create) -> Result<Document, Error> {
    let Create { collection, document, actor } = input;
    let created = insert(session, &collection, document, &actor)?;
    if accounts::is_users(&collection) {
        accounts::bind(session, &collection, &created, None)?;
    }
    Ok(created)
}

/// Inserts the row and its change.
pub(crate) fn insert(
    session: &Session<'_>,
    collection: &Collection,
    document: Document,
    actor: &str,
) -> Result<Document, Error> {
    let document = Document { rev: 1, ..document };
    refuse_other_shape(collection, &document)?;
    session
        .connection
        .prepare_cached(&sql::insert(collection))?
        .execute(params_from_iter(bound(&document.values)))
        .map_err(|error| explain(session, collection, &document, error))?;
    changes::record(session, collection, &Change::Create { after: &document }, actor)?;
    Ok(document)
}

pub(crate) fn update(session: &mut Session<'_>, input: Update) -> Result<Document, Error> {
    let Update { collection, id, expected_rev, document, actor } = input;
    let before = expect(session, &collection, &id, expected_rev)?;
    let after = replace(session, &collection, &before, document, &actor)?;
    if accounts::is_users(&collection) && accounts::is_disabled(&collection, &after) {
        sessions::end_all_of(session, &id)?;
    }
    Ok(after)
}

/// Writes the values that differ from `before`, which is what the row holds, and the change.
pub(crate) fn replace(
    session: &Session<'_>,
    collection: &Collection,
    before: &Document,
    document: Document,
    actor: &str,
) -> Result<Document, Error> {
    let (primary, _) = collection.primary();
    let mut after = Document { rev: before.rev + 1, ..document };
    refuse_other_shape(collection, &after)?;
    after.values[primary].clone_from(&before.values[primary]);
    // Columns left out of the statement cost neither index updates nor foreign key checks.
    let changed: Vec<usize> =
        (0..after.values.len()).filter(|field| after.values[*field] != before.values[*field]).collect();
    let values = changed.iter().map(|field| &after.values[*field]).chain([&after.values[primary]]);
    let updated = session
        .connection
        .prepare_cached(&sql::update(collection, &changed))?
        .execute(params_from_iter(values.map(Bound)))
        .map_err(|error| explain(session, collection, &after, error))?;
    if updated != 1 {
        return Err(Error::NotFound);
    }
    changes::record(session, collection, &Change::Update { before, after: &after }, actor)?;
    Ok(after)
}

pub(crate) fn delete(session: &mut Session<'_>, input: Delete) -> Result<(), Error> {
    let Delete { collection, id, expected_rev, actor } = input;
    let before = expect(session, &collection, &id, expected_rev)?;
    let ended = cascade::delete(session, &collection, &before, &actor)?;
    // The row of this write tells of the account that was asked for; the others get their own.
    let row = session.audit.clone().filter(|_| accounts::is_users(&collection));
    for other in ended.into_iter().filter(|other| *other != id) {
        let Some(row) = &row else { break };
        audit::append(session, AuditRow { target: format!("user:{other}"), ..row.clone() })?;
    }
    Ok(())
}

/// Deletes the document `before`, which is what the row holds. Answers the accounts that ended by it.
pub(crate) fn remove(
    session: &Session<'_>,
    collection: &Collection,
    before: &Document,
    actor: &str,
) -> Result<Vec<String>, Error> {
    cascade::delete(session, collection, before, actor)
}

fn expect(
    session: &Session<'_>,
    collection: &Collection,
    id: &str,
    expected_rev: i64,
) -> Result<Document, Error> {
    let found = fetch(session.connection, collection, id)?.ok_or(Error::NotFound)?;
    if found.rev == expected_rev { Ok(found) } else { Err(Error::Stale) }
}

/// A document made for an older schema than the collection's would put values under wrong names.
fn refuse_other_shape(collection: &Collection, document: &Document) -> Result<(), Error> {
    if document.values.len() == collection.fields.len() {
        return Ok(());
    }
    Err(Error::internal("write a document", "its values are not those of the collection"))
}

/// SQLite does not say which reference is broken, so we look.
fn explain(
    session: &Session<'_>,
    collection: &Collection,
    document: &Document,
    error: rusqlite::Error,
) -> Error {
    match Error::from(error) {
        Error::ForeignKey { .. } => broken_references(session, collection, document)
            .map_or_else(|error| error, |fields| Error::ForeignKey { fields }),
        error => error,
    }
}

fn broken_references(
    session: &Session<'_>,
    collection: &Collection,
    document: &Document,
) -> Result<Vec<String>, Error> {
    let mut broken = Vec::new();
    for (field, value) in collection.fields.iter().zip(&document.values) {
        let FieldKind::Relation { collection: target, .. } = &field.kind else { continue };
        let target = session.schema.and_then(|schema| schema.collections.get(target));
        let (Some(target), false) = (target, value == &Value::Null) else { continue };
        let found = session.connection.prepare_cached(&sql::exists(target))?.exists([Bound(value)])?;
        if !found {
            broken.push(field.name.clone());
        }
    }
    Ok(broken)
}
