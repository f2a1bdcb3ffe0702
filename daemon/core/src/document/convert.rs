//! One value: from the JSON a client sent to the stored form its field has. Nothing is repaired or
//! rounded on the way; a value is stored exactly or refused.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::json::compact;
use super::richtext::clean;
use super::timestamp::{canonical_timestamp, is_date};
use crate::limits::{EMAIL_MAX_BYTES, ID_MAX_BYTES, URL_MAX_BYTES};
use crate::schema::{Field, FieldKind, Format, PrimaryKind, SelectOptions, Validation};
use crate::value::Value;

/// Why a value is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    fn wrong_type(expected: &str) -> Self {
        Self::new("wrong_type", format!("must be {expected}"))
    }
}

/// The stored form of a value that is not null. `raw` is the text of one valid JSON value without
/// space around it.
pub(crate) fn convert(field: &Field, raw: &str) -> Result<Value, Fault> {
    let value = plain(field, raw)?;
    if field.primary && value.as_text() == Some("") {
        return Err(Fault::new("too_short", "must not be empty"));
    }
    validate(&field.validation, &value)?;
    Ok(value)
}

/// The same without the field's own validation, for what was valid once.
pub(crate) fn plain(field: &Field, raw: &str) -> Result<Value, Fault> {
    Ok(match &field.kind {
        FieldKind::Int => Value::Integer(integer(raw)?),
        FieldKind::Float => Value::Real(float(raw)?),
        FieldKind::Bool => match raw {
            "true" => Value::Integer(1),
            "false" => Value::Integer(0),
            _ => return Err(Fault::wrong_type("true or false")),
        },
        FieldKind::Json => Value::Text(compact(raw)?),
        FieldKind::Blob => Value::Blob(blob(raw)?),
        FieldKind::Select(options) if options.max_select > 1 => Value::Text(choices(options, raw)?),
        kind => Value::Text(canonical_text(kind, string(raw)?)?),
    })
}

/// The stored form of a text value of a field whose JSON form is a string.
pub(crate) fn canonical_text(kind: &FieldKind, text: String) -> Result<String, Fault> {
    if text.contains('\0') {
        return Err(Fault::new("format", "must not contain the character U+0000"));
    }
    match kind {
        FieldKind::Id | FieldKind::Relation { target: PrimaryKind::Id, .. } => match is_id(&text) {
            true => Ok(text),
            false => Err(Fault::new("format", "must be an id: 1 to 64 letters, digits, - or _")),
        },
        FieldKind::Uuid | FieldKind::Relation { target: PrimaryKind::Uuid, .. } => {
            canonical_uuid(&text).ok_or_else(|| Fault::new("format", "must be a UUID with hyphens"))
        }
        FieldKind::Email => match is_email(&text) {
            true => Ok(text.to_ascii_lowercase()),
            false => Err(Fault::new("format", "must be an e-mail address")),
        },
        FieldKind::Url => match is_url(&text) {
            true => Ok(text),
            false => Err(Fault::new("format", "must be an http or https URL")),
        },
        FieldKind::Timestamp => canonical_timestamp(&text).ok_or_else(|| {
            let message = "must be an RFC 3339 time with an offset and at most microseconds";
            Fault::new("invalid_timestamp", message)
        }),
        FieldKind::Date => match is_date(&text) {
            true => Ok(text),
            false => Err(Fault::new("invalid_date", "must be a date of the form YYYY-MM-DD")),
        },
        FieldKind::RichText(preset) => Ok(clean(*preset, &text)),
        FieldKind::Select(options) if !options.values.contains(&text) => Err(not_one_of(&options.values)),
        _ => Ok(text),
    }
}

fn not_one_of(values: &[String]) -> Fault {
    let shown: Vec<&str> = values.iter().take(20).map(String::as_str).collect();
    let more = if values.len() > shown.len() { ", …" } else { "" };
    Fault::new("not_one_of", format!("must be one of: {}{more}", shown.join(", ")))
}

fn string(raw: &str) -> Result<String, Fault> {
    if !raw.starts_with('"') {
        return Err(Fault::wrong_type("text"));
    }
    serde_json::from_str(raw).map_err(|_| Fault::new("wrong_type", "must be text of valid Unicode"))
}

/// The exact 64-bit integer that a number is; `1.0` and `1e3` are integers. The text may be foreign.
pub(crate) fn integer(raw: &str) -> Result<i64, Fault> {
    let out_of_range = || Fault::new("out_of_range", "must fit into 64 bits");
    let (negative, number) = match raw.strip_prefix('-') {
        Some(number) => (true, number),
        None => (false, raw),
    };
    // The double is not used: it only tells whether the text has the form of a number.
    if !number.starts_with(|first: char| first.is_ascii_digit()) || number.parse::<f64>().is_err() {
        return Err(Fault::wrong_type("a whole number"));
    }
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        // An exponent that does not fit is beyond any range, unless the number is zero.
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().unwrap_or(i32::MAX)),
        None => (number, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Ok(0);
    }
    let zeros = (digits.len() - significant.len()) as i64 + i64::from(exponent) - fraction.len() as i64;
    if zeros < 0 {
        return Err(Fault::wrong_type("a whole number"));
    }
    let digits = significant.trim_start_matches('0');
    if digits.len() as i64 + zeros > 19 {
        return Err(out_of_range());
    }
    let magnitude = digits.parse::<i128>().map_err(|_| out_of_range())? * 10_i128.pow(zeros as u32);
    i64::try_from(if negative { -magnitude } else { magnitude }).map_err(|_| out_of_range())
}

