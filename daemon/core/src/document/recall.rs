//! Documents of the past, as the change feed keeps them: JSON that was complete when it was written.

use super::Document;
use super::convert::plain;
use super::json::stored_members;
use crate::schema::Collection;
use crate::value::Value;

/// Reads what [`write_json`](super::write_json) wrote for [`Access::System`](super::Access::System),
/// maybe under an older schema: fields that are gone are left out, fields that came later are null. Its
/// `rev` is 0, since JSON has none.
///
/// `None` if a value does not have the form of its field any more. Rules cannot decide about such a
/// document, so nobody but administrators may see it.
#[must_use]
pub fn recall(collection: &Collection, json: &str) -> Option<Document> {
    let mut values = vec![Value::Null; collection.fields.len()];
    for (name, raw) in stored_members(json.as_bytes()).ok()? {
        if let Some((place, field)) = collection.field(&name)
            && raw.get() != "null"
        {
            values[place] = plain(field, raw.get()).ok()?;
        }
    }
    Some(Document { values, rev: 0 })
}
