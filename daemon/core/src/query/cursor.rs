//! Cursors: where a list stopped, as opaque text. Base64url without padding of
//!
//! | bytes | meaning |
//! |---|---|
//! | 0 | version, 1 |
//! | 1..9 | hash of collection, filter and sort (FNV-1a, 64 bits, big-endian) |
//! | rest | the sort keys of the last document, each a tag and its bytes |
//!
//! Tags: 0 null; 1 integer and 2 double, 8 bytes big-endian; 3 text, its length in 4 bytes
//! big-endian and UTF-8. The hash keeps a cursor from being used with another question. It is no
//! signature: a forged cursor only chooses another place to start in a list its maker may see.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::search::Search;
use super::sort::{Form, SortKey};
use super::{ListQuery, QueryError};
use crate::limits::CURSOR_MAX_BYTES;
use crate::schema::{Collection, SortOrder};
use crate::sql::SqlExpr;
use crate::value::Value;

const VERSION: u8 = 1;

/// The cursor that continues `query` after a document with the sort keys `last`, one per key of
/// `query.sort`.
#[must_use]
pub fn encode_cursor(query: &ListQuery, last: &[Value]) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&query.fingerprint.to_be_bytes());
    last.iter().for_each(|value| push(&mut bytes, value));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The sort keys in a cursor made for the same question.
pub(super) fn decode(text: &str, fingerprint: u64, sort: &[SortKey]) -> Result<Vec<Value>, QueryError> {
    let invalid = || QueryError::new("cursor", "invalid_cursor", "the cursor does not belong to this list");
    let bytes = match text.len() <= CURSOR_MAX_BYTES {
        true => URL_SAFE_NO_PAD.decode(text).map_err(|_| invalid())?,
        false => return Err(invalid()),
    };
    let mut rest = bytes.as_slice();
    let header = take(&mut rest, 9).ok_or_else(invalid)?;
    if header[0] != VERSION || header[1..] != fingerprint.to_be_bytes() {
        return Err(invalid());
    }
    let mut values = Vec::with_capacity(sort.len());
    for key in sort {
        let value = pop(&mut rest).filter(|value| fits(value, key));
        values.push(value.ok_or_else(invalid)?);
    }
    if rest.is_empty() { Ok(values) } else { Err(invalid()) }
}

/// Hash of what a cursor belongs to.
pub(super) fn fingerprint(
    collection: &Collection,
    filter: Option<&SqlExpr>,
    search: Option<&Search>,
    sort: &[SortKey],
) -> u64 {
    let mut bytes = collection.name.clone().into_bytes();
    bytes.push(0);
    if let Some(filter) = filter {
        bytes.extend_from_slice(filter.text.as_bytes());
        bytes.push(0);
        filter.params.iter().for_each(|param| push(&mut bytes, param));
    }
    if let Some(search) = search {
        bytes.push(1);
        bytes.extend_from_slice(search.expression.as_bytes());
        bytes.push(0);
    }
    for key in sort {
        bytes.push(if key.order == SortOrder::Ascending { b'+' } else { b'-' });
        bytes.extend_from_slice(key.name.as_bytes());
    }
    // FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/: stable across builds, unlike std's hasher.
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Whether a value can be a stored one of the key's field.
fn fits(value: &Value, key: &SortKey) -> bool {
    match value {
        Value::Null => key.nullable,
        Value::Integer(_) => key.form == Form::Integer,
        Value::Real(value) => key.form == Form::Real && value.is_finite(),
        Value::Text(_) => key.form == Form::Text,
        Value::Blob(_) => false,
    }
}

fn push(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        // A blob has no order, so it is never a sort key.
        Value::Null | Value::Blob(_) => bytes.push(0),
        Value::Integer(value) => {
            bytes.push(1);
            bytes.extend_from_slice(&value.to_be_bytes());
        }
        Value::Real(value) => {
            bytes.push(2);
            bytes.extend_from_slice(&value.to_be_bytes());
        }
        Value::Text(text) => {
            bytes.push(3);
            let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
    }
}

fn pop(rest: &mut &[u8]) -> Option<Value> {
    match take(rest, 1)?[0] {
        0 => Some(Value::Null),
        1 => Some(Value::Integer(i64::from_be_bytes(take(rest, 8)?.try_into().ok()?))),
        2 => Some(Value::Real(f64::from_be_bytes(take(rest, 8)?.try_into().ok()?))),
        3 => {
            let length = u32::from_be_bytes(take(rest, 4)?.try_into().ok()?);
            let text = take(rest, usize::try_from(length).ok()?)?;
            Some(Value::Text(std::str::from_utf8(text).ok()?.to_owned()))
        }
        _ => None,
    }
}

fn take<'b>(rest: &mut &'b [u8], length: usize) -> Option<&'b [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}
