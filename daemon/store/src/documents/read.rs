//! From rows to documents.

use alyx_core::document::Document;
use alyx_core::query::{Expand, Link, ListQuery};
use alyx_core::rules::{Decision, RowFilter};
use alyx_core::schema::Collection;
use alyx_core::sql::column;
use alyx_core::value::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::expand::{self, Shown};
use super::sql;
use crate::Error;
use crate::limits::POST_FILTER_MAX;
use crate::lookups::ConnectionLookups;
use crate::readers::snapshot;
use crate::values::{self, Bound, bound};

/// The document with this id.
pub(crate) fn fetch(
    connection: &Connection,
    collection: &Collection,
    id: &str,
) -> Result<Option<Document>, Error> {
    let statement = format!("{} WHERE {}", sql::select(collection), equals(&collection.primary().1.name));
    let mut statement = connection.prepare_cached(&statement)?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(|row| document(row, collection)).transpose()
}

/// The document with this value in a unique field.
pub(crate) fn find(
    connection: &Connection,
    collection: &Collection,
    field: usize,
    value: &Value,
) -> Result<Option<Document>, Error> {
    let name = &collection.fields[field].name;
    let statement = format!("{} WHERE {}", sql::select(collection), equals(name));
    let mut statement = connection.prepare_cached(&statement)?;
    let mut rows = statement.query([Bound(value)])?;
    rows.next()?.map(|row| document(row, collection)).transpose()
}

/// The document with this id, and the JSON object of what is related to it.
pub(super) fn fetch_expanded(
    connection: &Connection,
    collection: &Collection,
    id: &str,
    relations: &[Expand],
) -> Result<Option<(Document, Vec<u8>)>, Error> {
    snapshot(connection, |connection| {
        let Some(document) = fetch(connection, collection, id)? else { return Ok(None) };
        let link = |relation: &Expand| match relation.link {
            Link::Forward(field) => document.values[field].as_text().map(ToOwned::to_owned),
            Link::Back(_) => Some(id.to_owned()),
        };
        let mut shown = [Shown { json: b"{}".to_vec(), links: relations.iter().map(link).collect() }];
        expand::attach(connection, relations, &mut shown, &mut 0)?;
        let [Shown { json, .. }] = shown;
        Ok(Some((document, json)))
    })
}

/// Calls `visit` with every document whose `field` has this value.
pub(super) fn for_each(
    connection: &Connection,
    collection: &Collection,
    field: &str,
    value: &str,
    mut visit: impl FnMut(Document) -> Result<(), Error>,
) -> Result<(), Error> {
    let statement = format!("{} WHERE {}", sql::select(collection), equals(field));
    let mut statement = connection.prepare_cached(&statement)?;
    let mut rows = statement.query([value])?;
    while let Some(row) = rows.next()? {
        visit(document(row, collection)?)?;
    }
    Ok(())
}

/// What follows a select, with its parameters.
pub(crate) struct Where<'a> {
    pub(crate) text: &'a str,
    pub(crate) params: &'a [Value],
}

/// All documents that a condition selects; it bounds their number.
pub(crate) fn select_where(
    connection: &Connection,
    collection: &Collection,
    condition: &Where<'_>,
) -> Result<Vec<Document>, Error> {
    let mut statement =
        connection.prepare_cached(&format!("{} {}", sql::select(collection), condition.text))?;
    let mut rows = statement.query(params_from_iter(bound(condition.params)))?;
    let mut documents = Vec::new();
    while let Some(row) = rows.next()? {
        documents.push(document(row, collection)?);
    }
    Ok(documents)
}

/// The documents that a rule lets through and a query asks for, one more than its limit if there are more.
pub(crate) fn select(
    connection: &Connection,
    collection: &Collection,
    rule: &RowFilter,
    query: &ListQuery,
) -> Result<Vec<Document>, Error> {
    let Some(condition) = sql::rule(&rule.sql) else { return Ok(Vec::new()) };
    let conditions = condition.into_iter().chain(&query.filter).collect();
    let from = sql::From { collection, joins: &query.joins, conditions };
    let mut statement = connection.prepare_cached(&from.documents(&query.sort))?;
    let wanted = query.limit as usize + 1;
    // A rule that is checked row by row may drop any number of them.
    let most = if rule.check.is_some() { POST_FILTER_MAX + 1 } else { wanted };
    let limit = Value::Integer(i64::try_from(most).unwrap_or(i64::MAX));
    let params = from.params().chain([&limit]).map(Bound);
    let mut rows = statement.query(params_from_iter(params))?;
    let lookups = ConnectionLookups::new(connection);
    let (mut documents, mut scanned) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        scanned += 1;
        if rule.check.is_some() && scanned > POST_FILTER_MAX {
            return Err(Error::ScanTooLarge { limit: POST_FILTER_MAX });
        }
        let document = document(row, collection)?;
        let value = |field: usize| document.values[field].as_ref();
        if rule.allows(collection, value, &lookups) == Decision::Allow {
            documents.push(document);
        }
        if documents.len() == wanted {
            break;
        }
    }
    lookups.finish()?;
    Ok(documents)
}

fn equals(field: &str) -> String {
    format!("{} = ?", column(field))
}

fn document(row: &Row<'_>, collection: &Collection) -> Result<Document, Error> {
    let count = collection.fields.len();
    let values = (0..count)
        .map(|index| values::column(row, index).map(alyx_core::value::ValueRef::to_owned))
        .collect::<Result<_, _>>()?;
    Ok(Document { values, rev: row.get(count)? })
}
