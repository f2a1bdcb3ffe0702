//! Tables that are not what the applied schema says, because somebody changed them behind our back. They
//! are compared with tables made from the schema in memory, by what they are, not by their text: SQLite
//! rewrites that when it alters a table.

use std::collections::{BTreeMap, BTreeSet};

use alyx_core::schema::Schema;
use rusqlite::Connection;

use crate::{Error, tables};

/// Facts about a table, one line each.
type Facts = BTreeSet<String>;

/// What is not as the schema says: the table and a sentence.
pub(super) fn find(connection: &Connection, schema: &Schema) -> Result<Vec<(String, String)>, Error> {
    let model = Connection::open_in_memory()?;
    for collection in schema.collections.values() {
        tables::create(&model, collection)?;
    }
    let (expected, mut found) = (describe(&model)?, describe(connection)?);
    let mut drift = Vec::new();
    for (table, facts) in expected {
        match found.remove(&table) {
            None => drift.push((table.clone(), format!("the table {table} is missing"))),
            Some(there) => {
                let missing = facts.difference(&there).map(|fact| format!("{table}: missing {fact}"));
                let unknown = there.difference(&facts).map(|fact| format!("{table}: unknown {fact}"));
                drift.extend(missing.chain(unknown).map(|text| (table.clone(), text)));
            }
        }
    }
    drift.extend(
        found.into_keys().map(|table| (table.clone(), format!("{table} does not belong to the schema"))),
    );
    Ok(drift)
}

/// Everything that is not ours alone, with its facts.
fn describe(connection: &Connection) -> Result<BTreeMap<String, Facts>, Error> {
    let mut tables = BTreeMap::new();
    let mut statement = connection.prepare(
        "SELECT type, name, tbl_name FROM sqlite_schema
         WHERE tbl_name NOT LIKE '\\_alyx%' ESCAPE '\\' AND tbl_name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
         ORDER BY type = 'table' DESC",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (kind, name, table): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let facts: &mut Facts = tables.entry(table.clone()).or_default();
        match kind.as_str() {
            "table" => {
                facts.extend(lines(
                    connection,
                    "SELECT 'column ' || name || ' ' || type || iif(\"notnull\", ' NOT NULL', '')
                         || iif(pk, ' PRIMARY KEY', '') || iif(hidden, ' hidden', '')
                     FROM pragma_table_xinfo(?)",
                    &name,
                )?);
                facts.extend(lines(
                    connection,
                    "SELECT 'reference ' || \"from\" || ' to ' || \"table\" || ' ON DELETE ' || on_delete
                     FROM pragma_foreign_key_list(?)",
                    &name,
                )?);
            }
            "index" if !name.starts_with("sqlite_") => {
                let columns = lines(
                    connection,
                    "SELECT coalesce(name, 'expression') || iif(\"desc\", ' desc', '')
                     FROM pragma_index_xinfo(?) WHERE key ORDER BY seqno",
                    &name,
                )?;
                let unique: Vec<String> = lines(
                    connection,
                    "SELECT iif(\"unique\", 'unique ', '') || iif(partial, 'partial ', '')
                     FROM pragma_index_list((SELECT tbl_name FROM sqlite_schema WHERE name = ?1)) WHERE name = ?1",
                    &name,
                )?;
                facts.insert(format!("{}index {name} on {}", unique.concat(), columns.join(", ")));
            }
            // Ours keep the full-text index current.
            "trigger" if name.starts_with("_alyx") => {}
            "index" => {}
            other => drop(facts.insert(format!("{other} {name}"))),
        }
    }
    Ok(tables)
}

fn lines(connection: &Connection, sql: &str, name: &str) -> Result<Vec<String>, Error> {
    let mut statement = connection.prepare_cached(sql)?;
    let lines = statement.query_map([name], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(lines)
}
