//! Collections as tables. A table has the collection's name, a column per field and the revision; it is
//! STRICT, so a value of the wrong form is refused even if everything above fails.
//!
//! Foreign keys are checked with each statement, not at the commit: a command that breaks one must fail
//! alone, and a commit belongs to many. `restrict` is SQLite's NO ACTION, which looks at the end of the
//! statement, so a referrer that goes in the same deletion does not stop it.

mod rebuild;
mod search;

use alyx_core::document::stored_default;
use alyx_core::schema::{Collection, DefaultValue, Field, FieldKind, Index, OnDelete, SortOrder};
use alyx_core::sql::quote;
use alyx_core::value::Value;
use rusqlite::Connection;

pub(crate) use rebuild::rebuild;
pub(crate) use search::{release_search_indexes, search_indexes};

use crate::values::Bound;
use crate::{Error, accounts};

/// Column that counts a document's updates. No field has this name: they start with a letter.
pub(crate) const REVISION: &str = "\"_alyx_rev\"";

/// Creates the table and all its indexes.
pub(crate) fn create(connection: &Connection, collection: &Collection) -> Result<(), Error> {
    connection.execute_batch(&create_statement(&collection.name, collection))?;
    create_indexes(connection, collection)
}

fn create_indexes(connection: &Connection, collection: &Collection) -> Result<(), Error> {
    for index in collection.all_indexes() {
        create_index(connection, collection, &index)?;
    }
    if accounts::is_users(collection) {
        connection.execute_batch(&accounts::indexes())?;
    }
    Ok(())
}

fn create_statement(table: &str, collection: &Collection) -> String {
    let mut lines: Vec<String> = collection.fields.iter().map(column_definition).collect();
    lines.push(format!("{REVISION} INTEGER NOT NULL DEFAULT 1"));
    format!("CREATE TABLE {} (\n    {}\n) STRICT", quote(table), lines.join(",\n    "))
}

fn column_definition(field: &Field) -> String {
    let mut text = format!("{} {}", quote(&field.name), column_type(&field.kind));
    if !field.nullable || field.primary {
        text.push_str(" NOT NULL");
    }
    if field.primary {
        text.push_str(" PRIMARY KEY");
    }
    if let FieldKind::Relation { collection, on_delete, .. } = &field.kind {
        let action = match on_delete {
            OnDelete::Restrict => "NO ACTION",
            OnDelete::Cascade => "CASCADE",
            OnDelete::SetNull => "SET NULL",
        };
        text.push_str(&format!(" REFERENCES {} ON DELETE {action}", quote(collection)));
    }
    text
}

const fn column_type(kind: &FieldKind) -> &'static str {
    match kind {
        FieldKind::Int | FieldKind::Bool => "INTEGER",
        FieldKind::Float => "REAL",
        FieldKind::Blob => "BLOB",
        FieldKind::Id
        | FieldKind::Uuid
        | FieldKind::String
        | FieldKind::Text
        | FieldKind::RichText(_)
        | FieldKind::Timestamp
        | FieldKind::Date
        | FieldKind::Json
        | FieldKind::Email
        | FieldKind::Url
        | FieldKind::Select(_)
        | FieldKind::Relation { .. } => "TEXT",
    }
}

/// Creates one index.
pub(crate) fn create_index(
    connection: &Connection,
    collection: &Collection,
    index: &Index,
) -> Result<(), Error> {
    let unique = if index.unique { "UNIQUE " } else { "" };
    let order = match index.order {
        SortOrder::Ascending => "",
        SortOrder::Descending => " DESC",
    };
    let fields = indexed(collection, index);
    let fields: Vec<String> = fields.iter().map(|field| format!("{}{order}", quote(field))).collect();
    Ok(connection.execute_batch(&format!(
        "CREATE {unique}INDEX {} ON {} ({})",
        quote(&index.name),
        quote(&collection.name),
        fields.join(", ")
    ))?)
}

/// The columns of an index: its fields, and the id behind them, by which a list breaks ties. A unique index
/// stays as it is declared.
fn indexed(collection: &Collection, index: &Index) -> Vec<String> {
    let (_, primary) = collection.primary();
    let mut fields = index.fields.clone();
    if !index.unique && !fields.contains(&primary.name) {
        fields.push(primary.name.clone());
    }
    fields
}

