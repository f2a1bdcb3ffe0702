//! What a question means, by the words of `docs/queries.md`, over documents in memory. Nothing here
//! knows SQL.

use std::cmp::Ordering;

use serde_json::Value as Json;

use super::documents::World;

/// A document as it was sent.
pub struct Row {
    pub body: Json,
    /// The same as text; it has spellings that a parsed value does not keep.
    pub text: String,
}

/// What a path leads to.
#[derive(Clone, Debug)]
pub enum Found {
    /// The value of a field; null where there is none.
    Field(Json),
    /// Something inside a `json` field; `None` where there is nothing.
    Inside(Option<Json>),
}

/// A value to compare with.
#[derive(Clone, Debug)]
pub enum Operand {
    Text(String),
    /// As it is written.
    Number(String),
    Bool(bool),
}

/// A condition.
#[derive(Clone, Debug)]
pub enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Test { path: String, operator: &'static str, operands: Vec<Operand> },
}

impl Row {
    pub fn new(mut body: Json, anything: &str, value: &str) -> Self {
        let text = body.to_string();
        let text = format!("{},\"{anything}\":{value}}}", text.strip_suffix('}').unwrap());
        body[anything] = serde_json::from_str(value).unwrap();
        Self { body, text }
    }
}

impl Condition {
    pub fn holds(&self, world: &World, row: &Row) -> bool {
        match self {
            Self::All(all) => all.iter().all(|one| one.holds(world, row)),
            Self::Any(any) => any.iter().any(|one| one.holds(world, row)),
            Self::Not(one) => !one.holds(world, row),
            Self::Test { path, operator, operands } => test(&find(world, row, path), operator, operands),
        }
    }
}

/// Follows a path. What is not shown is not there.
pub fn find(world: &World, row: &Row, path: &str) -> Found {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let value = &row.body[name];
    match (name, rest) {
        (_, None) => Found::Field(value.clone()),
        ("j" | "info", Some(rest)) => Found::Inside(inside(value, rest).cloned()),
        (_, Some(rest)) => {
            let other = value.as_str().and_then(|id| world.people.get(id));
            match other.filter(|other| other.body["shown"] == true) {
                Some(other) => find(world, other, rest),
                None if rest.contains("info.") => Found::Inside(None),
                None => Found::Field(Json::Null),
            }
        }
    }
}

fn inside<'v>(value: &'v Json, path: &str) -> Option<&'v Json> {
    path.split('.').try_fold(value, |value, segment| match segment.parse::<usize>() {
        Ok(place) => value.as_array()?.get(place),
        Err(_) => value.as_object()?.get(segment),
    })
}

fn test(found: &Found, operator: &str, operands: &[Operand]) -> bool {
    let null = matches!(found, Found::Field(Json::Null) | Found::Inside(None | Some(Json::Null)));
    let value = match found {
        Found::Field(value) | Found::Inside(Some(value)) => value,
        Found::Inside(None) => &Json::Null,
    };
    let equal = |operand: &Operand| compare(value, operand) == Some(Ordering::Equal);
    let order = || compare(value, &operands[0]).filter(|_| !matches!(operands[0], Operand::Bool(_)));
    let text = |test: fn(&str, &str) -> bool| match (value, &operands[0]) {
        (Json::String(text), Operand::Text(part)) => test(&fold(text), &fold(part)),
        _ => false,
    };
    match operator {
        "is_null" => null,
        "not_null" => !null,
        "eq" => equal(&operands[0]),
        "ne" => !equal(&operands[0]),
        "in" => operands.iter().any(equal),
        "nin" => !operands.iter().any(equal),
        "gt" => order().is_some_and(Ordering::is_gt),
        "gte" => order().is_some_and(Ordering::is_ge),
        "lt" => order().is_some_and(Ordering::is_lt),
        "lte" => order().is_some_and(Ordering::is_le),
        "starts" => text(|text, part| text.starts_with(part)),
        "like" => text(like),
        "contains" => match value {
            Json::Array(items) => {
                items.iter().any(|item| compare(item, &operands[0]) == Some(Ordering::Equal))
            }
            _ => text(|text, part| text.contains(part)),
        },
        other => panic!("{other}"),
    }
}

