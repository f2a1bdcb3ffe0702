//! Collections as tables. A table has the collection's name, a column per field and the revision; it is
//! STRICT, so a value of the wrong form is refused even if everything above fails.
//!
//! Foreign keys are checked with each statement, not at the commit: a command that breaks one must fail
//! alone, and a commit belongs to many. `restrict` is SQLite's NO ACTION, which looks at the end of the
//! statement, so a referrer that goes in the same deletion does not stop it.

use alyx_core::schema::{Collection, DefaultValue, Field, FieldKind, Index, OnDelete, SortOrder};
use alyx_core::sql::quote;
use alyx_core::value::Value;
use rusqlite::Connection;

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
    let fields: Vec<String> = index.fields.iter().map(|field| format!("{}{order}", quote(field))).collect();
    Ok(connection.execute_batch(&format!(
        "CREATE {unique}INDEX {} ON {} ({})",
        quote(&index.name),
        quote(&collection.name),
        fields.join(", ")
    ))?)
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
    if let Some(literal) = default_literal(connection, field, now)? {
        sql.push_str(" DEFAULT ");
        sql.push_str(&literal);
    }
    Ok(connection.execute_batch(&sql)?)
}

/// Makes the table anew where SQLite cannot alter it, by the procedure of
/// <https://sqlite.org/lang_altertable.html#otheralter>. Foreign keys must be off, else dropping the
/// old table would delete what refers to it.
pub(crate) fn rebuild(connection: &Connection, collection: &Collection, now: &str) -> Result<(), Error> {
    const INTERIM: &str = "_alyx_rebuild";
    let old = column_names(connection, &collection.name)?;
    let mut targets = vec![REVISION.to_owned()];
    let mut sources = vec![REVISION.to_owned()];
    for field in &collection.fields {
        let name = quote(&field.name);
        if old.contains(&field.name) {
            sources.push(name.clone());
        } else if let Some(literal) = default_literal(connection, field, now)? {
            sources.push(literal);
        } else {
            continue;
        }
        targets.push(name);
    }
    let (table, interim) = (quote(&collection.name), quote(INTERIM));
    connection.execute_batch(&create_statement(INTERIM, collection))?;
    connection.execute_batch(&format!(
        "INSERT INTO {interim} ({}) SELECT {} FROM {table};
         DROP TABLE {table};
         ALTER TABLE {interim} RENAME TO {table};",
        targets.join(", "),
        sources.join(", ")
    ))?;
    create_indexes(connection, collection)
}

fn column_names(connection: &Connection, table: &str) -> Result<Vec<String>, Error> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?)")?;
    let names = statement.query_map([table], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(names)
}

/// The default of a field as an SQL literal. A new id per document is none.
fn default_literal(connection: &Connection, field: &Field, now: &str) -> Result<Option<String>, Error> {
    let value = match &field.default {
        None | Some(DefaultValue::Auto) => return Ok(None),
        Some(DefaultValue::Now) if field.kind == FieldKind::Date => {
            Value::Text(now.chars().take(10).collect())
        }
        Some(DefaultValue::Now) => Value::Text(now.to_owned()),
        Some(DefaultValue::Literal(json)) => stored(&field.kind, json),
    };
    Ok(Some(connection.query_row("SELECT quote(?)", [Bound(&value)], |row| row.get(0))?))
}

/// The stored form of a literal default, which the parser found valid for the kind. Bytes have none.
fn stored(kind: &FieldKind, json: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match (kind, json) {
        (FieldKind::Json, json) => Value::Text(json.to_string()),
        (_, Json::Null) => Value::Null,
        (_, Json::Bool(value)) => Value::Integer(i64::from(*value)),
        (FieldKind::Float, Json::Number(number)) => number.as_f64().map_or(Value::Null, Value::Real),
        (_, Json::Number(number)) => number.as_i64().map_or(Value::Null, Value::Integer),
        (_, Json::String(text)) => Value::Text(text.clone()),
        (_, Json::Array(_) | Json::Object(_)) => Value::Text(json.to_string()),
    }
}
