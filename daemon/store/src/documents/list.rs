//! Lists: one statement, and JSON written straight from its rows.

use std::cell::RefCell;

use alyx_core::document::write_json;
use alyx_core::query::ListQuery;
use alyx_core::rules::{NoLookups, Sight};
use alyx_core::schema::Collection;
use alyx_core::sql::{SqlExpr, SqlPredicate};
use alyx_core::value::{Value, ValueRef};
use rusqlite::{Connection, Row, params_from_iter};

use super::sql;
use crate::Error;
use crate::limits::LIST_BYTES_MAX;
use crate::readers::snapshot;
use crate::values::{Bound, bound, column};

/// A page of a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListPage {
    /// A JSON array of documents.
    pub docs_json: Vec<u8>,
    /// How many are in it: at most the query's limit, fewer if they are very large.
    pub count: usize,
    /// The sort keys of the last one, if there are more behind it.
    pub last: Option<Vec<Value>>,
    /// How many there are without limit, offset and cursor, if the query asks for it.
    pub total: Option<u64>,
}

pub(super) fn list(
    connection: &Connection,
    collection: &Collection,
    rule: &SqlPredicate,
    query: &ListQuery,
    sight: &Sight,
) -> Result<ListPage, Error> {
    let rule = match rule {
        SqlPredicate::Never => {
            return Ok(ListPage {
                docs_json: b"[]".to_vec(),
                total: query.count.then_some(0),
                ..ListPage::default()
            });
        }
        SqlPredicate::Always => None,
        SqlPredicate::When(rule) => Some(rule),
    };
    let asked: Vec<&SqlExpr> = rule.into_iter().chain(&query.filter).collect();
    if !query.count {
        return page(connection, collection, &asked, query, sight);
    }
    snapshot(connection, |connection| {
        let mut page = page(connection, collection, &asked, query, sight)?;
        page.total = Some(total(connection, collection, &asked)?);
        Ok(page)
    })
}

fn total(connection: &Connection, collection: &Collection, conditions: &[&SqlExpr]) -> Result<u64, Error> {
    let params = conditions.iter().flat_map(|condition| bound(&condition.params));
    let count: i64 = connection
        .prepare_cached(&sql::count(collection, conditions))?
        .query_row(params_from_iter(params), |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

fn page(
    connection: &Connection,
    collection: &Collection,
    asked: &[&SqlExpr],
    query: &ListQuery,
    sight: &Sight,
) -> Result<ListPage, Error> {
    let after = query.after_expr();
    let conditions: Vec<&SqlExpr> = asked.iter().copied().chain(&after).collect();
    let selected = Selected::new(collection, query, sight);
    let mut statement =
        connection.prepare_cached(&sql::list(collection, &selected.fields, &conditions, &query.sort))?;
    // One more than wanted tells whether there are more.
    let bounds = [
        Value::Integer(i64::from(query.limit) + 1),
        Value::Integer(i64::try_from(query.offset).unwrap_or(i64::MAX)),
    ];
    let params = conditions.iter().flat_map(|condition| bound(&condition.params));
    let mut rows = statement.query(params_from_iter(params.chain(bounds.iter().map(Bound))))?;

    let mut page = ListPage { docs_json: vec![b'['], ..ListPage::default() };
    let limit = query.limit as usize;
    let mut last = None;
    while let Some(row) = rows.next()? {
        if page.count == limit || page.docs_json.len() >= LIST_BYTES_MAX {
            page.last = last;
            break;
        }
        if page.count > 0 {
            page.docs_json.push(b',');
        }
        selected.write(&mut page.docs_json, collection, row, sight, query.fields.as_deref())?;
        page.count += 1;
        if page.count == limit || page.docs_json.len() >= LIST_BYTES_MAX {
            last = Some(selected.sort_keys(row, query)?);
        }
    }
    page.docs_json.push(b']');
    Ok(page)
}

/// The columns a list reads and where each field is among them.
struct Selected {
    fields: Vec<usize>,
    /// By place of the field in the collection.
    column: Vec<Option<usize>>,
}

impl Selected {
    fn new(collection: &Collection, query: &ListQuery, sight: &Sight) -> Self {
        let mut fields = query.fields.clone().unwrap_or_else(|| (0..collection.fields.len()).collect());
        let further =
            query.sort.iter().map(|key| key.field).chain([collection.primary().0]).chain(sight.needs());
        for field in further {
            if !fields.contains(&field) {
                fields.push(field);
            }
        }
        let mut column = vec![None; collection.fields.len()];
        for (index, field) in fields.iter().enumerate() {
            column[*field] = Some(index);
        }
        Self { fields, column }
    }

    fn value<'a>(&self, row: &'a Row<'_>, field: usize) -> Result<ValueRef<'a>, Error> {
        self.column[field].map_or(Ok(ValueRef::Null), |index| column(row, index))
    }

    fn write(
        &self,
        out: &mut Vec<u8>,
        collection: &Collection,
        row: &Row<'_>,
        sight: &Sight,
        fields: Option<&[usize]>,
    ) -> Result<(), Error> {
        let failure = RefCell::new(None);
        let value = |field| {
            self.value(row, field).unwrap_or_else(|error| {
                failure.replace(Some(error));
                ValueRef::Null
            })
        };
        let visible = sight.visible(collection, value, &NoLookups);
        for fault in &visible.faults {
            tracing::warn!(collection = %collection.name, fault, "a field's rule failed and withheld it: {fault}");
        }
        write_json(out, collection, value, &visible, fields);
        failure.into_inner().map_or(Ok(()), Err)
    }

    fn sort_keys(&self, row: &Row<'_>, query: &ListQuery) -> Result<Vec<Value>, Error> {
        query.sort.iter().map(|key| Ok(self.value(row, key.field)?.to_owned())).collect()
    }
}
