//! The order of a list: fields, values behind relations, and how well a document matches a search.

use super::QueryError;
use super::path::Path;
use super::reading::Reading;
use crate::limits::SORT_KEYS_MAX;
use crate::schema::{Field, FieldKind, SortOrder};
use crate::sql::{SqlExpr, column};
use crate::value::Value;

/// Alias of the table that tells which documents match a search: their rowid `k` and rank `v`.
pub const SEARCH_ALIAS: &str = "f";

/// One key of a sort. Nulls are the smallest, as in SQLite: first ascending, last descending.
#[derive(Clone, Debug, PartialEq)]
pub struct SortKey {
    /// As asked for: a field or a path.
    pub name: String,
    /// Place of the field, for a field of the collection itself.
    pub field: Option<usize>,
    /// SQL of the value.
    pub sql: String,
    /// Direction.
    pub order: SortOrder,
    /// Whether it may be null.
    pub nullable: bool,
    /// Form of its values.
    pub(super) form: Form,
}

/// The stored form of a sort key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Integer,
    Real,
    Text,
}

impl Form {
    fn of(kind: &FieldKind) -> Self {
        match kind {
            FieldKind::Int | FieldKind::Bool => Self::Integer,
            FieldKind::Float => Self::Real,
            _ => Self::Text,
        }
    }
}

/// Reads `sort`. Values behind relations come with the tables that `joins` gets.
pub(super) fn parse(
    reading: Reading<'_>,
    text: &str,
    joins: &mut Vec<SqlExpr>,
) -> Result<Vec<SortKey>, QueryError> {
    const PARAM: &str = "sort";
    let invalid = |message: String| QueryError::new(PARAM, "invalid_value", message);
    let mut keys: Vec<SortKey> = Vec::new();
    for part in text.split(',') {
        if keys.len() >= SORT_KEYS_MAX {
            return Err(QueryError::new(PARAM, "too_many", format!("at most {SORT_KEYS_MAX} sort keys")));
        }
        let (order, name) = match part.strip_prefix('-') {
            Some(name) => (SortOrder::Descending, name),
            None => (SortOrder::Ascending, part),
        };
        let path = Path::resolve(reading, PARAM, name)?;
        if path.inside.is_some() || path.field.kind == FieldKind::Blob || path.field.kind.is_json_text() {
            return Err(invalid(format!("the field \"{name}\" has no order")));
        }
        if keys.iter().any(|key| key.name == name) {
            return Err(invalid(format!("the field \"{name}\" stands in sort twice")));
        }
        keys.push(if path.hops.is_empty() {
            of_field(path.place, path.field, order)
        } else {
            let alias = format!("s{}", joins.len());
            joins.push(path.join(&alias));
            SortKey {
                name: name.to_owned(),
                field: None,
                sql: format!("{alias}.v"),
                order,
                nullable: true,
                form: Form::of(&path.field.kind),
            }
        });
    }
    Ok(complete(reading, keys))
}

/// Best matches first; equally good ones by their id.
pub(super) fn by_rank(reading: Reading<'_>) -> Vec<SortKey> {
    let rank = SortKey {
        name: "(rank)".to_owned(),
        field: None,
        sql: format!("{SEARCH_ALIAS}.v"),
        order: SortOrder::Ascending,
        nullable: false,
        form: Form::Real,
    };
    complete(reading, vec![rank])
}

/// Makes the order total: by the primary key, in the direction of the key before it, so that one
/// index serves both.
pub(super) fn complete(reading: Reading<'_>, mut keys: Vec<SortKey>) -> Vec<SortKey> {
    let (place, primary) = reading.collection().primary();
    if !keys.iter().any(|key| key.field == Some(place)) {
        let order = keys.last().map_or(SortOrder::Ascending, |key| key.order);
        keys.push(of_field(place, primary, order));
    }
    keys
}

fn of_field(place: usize, field: &Field, order: SortOrder) -> SortKey {
    SortKey {
        name: field.name.clone(),
        field: Some(place),
        sql: column(&field.name),
        order,
        nullable: field.nullable,
        form: Form::of(&field.kind),
    }
}

/// The condition that a document comes after one with the keys `last`.
pub(super) fn after(sort: &[SortKey], last: &[Value]) -> SqlExpr {
    let mut expr = SqlExpr::plain("");
    for (place, (key, value)) in sort.iter().zip(last).enumerate() {
        let Some(step) = key.beyond(value) else { continue };
        if !expr.text.is_empty() {
            expr.text.push_str(" OR ");
        }
        expr.text.push('(');
        for (key, value) in sort[..place].iter().zip(last) {
            expr.text.push_str(&format!("{} IS ? AND ", key.sql));
            expr.params.push(value.clone());
        }
        expr.text.push_str(&step.text);
        expr.text.push(')');
        expr.params.extend(step.params);
    }
    if expr.text.is_empty() {
        // Every key is a null at its end; the primary key is none, so this is not reached.
        expr.text.push('0');
    }
    match sort.iter().zip(last).next().and_then(|(key, value)| key.start(value)) {
        // Says the same again in a form by which an index is entered where the page begins.
        Some(start) if sort.len() > 1 => {
            let mut params = start.params;
            params.extend(expr.params);
            SqlExpr { text: format!("{} AND ({})", start.text, expr.text), params }
        }
        _ => expr,
    }
}

impl SortKey {
    /// The condition that a document comes after `value` by this key alone; `None` if none can.
    fn beyond(&self, value: &Value) -> Option<SqlExpr> {
        let sql = &self.sql;
        let (text, params) = match (self.order, value) {
            (SortOrder::Ascending, Value::Null) => (format!("{sql} IS NOT NULL"), Vec::new()),
            (SortOrder::Ascending, value) => (format!("{sql} > ?"), vec![value.clone()]),
            (SortOrder::Descending, Value::Null) => return None,
            (SortOrder::Descending, value) if self.nullable => {
                (format!("({sql} < ? OR {sql} IS NULL)"), vec![value.clone()])
            }
            (SortOrder::Descending, value) => (format!("{sql} < ?"), vec![value.clone()]),
        };
        Some(SqlExpr { text, params })
    }

    /// The condition that a document is not before `value` by this key, where one comparison says it.
    fn start(&self, value: &Value) -> Option<SqlExpr> {
        let sign = match (self.order, value) {
            (_, Value::Null) => return None,
            (SortOrder::Descending, _) if self.nullable => return None,
            (SortOrder::Ascending, _) => ">=",
            (SortOrder::Descending, _) => "<=",
        };
        Some(SqlExpr { text: format!("{} {sign} ?", self.sql), params: vec![value.clone()] })
    }
}
