//! Counts, sums and the like over the documents that somebody may see.

use alyx_core::document::write_value;
use alyx_core::query::{Aggregate, AggregateQuery, Function};
use alyx_core::schema::{Collection, FieldKind};
use alyx_core::sql::{SqlExpr, column};
use alyx_core::value::{Value, ValueRef};
use rusqlite::{Connection, Row, params_from_iter};

use super::sql;
use crate::Error;
use crate::values::{self, Bound};

/// A page of groups.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AggregatePage {
    /// A JSON array of groups, in order of the values that make them.
    pub groups_json: Vec<u8>,
    /// Whether there are more.
    pub more: bool,
}

pub(super) fn aggregate(
    connection: &Connection,
    collection: &Collection,
    query: &AggregateQuery,
) -> Result<AggregatePage, Error> {
    let never = SqlExpr::plain("0");
    let rule = sql::rule(&query.rule).unwrap_or(Some(&never));
    let from = sql::From {
        collection,
        joins: &query.joins,
        conditions: rule.into_iter().chain(&query.filter).collect(),
    };
    let groups: Vec<String> =
        query.group.iter().map(|field| column(&collection.fields[*field].name)).collect();
    let mut columns = groups.clone();
    columns.push("count(*)".to_owned());
    columns.extend(query.values.iter().flat_map(|value| calculation(collection, *value)));
    let mut text = format!("SELECT {} FROM ", columns.join(", "));
    from.push(&mut text);
    if !groups.is_empty() {
        text.push_str(&format!(" GROUP BY {0} ORDER BY {0}", groups.join(", ")));
    }
    text.push_str(" LIMIT ? OFFSET ?");
    let bounds = [
        Value::Integer(i64::from(query.limit) + 1),
        Value::Integer(i64::try_from(query.offset).unwrap_or(i64::MAX)),
    ];
    let mut statement = connection.prepare_cached(&text)?;
    let mut rows = statement.query(params_from_iter(from.params().chain(&bounds).map(Bound)))?;
    let (mut page, mut count) = (AggregatePage { groups_json: vec![b'['], more: false }, 0);
    while let Some(row) = rows.next()? {
        if count == query.limit {
            page.more = true;
            break;
        }
        if count > 0 {
            page.groups_json.push(b',');
        }
        write(&mut page.groups_json, collection, query, row)?;
        count += 1;
    }
    page.groups_json.push(b']');
    Ok(page)
}

/// The columns of one calculation. SQLite's sum of integers fails when it leaves 64 bits, so the upper
/// and the lower halves are summed by themselves, which no table is long enough to overflow.
fn calculation(collection: &Collection, value: Aggregate) -> Vec<String> {
    let field = &collection.fields[value.field];
    let column = column(&field.name);
    match value.function {
        Function::Sum if field.kind == FieldKind::Int => {
            vec![format!("sum({column} >> 32)"), format!("sum({column} & 4294967295)")]
        }
        Function::Sum => vec![format!("total({column})")],
        Function::Avg => vec![format!("avg({column})")],
        Function::Min => vec![format!("min({column})")],
        Function::Max => vec![format!("max({column})")],
    }
}

/// `{"group":{"status":"draft"},"count":2,"sum":{"views":10}}`.
fn write(
    out: &mut Vec<u8>,
    collection: &Collection,
    query: &AggregateQuery,
    row: &Row<'_>,
) -> Result<(), Error> {
    let mut next = 0;
    out.extend_from_slice(b"{\"group\":{");
    for (place, field) in query.group.iter().enumerate() {
        name(out, collection, *field, place == 0);
        write_value(out, &collection.fields[*field].kind, values::column(row, next)?);
        next += 1;
    }
    out.push(b'}');
    if query.count {
        out.extend_from_slice(b",\"count\":");
        write_value(out, &FieldKind::Int, values::column(row, next)?);
    }
    next += 1;
    let mut open: Option<Function> = None;
    for value in &query.values {
        if open != Some(value.function) {
            out.extend_from_slice(if open.is_some() { b"}," } else { b"," });
            out.extend_from_slice(format!("\"{}\":{{", value.function.as_str()).as_bytes());
        }
        name(out, collection, value.field, open != Some(value.function));
        open = Some(value.function);
        let kind = &collection.fields[value.field].kind;
        match value.function {
            Function::Sum if *kind == FieldKind::Int => {
                let half = |index| Ok::<_, Error>(i128::from(row.get::<_, Option<i64>>(index)?.unwrap_or(0)));
                let sum = (half(next)? << 32) + half(next + 1)?;
                out.extend_from_slice(sum.to_string().as_bytes());
                next += 1;
            }
            Function::Sum | Function::Avg => number(out, values::column(row, next)?),
            Function::Min | Function::Max => write_value(out, kind, values::column(row, next)?),
        }
        next += 1;
    }
    if open.is_some() {
        out.push(b'}');
    }
    out.push(b'}');
    Ok(())
}

fn name(out: &mut Vec<u8>, collection: &Collection, field: usize, first: bool) {
    // Names of fields need no escape.
    let comma = if first { "" } else { "," };
    out.extend_from_slice(format!("{comma}\"{}\":", collection.fields[field].name).as_bytes());
}

/// A double that left the range of doubles has no JSON form; it is null.
fn number(out: &mut Vec<u8>, value: ValueRef<'_>) {
    let value = match value {
        ValueRef::Real(value) if !value.is_finite() => ValueRef::Null,
        other => other,
    };
    write_value(out, &FieldKind::Float, value);
}
