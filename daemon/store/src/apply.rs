//! Schema changes. All steps, the check of all references and the new schema's text are one
//! transaction: either the database has the new schema or it is untouched.
//!
//! Only steps that lose nothing are carried out; whoever wants others must say so, elsewhere.

use std::collections::HashSet;
use std::sync::Arc;

use alyx_core::migration::{Change, Class, Step};
use alyx_core::schema::{self, Schema};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::readers::Lane;
use crate::writer::{Command, Session};
use crate::{Error, Pending, Store, tables};

/// Input of [`apply`].
#[derive(Debug)]
pub(crate) struct Apply {
    text: String,
    schema: Arc<Schema>,
    changes: Vec<Change>,
}

impl Store {
    /// The text of the schema the database has, `None` before the first.
    pub fn applied_schema(&self) -> Pending<Option<String>> {
        self.read(Lane::Point, stored_text)
    }

    /// Carries out `changes` and remembers `schema_text` as what the database has now. `changes` is the
    /// difference between the applied schema and `schema`.
    ///
    /// Fails with [`Error::Schema`] if a change is not safe, [`Error::UniqueViolation`] if there are
    /// documents that a new index forbids, and as any write. Nothing is changed then.
    pub fn apply(&self, schema_text: &str, schema: &Schema, changes: &[Change]) -> Pending<()> {
        let input = Apply {
            text: schema_text.to_owned(),
            schema: Arc::new(schema.clone()),
            changes: changes.to_vec(),
        };
        self.write(Command::Apply, input)
    }
}

pub(crate) fn apply(session: &mut Session<'_>, input: Apply) -> Result<(), Error> {
    for change in &input.changes {
        if change.class != Class::Safe {
            return Err(Error::Schema { reason: format!("not safe: {}", change.description) });
        }
    }
    let mut rebuilt = HashSet::new();
    for change in &input.changes {
        carry_out(session, change, &mut rebuilt)?;
    }
    refuse_broken_references(session.connection)?;
    // The same text again writes nothing, so starting is possible while the disk is full.
    session
        .connection
        .prepare_cached("UPDATE _alyx_schema SET text = ?1, applied_at = ?2 WHERE text IS NOT ?1")?
        .execute(params![input.text, session.now])?;
    session.next_schema = Some(input.schema);
    Ok(())
}

/// A table that was made anew is as it will be, columns and indexes; further steps for it are done.
fn carry_out<'a>(
    session: &Session<'_>,
    change: &'a Change,
    rebuilt: &mut HashSet<&'a str>,
) -> Result<(), Error> {
    let connection = session.connection;
    match &change.step {
        Step::None => Ok(()),
        Step::AddField { collection, .. }
        | Step::CreateIndex { collection, .. }
        | Step::Rebuild { collection, .. }
            if rebuilt.contains(&*collection.name) =>
        {
            Ok(())
        }
        Step::CreateCollection(collection) => tables::create(connection, collection),
        Step::AddField { collection, field } => {
            tables::add_column(connection, collection, &collection.fields[*field], &session.now)
        }
        Step::CreateIndex { collection, index } => tables::create_index(connection, collection, index),
        Step::DropIndex { index, .. } => tables::drop_index(connection, index),
        Step::Rebuild { collection, .. } => {
            rebuilt.insert(&collection.name);
            tables::rebuild(connection, collection, &session.now)
        }
        Step::DropCollection { .. } | Step::DropField { .. } => {
            Err(Error::Schema { reason: format!("it would lose data: {}", change.description) })
        }
    }
}

fn refuse_broken_references(connection: &Connection) -> Result<(), Error> {
    let broken: Option<String> = connection
        .query_row(
            "SELECT \"table\" || ' refers to ' || parent FROM pragma_foreign_key_check LIMIT 1",
            [],
            |row| row.get(0),
        )
        .optional()?;
    match broken {
        None => Ok(()),
        Some(pair) => Err(Error::Schema { reason: format!("a document of {pair} that does not exist") }),
    }
}

fn stored_text(connection: &Connection) -> Result<Option<String>, Error> {
    Ok(connection.prepare_cached("SELECT text FROM _alyx_schema")?.query_row([], |row| row.get(0))?)
}

/// The schema the database has. A text that this version cannot read counts as none until the next
/// [`Store::apply`]; deletions fail meanwhile, because they need to know who refers to whom.
pub(crate) fn stored_schema(connection: &Connection) -> Result<Option<Arc<Schema>>, Error> {
    let Some(text) = stored_text(connection)? else { return Ok(None) };
    Ok(schema::parse("schema.yaml", &text)
        .inspect_err(|problems| {
            tracing::warn!(problems = problems.len(), "the applied schema cannot be read by this version");
        })
        .ok()
        .map(Arc::new))
}
