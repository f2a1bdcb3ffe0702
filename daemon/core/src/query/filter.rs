//! `filter=field:op:value`. A value is read by the type of its field and compared in its stored
//! form, so `views:gt:10` compares numbers and `created_at:lt:2026-01-01T00:00:00+02:00` times.

use super::QueryError;
use super::params::resolve;
use crate::document::convert::{Fault, canonical_text, float, integer};
use crate::limits::{FILTER_MAX_BYTES, IN_VALUES_MAX, NAME_MAX_BYTES};
use crate::rules::Sight;
use crate::schema::{Collection, Field, FieldKind};
use crate::sql::{SqlExpr, column};
use crate::value::Value;

/// All filters joined by `AND`; `None` without one.
pub(super) fn parse(
    collection: &Collection,
    filters: &[&str],
    sight: &Sight,
) -> Result<Option<SqlExpr>, QueryError> {
    let mut joined: Option<SqlExpr> = None;
    for filter in filters {
        let expr = parse_one(collection, filter, sight)?;
        match &mut joined {
            None => joined = Some(expr),
            Some(joined) => {
                joined.text = format!("{} AND {}", joined.text, expr.text);
                joined.params.extend(expr.params);
            }
        }
    }
    Ok(joined)
}

/// What can be asked of a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    Compare(&'static str),
    Like,
    Contains,
    Starts,
    In,
    NotIn,
    IsNull,
    NotNull,
}

const OPERATORS: &[(&str, Operator)] = &[
    // `IS` holds for nulls as well; a value is never null here, so `ne` includes absent ones.
    ("eq", Operator::Compare("IS")),
    ("ne", Operator::Compare("IS NOT")),
    ("gt", Operator::Compare(">")),
    ("gte", Operator::Compare(">=")),
    ("lt", Operator::Compare("<")),
    ("lte", Operator::Compare("<=")),
    ("like", Operator::Like),
    ("in", Operator::In),
    ("nin", Operator::NotIn),
    ("contains", Operator::Contains),
    ("starts", Operator::Starts),
    ("is_null", Operator::IsNull),
    ("not_null", Operator::NotNull),
];

fn invalid(message: impl Into<String>) -> QueryError {
    QueryError::new("filter", "invalid_value", message)
}

fn parse_one(collection: &Collection, filter: &str, sight: &Sight) -> Result<SqlExpr, QueryError> {
    if filter.len() > FILTER_MAX_BYTES {
        return Err(QueryError::new(
            "filter",
            "too_many",
            format!("a filter has at most {FILTER_MAX_BYTES} bytes"),
        ));
    }
    let mut parts = filter.splitn(3, ':');
    let name = parts.next().unwrap_or_default();
    let word = parts.next().ok_or_else(|| invalid("a filter has the form field:op:value"))?;
    let (_, field) = resolve(collection, "filter", name, sight)?;
    let operator = OPERATORS.iter().find(|(name, _)| *name == word).map(|(_, operator)| *operator);
    let operator = operator.ok_or_else(|| {
        let names: Vec<&str> = OPERATORS.iter().map(|(name, _)| *name).collect();
        let shown: String = word.chars().take(NAME_MAX_BYTES).collect();
        let message = format!("there is no operator \"{shown}\"; known are {}", names.join(", "));
        QueryError::new("filter", "unknown_operator", message)
    })?;
    if !applies(operator, &field.kind) {
        let message =
            format!("{word} does not apply to \"{name}\", which is of type {}", field.kind.as_str());
        return Err(QueryError::new("filter", "unsupported_operator", message));
    }
    build(field, operator, parts.next())
}

fn applies(operator: Operator, kind: &FieldKind) -> bool {
    let several = matches!(kind, FieldKind::Select(options) if options.max_select > 1);
    match operator {
        Operator::IsNull | Operator::NotNull => true,
        Operator::Contains if several => true,
        _ if several || matches!(kind, FieldKind::Json | FieldKind::Blob) => false,
        Operator::Like | Operator::Contains | Operator::Starts => {
            !matches!(kind, FieldKind::Int | FieldKind::Float | FieldKind::Bool)
        }
        Operator::Compare(symbol) => *kind != FieldKind::Bool || symbol.starts_with("IS"),
        Operator::In | Operator::NotIn => true,
    }
}

