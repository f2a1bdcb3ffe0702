//! `where=<JSON>`: conditions as an object.
//!
//! Members of an object are joined by *and*. A name is a path, with a value that it must equal or an
//! object of operators: `{"views": {"$gt": 10, "$lt": 20}, "author.name": "Ada", "cover": null}`. The
//! names `$or` and `$and` take lists of such objects, `$not` takes one. Numbers are compared exactly as
//! they were written.

use serde_json::value::RawValue;

use super::QueryError;
use super::filter::bounded;
use super::operand::Operand;
use super::path::Path;
use super::reading::Reading;
use super::test::{OPERATORS, Operator, build, negate};
use crate::document::members as json_members;
use crate::limits::{NAME_MAX_BYTES, TERMS_MAX, WHERE_DEPTH_MAX, WHERE_MAX_BYTES};
use crate::schema::FieldKind;
use crate::sql::SqlExpr;
use crate::value::Value;

const PARAM: &str = "where";

/// Reads a `where` for somebody who may read the collection; what it selects is still subject to the
/// list rule, [`Reading::rule`].
///
/// # Errors
/// See [`QueryError`]; the first problem is reported.
pub fn parse_where(reading: Reading<'_>, text: &str) -> Result<SqlExpr, QueryError> {
    parse(reading, text, &mut 0)
}

/// A field and a value that every document has which a `where` selects, if its outermost conditions name
/// one. The text has been read by [`parse_where`].
#[must_use]
pub fn where_term(reading: Reading<'_>, text: &str) -> Option<(usize, Value)> {
    let members = json_members(text.as_bytes()).ok()?;
    members.iter().find_map(|(name, raw)| {
        let (place, field) = reading.field(name)?;
        let raw = raw.get().trim();
        let exact = !matches!(
            field.kind,
            FieldKind::Float
                | FieldKind::RichText(_)
                | FieldKind::Timestamp
                | FieldKind::Json
                | FieldKind::Blob
        );
        if !exact || raw == "null" || raw.starts_with(['{', '[']) {
            return None;
        }
        Some((place, Operand::Json(raw.to_owned()).typed(PARAM, field).ok()?))
    })
}

/// The same, counting the conditions.
pub(super) fn parse(reading: Reading<'_>, text: &str, terms: &mut usize) -> Result<SqlExpr, QueryError> {
    if text.len() > WHERE_MAX_BYTES {
        return Err(too_many(format!("where has at most {WHERE_MAX_BYTES} bytes")));
    }
    Parser { reading, terms, depth: 0 }.object(text)
}

fn invalid(message: impl Into<String>) -> QueryError {
    QueryError::new(PARAM, "invalid_value", message)
}

fn too_many(message: impl Into<String>) -> QueryError {
    QueryError::new(PARAM, "too_many", message)
}

struct Parser<'a, 't> {
    reading: Reading<'a>,
    terms: &'t mut usize,
    depth: usize,
}

impl Parser<'_, '_> {
    fn object(&mut self, raw: &str) -> Result<SqlExpr, QueryError> {
        if self.depth == WHERE_DEPTH_MAX {
            return Err(too_many(format!("where is nested at most {WHERE_DEPTH_MAX} levels")));
        }
        self.depth += 1;
        let members = json_members(raw.as_bytes())
            .map_err(|error| invalid(format!("where must be a JSON object of conditions: {error}")))?;
        let conditions = members
            .iter()
            .map(|(name, value)| self.member(name, value.get().trim()))
            .collect::<Result<Vec<_>, _>>()?;
        self.depth -= 1;
        Ok(join(conditions, " AND ", "1"))
    }

    fn member(&mut self, name: &str, raw: &str) -> Result<SqlExpr, QueryError> {
        match name {
            "$and" => Ok(join(self.objects(name, raw)?, " AND ", "1")),
            "$or" => Ok(join(self.objects(name, raw)?, " OR ", "0")),
            "$not" => Ok(negate(self.object(raw)?)),
            _ if name.starts_with('$') => {
                let shown: String = name.chars().take(NAME_MAX_BYTES).collect();
                let message =
                    format!("there is no {shown} here; known are $and, $or, $not and paths of fields");
                Err(QueryError::new(PARAM, "unknown_operator", message))
            }
            path if raw.starts_with('{') => self.operators(path, raw),
            path => self.test(path, "eq", raw),
        }
    }

