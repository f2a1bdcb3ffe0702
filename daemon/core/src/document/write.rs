//! From stored values to JSON text, without a tree in between. Which fields there are is decided by
//! [`Visible`], which starts from what an [`Access`] sees.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Access;
use crate::rules::Visible;
use crate::schema::{Collection, Field, FieldKind};
use crate::value::ValueRef;

impl Access {
    /// Whether a field may be returned, filtered and sorted.
    #[must_use]
    pub const fn sees(self, field: &Field) -> bool {
        match self {
            Self::Client => !field.internal && !field.hidden,
            Self::Admin | Self::System => true,
        }
    }
}

/// Appends a document as a JSON object without space: its fields in order of the schema, of those
/// only `fields` where given, and only what is visible. `row` gives the stored value of a
/// field by its place.
///
/// Numbers are exact: an `int` has no fraction, a `float` always has a fraction or an exponent and
/// is the shortest text that reads back as the same double.
pub fn write_json<'a>(
    out: &mut Vec<u8>,
    collection: &Collection,
    row: impl Fn(usize) -> ValueRef<'a>,
    visible: &Visible,
    fields: Option<&[usize]>,
) {
    let mut separator = b'{';
    for (place, field) in collection.fields.iter().enumerate() {
        let wanted = fields.is_none_or(|fields| fields.contains(&place));
        if !wanted || !visible.shows(place, field) {
            continue;
        }
        out.push(separator);
        separator = b',';
        // Names of fields need no escape.
        out.push(b'"');
        out.extend_from_slice(field.name.as_bytes());
        out.extend_from_slice(b"\":");
        write_value(out, &field.kind, row(place));
    }
    if separator == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
}

/// Appends the JSON form of one stored value.
pub fn write_value(out: &mut Vec<u8>, kind: &FieldKind, value: ValueRef<'_>) {
    match value {
        ValueRef::Null => out.extend_from_slice(b"null"),
        ValueRef::Integer(value) if *kind == FieldKind::Bool => {
            out.extend_from_slice(if value == 0 { b"false" } else { b"true" });
        }
        ValueRef::Integer(value) => write(out, &value),
        ValueRef::Real(value) => write(out, &value),
        ValueRef::Text(text) if kind.is_json_text() => out.extend_from_slice(text.as_bytes()),
        ValueRef::Text(text) => write(out, text),
        ValueRef::Blob(bytes) => write(out, &STANDARD.encode(bytes)),
    }
}

fn write<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("a Vec takes every byte, and text and numbers have a JSON form");
}
