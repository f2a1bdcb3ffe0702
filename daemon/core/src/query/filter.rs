//! `filter=field:op:value`: conditions as text. A value is read by the type of its field and compared
//! in its stored form, so `views:gt:10` compares numbers and `created_at:lt:2026-01-01T00:00:00+02:00`
//! times.

use super::QueryError;
use super::operand::Operand;
use super::path::Path;
use super::reading::Reading;
use super::test::{OPERATORS, Operator, build};
use crate::limits::{FILTER_MAX_BYTES, IN_VALUES_MAX, NAME_MAX_BYTES};
use crate::sql::SqlExpr;

const PARAM: &str = "filter";

fn invalid(message: impl Into<String>) -> QueryError {
    QueryError::new(PARAM, "invalid_value", message)
}

/// One filter.
pub(super) fn parse(reading: Reading<'_>, filter: &str) -> Result<SqlExpr, QueryError> {
    if filter.len() > FILTER_MAX_BYTES {
        let message = format!("a filter has at most {FILTER_MAX_BYTES} bytes");
        return Err(QueryError::new(PARAM, "too_many", message));
    }
    let mut parts = filter.splitn(3, ':');
    let path = parts.next().unwrap_or_default();
    let word = parts.next().ok_or_else(|| invalid("a filter has the form field:op:value"))?;
    let Some(operator) = Operator::of(word) else {
        // What may not be named is unknown whatever is asked of it.
        Path::resolve(reading, PARAM, path)?;
        let names: Vec<&str> = OPERATORS.iter().map(|(name, _)| *name).collect();
        let shown: String = word.chars().take(NAME_MAX_BYTES).collect();
        let message = format!("there is no operator \"{shown}\"; known are {}", names.join(", "));
        return Err(QueryError::new(PARAM, "unknown_operator", message));
    };
    let value = parts.next();
    let given = || value.ok_or_else(|| invalid("a filter has the form field:op:value"));
    let operands = match operator {
        Operator::IsNull | Operator::NotNull => match value {
            None | Some("") => Ok(Vec::new()),
            Some(_) => Err(invalid("is_null and not_null take no value")),
        },
        Operator::In | Operator::NotIn => given().and_then(list),
        _ => given().map(|text| vec![Operand::Text(text.to_owned())]),
    };
    match operands {
        Ok(operands) => build(reading, PARAM, path, operator, &operands),
        // The same: the name first.
        Err(error) => Path::resolve(reading, PARAM, path).and(Err(error)),
    }
}

/// A list: JSON array if it starts with `[`, else separated by commas; empty text is the empty list.
fn list(text: &str) -> Result<Vec<Operand>, QueryError> {
    let parts: Vec<Operand> = if text.starts_with('[') {
        let items: Vec<&serde_json::value::RawValue> =
            serde_json::from_str(text).map_err(|_| invalid("the list is not a JSON array"))?;
        let part = |item: &serde_json::value::RawValue| match item.get().as_bytes()[0] {
            b'{' | b'[' | b'n' => Err(invalid("a list holds texts, numbers or truth values")),
            b'"' => serde_json::from_str(item.get())
                .map(Operand::Quoted)
                .map_err(|_| invalid("a text in the list is not valid")),
            _ => Ok(Operand::Text(item.get().to_owned())),
        };
        items.into_iter().map(part).collect::<Result<_, _>>()?
    } else if text.is_empty() {
        Vec::new()
    } else {
        text.split(',').map(|part| Operand::Text(part.to_owned())).collect()
    };
    bounded(PARAM, parts.len())?;
    Ok(parts)
}

/// Refuses a list that is too long.
pub(super) fn bounded(param: &str, count: usize) -> Result<(), QueryError> {
    if count <= IN_VALUES_MAX {
        return Ok(());
    }
    Err(QueryError::new(param, "too_many", format!("a list has at most {IN_VALUES_MAX} values")))
}
