//! A whole body to a document: which fields may be set by whom, what absent ones become, and all
//! problems at once.

use serde_json::value::RawValue;

use super::convert::{Fault, convert};
use super::json::{cut, members};
use super::{Access, Document, DocumentError, FieldError, Fresh, IdKind};
use crate::limits::FIELD_ERRORS_MAX;
use crate::schema::{Collection, DefaultValue, Field, FieldKind};
use crate::value::Value;

/// Reads the body of a new document. Its `rev` is 1.
///
/// # Errors
/// See [`DocumentError`].
pub fn parse_create(
    collection: &Collection,
    body: &[u8],
    access: Access,
    fresh: &mut Fresh<'_>,
) -> Result<Document, DocumentError> {
    let mut draft = Draft::read(collection, body, |field| match access {
        Access::System => true,
        Access::Admin => !field.is_server_set(),
        Access::Client => !(field.is_server_set() || field.internal || field.system),
    })?;
    let values = collection.fields.iter().zip(draft.given.iter_mut()).map(|(field, given)| match given {
        Given::Value(value) => std::mem::replace(value, Value::Null),
        Given::Wrong => Value::Null,
        Given::Absent => initial(field, fresh).unwrap_or_else(|fault| {
            draft.errors.push(field_error(&field.name, fault));
            Value::Null
        }),
    });
    let values = values.collect();
    draft.finish(Document { values, rev: 1 })
}

/// Reads the body of an update and lays it over the old document: an absent field keeps its value,
/// `null` sets null. `rev` stays the old one. The primary field cannot be set.
///
/// # Errors
/// See [`DocumentError`].
pub fn parse_update(
    collection: &Collection,
    old: &Document,
    body: &[u8],
    access: Access,
    now: &str,
) -> Result<Document, DocumentError> {
    let draft = Draft::read(collection, body, |field| match access {
        _ if field.primary => false,
        Access::System => true,
        Access::Admin => !field.is_server_set(),
        Access::Client => !(field.is_server_set() || field.internal || field.system),
    })?;
    let values =
        collection.fields.iter().zip(&draft.given).zip(&old.values).map(
            |((field, given), old)| match given {
                Given::Value(value) => value.clone(),
                Given::Absent if field.on_update_now => Value::Text(now.to_owned()),
                Given::Absent | Given::Wrong => old.clone(),
            },
        );
    let document = Document { values: values.collect(), rev: old.rev };
    draft.finish(document)
}

/// Places of the fields that a body names, whatever it says of them. Names that are no field are
/// left out; a body that cannot be read names none, which parsing reports.
#[must_use]
pub fn named_fields(collection: &Collection, body: &[u8]) -> Vec<usize> {
    let members = members(body).unwrap_or_default();
    members.iter().filter_map(|(name, _)| collection.field(name).map(|(place, _)| place)).collect()
}

/// What the body says of one field.
enum Given {
    Absent,
    Value(Value),
    /// Reported.
    Wrong,
}

struct Draft {
    /// One per field of the collection.
    given: Vec<Given>,
    errors: Vec<FieldError>,
}

impl Draft {
    fn read(
        collection: &Collection,
        body: &[u8],
        may_set: impl Fn(&Field) -> bool,
    ) -> Result<Self, DocumentError> {
        let mut draft = Self { given: Vec::new(), errors: Vec::new() };
        draft.given.resize_with(collection.fields.len(), || Given::Absent);
        for (name, raw) in members(body)? {
            let result = match collection.field(&name) {
                None => Err(Fault::new("unknown_field", "is not a field of this collection")),
                Some((place, field)) => {
                    let result = value(field, raw, &may_set);
                    draft.given[place] = Given::Wrong;
                    result.map(|value| draft.given[place] = Given::Value(value))
                }
            };
            if let Err(fault) = result {
                draft.errors.push(field_error(&name, fault));
            }
            if draft.errors.len() >= FIELD_ERRORS_MAX {
                break;
            }
        }
        Ok(draft)
    }

    fn finish(mut self, document: Document) -> Result<Document, DocumentError> {
        self.errors.truncate(FIELD_ERRORS_MAX);
        match self.errors.is_empty() {
            true => Ok(document),
            false => Err(DocumentError::Fields(self.errors)),
        }
    }
}

fn field_error(name: &str, fault: Fault) -> FieldError {
    FieldError { field: cut(name), code: fault.code, message: fault.message }
}

fn value(field: &Field, raw: &RawValue, may_set: impl Fn(&Field) -> bool) -> Result<Value, Fault> {
    if !may_set(field) {
        return Err(Fault::new("read_only", "cannot be set"));
    }
    match raw.get() {
        "null" if field.nullable => Ok(Value::Null),
        "null" => Err(Fault::new("required", "must not be null")),
        text => convert(field, text),
    }
}

/// What an absent field of a new document becomes.
fn initial(field: &Field, fresh: &mut Fresh<'_>) -> Result<Value, Fault> {
    match &field.default {
        Some(DefaultValue::Auto) => {
            let kind = if field.kind == FieldKind::Uuid { IdKind::Uuid } else { IdKind::Id };
            Ok(Value::Text((fresh.ids)(kind)))
        }
        // The stored form of a timestamp starts with its date.
        Some(DefaultValue::Now) if field.kind == FieldKind::Date => {
            Ok(Value::Text(fresh.now.chars().take(10).collect()))
        }
        Some(DefaultValue::Now) => Ok(Value::Text(fresh.now.to_owned())),
        Some(DefaultValue::Literal(literal)) => convert(field, &literal.to_string()),
        None if field.nullable => Ok(Value::Null),
        None if field.on_update_now => Ok(Value::Text(fresh.now.to_owned())),
        None => Err(Fault::new("required", "is required")),
    }
}
