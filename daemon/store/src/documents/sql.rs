//! The text of statements about documents. Names come from a valid schema and are quoted all the same;
//! values are parameters. The same question gives the same text, so statements are prepared once.

use alyx_core::query::SortKey;
use alyx_core::schema::{Collection, SortOrder};
use alyx_core::sql::{DOCUMENT_ALIAS, SqlExpr, SqlPredicate, column, quote};
use alyx_core::value::Value;

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

/// What a list or a count selects from: a collection, further tables, and conditions that all hold.
pub(super) struct From<'a> {
    pub(super) collection: &'a Collection,
    pub(super) joins: &'a [SqlExpr],
    pub(super) conditions: Vec<&'a SqlExpr>,
}

impl From<'_> {
    /// The parameters, in order.
    pub(super) fn params(&self) -> impl Iterator<Item = &Value> {
        self.joins.iter().chain(self.conditions.iter().copied()).flat_map(|expr| &expr.params)
    }

    /// The documents with the columns, as SQL; limit and offset are the last two parameters.
    pub(super) fn list(&self, columns: &[String], sort: &[SortKey]) -> String {
        let mut sql = format!("SELECT {} FROM ", columns.join(", "));
        self.push(&mut sql);
        push_order(&mut sql, sort);
        sql.push_str(" LIMIT ? OFFSET ?");
        sql
    }

    /// The documents, whole and with their revision; the limit is the last parameter.
    pub(super) fn documents(&self, sort: &[SortKey]) -> String {
        let all: Vec<usize> = (0..self.collection.fields.len()).collect();
        let columns = columns(self.collection, &all);
        let mut sql = format!("SELECT {columns}, {DOCUMENT_ALIAS}.{REVISION} FROM ");
        self.push(&mut sql);
        push_order(&mut sql, sort);
        sql.push_str(" LIMIT ?");
        sql
    }

    /// How many documents there are.
    pub(super) fn count(&self) -> String {
        let mut sql = "SELECT count(*) FROM ".to_owned();
        self.push(&mut sql);
        sql
    }

    /// Appends the tables and the conditions.
    pub(super) fn push(&self, sql: &mut String) {
        sql.push_str(&source(self.collection));
        self.joins.iter().for_each(|join| sql.push_str(&join.text));
        for (place, condition) in self.conditions.iter().enumerate() {
            sql.push_str(if place == 0 { " WHERE (" } else { " AND (" });
            sql.push_str(&condition.text);
            sql.push(')');
        }
    }
}

fn push_order(sql: &mut String, sort: &[SortKey]) {
    for (place, key) in sort.iter().enumerate() {
        sql.push_str(if place == 0 { " ORDER BY " } else { ", " });
        sql.push_str(&key.sql);
        sql.push_str(match key.order {
            SortOrder::Ascending => " ASC",
            SortOrder::Descending => " DESC",
        });
    }
}

/// The condition of a list rule; `None` if nothing can be shown.
pub(super) fn rule(rule: &SqlPredicate) -> Option<Option<&SqlExpr>> {
    match rule {
        SqlPredicate::Never => None,
        SqlPredicate::Always => Some(None),
        SqlPredicate::When(rule) => Some(Some(rule)),
    }
}

/// `(?, ?, …)` for so many values, and for how many it is: the next power of two, so that lists of many
/// lengths share a few prepared statements.
pub(super) fn marks(values: usize) -> (String, usize) {
    let count = values.next_power_of_two();
    (format!("({})", vec!["?"; count].join(", ")), count)
}

pub(super) fn source(collection: &Collection) -> String {
    format!("{} AS {DOCUMENT_ALIAS}", quote(&collection.name))
}

fn columns(collection: &Collection, fields: &[usize]) -> String {
    let names: Vec<String> = fields.iter().map(|field| column(&collection.fields[*field].name)).collect();
    names.join(", ")
}
