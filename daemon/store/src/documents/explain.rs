//! How a list would be answered, for people who write rules.

use alyx_core::query::ListQuery;
use alyx_core::rules::RowFilter;
use alyx_core::schema::Collection;
use alyx_core::sql::column;
use alyx_core::value::Value;
use rusqlite::{Connection, params_from_iter};

use super::sql;
use crate::Error;
use crate::values::{Bound, bound};

/// A list's statement and what SQLite would do.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The statement, with one `?` per parameter.
    pub sql: String,
    /// The parameters, without limit and offset.
    pub params: Vec<Value>,
    /// Steps of the query plan, indented by what they belong to.
    pub steps: Vec<String>,
}

pub(super) fn explain(
    connection: &Connection,
    collection: &Collection,
    rule: &RowFilter,
    query: &ListQuery,
) -> Result<Plan, Error> {
    let Some(condition) = sql::rule(&rule.sql) else {
        return Ok(Plan { sql: String::new(), params: Vec::new(), steps: Vec::new() });
    };
    let after = query.after_expr();
    let conditions = condition.into_iter().chain(&query.filter).chain(&after).collect();
    let from = sql::From { collection, joins: &query.joins, conditions };
    let columns: Vec<String> = collection.fields.iter().map(|field| column(&field.name)).collect();
    let text = from.list(&columns, &query.sort);
    let params: Vec<Value> = from.params().cloned().collect();
    let bounds = [Value::Integer(i64::from(query.limit)), Value::Integer(0)];
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {text}"))?;
    let mut rows = statement.query(params_from_iter(bound(&params).chain(bounds.iter().map(Bound))))?;
    let mut depths = std::collections::HashMap::from([(0_i64, 0_usize)]);
    let mut steps = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, parent, step): (i64, i64, String) = (row.get(0)?, row.get(1)?, row.get(3)?);
        let depth = depths.get(&parent).copied().unwrap_or_default();
        depths.insert(id, depth + 1);
        steps.push(format!("{}{step}", "  ".repeat(depth)));
    }
    Ok(Plan { sql: text, params, steps })
}
