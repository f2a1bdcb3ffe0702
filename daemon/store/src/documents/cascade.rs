//! Deletion with everything that refers to it. SQLite would do the cascades by itself, but without
//! telling us, and each needs its row in the change feed. So we walk the relations first and write down
//! what will happen; the tables' own foreign keys then do the deletions, and the two must agree.
//!
//! Memory grows with the number of ids, not with the documents.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use alyx_core::document::Document;
use alyx_core::query::search_fields;
use alyx_core::schema::{Collection, FieldKind, OnDelete, Schema};
use alyx_core::value::Value;
use rusqlite::params;
use rusqlite::types::Null;

use super::{read, replace, sql};
use crate::changes::{self, Change};
use crate::limits::CASCADE_MAX;
use crate::writer::Session;
use crate::{Error, accounts};

/// A document by collection and id.
type Place = (String, String);

/// A document that refers to a deleted one but is not deleted for it.
struct Referrer {
    collection: Arc<Collection>,
    id: String,
    field: usize,
}

/// What a deletion entails.
#[derive(Default)]
struct Walk {
    deleted: HashSet<Place>,
    restricting: Vec<Referrer>,
    emptied: Vec<Referrer>,
    /// Deleted, but their referrers are not yet known.
    open: VecDeque<Place>,
    /// Ids of the deleted documents in `users`.
    accounts: Vec<String>,
}

/// Deletes the document `before` and records all that happens. Answers the accounts that ended by it.
pub(super) fn delete(
    session: &Session<'_>,
    collection: &Collection,
    before: &Document,
    actor: &str,
) -> Result<Vec<String>, Error> {
    let schema = session.schema.ok_or_else(|| Error::internal("delete", "no schema is applied"))?;
    let mut walk = Walk::default();
    walk.delete(session, collection, before, actor)?;
    while let Some(place) = walk.open.pop_front() {
        walk.visit_referrers(session, schema, &place, actor)?;
    }
    walk.refuse_restricted()?;
    walk.empty_references(session, actor)?;

    let changes_before = session.connection.total_changes();
    session.connection.prepare_cached(&sql::delete(collection))?.execute([id_of(collection, before)])?;
    let deleted = session.connection.total_changes() - changes_before;
    let expected = walk.deleted.len() as u64;
    // What a full-text index forgets counts as well, by a number that we cannot know.
    let searched = walk
        .deleted
        .iter()
        .filter_map(|(name, _)| schema.collections.get(name))
        .any(|collection| !search_fields(collection).is_empty());
    if deleted == expected || (searched && deleted > expected) {
        return Ok(walk.accounts);
    }
    Err(Error::internal("delete", "the database deleted other documents than the schema says"))
}

/// Primary fields are text.
fn id_of(collection: &Collection, document: &Document) -> String {
    document.values[collection.primary().0].as_text().unwrap_or_default().to_owned()
}

impl Walk {
    /// Notes that a document goes, once.
    fn delete(
        &mut self,
        session: &Session<'_>,
        collection: &Collection,
        document: &Document,
        actor: &str,
    ) -> Result<(), Error> {
        let place = (collection.name.clone(), id_of(collection, document));
        if !self.deleted.insert(place.clone()) {
            return Ok(());
        }
        // The document that was asked for does not count.
        if self.deleted.len() > CASCADE_MAX + 1 {
            return Err(Error::CascadeTooLarge { limit: CASCADE_MAX });
        }
        changes::record(session, collection, &Change::Delete { before: document }, actor)?;
        if accounts::is_users(collection) {
            accounts::unbind(session, &place.1)?;
            self.accounts.push(place.1.clone());
        }
        self.open.push_back(place);
        Ok(())
    }

    fn visit_referrers(
        &mut self,
        session: &Session<'_>,
        schema: &Schema,
        place: &Place,
        actor: &str,
    ) -> Result<(), Error> {
        for collection in schema.collections.values() {
            for (field, declared) in collection.fields.iter().enumerate() {
                let FieldKind::Relation { collection: target, on_delete, .. } = &declared.kind else {
                    continue;
                };
                if target != &place.0 {
                    continue;
                }
                read::for_each(session.connection, collection, &declared.name, &place.1, |document| {
                    let id = id_of(collection, &document);
                    let referrer = Referrer { collection: Arc::clone(collection), id, field };
                    match on_delete {
                        OnDelete::Cascade => self.delete(session, collection, &document, actor)?,
                        OnDelete::SetNull => self.emptied.push(referrer),
                        OnDelete::Restrict => self.restricting.push(referrer),
                    }
                    self.refuse_too_many()
                })?;
            }
        }
        Ok(())
    }

    const fn refuse_too_many(&self) -> Result<(), Error> {
        if self.emptied.len() > CASCADE_MAX || self.restricting.len() > CASCADE_MAX {
            return Err(Error::CascadeTooLarge { limit: CASCADE_MAX });
        }
        Ok(())
    }

    /// A document that goes for another reason restricts nothing.
    fn refuse_restricted(&self) -> Result<(), Error> {
        match self.restricting.iter().find(|referrer| !self.is_deleted(referrer)) {
            None => Ok(()),
            Some(referrer) => Err(Error::Restricted {
                collection: referrer.collection.name.clone(),
                field: referrer.collection.fields[referrer.field].name.clone(),
            }),
        }
    }

    /// `set null` is an update like any other: it has a revision, a change and a time. Of a document that
    /// goes itself nobody needs to know, but it must not be left to SQLite, or we could not count.
    fn empty_references(&self, session: &Session<'_>, actor: &str) -> Result<(), Error> {
        for referrer in &self.emptied {
            let Referrer { collection, id, field } = referrer;
            if self.is_deleted(referrer) {
                session
                    .connection
                    .prepare_cached(&sql::update(collection, &[*field]))?
                    .execute(params![Null, id])?;
                continue;
            }
            let before = read::fetch(session.connection, collection, id)?.ok_or(Error::NotFound)?;
            let mut after = before.clone();
            after.values[*field] = Value::Null;
            for (field, value) in collection.fields.iter().zip(&mut after.values) {
                if field.on_update_now {
                    *value = Value::Text(session.now.clone());
                }
            }
            replace(session, collection, &before, after, actor)?;
        }
        Ok(())
    }

    fn is_deleted(&self, referrer: &Referrer) -> bool {
        self.deleted.contains(&(referrer.collection.name.clone(), referrer.id.clone()))
    }
}
