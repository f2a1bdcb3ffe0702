//! Operators and functions on values, with the errors of cel-spec: integers overflow into an error,
//! null has no order, no size and no characters. Results that are not finite are errors too, since
//! no document can hold them.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::eval::operand;
use super::fault::Fault;
use super::time;
use super::tree::{Arithmetic, Convert, Order, TextTest};
use super::val::Val;

/// `<`, `<=`, `>`, `>=`.
pub(super) fn ordered(order: Order, left: &Val<'_>, right: &Val<'_>) -> Result<Val<'static>, Fault> {
    let found = left
        .order(right)
        .ok_or_else(|| operand("a comparison", if matches!(left, Val::Null) { left } else { right }))?;
    Ok(Val::Bool(match order {
        Order::Less => found == Ordering::Less,
        Order::LessOrEqual => found != Ordering::Greater,
        Order::Greater => found == Ordering::Greater,
        Order::GreaterOrEqual => found != Ordering::Less,
    }))
}

/// `-x`.
pub(super) fn negate(val: &Val<'_>) -> Result<Val<'static>, Fault> {
    match val {
        Val::Int(value) => value.checked_neg().map(Val::Int).ok_or(Fault::Overflow),
        Val::Float(value) => Ok(Val::Float(-value)),
        other => Err(operand("-", other)),
    }
}

/// `+ - * / %`.
pub(super) fn arithmetic<'a>(op: Arithmetic, left: Val<'a>, right: Val<'a>) -> Result<Val<'a>, Fault> {
    match (op, left, right) {
        (op, Val::Int(a), Val::Int(b)) => int_arithmetic(op, a, b).map(Val::Int),
        (op, Val::Float(a), Val::Float(b)) => {
            let result = match op {
                Arithmetic::Add => a + b,
                Arithmetic::Subtract => a - b,
                Arithmetic::Multiply => a * b,
                Arithmetic::Divide => a / b,
                Arithmetic::Remainder => return Err(operand("%", &Val::Float(a))),
            };
            if result.is_finite() { Ok(Val::Float(result)) } else { Err(Fault::Overflow) }
        }
        (Arithmetic::Add, Val::Text(a), Val::Text(b)) => Ok(Val::Text(Cow::Owned(a.into_owned() + &b))),
        (Arithmetic::Add, Val::Bytes(a), Val::Bytes(b)) => {
            Ok(Val::Bytes(Cow::Owned([a.as_ref(), b.as_ref()].concat())))
        }
        (Arithmetic::Add, Val::List(mut a), Val::List(b)) => {
            a.extend(b);
            Ok(Val::List(a))
        }
        (Arithmetic::Add, Val::Timestamp(at), Val::Duration(by))
        | (Arithmetic::Add, Val::Duration(by), Val::Timestamp(at)) => {
            time::in_range(at.checked_add(by)).map(Val::Timestamp)
        }
        (Arithmetic::Subtract, Val::Timestamp(at), Val::Duration(by)) => {
            time::in_range(at.checked_sub(by)).map(Val::Timestamp)
        }
        (Arithmetic::Subtract, Val::Timestamp(a), Val::Timestamp(b)) => {
            time::duration_in_range(a.checked_sub(b)).map(Val::Duration)
        }
        (Arithmetic::Add, Val::Duration(a), Val::Duration(b)) => {
            time::duration_in_range(a.checked_add(b)).map(Val::Duration)
        }
        (Arithmetic::Subtract, Val::Duration(a), Val::Duration(b)) => {
            time::duration_in_range(a.checked_sub(b)).map(Val::Duration)
        }
        (_, left, right) => {
            Err(operand("arithmetic", if matches!(left, Val::Null) { &left } else { &right }))
        }
    }
}

fn int_arithmetic(op: Arithmetic, a: i64, b: i64) -> Result<i64, Fault> {
    if b == 0 && matches!(op, Arithmetic::Divide | Arithmetic::Remainder) {
        return Err(Fault::DivisionByZero);
    }
    match op {
        Arithmetic::Add => a.checked_add(b),
        Arithmetic::Subtract => a.checked_sub(b),
        Arithmetic::Multiply => a.checked_mul(b),
        Arithmetic::Divide => a.checked_div(b),
        Arithmetic::Remainder => a.checked_rem(b),
    }
    .ok_or(Fault::Overflow)
}

/// `list[i]` and `map[key]`.
pub(super) fn index<'a>(range: Val<'a>, at: &Val<'a>) -> Result<Val<'a>, Fault> {
    match (range, at) {
        (Val::List(items), Val::Int(at)) => {
            let place = usize::try_from(*at).map_err(|_| Fault::OutOfRange(*at))?;
            items.into_iter().nth(place).ok_or(Fault::OutOfRange(*at))
        }
        // A whole number may come as a double, as from `dyn(0.0)`.
        (range @ Val::List(_), Val::Float(at)) if at.fract() == 0.0 => {
            float_to_int(*at).and_then(|at| index(range, &Val::Int(at)))
        }
        (Val::Map(mut map), Val::Text(key)) => {
            map.remove(key.as_ref()).map(Val::from_json).ok_or_else(|| Fault::NoSuchKey(key.to_string()))
        }
        (Val::List(_) | Val::Map(_), _) => Err(operand("[]", at)),
        (range, _) => Err(operand("[]", &range)),
    }
}

/// `size(x)`: code points, bytes, items or keys.
pub(super) fn size(val: &Val<'_>) -> Result<Val<'static>, Fault> {
    let count = match val {
        // SQLite's length() ends at a zero character, so neither evaluator counts across one.
        Val::Text(text) if text.contains('\0') => return Err(Fault::ZeroCharacter),
        Val::Text(text) => text.chars().count(),
        Val::Bytes(bytes) => bytes.len(),
        Val::List(items) => items.len(),
        Val::Map(map) => map.len(),
        other => return Err(operand("size()", other)),
    };
    i64::try_from(count).map(Val::Int).map_err(|_| Fault::Overflow)
}

/// `startsWith`, `endsWith`, `contains`.
pub(super) fn text_test(test: TextTest, text: &Val<'_>, part: &Val<'_>) -> Result<Val<'static>, Fault> {
    match (text, part) {
        (Val::Text(text), Val::Text(part)) => Ok(Val::Bool(match test {
            TextTest::StartsWith => text.starts_with(part.as_ref()),
            TextTest::EndsWith => text.ends_with(part.as_ref()),
            TextTest::Contains => text.contains(part.as_ref()),
        })),
        (Val::Text(_), other) | (other, _) => Err(operand("a text function", other)),
    }
}

/// `bool()`, `bytes()`, `int()`, `double()`, `string()`, `timestamp()`, `duration()`.
pub(super) fn convert<'a>(to: Convert, val: Val<'a>) -> Result<Val<'a>, Fault> {
    match (to, val) {
        (Convert::Bool, val @ Val::Bool(_))
        | (Convert::Bytes, val @ Val::Bytes(_))
        | (Convert::Int, val @ Val::Int(_))
        | (Convert::Double, val @ Val::Float(_))
        | (Convert::Text, val @ Val::Text(_))
        | (Convert::Timestamp, val @ Val::Timestamp(_))
        | (Convert::Duration, val @ Val::Duration(_)) => Ok(val),
        (Convert::Int, Val::Float(value)) => float_to_int(value).map(Val::Int),
        (Convert::Int, Val::Timestamp(at)) => Ok(Val::Int(at.div_euclid(time::SECOND))),
        (Convert::Int, Val::Text(text)) => parse(&text, "int").map(Val::Int),
        (Convert::Double, Val::Int(value)) => Ok(Val::Float(value as f64)),
        (Convert::Double, Val::Text(text)) => {
            let value: f64 = parse(&text, "double")?;
            if value.is_finite() { Ok(Val::Float(value)) } else { Err(Fault::Overflow) }
        }
        (Convert::Text, Val::Int(value)) => Ok(Val::Text(Cow::Owned(value.to_string()))),
        (Convert::Text, Val::Bool(value)) => {
            Ok(Val::Text(Cow::Borrowed(if value { "true" } else { "false" })))
        }
        (Convert::Text, Val::Float(value)) => Ok(Val::Text(Cow::Owned(value.to_string()))),
        (Convert::Text, Val::Bytes(bytes)) => text_of(bytes).map(Val::Text),
        (Convert::Text, Val::Timestamp(at)) => Ok(Val::Text(Cow::Owned(time::show_timestamp(at)))),
        (Convert::Text, Val::Duration(length)) => Ok(Val::Text(Cow::Owned(time::show_duration(length)))),
        (Convert::Bytes, Val::Text(text)) => Ok(Val::Bytes(match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        })),
        (Convert::Bool, Val::Text(text)) => match text.as_ref() {
            "1" | "t" | "true" | "TRUE" | "True" => Ok(Val::Bool(true)),
            "0" | "f" | "false" | "FALSE" | "False" => Ok(Val::Bool(false)),
            _ => Err(Fault::Conversion { text: text.into_owned(), wanted: "bool" }),
        },
        (Convert::Timestamp, Val::Text(text)) => time::parse_timestamp(&text).map(Val::Timestamp),
        (Convert::Timestamp, Val::Int(seconds)) => {
            time::in_range(seconds.checked_mul(time::SECOND)).map(Val::Timestamp)
        }
        (Convert::Duration, Val::Text(text)) => time::parse_duration(&text).map(Val::Duration),
        (_, other) => Err(operand("a conversion", &other)),
    }
}

fn text_of(bytes: Cow<'_, [u8]>) -> Result<Cow<'_, str>, Fault> {
    let wrong = || Fault::Conversion { text: "these bytes".to_owned(), wanted: "UTF-8 text" };
    match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| wrong()),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| wrong()),
    }
}

fn parse<T: std::str::FromStr>(text: &str, wanted: &'static str) -> Result<T, Fault> {
    text.parse().map_err(|_| Fault::Conversion { text: text.to_owned(), wanted })
}

/// Towards zero; cel-spec makes everything at or beyond ±2^63 an error.
fn float_to_int(value: f64) -> Result<i64, Fault> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if value > -LIMIT && value < LIMIT { Ok(value.trunc() as i64) } else { Err(Fault::Overflow) }
}
