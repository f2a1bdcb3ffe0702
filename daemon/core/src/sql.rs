//! Building blocks of SQL expressions. Values are always parameters, names are always quoted, so
//! nothing a client or a schema wrote is ever read as SQL.

use crate::value::Value;

/// Alias under which every statement of the store selects the collection it is about.
pub const DOCUMENT_ALIAS: &str = "d";

/// A boolean SQL expression with its parameters in order of their `?`.
#[derive(Clone, Debug, PartialEq)]
pub struct SqlExpr {
    /// Text with one `?` per parameter, safe to wrap in parentheses.
    pub text: String,
    /// The parameters.
    pub params: Vec<Value>,
}

/// What became of a predicate once everything known in advance was put in.
#[derive(Clone, Debug, PartialEq)]
pub enum SqlPredicate {
    /// Holds for every row.
    Always,
    /// Holds for no row.
    Never,
    /// Decided by the row.
    When(SqlExpr),
}

/// Quotes an identifier.
#[must_use]
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The column of a field, qualified with [`DOCUMENT_ALIAS`].
#[must_use]
pub fn column(field: &str) -> String {
    format!("{DOCUMENT_ALIAS}.{}", quote(field))
}

/// The full-text index of a collection. No collection's name looks like that.
#[must_use]
pub fn search_table(collection: &str) -> String {
    format!("_alyx_fts_{collection}")
}

impl SqlExpr {
    /// A text without parameters.
    #[must_use]
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), params: Vec::new() }
    }
}
