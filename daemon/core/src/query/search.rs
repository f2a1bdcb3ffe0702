//! `search=`: words for the full-text index.
//!
//! Words are looked for in any of the searched fields, and all must be there. `"two words"` is a phrase,
//! a trailing `*` stands for any ending. Everything is put into FTS5's quotes, so no text of a caller is
//! ever read as FTS5's query language, and the fields are named, so no other is looked into.
//!
//! Source of the syntax: <https://www.sqlite.org/fts5.html>, sections 3.1 to 3.6.

use super::QueryError;
use super::reading::Reading;
use super::sort::SEARCH_ALIAS;
use crate::limits::{SEARCH_MAX_BYTES, SEARCH_TERMS_MAX};
use crate::schema::{Collection, Field};
use crate::sql::{DOCUMENT_ALIAS, SqlExpr, quote, search_table};
use crate::value::Value;

const PARAM: &str = "search";

/// A search.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// For FTS5's `MATCH`.
    pub expression: String,
    /// The fields looked into: their places in the collection and in the index.
    pub fields: Vec<(usize, usize)>,
}

/// The fields of a collection's full-text index, in its order. What is never shown is never indexed.
#[must_use]
pub fn search_fields(collection: &Collection) -> Vec<(usize, &Field)> {
    let searched = |field: &Field| field.search && !field.hidden && !field.internal;
    collection.fields.iter().enumerate().filter(|(_, field)| searched(field)).collect()
}

impl Search {
    /// The table of the matching documents, to be joined.
    #[must_use]
    pub fn join(&self, collection: &Collection) -> SqlExpr {
        let table = quote(&search_table(&collection.name));
        let text = format!(
            " JOIN (SELECT rowid AS k, rank AS v FROM {table} WHERE {table} MATCH ?) AS {SEARCH_ALIAS} \
             ON {SEARCH_ALIAS}.k = {DOCUMENT_ALIAS}._rowid_"
        );
        SqlExpr { text, params: vec![Value::Text(self.expression.clone())] }
    }
}

/// Reads a search.
pub(super) fn parse(reading: Reading<'_>, text: &str) -> Result<Search, QueryError> {
    let invalid = |message: &str| QueryError::new(PARAM, "invalid_value", message);
    let all = search_fields(reading.collection());
    let fields: Vec<(usize, usize, &str)> = all
        .iter()
        .enumerate()
        .filter(|(_, (place, field))| reading.may_ask(*place, field))
        .map(|(column, (place, field))| (*place, column, field.name.as_str()))
        .collect();
    if fields.is_empty() {
        return Err(invalid("no field of this collection can be searched"));
    }
    if text.len() > SEARCH_MAX_BYTES {
        let message = format!("a search has at most {SEARCH_MAX_BYTES} bytes");
        return Err(QueryError::new(PARAM, "too_many", message));
    }
    let terms = terms(text);
    if terms.is_empty() {
        return Err(invalid("a search has at least one letter or digit"));
    }
    if terms.len() > SEARCH_TERMS_MAX {
        let message = format!("a search has at most {SEARCH_TERMS_MAX} words");
        return Err(QueryError::new(PARAM, "too_many", message));
    }
    let columns: Vec<String> = fields.iter().map(|(_, _, name)| quote(name)).collect();
    let expression = format!("{{{}}} : ({})", columns.join(" "), terms.join(" AND "));
    Ok(Search { expression, fields: fields.into_iter().map(|(place, column, _)| (place, column)).collect() })
}

/// The words and phrases, each as a quoted FTS5 string. What has neither letter nor digit is no word.
fn terms(text: &str) -> Vec<String> {
    let mut terms = Vec::new();
    // Odd pieces stood between double quotes; a quote that is not closed ends with the text.
    for (piece, text) in text.split('"').enumerate() {
        let phrase = piece % 2 == 1;
        let words: Vec<&str> = if phrase { vec![text] } else { text.split_whitespace().collect() };
        for word in words {
            let prefix = if !phrase && word.ends_with('*') { " *" } else { "" };
            // The rest is left to the index, which takes texts apart in the same way, accents included.
            let plain = word.trim_end_matches('*').replace(char::is_control, " ");
            if plain.contains(char::is_alphanumeric) {
                terms.push(format!("\"{plain}\"{prefix}"));
            }
        }
    }
    terms
}
