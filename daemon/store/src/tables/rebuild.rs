//! A table made anew where SQLite cannot alter it, by the procedure of
//! <https://sqlite.org/lang_altertable.html#otheralter>. Foreign keys must be off, else dropping the old
//! table would delete what refers to it; the caller checks all references at the end.

use alyx_core::document::{new_id, new_uuid};
use alyx_core::migration::{Otherwise, convert_value};
use alyx_core::schema::{Collection, Field};
use alyx_core::sql::quote;
use jiff::Timestamp;
use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::Value as SqliteValue;

use super::{REVISION, create_indexes, create_statement, default_expression};
use crate::Error;
use crate::values::{borrowed, owned};

/// Makes ids for documents that are there; exists while a table is made anew. 1: a UUID.
pub(super) const NEW_ID: &str = "_alyx_new_id";

/// Name of the new table until the old one is gone.
const INTERIM: &str = "_alyx_rebuild";

/// Makes the table of `old` anew as that of `new`, which has the same name. Values whose type changes
/// are converted; one that cannot be becomes null or fails the whole.
pub(crate) fn rebuild(
    connection: &Connection,
    old: &Collection,
    new: &Collection,
    otherwise: Otherwise,
    now: &str,
) -> Result<(), Error> {
    let mut functions = Functions { connection, names: Vec::new() };
    functions.add_new_id(now)?;
    let mut targets = Vec::new();
    let mut sources = Vec::new();
    let mut converted = false;
    for (place, field) in new.fields.iter().enumerate() {
        let name = quote(&field.name);
        match old.field(&field.name) {
            Some((_, before)) if before.kind == field.kind => sources.push(name.clone()),
            Some((_, before)) => {
                converted = true;
                let function = functions.add_conversion(place, before, field, otherwise)?;
                sources.push(format!("{function}({name})"));
            }
            None => match default_expression(connection, field, now)? {
                Some(expression) => sources.push(expression),
                None => continue,
            },
        }
        targets.push(name);
    }
    // Whoever has read a document must learn that its content is another one.
    let revision = if converted { format!("{REVISION} + 1") } else { REVISION.to_owned() };
    let (table, interim) = (quote(&old.name), quote(INTERIM));
    connection.execute_batch(&create_statement(INTERIM, new))?;
    connection.execute_batch(&format!(
        "INSERT INTO {interim} ({}, {REVISION}) SELECT {}, {revision} FROM {table};
         DROP TABLE {table};
         ALTER TABLE {interim} RENAME TO {};",
        targets.join(", "),
        sources.join(", "),
        quote(&new.name),
    ))?;
    create_indexes(connection, new)
}

/// SQL functions that go with the value.
struct Functions<'c> {
    connection: &'c Connection,
    names: Vec<String>,
}

impl Functions<'_> {
    fn add_conversion(
        &mut self,
        place: usize,
        old: &Field,
        new: &Field,
        otherwise: Otherwise,
    ) -> Result<String, Error> {
        let (kind, field) = (old.kind.clone(), new.clone());
        let convert = move |context: &Context<'_>| {
            let value = borrowed(context.get_raw(0))?;
            match convert_value(&kind, &field, value) {
                Ok(value) => Ok(owned(value)),
                Err(_) if otherwise == Otherwise::SetNull => Ok(SqliteValue::Null),
                Err(message) => {
                    let message = format!("a value of {} {message}", field.name);
                    Err(rusqlite::Error::UserFunctionError(message.into()))
                }
            }
        };
        self.add(format!("_alyx_convert_{place}"), move |context| convert(context))
    }

    fn add_new_id(&mut self, now: &str) -> Result<(), Error> {
        let now_ms = now.parse::<Timestamp>().map_or(0, Timestamp::as_millisecond).unsigned_abs();
        let connection_random =
            self.connection.query_row("SELECT randomblob(8)", [], |row| row.get::<_, [u8; 8]>(0))?;
        let seed = u64::from_le_bytes(connection_random);
        let counter = std::sync::atomic::AtomicU64::new(0);
        let make = move |context: &Context<'_>| {
            // One random start, then counted: distinct for sure, and in the order of the documents.
            let number = seed.wrapping_add(counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
            let mut random = [0; 10];
            for (place, byte) in random.iter_mut().rev().enumerate() {
                *byte = (number >> (5 * place)) as u8 & 31;
            }
            let id = match context.get::<i64>(0)? {
                0 => new_id(now_ms, random),
                _ => {
                    let mut random = [0; 10];
                    random[2..].copy_from_slice(&number.to_be_bytes());
                    new_uuid(now_ms, random)
                }
            };
            Ok(SqliteValue::Text(id))
        };
        self.add(NEW_ID.to_owned(), move |context| make(context)).map(drop)
    }

    fn add<F>(&mut self, name: String, function: F) -> Result<String, Error>
    where
        F: Fn(&mut Context<'_>) -> rusqlite::Result<SqliteValue> + Send + 'static,
    {
        self.connection.create_scalar_function(&*name, 1, FunctionFlags::SQLITE_UTF8, function)?;
        self.names.push(name.clone());
        Ok(name)
    }
}

impl Drop for Functions<'_> {
    fn drop(&mut self) {
        for name in &self.names {
            if let Err(error) = self.connection.remove_function(&**name, 1) {
                tracing::warn!(%error, "the SQL function {name} stays until the database is closed");
            }
        }
    }
}
