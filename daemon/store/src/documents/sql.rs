//! The text of statements about documents. Names come from a valid schema and are quoted all the same;
//! values are parameters. The same question gives the same text, so statements are prepared once.

use std::fmt::Write as _;

use alyx_core::query::SortKey;
use alyx_core::schema::{Collection, SortOrder};
use alyx_core::sql::{DOCUMENT_ALIAS, SqlExpr, column, quote};

use crate::tables::REVISION;

/// One parameter per field, in order.
pub(super) fn insert(collection: &Collection) -> String {
    let names: Vec<String> = collection.fields.iter().map(|field| quote(&field.name)).collect();
    let marks = vec!["?"; names.len()].join(", ");
    format!("INSERT INTO {} ({}) VALUES ({marks})", quote(&collection.name), names.join(", "))
}

/// One parameter per place in `fields`, then the id.
pub(super) fn update(collection: &Collection, fields: &[usize]) -> String {
    let mut sql = format!("UPDATE {} SET {REVISION} = {REVISION} + 1", quote(&collection.name));
    for field in fields {
        sql.push_str(", ");
        sql.push_str(&quote(&collection.fields[*field].name));
        sql.push_str(" = ?");
    }
    sql.push_str(" WHERE ");
    sql.push_str(&quote(&collection.primary().1.name));
    sql.push_str(" = ?");
    sql
}

/// The id is the parameter.
pub(super) fn delete(collection: &Collection) -> String {
    format!("DELETE FROM {} WHERE {} = ?", quote(&collection.name), quote(&collection.primary().1.name))
}

/// The id is the parameter.
pub(super) fn exists(collection: &Collection) -> String {
    format!("SELECT 1 FROM {} WHERE {} = ?", quote(&collection.name), quote(&collection.primary().1.name))
}

/// Every field in order, then the revision; a condition follows.
pub(super) fn select(collection: &Collection) -> String {
    let all: Vec<usize> = (0..collection.fields.len()).collect();
    format!("SELECT {}, {DOCUMENT_ALIAS}.{REVISION} FROM {}", columns(collection, &all), source(collection))
}

/// The wanted fields of the documents that fulfil all conditions; limit and offset are the last two
/// parameters.
pub(super) fn list(
    collection: &Collection,
    fields: &[usize],
    conditions: &[&SqlExpr],
    sort: &[SortKey],
) -> String {
    let mut sql = format!("SELECT {} FROM {}", columns(collection, fields), source(collection));
    push_conditions(&mut sql, conditions);
    push_order(&mut sql, collection, sort);
    sql.push_str(" LIMIT ? OFFSET ?");
    sql
}

/// The documents, whole, that fulfil all conditions; the limit is the last parameter.
pub(super) fn select_list(collection: &Collection, conditions: &[&SqlExpr], sort: &[SortKey]) -> String {
    let mut sql = select(collection);
    push_conditions(&mut sql, conditions);
    push_order(&mut sql, collection, sort);
    sql.push_str(" LIMIT ?");
    sql
}

fn push_order(sql: &mut String, collection: &Collection, sort: &[SortKey]) {
    for (place, key) in sort.iter().enumerate() {
        sql.push_str(if place == 0 { " ORDER BY " } else { ", " });
        sql.push_str(&column(&collection.fields[key.field].name));
        sql.push_str(match key.order {
            SortOrder::Ascending => " ASC",
            SortOrder::Descending => " DESC",
        });
    }
}

/// How many documents fulfil all conditions.
pub(super) fn count(collection: &Collection, conditions: &[&SqlExpr]) -> String {
    let mut sql = format!("SELECT count(*) FROM {}", source(collection));
    push_conditions(&mut sql, conditions);
    sql
}

fn source(collection: &Collection) -> String {
    format!("{} AS {DOCUMENT_ALIAS}", quote(&collection.name))
}

fn columns(collection: &Collection, fields: &[usize]) -> String {
    let names: Vec<String> = fields.iter().map(|field| column(&collection.fields[*field].name)).collect();
    names.join(", ")
}

fn push_conditions(sql: &mut String, conditions: &[&SqlExpr]) {
    for (place, condition) in conditions.iter().enumerate() {
        let word = if place == 0 { "WHERE" } else { "AND" };
        // Writing to a string cannot fail.
        write!(sql, " {word} ({})", condition.text).expect("a string takes any text");
    }
}
