//! The parameters of a list, one by one.

use super::expand::{self, Expand};
use super::reading::{Reading, unknown_field};
use super::{ListQuery, QueryError, condition, cursor, filter, search, sort};
use crate::limits::{
    CONDITION_VALUES_MAX, FILTERS_MAX, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX, LIST_OFFSET_MAX, NAME_MAX_BYTES,
    TERMS_MAX,
};
use crate::sql::SqlExpr;

/// Names of the parameters of a list.
const LIST: &[&str] =
    &["filter", "where", "search", "sort", "limit", "offset", "page", "cursor", "count", "fields", "expand"];

/// Reads the query parameters of a list, decoded, in order of the request. `filter` may be repeated,
/// nothing else.
///
/// # Errors
/// See [`QueryError`]; the first problem is reported.
pub fn parse_list(reading: Reading<'_>, params: &[(String, String)]) -> Result<ListQuery, QueryError> {
    let given = Given::read(params, LIST)?;
    let filter = conditions(reading, &given)?;
    let search = given.get("search").map(|text| search::parse(reading, text)).transpose()?;
    let mut joins: Vec<SqlExpr> = search.iter().map(|search| search.join(reading.collection())).collect();
    let sort = match (given.get("sort"), &search) {
        (Some(text), _) => sort::parse(reading, text, &mut joins)?,
        (None, Some(_)) => sort::by_rank(reading),
        (None, None) => sort::complete(reading, Vec::new()),
    };
    let limit = limit(&given)?;
    let offset = offset(&given, limit)?;
    let count = given.flag("count")?;
    let fields = given.get("fields").map(|text| parse_fields(reading, text)).transpose()?;
    let expand = given.get("expand").map_or(Ok(Vec::new()), |text| expand::parse(reading, text))?;
    let fingerprint = cursor::fingerprint(reading.collection(), filter.as_ref(), search.as_ref(), &sort);
    let after = given.get("cursor").map(|text| cursor::decode(text, fingerprint, &sort)).transpose()?;
    if after.is_some()
        && let Some(other) = ["offset", "page"].into_iter().find(|name| given.get(name).is_some())
    {
        let message = format!("{other} and cursor exclude each other");
        return Err(QueryError::new(other, "invalid_value", message));
    }
    Ok(ListQuery {
        rule: reading.rule(),
        filter,
        search,
        joins,
        sort,
        limit,
        offset,
        after,
        count,
        fields,
        expand,
        sight: reading.sight(),
        fingerprint,
    })
}

/// What is shown of one document.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Places of the wanted fields in order of the schema; `None`: all.
    pub fields: Option<Vec<usize>>,
    /// Related documents.
    pub expand: Vec<Expand>,
}

/// Reads the query parameters of a get: `fields` and `expand`.
///
/// # Errors
/// See [`QueryError`]; the first problem is reported.
pub fn parse_get(reading: Reading<'_>, params: &[(String, String)]) -> Result<Shown, QueryError> {
    let given = Given::read(params, &["fields", "expand"])?;
    Ok(Shown {
        fields: given.get("fields").map(|text| parse_fields(reading, text)).transpose()?,
        expand: given.get("expand").map_or(Ok(Vec::new()), |text| expand::parse(reading, text))?,
    })
}

/// All of `filter` and `where`.
pub(super) fn conditions(reading: Reading<'_>, given: &Given<'_>) -> Result<Option<SqlExpr>, QueryError> {
    let mut all =
        given.filters.iter().map(|filter| filter::parse(reading, filter)).collect::<Result<Vec<_>, _>>()?;
    let mut terms = all.len();
    if let Some(text) = given.get("where") {
        let expr = condition::parse(reading, text, &mut terms)?;
        all.push(if all.is_empty() { expr } else { SqlExpr { text: format!("({})", expr.text), ..expr } });
    }
    let too_many = |message: String| Err(QueryError::new("where", "too_many", message));
    if terms > TERMS_MAX {
        return too_many(format!("at most {TERMS_MAX} conditions"));
    }
    let joined = all.into_iter().reduce(|mut joined, expr| {
        joined.text = format!("{} AND {}", joined.text, expr.text);
        joined.params.extend(expr.params);
        joined
    });
    if joined.as_ref().is_some_and(|joined| joined.params.len() > CONDITION_VALUES_MAX) {
        return too_many(format!("at most {CONDITION_VALUES_MAX} values"));
    }
    Ok(joined)
}

/// Parameters by name.
pub(super) struct Given<'p> {
    filters: Vec<&'p str>,
    others: Vec<(&'p str, &'p str)>,
}

impl<'p> Given<'p> {
    pub(super) fn read(params: &'p [(String, String)], known: &[&str]) -> Result<Self, QueryError> {
        let mut given = Self { filters: Vec::new(), others: Vec::new() };
        for (name, value) in params {
            if !known.contains(&name.as_str()) {
                let shown: String = name.chars().take(NAME_MAX_BYTES).collect();
                let message = format!("there is no parameter \"{shown}\"; known are {}", known.join(", "));
                return Err(QueryError::new(&shown, "unknown_parameter", message));
            }
            if name == "filter" {
                if given.filters.len() == FILTERS_MAX {
                    let message = format!("at most {FILTERS_MAX} filters");
                    return Err(QueryError::new("filter", "too_many", message));
                }
                given.filters.push(value);
            } else if given.get(name).is_some() {
                let message = format!("{name} may be given once");
                return Err(QueryError::new(name, "duplicate_parameter", message));
            } else {
                given.others.push((name, value));
            }
        }
        Ok(given)
    }

    pub(super) fn get(&self, name: &str) -> Option<&'p str> {
        self.others.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, QueryError> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(QueryError::new(name, "invalid_value", format!("{name} is true or false"))),
        }
    }

    pub(super) fn number(&self, name: &str, min: u64, max: u64) -> Result<Option<u64>, QueryError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|number| digits && (min..=max).contains(number));
        number.map(Some).ok_or_else(|| {
            let message = format!("{name} is a whole number from {min} to {max}");
            QueryError::new(name, "invalid_value", message)
        })
    }
}

pub(super) fn limit(given: &Given<'_>) -> Result<u32, QueryError> {
    let limit = given.number("limit", 1, u64::from(LIST_LIMIT_MAX))?;
    // Bounded above, so it fits.
    Ok(limit.map_or(LIST_LIMIT_DEFAULT, |limit| u32::try_from(limit).unwrap_or(LIST_LIMIT_MAX)))
}

/// `offset`, or what `page` (from 1) comes to.
pub(super) fn offset(given: &Given<'_>, limit: u32) -> Result<u64, QueryError> {
    let offset = given.number("offset", 0, LIST_OFFSET_MAX)?;
    let pages = LIST_OFFSET_MAX / u64::from(limit) + 1;
    match (offset, given.number("page", 1, pages)?) {
        (Some(_), Some(_)) => {
            Err(QueryError::new("page", "invalid_value", "page and offset exclude each other"))
        }
        (Some(offset), None) => Ok(offset),
        (None, page) => Ok((page.unwrap_or(1) - 1) * u64::from(limit)),
    }
}

fn parse_fields(reading: Reading<'_>, text: &str) -> Result<Vec<usize>, QueryError> {
    let mut places = Vec::new();
    for name in text.split(',') {
        let (place, _) = reading.shown_field(name).ok_or_else(|| unknown_field("fields", name))?;
        if places.contains(&place) {
            let message = format!("the field \"{name}\" stands in fields twice");
            return Err(QueryError::new("fields", "invalid_value", message));
        }
        places.push(place);
    }
    places.sort_unstable();
    Ok(places)
}
