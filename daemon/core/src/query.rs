//! Lists: from query parameters to a bounded, typed question. Names are resolved against the schema
//! and values typed by their field here, so the store only puts text together that is already safe:
//! names quoted by [`crate::sql`], values only ever as parameters.
//!
//! A field that is unknown, `internal` or `hidden` gives a client the same error, so nothing can be
//! learnt about a field that cannot be read.

mod cursor;
mod filter;
mod params;

pub use cursor::encode_cursor;
pub use params::parse_list;

use crate::schema::SortOrder;
use crate::sql::{SqlExpr, column};
use crate::value::Value;

/// What a list asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct ListQuery {
    /// All filters, joined by `AND`.
    pub filter: Option<SqlExpr>,
    /// At least one key; the primary key is among them, so the order is total.
    pub sort: Vec<SortKey>,
    /// 1..=[`LIST_LIMIT_MAX`](crate::limits::LIST_LIMIT_MAX).
    pub limit: u32,
    /// Documents to skip. Zero where there is a cursor.
    pub offset: u64,
    /// From the cursor: the sort keys of the last document already seen.
    pub after: Option<Vec<Value>>,
    /// Whether the number of all matching documents is wanted.
    pub count: bool,
    /// Places of the wanted fields in order of the schema; `None`: all.
    pub fields: Option<Vec<usize>>,
    /// Hash of collection, filter and sort; a cursor carries it.
    fingerprint: u64,
}

/// One key of a sort. Nulls are the smallest, as in SQLite: first ascending, last descending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortKey {
    /// Place of the field.
    pub field: usize,
    /// Name of the field.
    pub name: String,
    /// Direction.
    pub order: SortOrder,
    /// Whether it may be null.
    pub nullable: bool,
}

/// Why query parameters are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct QueryError {
    /// Name of the parameter.
    pub param: String,
    /// Stable code: `unknown_parameter`, `duplicate_parameter`, `invalid_value`, `unknown_field`,
    /// `unknown_operator`, `unsupported_operator`, `too_many`, `invalid_cursor`.
    pub code: &'static str,
    /// One sentence for people.
    pub message: String,
}

impl QueryError {
    fn new(param: &str, code: &'static str, message: impl Into<String>) -> Self {
        Self { param: param.to_owned(), code, message: message.into() }
    }
}

impl ListQuery {
    /// The condition that a document comes after the cursor in the order of `sort`, `None` without a
    /// cursor.
    #[must_use]
    pub fn after_expr(&self) -> Option<SqlExpr> {
        let after = self.after.as_ref()?;
        let mut expr = SqlExpr { text: String::new(), params: Vec::new() };
        for (place, (key, value)) in self.sort.iter().zip(after).enumerate() {
            let Some(step) = key.beyond(value) else { continue };
            if !expr.text.is_empty() {
                expr.text.push_str(" OR ");
            }
            expr.text.push('(');
            for (key, value) in self.sort[..place].iter().zip(after) {
                expr.text.push_str(&format!("{} IS ? AND ", column(&key.name)));
                expr.params.push(value.clone());
            }
            expr.text.push_str(&step.text);
            expr.text.push(')');
            expr.params.extend(step.params);
        }
        if expr.text.is_empty() {
            // Every key is a null at its end; the primary key is none, so this is not reached.
            expr.text.push('0');
        }
        Some(expr)
    }
}

impl SortKey {
    /// The condition that a document comes after `value` by this key alone; `None` if none can.
    fn beyond(&self, value: &Value) -> Option<SqlExpr> {
        let column = column(&self.name);
        let (text, params) = match (self.order, value) {
            (SortOrder::Ascending, Value::Null) => (format!("{column} IS NOT NULL"), Vec::new()),
            (SortOrder::Ascending, value) => (format!("{column} > ?"), vec![value.clone()]),
            (SortOrder::Descending, Value::Null) => return None,
            (SortOrder::Descending, value) if self.nullable => {
                (format!("({column} < ? OR {column} IS NULL)"), vec![value.clone()])
            }
            (SortOrder::Descending, value) => (format!("{column} < ?"), vec![value.clone()]),
        };
        Some(SqlExpr { text, params })
    }
}

#[cfg(test)]
mod tests;
