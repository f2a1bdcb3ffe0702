//! Values while a rule is evaluated, with the equality and order that cel-spec gives them. Integers
//! are always signed; numbers of different types compare as on one number line.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Map, Value as Json};

use super::fault::Fault;
use super::time;
use super::types::Type;
use crate::value::Value;

/// A value, borrowed where it can be.
#[derive(Clone, Debug)]
pub(super) enum Val<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// Finite.
    Float(f64),
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    /// Microseconds since 1970, between the years 1 and 9999.
    Timestamp(i64),
    /// Microseconds.
    Duration(i64),
    List(Vec<Val<'a>>),
    Map(Map<String, Json>),
}

impl<'a> Val<'a> {
    /// Reads a stored value by the type of its field.
    pub(super) fn from_stored(value: &'a Value, ty: &Type) -> Result<Self, Fault> {
        match (value, ty) {
            (Value::Null, _) => Ok(Self::Null),
            (Value::Integer(value), Type::Bool) => Ok(Self::Bool(*value != 0)),
            (Value::Integer(value), _) => Ok(Self::Int(*value)),
            (Value::Real(value), _) => Ok(Self::Float(*value)),
            (Value::Blob(bytes), _) => Ok(Self::Bytes(Cow::Borrowed(bytes))),
            (Value::Text(text), Type::Timestamp) => time::parse_timestamp(text).map(Self::Timestamp),
            (Value::Text(text), Type::Dynamic | Type::List(_)) => {
                serde_json::from_str(text).map(Self::from_json).map_err(|_| Fault::Stored)
            }
            (Value::Text(text), _) => Ok(Self::Text(Cow::Borrowed(text))),
        }
    }

    /// The same without borrowing.
    pub(super) fn into_owned(self) -> Val<'static> {
        match self {
            Self::Null => Val::Null,
            Self::Bool(value) => Val::Bool(value),
            Self::Int(value) => Val::Int(value),
            Self::Float(value) => Val::Float(value),
            Self::Text(text) => Val::Text(Cow::Owned(text.into_owned())),
            Self::Bytes(bytes) => Val::Bytes(Cow::Owned(bytes.into_owned())),
            Self::Timestamp(at) => Val::Timestamp(at),
            Self::Duration(length) => Val::Duration(length),
            Self::List(items) => Val::List(items.into_iter().map(Val::into_owned).collect()),
            Self::Map(map) => Val::Map(map),
        }
    }

    /// Numbers that fit are integers, as a client that wrote `1` expects.
    pub(super) fn from_json(json: Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(value),
            Json::Number(number) => match number.as_i64() {
                Some(int) => Self::Int(int),
                None => number.as_f64().map_or(Self::Null, Self::Float),
            },
            Json::String(text) => Self::Text(Cow::Owned(text)),
            Json::Array(items) => Self::List(items.into_iter().map(Self::from_json).collect()),
            Json::Object(map) => Self::Map(map),
        }
    }

    /// Its type; `Dynamic` for what lies in lists.
    pub(super) fn ty(&self) -> Type {
        match self {
            Self::Null => Type::Null,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Float(_) => Type::Float,
            Self::Text(_) => Type::Text,
            Self::Bytes(_) => Type::Bytes,
            Self::Timestamp(_) => Type::Timestamp,
            Self::Duration(_) => Type::Duration,
            Self::List(_) => Type::List(Box::new(Type::Dynamic)),
            Self::Map(_) => Type::Map(Box::new(Type::Dynamic)),
        }
    }

    /// `==`. Values of different types are unequal, numbers excepted.
    pub(super) fn equals(&self, other: &Val<'_>) -> bool {
        match (self, other) {
            (Self::Null, Val::Null) => true,
            (Self::List(a), Val::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.equals(b)),
            (Self::Map(a), Val::Map(b)) => {
                a.len() == b.len()
                    && a.iter().all(|(key, a)| {
                        b.get(key)
                            .is_some_and(|b| Self::from_json(a.clone()).equals(&Val::from_json(b.clone())))
                    })
            }
            _ => self.order(other) == Some(Ordering::Equal),
        }
    }

    /// Order of two values, if their types have one. Text is ordered by code point.
    pub(super) fn order(&self, other: &Val<'_>) -> Option<Ordering> {
        match (self, other) {
            (Self::Bool(a), Val::Bool(b)) => Some(a.cmp(b)),
            (Self::Int(a), Val::Int(b)) => Some(a.cmp(b)),
            (Self::Float(a), Val::Float(b)) => a.partial_cmp(b),
            (Self::Int(a), Val::Float(b)) => order_mixed(*a, *b),
            (Self::Float(a), Val::Int(b)) => order_mixed(*b, *a).map(Ordering::reverse),
            (Self::Text(a), Val::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            (Self::Bytes(a), Val::Bytes(b)) => Some(a.cmp(b)),
            (Self::Timestamp(a), Val::Timestamp(b)) | (Self::Duration(a), Val::Duration(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}

/// 2^63, the first double above every `i64`.
const ABOVE_INT: f64 = 9_223_372_036_854_775_808.0;

/// Compares exactly, without rounding the integer.
fn order_mixed(int: i64, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    if float >= ABOVE_INT {
        return Some(Ordering::Less);
    }
    if float < -ABOVE_INT {
        return Some(Ordering::Greater);
    }
    let whole = float.trunc();
    let by_whole = int.cmp(&(whole as i64));
    Some(by_whole.then_with(|| 0.0_f64.partial_cmp(&(float - whole)).unwrap_or(Ordering::Equal)))
}

#[cfg(test)]
mod tests {
    use super::order_mixed;
    use std::cmp::Ordering::{Equal, Greater, Less};

    #[test]
    fn numbers_share_one_line() {
        let cases = [
            (1, 1.0, Equal),
            (1, 1.5, Less),
            (-1, -1.5, Greater),
            (i64::MAX, 9_223_372_036_854_775_807.0, Less),
            (i64::MIN, -9_223_372_036_854_775_808.0, Equal),
            (9_007_199_254_740_993, 9_007_199_254_740_992.0, Greater),
            (0, -0.0, Equal),
            (0, f64::INFINITY, Less),
        ];
        for (int, float, expected) in cases {
            assert_eq!(order_mixed(int, float), Some(expected), "{int} and {float}");
        }
    }
}
