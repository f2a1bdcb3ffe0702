//! A whole body to a document: which fields may be set by whom, what absent ones become, and all
//! problems at once.

use serde_json::value::RawValue;

use super::convert::{Fault, convert};
use super::json::{cut, members};
use super::operator::{self, Operator, Written};
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
    let draft = Draft::read(collection, body, |field, raw| plain(field, raw, access))?;
    draft.complete(collection, |_, field| initial(field, fresh))
}

/// Reads the body of a document that is to be `id`, as a whole: an absent field gets its default. Where
/// there is an `old` document, fields that the caller cannot set keep their values, and `rev` stays the
/// old one.
///
/// The body may name the primary field, with the same id.
///
/// # Errors
/// See [`DocumentError`].
pub fn parse_replace(
    collection: &Collection,
    id: &str,
    old: Option<&Document>,
    body: &[u8],
    access: Access,
    fresh: &mut Fresh<'_>,
) -> Result<Document, DocumentError> {
    let quoted = serde_json::Value::from(id).to_string();
    let draft = Draft::read(collection, body, |field, raw| {
        if !field.primary {
            return plain(field, raw, access);
        }
        let value = convert(field, raw.get())?;
        match convert(field, &quoted)? == value {
            true => Ok(Written::Value(value)),
            false => Err(Fault::new("read_only", "must be the id of the request, or absent")),
        }
    })?;
    let mut document = draft.complete(collection, |place, field| match old {
        _ if field.primary => convert(field, &quoted),
        Some(_) if field.on_update_now && !may_set(field, access) => Ok(now_of(field, fresh.now)),
        Some(old) if !may_set(field, access) => Ok(old.values[place].clone()),
        _ => initial(field, fresh),
    })?;
    document.rev = old.map_or(1, |old| old.rev);
    Ok(document)
}

/// Reads the body of an update and lays it over the old document: see [`Patch`].
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
    Patch::parse(collection, body, access)?.apply(collection, old, now)
}

/// What an update says, checked as far as it can be without the document.
#[derive(Debug)]
pub struct Patch(Draft);

impl Patch {
    /// Reads the body of an update: an absent field keeps its value, `null` sets null, an object whose
    /// name starts with `$` changes what is there. The primary field cannot be set.
    ///
    /// # Errors
    /// See [`DocumentError`].
    pub fn parse(collection: &Collection, body: &[u8], access: Access) -> Result<Self, DocumentError> {
        let draft = Draft::read(collection, body, |field, raw| {
            if field.primary || !may_set(field, access) {
                return Err(read_only());
            }
            match raw.get() {
                "null" => null(field).map(Written::Value),
                text => operator::read(field, text),
            }
        })?;
        // What is wrong already is reported with what turns out wrong later, all at once.
        Ok(Self(draft))
    }

    /// The document that `old` becomes. `rev` stays the old one.
    ///
    /// # Errors
    /// [`DocumentError::Fields`] for a body that was wrong, or does not go with this document.
    pub fn apply(
        &self,
        collection: &Collection,
        old: &Document,
        now: &str,
    ) -> Result<Document, DocumentError> {
        let mut errors = self.0.errors.clone();
        let fields = collection.fields.iter().zip(&self.0.given).zip(&old.values);
        let values = fields.map(|((field, given), old)| match given {
            Given::Value(value) => value.clone(),
            Given::Operator(operator) => operator.apply(field, old).unwrap_or_else(|fault| {
                errors.push(field_error(&field.name, fault));
                Value::Null
            }),
            Given::Absent if field.on_update_now => now_of(field, now),
            Given::Absent | Given::Wrong => old.clone(),
        });
        let document = Document { values: values.collect(), rev: old.rev };
        finish(document, errors)
    }
}

/// Places of the fields that a body names, whatever it says of them. Names that are no field are
/// left out; a body that cannot be read names none, which parsing reports.
#[must_use]
pub fn named_fields(collection: &Collection, body: &[u8]) -> Vec<usize> {
    let members = members(body).unwrap_or_default();
    members.iter().filter_map(|(name, _)| collection.field(name).map(|(place, _)| place)).collect()
}

/// The stored form of what a body says of one field.
///
/// # Errors
/// See [`DocumentError`]; the field is absent, null or not of its type.
pub fn named_value(collection: &Collection, body: &[u8], place: usize) -> Result<Value, DocumentError> {
    let field = &collection.fields[place];
    let found = members(body)?.into_iter().find(|(name, _)| *name == field.name);
    let value = match found {
        Some((_, raw)) if raw.get() != "null" => convert(field, raw.get()),
        _ => Err(Fault::new("required", "is required, because it says which document is meant")),
    };
    value.map_err(|fault| DocumentError::Fields(vec![field_error(&field.name, fault)]))
}