    fn objects(&mut self, name: &str, raw: &str) -> Result<Vec<SqlExpr>, QueryError> {
        let items: Vec<&RawValue> =
            serde_json::from_str(raw).map_err(|_| invalid(format!("{name} takes a list of objects")))?;
        items.iter().map(|item| self.object(item.get().trim())).collect()
    }

    /// `{"$gt": 1, "$lt": 5}`: all must hold of the same path.
    fn operators(&mut self, path: &str, raw: &str) -> Result<SqlExpr, QueryError> {
        let members = json_members(raw.as_bytes())
            .map_err(|error| invalid(format!("where must be a JSON object of conditions: {error}")))?;
        // The name is looked at even where nothing is asked of it.
        Path::resolve(self.reading, PARAM, path)?;
        let test = |(name, value): &(String, &RawValue)| match name.strip_prefix('$') {
            Some(word) => self.test(path, word, value.get().trim()),
            None => Err(unknown_operator(name)),
        };
        let conditions = members.iter().map(test).collect::<Result<Vec<_>, _>>()?;
        if conditions.is_empty() {
            return Err(invalid(format!("there is no operator for \"{}\"", shown(path))));
        }
        Ok(join(conditions, " AND ", "1"))
    }

    fn test(&mut self, path: &str, word: &str, raw: &str) -> Result<SqlExpr, QueryError> {
        *self.terms += 1;
        if *self.terms > TERMS_MAX {
            return Err(too_many(format!("at most {TERMS_MAX} conditions")));
        }
        Path::resolve(self.reading, PARAM, path)?;
        let null = |wanted: bool| if wanted { Operator::IsNull } else { Operator::NotNull };
        let (operator, operands) = match (word, raw) {
            ("null", "true") | ("eq", "null") => (null(true), Vec::new()),
            ("null", "false") | ("ne", "null") => (null(false), Vec::new()),
            ("null", _) => return Err(invalid("$null takes true or false")),
            ("in" | "nin", _) => (if word == "in" { Operator::In } else { Operator::NotIn }, list(raw)?),
            ("is_null" | "not_null", _) => return Err(unknown_operator(&format!("${word}"))),
            _ => {
                let operator = Operator::of(word).ok_or_else(|| unknown_operator(&format!("${word}")))?;
                if raw == "null" {
                    return Err(invalid("only $eq, $ne and $null can be asked about null"));
                }
                (operator, vec![Operand::Json(raw.to_owned())])
            }
        };
        build(self.reading, PARAM, path, operator, &operands)
    }
}

fn list(raw: &str) -> Result<Vec<Operand>, QueryError> {
    let items: Vec<&RawValue> =
        serde_json::from_str(raw).map_err(|_| invalid("$in and $nin take a list of values"))?;
    bounded(PARAM, items.len())?;
    let operand = |item: &&RawValue| match item.get().as_bytes()[0] {
        b'{' | b'[' | b'n' => Err(invalid("a list holds texts, numbers or truth values")),
        _ => Ok(Operand::Json(item.get().to_owned())),
    };
    items.iter().map(operand).collect()
}

fn unknown_operator(name: &str) -> QueryError {
    let known: Vec<String> = OPERATORS
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !name.ends_with("_null"))
        .chain(["null"])
        .map(|name| format!("${name}"))
        .collect();
    let message = format!("there is no operator \"{}\"; known are {}", shown(name), known.join(", "));
    QueryError::new(PARAM, "unknown_operator", message)
}

fn shown(name: &str) -> String {
    name.chars().take(NAME_MAX_BYTES).collect()
}

fn join(conditions: Vec<SqlExpr>, sign: &str, empty: &str) -> SqlExpr {
    let mut conditions = conditions.into_iter();
    let Some(first) = conditions.next() else { return SqlExpr::plain(empty) };
    let Some(second) = conditions.next() else { return first };
    let mut joined = SqlExpr { text: format!("({})", first.text), params: first.params };
    for condition in std::iter::once(second).chain(conditions) {
        joined.text.push_str(&format!("{sign}({})", condition.text));
        joined.params.extend(condition.params);
    }
    joined
}