/// The double nearest to a number. The text may be foreign.
pub(crate) fn float(raw: &str) -> Result<f64, Fault> {
    if !raw.starts_with(|first: char| first.is_ascii_digit() || first == '-') {
        return Err(Fault::wrong_type("a number"));
    }
    match raw.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => Err(Fault::new("out_of_range", "must fit into a double")),
        Err(_) => Err(Fault::wrong_type("a number")),
    }
}

fn blob(raw: &str) -> Result<Vec<u8>, Fault> {
    let text = string(raw).map_err(|_| Fault::wrong_type("text of base64"))?;
    STANDARD.decode(text).map_err(|_| Fault::new("format", "must be standard base64 with padding"))
}

/// A JSON array of distinct allowed values, in the order sent.
fn choices(options: &SelectOptions, raw: &str) -> Result<String, Fault> {
    let chosen: Vec<Cow<'_, str>> =
        serde_json::from_str(raw).map_err(|_| Fault::wrong_type("a list of texts"))?;
    if chosen.len() > options.max_select as usize {
        return Err(Fault::new("too_many", format!("must be at most {} values", options.max_select)));
    }
    for (place, value) in chosen.iter().enumerate() {
        if !options.values.iter().any(|allowed| allowed == value) {
            return Err(not_one_of(&options.values));
        }
        if chosen[..place].contains(value) {
            return Err(Fault::new("duplicate_value", "must not name a value twice"));
        }
    }
    Ok(serde_json::Value::from(chosen).to_string())
}

pub(super) fn validate(validation: &Validation, value: &Value) -> Result<(), Fault> {
    match value {
        Value::Text(text) => validate_text(validation, text)?,
        Value::Integer(value) => validate_number(validation, |bound| compare_integer(*value, bound))?,
        Value::Real(value) => validate_number(validation, |bound| {
            value.partial_cmp(&bound).unwrap_or(std::cmp::Ordering::Equal)
        })?,
        Value::Null | Value::Blob(_) => {}
    }
    match &validation.one_of {
        Some(allowed) if !allowed.iter().any(|allowed| equals(value, allowed)) => {
            let shown: Vec<String> = allowed.iter().take(20).map(ToString::to_string).collect();
            Err(Fault::new("not_one_of", format!("must be one of: {}", shown.join(", "))))
        }
        _ => Ok(()),
    }
}

fn validate_text(validation: &Validation, text: &str) -> Result<(), Fault> {
    if validation.min_length.is_some() || validation.max_length.is_some() {
        let length = text.chars().count() as u64;
        if let Some(min) = validation.min_length.filter(|min| length < *min) {
            return Err(Fault::new("too_short", format!("must have at least {min} characters")));
        }
        if let Some(max) = validation.max_length.filter(|max| length > *max) {
            return Err(Fault::new("too_long", format!("must have at most {max} characters")));
        }
    }
    if let Some(pattern) = validation.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
        return Err(Fault::new("pattern", format!("must match {}", pattern.as_str())));
    }
    let (holds, what) = match validation.format {
        None => return Ok(()),
        Some(Format::Email) => (is_email(text), "an e-mail address"),
        Some(Format::Url) => (is_url(text), "an http or https URL"),
        Some(Format::Uuid) => (canonical_uuid(text).is_some(), "a UUID with hyphens"),
    };
    if holds { Ok(()) } else { Err(Fault::new("format", format!("must be {what}"))) }
}

fn validate_number(
    validation: &Validation,
    compare: impl Fn(f64) -> std::cmp::Ordering,
) -> Result<(), Fault> {
    if let Some(min) = validation.min.filter(|min| compare(*min).is_lt()) {
        return Err(Fault::new("too_small", format!("must be at least {min}")));
    }
    if let Some(max) = validation.max.filter(|max| compare(*max).is_gt()) {
        return Err(Fault::new("too_large", format!("must be at most {max}")));
    }
    Ok(())
}

/// Compares exactly: a bound of a schema is finite and, where whole, at most 2^53.
fn compare_integer(value: i64, bound: f64) -> std::cmp::Ordering {
    let whole = bound.floor();
    // Beyond i128 saturates, which is far beyond any i64.
    let order = i128::from(value).cmp(&(whole as i128));
    if order.is_eq() && bound > whole { std::cmp::Ordering::Less } else { order }
}

fn equals(value: &Value, allowed: &serde_json::Value) -> bool {
    match value {
        Value::Text(text) => allowed.as_str() == Some(text),
        Value::Integer(value) => allowed.as_i64() == Some(*value),
        Value::Real(value) => allowed.as_f64() == Some(*value),
        Value::Null | Value::Blob(_) => false,
    }
}

fn is_id(text: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=ID_MAX_BYTES).contains(&text.len()) && text.bytes().all(valid)
}

fn canonical_uuid(text: &str) -> Option<String> {
    // The crate accepts braces, URNs and no hyphens as well; one form is enough.
    let hyphenated = text.len() == 36;
    let uuid = uuid::Uuid::try_parse(text).ok().filter(|_| hyphenated)?;
    Some(uuid.as_hyphenated().to_string())
}

/// Whether this is an address: the form that browsers accept (HTML, `input type=email`) with the lengths of RFC 5321.
pub fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let atom = |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= EMAIL_MAX_BYTES
        && (1..=64).contains(&local.len())
        && local.bytes().all(atom)
        && domain.split('.').all(label)
}

fn is_url(text: &str) -> bool {
    // The parser drops tabs and line ends and trims spaces; what is stored must be what was checked.
    let clean = text.len() <= URL_MAX_BYTES && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    let web = |url: url::Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    clean && url::Url::parse(text).is_ok_and(web)
}