/// What the body says of one field.
#[derive(Debug)]
enum Given {
    Absent,
    Value(Value),
    /// In an update.
    Operator(Operator),
    /// Reported.
    Wrong,
}

#[derive(Debug)]
struct Draft {
    /// One per field of the collection.
    given: Vec<Given>,
    errors: Vec<FieldError>,
}

impl Draft {
    fn read(
        collection: &Collection,
        body: &[u8],
        read: impl Fn(&Field, &RawValue) -> Result<Written, Fault>,
    ) -> Result<Self, DocumentError> {
        let mut draft = Self { given: Vec::new(), errors: Vec::new() };
        draft.given.resize_with(collection.fields.len(), || Given::Absent);
        for (name, raw) in members(body)? {
            let result = match collection.field(&name) {
                None => Err(Fault::new("unknown_field", "is not a field of this collection")),
                Some((place, field)) => {
                    draft.given[place] = Given::Wrong;
                    read(field, raw).map(|written| {
                        draft.given[place] = match written {
                            Written::Value(value) => Given::Value(value),
                            Written::Operator(operator) => Given::Operator(operator),
                        };
                    })
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

    /// A new document; `absent` gives what the body does not name.
    fn complete(
        self,
        collection: &Collection,
        mut absent: impl FnMut(usize, &Field) -> Result<Value, Fault>,
    ) -> Result<Document, DocumentError> {
        let Self { given, mut errors } = self;
        let fields = collection.fields.iter().zip(given).enumerate();
        let values = fields.map(|(place, (field, given))| match given {
            Given::Value(value) => value,
            Given::Wrong | Given::Operator(_) => Value::Null,
            Given::Absent => absent(place, field).unwrap_or_else(|fault| {
                errors.push(field_error(&field.name, fault));
                Value::Null
            }),
        });
        let values = values.collect();
        finish(Document { values, rev: 1 }, errors)
    }
}

fn finish(document: Document, mut errors: Vec<FieldError>) -> Result<Document, DocumentError> {
    errors.truncate(FIELD_ERRORS_MAX);
    if errors.is_empty() { Ok(document) } else { Err(DocumentError::Fields(errors)) }
}

fn field_error(name: &str, fault: Fault) -> FieldError {
    FieldError { field: cut(name), code: fault.code, message: fault.message }
}

/// Whether a field of a new document may be named in a body; the primary one of an old never changes.
fn may_set(field: &Field, access: Access) -> bool {
    match access {
        Access::System => true,
        Access::Admin => !field.is_server_set(),
        Access::Client => !(field.is_server_set() || field.internal || field.system),
    }
}

fn read_only() -> Fault {
    Fault::new("read_only", "cannot be set")
}

fn null(field: &Field) -> Result<Value, Fault> {
    if field.nullable { Ok(Value::Null) } else { Err(Fault::new("required", "must not be null")) }
}

/// A value as it is.
fn plain(field: &Field, raw: &RawValue, access: Access) -> Result<Written, Fault> {
    if !may_set(field, access) {
        return Err(read_only());
    }
    let value = match raw.get() {
        "null" => null(field),
        text => convert(field, text),
    };
    value.map(Written::Value)
}

/// The current time as a field holds it. The stored form of a timestamp starts with its date.
fn now_of(field: &Field, now: &str) -> Value {
    Value::Text(if field.kind == FieldKind::Date { now.chars().take(10).collect() } else { now.to_owned() })
}

/// What an absent field of a new document becomes.
fn initial(field: &Field, fresh: &mut Fresh<'_>) -> Result<Value, Fault> {
    match &field.default {
        Some(DefaultValue::Auto) => {
            let kind = if field.kind == FieldKind::Uuid { IdKind::Uuid } else { IdKind::Id };
            Ok(Value::Text((fresh.ids)(kind)))
        }
        Some(DefaultValue::Now) => Ok(now_of(field, fresh.now)),
        Some(DefaultValue::Literal(literal)) => convert(field, &literal.to_string()),
        None if field.nullable => Ok(Value::Null),
        None if field.on_update_now => Ok(now_of(field, fresh.now)),
        None => Err(Fault::new("required", "is required")),
    }
}
