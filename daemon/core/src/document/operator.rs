//! Changes of a field that start from the value it has: `{"$inc": 1}`, `{"$push": "a"}`,
//! `{"$pull": "a"}`, and `{"$set": …}` for a `json` value that looks like one of them. They are read
//! without the document, so that applying them to it is short.
//!
//! An object is an operator if its first name starts with `$`. `$push` and `$pull` take one item, or
//! several as `{"$each": […]}`.

use serde_json::value::RawValue;

use super::convert::{Fault, convert, float, integer, validate};
use super::json::members;
use crate::limits::DOCUMENT_MAX_BYTES;
use crate::schema::{Field, FieldKind};
use crate::value::Value;

/// A change that starts from the old value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operator {
    AddInteger(i64),
    AddFloat(f64),
    /// JSON texts to append. A `select` holds each value once.
    Push(Vec<String>),
    /// JSON texts; items equal to one of them go.
    Pull(Vec<String>),
}

/// What the value of a field in an update says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Written {
    Value(Value),
    Operator(Operator),
}

/// Reads the value of a field in an update. `null` is the caller's business.
pub(super) fn read(field: &Field, raw: &str) -> Result<Written, Fault> {
    let Some((name, operand)) = operator(raw)? else { return convert(field, raw).map(Written::Value) };
    let list = field.kind.is_json_text();
    let operator = match (name.as_str(), &field.kind) {
        ("$set", _) => match operand.get() {
            "null" if field.nullable => return Ok(Written::Value(Value::Null)),
            "null" => return Err(Fault::new("required", "must not be null")),
            operand => return convert(field, operand).map(Written::Value),
        },
        ("$inc", FieldKind::Int) => Operator::AddInteger(integer(operand.get())?),
        ("$inc", FieldKind::Float) => Operator::AddFloat(float(operand.get())?),
        ("$push", _) if list => Operator::Push(items(operand.get())?),
        ("$pull", _) if list => Operator::Pull(items(operand.get())?),
        ("$inc" | "$push" | "$pull", _) => {
            let message = format!("{name} does not work on a field of this type");
            return Err(Fault::new("wrong_operator", message));
        }
        _ => return Err(Fault::new("wrong_operator", "operators are $set, $inc, $push and $pull")),
    };
    Ok(Written::Operator(operator))
}

/// The name and operand of an operator; none if it is a plain value.
fn operator(raw: &str) -> Result<Option<(String, Box<RawValue>)>, Fault> {
    let starts = |raw: &str| raw.strip_prefix('{').is_some_and(|rest| rest.trim_start().starts_with("\"$"));
    if !starts(raw) {
        return Ok(None);
    }
    let mut found = members(raw.as_bytes()).map_err(|error| Fault::new("invalid_json", error.to_string()))?;
    match (found.pop(), found.is_empty()) {
        (Some((name, operand)), true) => Ok(Some((name, operand.to_owned()))),
        _ => Err(Fault::new("wrong_operator", "an operator stands alone")),
    }
}

fn items(operand: &str) -> Result<Vec<String>, Fault> {
    let texts = |items: Vec<Box<RawValue>>| items.iter().map(|item| item.get().to_owned()).collect();
    match operator(operand)? {
        Some((name, list)) if name == "$each" => {
            let list = serde_json::from_str::<Vec<Box<RawValue>>>(list.get());
            list.map(texts).map_err(|_| Fault::new("wrong_operator", "$each takes a list"))
        }
        _ => Ok(vec![operand.to_owned()]),
    }
}

impl Operator {
    /// The value that a field gets which has `old`.
    pub(super) fn apply(&self, field: &Field, old: &Value) -> Result<Value, Fault> {
        let out_of_range = || Fault::new("out_of_range", "would leave the range of the type");
        let value = match (self, old) {
            (Self::AddInteger(_) | Self::AddFloat(_), Value::Null) => {
                return Err(Fault::new("wrong_operator", "has no value that $inc could add to"));
            }
            (Self::AddInteger(more), Value::Integer(old)) => {
                Value::Integer(old.checked_add(*more).ok_or_else(out_of_range)?)
            }
            (Self::AddFloat(more), Value::Real(old)) => {
                Value::Real(Some(old + more).filter(|sum| sum.is_finite()).ok_or_else(out_of_range)?)
            }
            (Self::Push(items), _) => return store(field, pushed(field, list(old)?, items)?),
            (Self::Pull(items), _) => return store(field, pulled(list(old)?, items)?),
            _ => return Err(Fault::new("wrong_type", "must be a number")),
        };
        validate(&field.validation, &value)?;
        Ok(value)
    }
}

/// The items of a stored list as JSON texts. No value is an empty list.
fn list(old: &Value) -> Result<Vec<Box<RawValue>>, Fault> {
    match old {
        Value::Null => Ok(Vec::new()),
        Value::Text(text) => {
            serde_json::from_str(text).map_err(|_| Fault::new("wrong_operator", "does not hold a list"))
        }
        _ => Err(Fault::new("wrong_operator", "does not hold a list")),
    }
}

fn pushed(field: &Field, old: Vec<Box<RawValue>>, items: &[String]) -> Result<Vec<String>, Fault> {
    let mut list: Vec<String> = old.iter().map(|item| item.get().to_owned()).collect();
    let set = matches!(field.kind, FieldKind::Select(_));
    for item in items {
        let known = set && contains(&list, &meaning(item)?)?;
        if !known {
            list.push(item.clone());
        }
    }
    Ok(list)
}

fn pulled(old: Vec<Box<RawValue>>, items: &[String]) -> Result<Vec<String>, Fault> {
    let gone = items.iter().map(|item| meaning(item)).collect::<Result<Vec<_>, _>>()?;
    let mut list = Vec::with_capacity(old.len());
    for item in old {
        if !gone.contains(&meaning(item.get())?) {
            list.push(item.get().to_owned());
        }
    }
    Ok(list)
}

fn contains(list: &[String], wanted: &serde_json::Value) -> Result<bool, Fault> {
    for item in list {
        if meaning(item)? == *wanted {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a JSON text says, so that spelling does not matter.
fn meaning(text: &str) -> Result<serde_json::Value, Fault> {
    serde_json::from_str(text).map_err(|error| Fault::new("invalid_json", error.to_string()))
}

fn store(field: &Field, list: Vec<String>) -> Result<Value, Fault> {
    let text = format!("[{}]", list.join(","));
    if text.len() > DOCUMENT_MAX_BYTES {
        return Err(Fault::new("too_long", format!("must have at most {DOCUMENT_MAX_BYTES} bytes")));
    }
    convert(field, &text)
}