/// Values of different types have no order and are not equal.
fn compare(value: &Json, operand: &Operand) -> Option<Ordering> {
    match (value, operand) {
        (Json::String(value), Operand::Text(other)) => Some(value.as_bytes().cmp(other.as_bytes())),
        (Json::Bool(value), Operand::Bool(other)) => Some(value.cmp(other)),
        (Json::Number(_), Operand::Number(other)) => {
            // `1.0` is the integer 1, also where a double would round it.
            let whole = other.strip_suffix(".0").unwrap_or(other);
            numbers(value, &serde_json::from_str(whole).unwrap()).into()
        }
        _ => None,
    }
}

/// The order of two values of one field; null is the smallest.
pub fn sorted(a: &Json, b: &Json) -> Ordering {
    match (a, b) {
        (Json::Null, Json::Null) => Ordering::Equal,
        (Json::Null, _) => Ordering::Less,
        (_, Json::Null) => Ordering::Greater,
        (Json::String(a), Json::String(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Json::Bool(a), Json::Bool(b)) => a.cmp(b),
        _ => numbers(a, b),
    }
}

/// Exact, also between integers and doubles.
fn numbers(a: &Json, b: &Json) -> Ordering {
    match (a.as_i64(), b.as_i64()) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(a), None) => integer_and_double(a, b.as_f64().unwrap()),
        (None, Some(b)) => integer_and_double(b, a.as_f64().unwrap()).reverse(),
        (None, None) => a.as_f64().unwrap().partial_cmp(&b.as_f64().unwrap()).unwrap(),
    }
}

fn integer_and_double(a: i64, b: f64) -> Ordering {
    // The cast saturates far beyond every i64.
    let whole = b.floor();
    i128::from(a).cmp(&(whole as i128)).then(if b > whole { Ordering::Less } else { Ordering::Equal })
}

fn fold(text: &str) -> String {
    text.to_ascii_lowercase()
}

fn like(text: &str, pattern: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => text.is_empty(),
        Some('%') => {
            let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.into_iter().any(|at| like(&text[at..], rest.as_str()))
        }
        Some('_') => text.chars().next().is_some_and(|first| like(&text[first.len_utf8()..], rest.as_str())),
        // With nothing behind it the backslash stands for nothing that a text could have.
        Some('\\') => rest
            .next()
            .is_some_and(|plain| text.strip_prefix(plain).is_some_and(|text| like(text, rest.as_str()))),
        Some(plain) => text.strip_prefix(plain).is_some_and(|text| like(text, rest.as_str())),
    }
}

/// Whether a document has all words and phrases of a search in its searched fields.
pub fn matches(row: &Row, terms: &[(String, bool)]) -> bool {
    let fields: Vec<Vec<String>> =
        ["s", "t"].iter().map(|name| tokens(row.body[name].as_str().unwrap_or_default())).collect();
    terms.iter().all(|(term, prefix)| {
        let phrase = tokens(term);
        let last = phrase.len() - 1;
        let here = |window: &[String]| {
            window[..last] == phrase[..last]
                && if *prefix {
                    window[last].starts_with(&phrase[last])
                } else {
                    window[last] == phrase[last]
                }
        };
        fields.iter().any(|field| field.windows(phrase.len()).any(here))
    })
}

/// Words in lower case without accents.
fn tokens(text: &str) -> Vec<String> {
    let plain: String = text
        .chars()
        .filter(|letter| *letter != '\u{301}')
        .map(|letter| match letter {
            'é' | 'É' => 'e',
            'ï' => 'i',
            // The sign of Kelvin.
            '\u{212a}' => 'k',
            other => other.to_ascii_lowercase(),
        })
        .collect();
    plain
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}
