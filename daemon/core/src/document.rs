//! Documents: from a client's JSON to stored values and back. Everything a client sent is checked
//! here, all fields in one go, so that whoever holds a [`Document`] need not check again. Nothing
//! here knows rules; those see the finished document.

pub(crate) mod convert;
mod id;
mod json;
mod operator;
mod parse;
mod recall;
mod richtext;
mod timestamp;
mod write;

pub use convert::is_email;
pub use id::{new_id, new_uuid};
pub use json::{check_json, compact_json, members};
pub use parse::{Patch, named_fields, named_value, parse_create, parse_replace, parse_update};
pub use recall::recall;
pub use timestamp::{canonical_timestamp, is_date};
pub use write::{write_json, write_value};

use std::fmt;

use crate::schema::Field;
use crate::value::Value;

/// A document in its stored form.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// One value per field of the collection, in the same order.
    pub values: Vec<Value>,
    /// Counts the updates, from 1. The store raises it.
    pub rev: i64,
}

/// For whom a document is read, written or searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody to whom rules apply. Sees neither `internal` nor `hidden` fields, sets neither
    /// `internal` nor `system` ones.
    Client,
    /// An administrator. Sees and sets all fields but those the server sets.
    Admin,
    /// The server itself, such as registration. Sees and sets all fields.
    System,
}

/// Which kind of id is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    /// See [`new_id`].
    Id,
    /// UUID version 7, lower case, hyphenated.
    Uuid,
}

/// What the server contributes to a new document.
pub struct Fresh<'a> {
    /// The current time in the stored form of a timestamp, `2026-01-02T03:04:05.000006Z`.
    pub now: &'a str,
    /// Makes ids.
    pub ids: &'a mut dyn FnMut(IdKind) -> String,
}

/// Why a body is not a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// The body is JSON, but no object.
    #[error("the body must be a JSON object")]
    NotAnObject,
    /// The body is no JSON, too large, or names a field twice.
    #[error("the body is not valid JSON: {0}")]
    InvalidJson(String),
    /// Fields are wrong; at least one, in order of the body, then the absent ones.
    #[error("the document has invalid fields")]
    Fields(Vec<FieldError>),
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Name of the field as sent.
    pub field: String,
    /// Stable `snake_case` code; the list stands in `docs/documents.md`.
    pub code: &'static str,
    /// One sentence for people.
    pub message: String,
}

impl fmt::Debug for Fresh<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Fresh").field("now", &self.now).finish_non_exhaustive()
    }
}

/// The stored form of a default that the parser found valid.
#[must_use]
pub fn stored_default(field: &Field, literal: &serde_json::Value) -> Value {
    match literal {
        serde_json::Value::Null => Value::Null,
        literal => convert::convert(field, &literal.to_string()).unwrap_or(Value::Null),
    }
}

#[cfg(test)]
mod tests;