fn build(field: &Field, operator: Operator, value: Option<&str>) -> Result<SqlExpr, QueryError> {
    let column = column(&field.name);
    let nothing = |text: String| match value {
        None | Some("") => Ok(SqlExpr { text, params: Vec::new() }),
        Some(_) => Err(invalid("is_null and not_null take no value")),
    };
    let given = || value.ok_or_else(|| invalid("a filter has the form field:op:value"));
    let one = |text: String, param: Value| Ok(SqlExpr { text, params: vec![param] });
    match operator {
        Operator::IsNull => nothing(format!("{column} IS NULL")),
        Operator::NotNull => nothing(format!("{column} IS NOT NULL")),
        Operator::Compare(symbol) => one(format!("{column} {symbol} ?"), typed(field, given()?)?),
        Operator::Like => one(format!("{column} LIKE ? ESCAPE '\\'"), pattern("", given()?, "")?),
        Operator::Contains if field.kind.is_json_text() => {
            let text = format!("EXISTS (SELECT 1 FROM json_each({column}) AS j WHERE j.value IS ?)");
            one(text, plain(given()?)?)
        }
        Operator::Contains => {
            one(format!("{column} LIKE ? ESCAPE '\\'"), pattern("%", &escape(given()?), "%")?)
        }
        Operator::Starts => one(format!("{column} LIKE ? ESCAPE '\\'"), pattern("", &escape(given()?), "%")?),
        Operator::In => Ok(list(&values(field, given()?)?, "0", |set| format!("{column} IN {set}"))),
        Operator::NotIn => Ok(list(&values(field, given()?)?, "1", |set| {
            format!("({column} IS NULL OR {column} NOT IN {set})")
        })),
    }
}

/// A membership; `empty` is what holds for a list of nothing.
fn list(values: &[Value], empty: &str, text: impl Fn(String) -> String) -> SqlExpr {
    if values.is_empty() {
        return SqlExpr { text: empty.to_owned(), params: Vec::new() };
    }
    let marks = vec!["?"; values.len()].join(", ");
    SqlExpr { text: text(format!("({marks})")), params: values.to_vec() }
}

/// A pattern for `LIKE`, which ends at U+0000.
fn pattern(before: &str, text: &str, after: &str) -> Result<Value, QueryError> {
    plain(text).map(|_| Value::Text(format!("{before}{text}{after}")))
}

fn plain(text: &str) -> Result<Value, QueryError> {
    match text.contains('\0') {
        true => Err(invalid("a value cannot contain U+0000")),
        false => Ok(Value::Text(text.to_owned())),
    }
}

/// Makes the characters that `LIKE` gives a meaning ordinary ones.
fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, character| {
        if matches!(character, '%' | '_' | '\\') {
            out.push('\\');
        }
        out.push(character);
        out
    })
}

/// A list: JSON array if it starts with `[`, else separated by commas; empty text is the empty list.
fn values(field: &Field, text: &str) -> Result<Vec<Value>, QueryError> {
    let parts: Vec<String> = if text.starts_with('[') {
        let items: Vec<serde_json::Value> =
            serde_json::from_str(text).map_err(|_| invalid("the list is not a JSON array"))?;
        let part = |item: serde_json::Value| match item {
            serde_json::Value::String(text) => Ok(text),
            serde_json::Value::Number(_) | serde_json::Value::Bool(_) => Ok(item.to_string()),
            _ => Err(invalid("a list holds texts, numbers or truth values")),
        };
        items.into_iter().map(part).collect::<Result<_, _>>()?
    } else if text.is_empty() {
        Vec::new()
    } else {
        text.split(',').map(ToOwned::to_owned).collect()
    };
    if parts.len() > IN_VALUES_MAX {
        let message = format!("a list has at most {IN_VALUES_MAX} values");
        return Err(QueryError::new("filter", "too_many", message));
    }
    parts.iter().map(|part| typed(field, part)).collect()
}

/// A value in the stored form of its field.
fn typed(field: &Field, text: &str) -> Result<Value, QueryError> {
    let value = match &field.kind {
        FieldKind::Int => integer(text).map(Value::Integer),
        FieldKind::Float => float(text).map(Value::Real),
        FieldKind::Bool => match text {
            "true" => Ok(Value::Integer(1)),
            "false" => Ok(Value::Integer(0)),
            _ => Err(Fault::new("invalid_value", "must be true or false")),
        },
        // Not every text is an id, but comparing with one that is none finds nothing, which is right.
        FieldKind::Id | FieldKind::Select(_) | FieldKind::Email | FieldKind::Url => {
            let text =
                if field.kind == FieldKind::Email { text.to_ascii_lowercase() } else { text.to_owned() };
            return plain(&text);
        }
        kind => canonical_text(kind, text.to_owned()).map(Value::Text),
    };
    value.map_err(|fault| invalid(format!("the value for \"{}\" {}", field.name, fault.message)))
}
