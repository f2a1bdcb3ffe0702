//! Values that a field is compared with: as text (`filter`) or as JSON (`where`), read by the type of
//! the field and put into its stored form.

use super::QueryError;
use crate::document::convert::{Fault, canonical_text, float, integer};
use crate::limits::FILTER_MAX_BYTES;
use crate::schema::{Field, FieldKind};
use crate::value::Value;

/// A value as the caller wrote it.
#[derive(Clone, Debug)]
pub(super) enum Operand {
    /// Plain text, whatever the field's type is.
    Text(String),
    /// The same in double quotes, so inside a `json` field it is a text whatever it looks like.
    Quoted(String),
    /// The text of one JSON value that is not null, without space around it.
    Json(String),
}

/// A value for the inside of a `json` field, where no type is declared.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    Bool(bool),
    Number(Value),
    Text(String),
}

impl Operand {
    /// The stored form for a field.
    pub(super) fn typed(&self, param: &str, field: &Field) -> Result<Value, QueryError> {
        let fault = |fault: Fault| {
            let message = format!("the value for \"{}\" {}", field.name, fault.message);
            QueryError::new(param, "invalid_value", message)
        };
        let number = matches!(field.kind, FieldKind::Int | FieldKind::Float | FieldKind::Bool);
        let text = match self {
            Self::Text(text) | Self::Quoted(text) => text.clone(),
            Self::Json(raw) if number => raw.clone(),
            Self::Json(raw) => {
                serde_json::from_str(raw).map_err(|_| fault(Fault::new("invalid_value", "must be text")))?
            }
        };
        let value = match &field.kind {
            FieldKind::Int => integer(&text).map(Value::Integer),
            FieldKind::Float => float(&text).map(Value::Real),
            FieldKind::Bool => match text.as_str() {
                "true" => Ok(Value::Integer(1)),
                "false" => Ok(Value::Integer(0)),
                _ => Err(Fault::new("invalid_value", "must be true or false")),
            },
            // Not every text is an id, but comparing with one that is none finds nothing, which is right.
            FieldKind::Email => return plain(param, text.to_ascii_lowercase()).map(Value::Text),
            FieldKind::Id | FieldKind::Select(_) | FieldKind::Url => {
                return plain(param, text).map(Value::Text);
            }
            kind => canonical_text(kind, text).map(Value::Text),
        };
        value.map_err(fault)
    }

    /// A text, for patterns and parts of texts.
    pub(super) fn text(&self, param: &str) -> Result<String, QueryError> {
        let text = match self {
            Self::Text(text) | Self::Quoted(text) => text.clone(),
            Self::Json(raw) => serde_json::from_str(raw)
                .map_err(|_| QueryError::new(param, "invalid_value", "the value must be text"))?,
        };
        plain(param, text)
    }

    /// A value for the inside of a `json` field. Plain text that is a number, `true`, `false` or a
    /// text in double quotes means what it means in JSON, and itself otherwise.
    pub(super) fn scalar(&self, param: &str) -> Result<Scalar, QueryError> {
        let (raw, strict) = match self {
            Self::Quoted(text) => return plain(param, text.clone()).map(Scalar::Text),
            Self::Text(text) => (text, false),
            Self::Json(raw) => (raw, true),
        };
        match raw.as_str() {
            "true" => return Ok(Scalar::Bool(true)),
            "false" => return Ok(Scalar::Bool(false)),
            _ => {}
        }
        if raw.starts_with('"')
            && let Ok(text) = serde_json::from_str(raw)
        {
            return plain(param, text).map(Scalar::Text);
        }
        if serde_json::from_str::<serde_json::Number>(raw).is_ok() {
            let number = integer(raw).map(Value::Integer).or_else(|_| float(raw).map(Value::Real));
            if let Ok(number) = number {
                return Ok(Scalar::Number(number));
            }
        }
        if strict {
            let message = "inside a json field a value is a text, a number, true or false";
            return Err(QueryError::new(param, "invalid_value", message));
        }
        plain(param, raw.clone()).map(Scalar::Text)
    }
}

/// A text that SQLite takes as a whole; `LIKE` ends at U+0000.
fn plain(param: &str, text: String) -> Result<String, QueryError> {
    if text.contains('\0') {
        return Err(QueryError::new(param, "invalid_value", "a value cannot contain U+0000"));
    }
    if text.len() > FILTER_MAX_BYTES {
        let message = format!("a value has at most {FILTER_MAX_BYTES} bytes");
        return Err(QueryError::new(param, "too_many", message));
    }
    Ok(text)
}

/// Makes the characters that `LIKE` gives a meaning ordinary ones.
pub(super) fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, character| {
        if matches!(character, '%' | '_' | '\\') {
            out.push('\\');
        }
        out.push(character);
        out
    })
}
