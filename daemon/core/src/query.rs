//! Lists: from query parameters to a bounded, typed question. Names are resolved against the schema
//! and values typed by their field here, so the store only puts text together that is already safe:
//! names quoted by [`crate::sql`], values only ever as parameters.
//!
//! A field that is unknown, `internal` or `hidden` gives a client the same error, so nothing can be
//! learnt about a field that cannot be read. The same holds behind relations, where each collection on
//! the way shows what its own list rule shows.
//!
//! | module | job |
//! |---|---|
//! | `reading` | who reads which collection, and what may be named |
//! | `path`, `test`, `operand` | one condition: where, what, which value |
//! | `filter`, `condition` | its spellings: `field:op:value` and JSON |
//! | `sort`, `search`, `expand`, `aggregate`, `cursor`, `params` | the other parameters |

mod aggregate;
mod condition;
mod cursor;
mod expand;
mod filter;
mod operand;
mod params;
mod path;
mod reading;
mod search;
mod sort;
mod test;

pub use aggregate::{Aggregate, AggregateQuery, Function, parse_aggregate};
pub use condition::{parse_where, where_term};
pub use cursor::encode_cursor;
pub use expand::{EXPAND_MEMBER, Expand, Link};
pub use params::{Shown, parse_get, parse_list};
pub use reading::Reading;
pub use search::{Search, search_fields};
pub use sort::SortKey;

use crate::rules::{RowFilter, Sight};
use crate::sql::SqlExpr;
use crate::value::Value;

/// What a list asks for, and what of it may be seen.
#[derive(Clone, Debug)]
pub struct ListQuery {
    /// Which documents are shown: the list rule.
    pub rule: RowFilter,
    /// All filters, joined by `AND`.
    pub filter: Option<SqlExpr>,
    /// Words that the documents contain; its table is among `joins`.
    pub search: Option<Search>,
    /// Tables that conditions and sort keys need, each beginning with a space.
    pub joins: Vec<SqlExpr>,
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
    /// Related documents.
    pub expand: Vec<Expand>,
    /// What is shown of each document.
    pub sight: Sight,
    /// Hash of collection, filter, search and sort; a cursor carries it.
    pub fingerprint: u64,
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
        self.after.as_ref().map(|after| sort::after(&self.sort, after))
    }
}

#[cfg(test)]
mod tests;
