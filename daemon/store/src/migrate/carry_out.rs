//! One step, done to the tables.

use alyx_core::document::stored_default;
use alyx_core::migration::{BackfillSource, Step, Which, canonical_value};
use alyx_core::schema::{Collection, Field};
use alyx_core::sql::quote;
use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};

use super::Run;
use crate::tables::REVISION;
use crate::values::{Bound, borrowed, owned};
use crate::{Error, tables};

/// Checks the values of a backfill; there only while it runs.
const CANONICAL: &str = "_alyx_canonical";

impl Run<'_, '_> {
    /// Carries out a step; the answer is how many documents it wrote, where that was counted.
    pub(super) fn step(&mut self, step: &Step) -> Result<Option<u64>, Error> {
        let (connection, now) = (self.session.connection, &self.session.now);
        match step {
            Step::None => {}
            // A table that was made anew is as it will be; further steps for it are done.
            Step::AddField { collection, .. } | Step::CreateIndex { collection, .. }
                if self.rebuilt.contains(&collection.name) => {}
            Step::Rebuild { new, .. } if self.rebuilt.contains(&new.name) => {}
            Step::CreateCollection(collection) => tables::create(connection, collection)?,
            Step::AddField { collection, field } => {
                let field = &collection.fields[*field];
                self.added.insert(format!("{}.{}", collection.name, field.name));
                tables::add_column(connection, collection, field, now)?;
            }
            Step::CreateIndex { collection, index } => tables::create_index(connection, collection, index)?,
            Step::DropIndex { index } => tables::drop_index(connection, index)?,
            Step::Rebuild { old, new, otherwise } => {
                tables::rebuild(connection, old, new, *otherwise, now)?;
                self.rebuilt.insert(new.name.clone());
            }
            Step::DropCollection(collection) => tables::drop_table(connection, collection)?,
            Step::RenameCollection { old, new } => tables::rename(connection, old, new)?,
            Step::RenameField { old, new, from, to } => {
                tables::rename_column(connection, (old, new), from, to)?
            }
            Step::Search(_) => {}
            Step::Backfill { collection, field, source, which } => {
                return backfill(self, collection, &collection.fields[*field], source, *which).map(Some);
            }
            Step::Sql { text, .. } => return self.session.guard.run(connection, text).map(Some),
        }
        Ok(None)
    }
}

fn backfill(
    run: &Run<'_, '_>,
    collection: &Collection,
    field: &Field,
    source: &BackfillSource,
    which: Which,
) -> Result<u64, Error> {
    let connection = run.session.connection;
    let (table, column) = (quote(&collection.name), quote(&field.name));
    let condition = match which {
        Which::Missing => format!(" WHERE {column} IS NULL"),
        Which::All => String::new(),
    };
    let set = |value: &str| {
        format!("UPDATE {table} SET {column} = {value}, {REVISION} = {REVISION} + 1{condition}")
    };
    match source {
        BackfillSource::Value(literal) => {
            let value = stored_default(field, literal);
            Ok(connection.execute(&set("?"), [Bound(&value)])? as u64)
        }
        BackfillSource::Sql(expression) => {
            checked(connection, field)?;
            let sql = set(&format!("{CANONICAL}(({expression}))"));
            let outcome = run.session.guard.confined(|| Ok(connection.execute(&sql, [])? as u64));
            connection.remove_function(CANONICAL, 1)?;
            outcome
        }
    }
}

fn checked(connection: &Connection, field: &Field) -> Result<(), Error> {
    let field = field.clone();
    let check = move |context: &Context<'_>| -> rusqlite::Result<rusqlite::types::Value> {
        let value = borrowed(context.get_raw(0)).map_err(|error| function_error(error.to_string()))?;
        let value = canonical_value(&field, value)
            .map_err(|message| function_error(format!("a value for {} {message}", field.name)))?;
        Ok(owned(value))
    };
    connection
        .create_scalar_function(CANONICAL, 1, FunctionFlags::SQLITE_UTF8, move |context| check(context))?;
    Ok(())
}

pub(crate) fn function_error(message: String) -> rusqlite::Error {
    rusqlite::Error::UserFunctionError(message.into())
}
