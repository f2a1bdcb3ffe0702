//! The parameters of a list, one by one.

use super::{ListQuery, QueryError, SortKey, cursor, filter};
use crate::limits::{
    FILTERS_MAX, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX, LIST_OFFSET_MAX, NAME_MAX_BYTES, SORT_KEYS_MAX,
};
use crate::rules::Sight;
use crate::schema::{Collection, Field, FieldKind, SortOrder};

/// Reads the query parameters of a list, decoded, in order of the request. `filter` may be repeated,
/// nothing else.
///
/// # Errors
/// See [`QueryError`]; the first problem is reported.
pub fn parse_list(
    collection: &Collection,
    params: &[(String, String)],
    sight: &Sight,
) -> Result<ListQuery, QueryError> {
    let given = Given::read(params)?;
    let filter = filter::parse(collection, &given.filters, sight)?;
    let sort = match given.sort {
        Some(text) => parse_sort(collection, text, sight)?,
        None => complete(collection, Vec::new()),
    };
    let limit = given.limit.map_or(Ok(u64::from(LIST_LIMIT_DEFAULT)), |text| {
        parse_number("limit", text, 1, u64::from(LIST_LIMIT_MAX))
    })?;
    let offset = given.offset.map_or(Ok(0), |text| parse_number("offset", text, 0, LIST_OFFSET_MAX))?;
    let count = match given.count {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(QueryError::new("count", "invalid_value", "count is true or false")),
    };
    let fields = given.fields.map(|text| parse_fields(collection, text, sight)).transpose()?;
    let fingerprint = cursor::fingerprint(collection, filter.as_ref(), &sort);
    let after = given.cursor.map(|text| cursor::decode(text, fingerprint, &sort, collection)).transpose()?;
    if after.is_some() && given.offset.is_some() {
        return Err(QueryError::new("offset", "invalid_value", "offset and cursor exclude each other"));
    }
    // Bounded above, so it fits.
    let limit = u32::try_from(limit).unwrap_or(LIST_LIMIT_MAX);
    Ok(ListQuery { filter, sort, limit, offset, after, count, fields, fingerprint })
}

/// Parameters by name.
#[derive(Default)]
struct Given<'p> {
    filters: Vec<&'p str>,
    sort: Option<&'p str>,
    limit: Option<&'p str>,
    offset: Option<&'p str>,
    cursor: Option<&'p str>,
    count: Option<&'p str>,
    fields: Option<&'p str>,
}

impl<'p> Given<'p> {
    fn read(params: &'p [(String, String)]) -> Result<Self, QueryError> {
        let mut given = Self::default();
        for (name, value) in params {
            let slot = match name.as_str() {
                "filter" if given.filters.len() < FILTERS_MAX => {
                    given.filters.push(value);
                    continue;
                }
                "filter" => {
                    let message = format!("at most {FILTERS_MAX} filters");
                    return Err(QueryError::new("filter", "too_many", message));
                }
                "sort" => &mut given.sort,
                "limit" => &mut given.limit,
                "offset" => &mut given.offset,
                "cursor" => &mut given.cursor,
                "count" => &mut given.count,
                "fields" => &mut given.fields,
                other => {
                    let shown: String = other.chars().take(NAME_MAX_BYTES).collect();
                    let message = format!(
                        "there is no parameter \"{shown}\"; known are filter, sort, limit, offset, cursor, count, fields"
                    );
                    return Err(QueryError::new(&shown, "unknown_parameter", message));
                }
            };
            if slot.replace(value).is_some() {
                let message = format!("{name} may be given once");
                return Err(QueryError::new(name, "duplicate_parameter", message));
            }
        }
        Ok(given)
    }
}

/// A field that may be asked about. The error is the same for all that may not.
pub(super) fn resolve<'c>(
    collection: &'c Collection,
    param: &str,
    name: &str,
    sight: &Sight,
) -> Result<(usize, &'c Field), QueryError> {
    collection
        .field(name)
        .filter(|(place, field)| sight.may_ask(*place, field))
        .ok_or_else(|| unknown(param, name))
}

/// The same for a field that is to be returned.
fn select<'c>(
    collection: &'c Collection,
    name: &str,
    sight: &Sight,
) -> Result<(usize, &'c Field), QueryError> {
    let found = collection.field(name).filter(|(place, field)| sight.may_select(*place, field));
    found.ok_or_else(|| unknown("fields", name))
}

fn unknown(param: &str, name: &str) -> QueryError {
    let shown: String = name.chars().take(NAME_MAX_BYTES).collect();
    QueryError::new(param, "unknown_field", format!("there is no field \"{shown}\""))
}

fn parse_number(param: &str, text: &str, min: u64, max: u64) -> Result<u64, QueryError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| digits && (min..=max).contains(number));
    number.ok_or_else(|| {
        QueryError::new(param, "invalid_value", format!("{param} is a whole number from {min} to {max}"))
    })
}

fn parse_sort(collection: &Collection, text: &str, sight: &Sight) -> Result<Vec<SortKey>, QueryError> {
    let mut keys: Vec<SortKey> = Vec::new();
    for part in text.split(',') {
        if keys.len() >= SORT_KEYS_MAX {
            return Err(QueryError::new("sort", "too_many", format!("at most {SORT_KEYS_MAX} sort keys")));
        }
        let (order, name) = match part.strip_prefix('-') {
            Some(name) => (SortOrder::Descending, name),
            None => (SortOrder::Ascending, part),
        };
        let (place, field) = resolve(collection, "sort", name, sight)?;
        if field.kind == FieldKind::Blob || field.kind.is_json_text() {
            let message = format!("the field \"{name}\" has no order");
            return Err(QueryError::new("sort", "invalid_value", message));
        }
        if keys.iter().any(|key| key.field == place) {
            let message = format!("the field \"{name}\" stands in sort twice");
            return Err(QueryError::new("sort", "invalid_value", message));
        }
        keys.push(sort_key(place, field, order));
    }
    Ok(complete(collection, keys))
}

fn sort_key(place: usize, field: &Field, order: SortOrder) -> SortKey {
    SortKey { field: place, name: field.name.clone(), order, nullable: field.nullable }
}

/// Makes the order total: by the primary key, in the direction of the key before it, so that one
/// index serves both.
fn complete(collection: &Collection, mut keys: Vec<SortKey>) -> Vec<SortKey> {
    let (place, primary) = collection.primary();
    if !keys.iter().any(|key| key.field == place) {
        let order = keys.last().map_or(SortOrder::Ascending, |key| key.order);
        keys.push(sort_key(place, primary, order));
    }
    keys
}

fn parse_fields(collection: &Collection, text: &str, sight: &Sight) -> Result<Vec<usize>, QueryError> {
    let mut places = Vec::new();
    for name in text.split(',') {
        let (place, _) = select(collection, name, sight)?;
        if places.contains(&place) {
            let message = format!("the field \"{name}\" stands in fields twice");
            return Err(QueryError::new("fields", "invalid_value", message));
        }
        places.push(place);
    }
    places.sort_unstable();
    Ok(places)
}
