//! `GET …/aggregate`: counts, sums, averages, smallest and largest values, by groups.

use super::QueryError;
use super::params::{Given, conditions, limit, offset};
use super::reading::Reading;
use super::search;
use crate::limits::AGGREGATES_MAX;
use crate::schema::FieldKind;
use crate::sql::{SqlExpr, SqlPredicate};

/// Names of the parameters of an aggregate.
const AGGREGATE: &[&str] =
    &["filter", "where", "search", "count", "sum", "avg", "min", "max", "group", "limit", "offset", "page"];

/// What an aggregate asks for, and which documents it may see.
#[derive(Clone, Debug, PartialEq)]
pub struct AggregateQuery {
    /// Which documents are shown: the list rule.
    pub rule: SqlPredicate,
    /// All filters, joined by `AND`.
    pub filter: Option<SqlExpr>,
    /// The table of a search, if there is one.
    pub joins: Vec<SqlExpr>,
    /// Whether the number of documents of each group is wanted.
    pub count: bool,
    /// What is calculated of which field.
    pub values: Vec<Aggregate>,
    /// Places of the fields whose values make the groups; none: all documents are one group.
    pub group: Vec<usize>,
    /// Groups at most, 1..=[`LIST_LIMIT_MAX`](crate::limits::LIST_LIMIT_MAX).
    pub limit: u32,
    /// Groups to skip.
    pub offset: u64,
}

/// One calculation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aggregate {
    /// What is calculated.
    pub function: Function,
    /// Place of the field.
    pub field: usize,
}

/// What can be calculated. Nulls do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// Sum of numbers, exact for `int`; 0 of nothing.
    Sum,
    /// Mean of numbers; null of nothing.
    Avg,
    /// Smallest value; null of nothing.
    Min,
    /// Largest value; null of nothing.
    Max,
}

impl Function {
    /// Name of its parameter and in the answer.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
        }
    }

    fn applies(self, kind: &FieldKind) -> bool {
        match self {
            Self::Sum | Self::Avg => matches!(kind, FieldKind::Int | FieldKind::Float),
            Self::Min | Self::Max => has_order(kind),
        }
    }
}

fn has_order(kind: &FieldKind) -> bool {
    *kind != FieldKind::Blob && !kind.is_json_text()
}

/// Reads the query parameters of an aggregate. Without `sum`, `avg`, `min` and `max` it counts.
///
/// # Errors
/// See [`QueryError`]; the first problem is reported.
pub fn parse_aggregate(
    reading: Reading<'_>,
    params: &[(String, String)],
) -> Result<AggregateQuery, QueryError> {
    let given = Given::read(params, AGGREGATE)?;
    let filter = conditions(reading, &given)?;
    let search = given.get("search").map(|text| search::parse(reading, text)).transpose()?;
    let joins = search.iter().map(|search| search.join(reading.collection())).collect();
    let mut values = Vec::new();
    for function in [Function::Sum, Function::Avg, Function::Min, Function::Max] {
        let param = function.as_str();
        for place in places(reading, &given, param, |kind| function.applies(kind))? {
            values.push(Aggregate { function, field: place });
        }
    }
    let group = places(reading, &given, "group", has_order)?;
    if values.len() + group.len() > AGGREGATES_MAX {
        let message = format!("at most {AGGREGATES_MAX} fields");
        return Err(QueryError::new("group", "too_many", message));
    }
    let count = given.flag("count")? || (values.is_empty() && given.get("count").is_none());
    if !count && values.is_empty() {
        let message = "nothing is asked for; name fields in sum, avg, min or max";
        return Err(QueryError::new("count", "invalid_value", message));
    }
    let limit = limit(&given)?;
    let offset = offset(&given, limit)?;
    let rule = reading.sql_rule("group")?;
    Ok(AggregateQuery { rule, filter, joins, count, values, group, limit, offset })
}

fn places(
    reading: Reading<'_>,
    given: &Given<'_>,
    param: &str,
    applies: impl Fn(&FieldKind) -> bool,
) -> Result<Vec<usize>, QueryError> {
    let mut places = Vec::new();
    for name in given.get(param).into_iter().flat_map(|text| text.split(',')) {
        let (place, field) = reading.resolve(param, name)?;
        if !applies(&field.kind) {
            let message =
                format!("{param} does not apply to \"{name}\", which is of type {}", field.kind.as_str());
            return Err(QueryError::new(param, "unsupported_operator", message));
        }
        if places.contains(&place) {
            let message = format!("the field \"{name}\" stands in {param} twice");
            return Err(QueryError::new(param, "invalid_value", message));
        }
        places.push(place);
    }
    Ok(places)
}
