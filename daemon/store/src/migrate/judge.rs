//! Counts what a change concerns in the data there is, and decides its class by that: what concerns
//! nothing is safe.

use std::collections::HashSet;

use alyx_core::migration::{Change, Check, Class, Otherwise, Step, Which, convert_value};
use alyx_core::schema::{Collection, Field};
use alyx_core::sql::quote;
use rusqlite::Connection;

use super::Planned;
use crate::Error;
use crate::values::column;

/// The change with its class by the data.
pub(super) fn judge(connection: &Connection, change: &Change) -> Result<Planned, Error> {
    let mut planned = Planned {
        class: change.class,
        description: change.description.clone(),
        documents: None,
        file: None,
        structural: change.step != Step::None,
    };
    let mut why = change.reason.clone();
    let documents = match &change.check {
        Check::Nothing => None,
        Check::Documents { collection } => Some(count(connection, collection, "1")?),
        Check::Values { collection, field } => {
            Some(count(connection, collection, &format!("{} IS NOT NULL", quote(field)))?)
        }
        Check::Nulls { collection, field } => {
            Some(count(connection, collection, &format!("{} IS NULL", quote(field)))?)
        }
        Check::Duplicates { collection, fields } => Some(duplicates(connection, collection, fields)?),
        Check::Conversion { collection, old, new, otherwise } => {
            let found = conversion(connection, collection, old, new)?;
            if let Some((number, text)) = found.refused {
                match otherwise {
                    Otherwise::Refuse => planned.class = Class::Impossible,
                    Otherwise::SetNull => {}
                }
                let verb =
                    if *otherwise == Otherwise::Refuse { "cannot be converted" } else { "become null" };
                why = format!("{number} {verb}, {text}");
            }
            Some(found.documents)
        }
    };
    planned.documents = documents;
    if documents == Some(0) {
        planned.class = Class::Safe;
    } else if !why.is_empty() {
        planned.description = format!("{}: {why}", planned.description);
    }
    Ok(planned)
}

/// A table that an earlier, impossible change would have made is not there.
fn count(connection: &Connection, table: &str, condition: &str) -> Result<u64, Error> {
    let sql = format!("SELECT count(*) FROM {} WHERE {condition}", quote(table));
    let Ok(mut statement) = connection.prepare(&sql) else { return Ok(0) };
    Ok(statement.query_row([], |row| row.get::<_, i64>(0))?.unsigned_abs())
}

fn duplicates(connection: &Connection, table: &str, fields: &[String]) -> Result<u64, Error> {
    let columns: Vec<String> = fields.iter().map(|field| quote(field)).collect();
    let some: Vec<String> = columns.iter().map(|column| format!("{column} IS NOT NULL")).collect();
    let sql = format!(
        "SELECT coalesce(sum(n), 0) FROM (SELECT count(*) AS n FROM {} WHERE {} GROUP BY {} HAVING count(*) > 1)",
        quote(table),
        some.join(" AND "),
        columns.join(", ")
    );
    let Ok(mut statement) = connection.prepare(&sql) else { return Ok(0) };
    Ok(statement.query_row([], |row| row.get::<_, i64>(0))?.unsigned_abs())
}

struct Conversion {
    documents: u64,
    /// How many values are refused, and the first with the reason.
    refused: Option<(u64, String)>,
}

fn conversion(
    connection: &Connection,
    collection: &Collection,
    old: &Field,
    new: &Field,
) -> Result<Conversion, Error> {
    let (_, primary) = collection.primary();
    let name = quote(&old.name);
    let sql = format!(
        "SELECT {}, {name} FROM {} WHERE {name} IS NOT NULL",
        quote(&primary.name),
        quote(&collection.name)
    );
    let mut found = Conversion { documents: 0, refused: None };
    let Ok(mut statement) = connection.prepare(&sql) else { return Ok(found) };
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        found.documents += 1;
        if let Err(message) = convert_value(&old.kind, new, column(row, 1)?) {
            match &mut found.refused {
                Some((number, _)) => *number += 1,
                None => {
                    let id: String = row.get(0)?;
                    found.refused = Some((1, format!("the first in {id}: it {message}")));
                }
            }
        }
    }
    Ok(found)
}

/// Names of the tables that a step changes.
pub(super) fn touched(step: &Step) -> Vec<&str> {
    match step {
        Step::None | Step::CreateCollection(_) | Step::DropIndex { .. } | Step::Sql { .. } => Vec::new(),
        Step::DropCollection(collection)
        | Step::Search(collection)
        | Step::AddField { collection, .. }
        | Step::CreateIndex { collection, .. }
        | Step::Backfill { collection, .. } => vec![&collection.name],
        Step::Rebuild { old, new, .. }
        | Step::RenameCollection { old, new }
        | Step::RenameField { old, new, .. } => vec![&old.name, &new.name],
    }
}

/// Whether there are documents that a step makes others, in the eyes of who follows the change feed.
pub(super) fn alters(connection: &Connection, step: &Step) -> Result<bool, Error> {
    let collection = match step {
        Step::None
        | Step::CreateCollection(_)
        | Step::CreateIndex { .. }
        | Step::DropIndex { .. }
        | Step::Search(_) => return Ok(false),
        // Where it wrote is not known.
        Step::Sql { .. } => return Ok(true),
        Step::AddField { collection, .. }
        | Step::Backfill { collection, .. }
        | Step::DropCollection(collection) => collection,
        Step::Rebuild { old, .. } | Step::RenameCollection { old, .. } | Step::RenameField { old, .. } => old,
    };
    let sql = format!("SELECT EXISTS (SELECT 1 FROM {})", quote(&collection.name));
    Ok(connection.query_row(&sql, [], |row| row.get(0))?)
}

/// Whether going back to the schema before brings the data back as well.
pub(super) fn is_reversible(step: &Step, planned: &Planned, added: &HashSet<String>) -> bool {
    match step {
        Step::Sql { down, .. } => down.is_some(),
        Step::Backfill { collection, field, which, .. } => {
            let name = format!("{}.{}", collection.name, collection.fields[*field].name);
            added.contains(&name) || (*which == Which::Missing && planned.documents == Some(0))
        }
        _ => planned.class == Class::Safe,
    }
}