/// Declared indexes that are there without the id behind them, as they were made before.
pub(crate) fn indexes_without_id(
    connection: &Connection,
    collection: &Collection,
) -> Result<Vec<Index>, Error> {
    let mut statement = connection
        .prepare_cached("SELECT name FROM pragma_index_info(?) WHERE name IS NOT NULL ORDER BY seqno")?;
    let mut found = Vec::new();
    for index in &collection.indexes {
        let there =
            statement.query_map([&index.name], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
        if there == index.fields && there != indexed(collection, index) {
            found.push(index.clone());
        }
    }
    Ok(found)
}

/// Drops one index.
pub(crate) fn drop_index(connection: &Connection, index: &str) -> Result<(), Error> {
    Ok(connection.execute_batch(&format!("DROP INDEX {}", quote(index)))?)
}

/// Adds one column; documents there are get its default.
pub(crate) fn add_column(
    connection: &Connection,
    collection: &Collection,
    field: &Field,
    now: &str,
) -> Result<(), Error> {
    let mut sql = format!("ALTER TABLE {} ADD COLUMN {}", quote(&collection.name), column_definition(field));
    if let Some(literal) = default_expression(connection, field, now)? {
        sql.push_str(" DEFAULT ");
        sql.push_str(&literal);
    }
    Ok(connection.execute_batch(&sql)?)
}

/// Drops a collection's table and what belongs to it.
pub(crate) fn drop_table(connection: &Connection, collection: &Collection) -> Result<(), Error> {
    Ok(connection.execute_batch(&format!("DROP TABLE {}", quote(&collection.name)))?)
}

/// Renames a collection's table. References of others follow; so do our own indexes, which have its name
/// in theirs.
pub(crate) fn rename(connection: &Connection, old: &Collection, new: &Collection) -> Result<(), Error> {
    let sql = format!("ALTER TABLE {} RENAME TO {}", quote(&old.name), quote(&new.name));
    connection.execute_batch(&sql)?;
    replace_indexes(connection, old, new)
}

/// Renames a column, with our own indexes on it.
pub(crate) fn rename_column(
    connection: &Connection,
    (old, new): (&Collection, &Collection),
    from: &str,
    to: &str,
) -> Result<(), Error> {
    let table = quote(&old.name);
    let sql = format!("ALTER TABLE {table} RENAME COLUMN {} TO {}", quote(from), quote(to));
    connection.execute_batch(&sql)?;
    replace_indexes(connection, old, new)
}

fn replace_indexes(connection: &Connection, old: &Collection, new: &Collection) -> Result<(), Error> {
    let (before, after) = (old.all_indexes(), new.all_indexes());
    let named = |list: &[Index], name: &str| list.iter().any(|index| index.name == name);
    for index in before.iter().filter(|index| !named(&after, &index.name)) {
        drop_index(connection, &index.name)?;
    }
    for index in after.iter().filter(|index| !named(&before, &index.name)) {
        create_index(connection, new, index)?;
    }
    Ok(())
}

/// The default of a field as an SQL expression; a new id for every document is a function.
fn default_expression(connection: &Connection, field: &Field, now: &str) -> Result<Option<String>, Error> {
    let value = match &field.default {
        Some(DefaultValue::Auto) if field.kind == FieldKind::Uuid => {
            return Ok(Some(format!("{}(1)", rebuild::NEW_ID)));
        }
        Some(DefaultValue::Auto) => return Ok(Some(format!("{}(0)", rebuild::NEW_ID))),
        None if field.on_update_now && !field.nullable => Value::Text(now.to_owned()),
        None => return Ok(None),
        Some(DefaultValue::Now) if field.kind == FieldKind::Date => {
            Value::Text(now.chars().take(10).collect())
        }
        Some(DefaultValue::Now) => Value::Text(now.to_owned()),
        Some(DefaultValue::Literal(json)) => stored_default(field, json),
    };
    Ok(Some(connection.query_row("SELECT quote(?)", [Bound(&value)], |row| row.get(0))?))
}
