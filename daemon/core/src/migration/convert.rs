//! One stored value from one type to another. Nothing is rounded or cut: what the new type cannot hold
//! exactly is not converted. Conditions such as `maxLength` are not looked at; they hold for what is
//! written from then on.

use crate::document::convert::convert;
use crate::document::write_value;
use crate::schema::{Field, FieldKind, Validation};
use crate::value::{Value, ValueRef};

/// The stored form under `new` of what is stored under `old`. Null stays null.
///
/// # Errors
/// The new type cannot have the value; the text says what it must be.
pub fn convert_value(old: &FieldKind, new: &Field, value: ValueRef<'_>) -> Result<Value, String> {
    let kind = &new.kind;
    let several = |kind: &FieldKind| matches!(kind, FieldKind::Select(options) if options.max_select > 1);
    match (old, kind, value) {
        (_, _, ValueRef::Null) => return Ok(Value::Null),
        (FieldKind::Timestamp, FieldKind::Date, ValueRef::Text(text)) if !is_midnight(text) => {
            return Err("has a time of day, which a date would lose".to_owned());
        }
        (FieldKind::Timestamp, FieldKind::Date, ValueRef::Text(text)) => {
            return Ok(Value::Text(text.chars().take(10).collect()));
        }
        (FieldKind::Date, FieldKind::Timestamp, ValueRef::Text(text)) => {
            return Ok(Value::Text(format!("{text}T00:00:00.000000Z")));
        }
        (FieldKind::Bool, FieldKind::Int, ValueRef::Integer(value)) => return Ok(Value::Integer(value)),
        (FieldKind::Int, FieldKind::Bool, ValueRef::Integer(value @ (0 | 1))) => {
            return Ok(Value::Integer(value));
        }
        _ => {}
    }
    let field = Field { validation: Validation::default(), primary: false, ..new.clone() };
    let json = json(old, value);
    let mut candidates = vec![json.clone()];
    if several(kind) && !json.starts_with('[') {
        candidates.push(format!("[{json}]"));
    }
    if several(old)
        && let Ok([single]) = serde_json::from_str::<Vec<String>>(&json).as_deref()
    {
        candidates.push(quoted(single));
    }
    match serde_json::from_str::<String>(&json) {
        // A text that is itself JSON: "12" for an int.
        Ok(text) if serde_json::from_str::<serde_json::Value>(text.trim()).is_ok() => {
            candidates.push(text.trim().to_owned());
        }
        Ok(_) => {}
        Err(_) => candidates.push(quoted(&json)),
    }
    let mut outcome = Err(String::new());
    for candidate in candidates {
        match convert(&field, &candidate) {
            Ok(value) => return Ok(value),
            Err(fault) if outcome.as_ref().is_err_and(String::is_empty) => outcome = Err(fault.message),
            Err(_) => {}
        }
    }
    outcome
}

/// The stored form in `field` of what an SQL expression gave, under all conditions of the field.
///
/// # Errors
/// The field cannot have the value; the text says what it must be.
pub fn canonical_value(field: &Field, value: ValueRef<'_>) -> Result<Value, String> {
    let kind = match value {
        ValueRef::Null if field.nullable => return Ok(Value::Null),
        ValueRef::Null => return Err("must not be null".to_owned()),
        ValueRef::Integer(_) => FieldKind::Int,
        ValueRef::Real(_) => FieldKind::Float,
        ValueRef::Text(_) if field.kind.is_json_text() => FieldKind::Json,
        ValueRef::Text(_) => FieldKind::String,
        ValueRef::Blob(_) => FieldKind::Blob,
    };
    let value = convert_value(&kind, field, value)?;
    convert(field, &json(&field.kind, value.as_ref())).map_err(|fault| fault.message)
}

fn is_midnight(timestamp: &str) -> bool {
    timestamp.ends_with("T00:00:00.000000Z")
}

fn json(kind: &FieldKind, value: ValueRef<'_>) -> String {
    let mut out = Vec::new();
    write_value(&mut out, kind, value);
    String::from_utf8_lossy(&out).into_owned()
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
