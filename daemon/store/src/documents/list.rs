//! Lists: one statement for a page and one for each relation it expands, and JSON written straight from
//! the rows.

use alyx_core::query::ListQuery;
use alyx_core::schema::Collection;
use alyx_core::sql::{DOCUMENT_ALIAS, SqlExpr};
use alyx_core::value::{Value, ValueRef};
use rusqlite::{Connection, Row, params_from_iter};

use super::expand::{self, Shown, links};
use super::show::{Selected, View};
use super::{snippets, sql};
use crate::Error;
use crate::changes::{self, Position};
use crate::limits::LIST_BYTES_MAX;
use crate::readers::snapshot;
use crate::values::{Bound, column};

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
    /// For a search: a JSON array that tells for each document where it matches.
    pub snippets_json: Option<Vec<u8>>,
}

/// What a query finds at one place in the feed, document by document.
#[derive(Clone, Debug, PartialEq)]
pub struct Watched {
    /// The last change that is in it.
    pub position: Position,
    /// Primary key and JSON of each document, in order.
    pub docs: Vec<(String, Vec<u8>)>,
}

/// One list, ready to be asked. Its columns are those of the documents, then the sort keys that are no
/// fields, then for a search the rowid.
struct Listing<'a> {
    connection: &'a Connection,
    collection: &'a Collection,
    query: &'a ListQuery,
    selected: Selected<'a>,
    columns: Vec<String>,
    /// Column of the first sort key that is no field.
    keys_from: usize,
    /// Whether documents are kept apart, each with its id.
    apart: bool,
}

/// The documents of a page while it is read.
#[derive(Default)]
struct Page {
    /// The JSON of the documents, where nothing is put into them.
    json: Vec<u8>,
    /// The documents, where something is.
    shown: Vec<Shown>,
    rowids: Vec<i64>,
    ids: Vec<String>,
    bytes: usize,
    count: usize,
}

pub(super) fn list(
    connection: &Connection,
    collection: &Collection,
    query: &ListQuery,
) -> Result<ListPage, Error> {
    let Some(rule) = sql::rule(&query.rule.sql) else {
        return Ok(ListPage {
            docs_json: b"[]".to_vec(),
            total: query.count.then_some(0),
            snippets_json: query.search.as_ref().map(|_| b"[]".to_vec()),
            ..ListPage::default()
        });
    };
    let asked: Vec<&SqlExpr> = rule.into_iter().chain(&query.filter).collect();
    let listing = Listing::new(connection, collection, query, false);
    let several =
        query.count || query.search.is_some() || !query.expand.is_empty() || listing.selected.asks_further();
    let ask = || {
        let mut page = listing.page(&asked)?;
        if query.count {
            page.total = Some(listing.total(asked.clone())?);
        }
        listing.selected.finish()?;
        Ok(page)
    };
    // All statements must see the same documents.
    if several { snapshot(connection, |_| ask()) } else { ask() }
}

/// The same list for somebody who goes on by the feed: the place in it is read in the same snapshot.
pub(super) fn watch(
    connection: &Connection,
    collection: &Collection,
    query: &ListQuery,
) -> Result<Watched, Error> {
    let Some(rule) = sql::rule(&query.rule.sql) else {
        return Ok(Watched { position: changes::last(connection)?, docs: Vec::new() });
    };
    let asked: Vec<&SqlExpr> = rule.into_iter().chain(&query.filter).collect();
    let listing = Listing::new(connection, collection, query, true);
    snapshot(connection, |connection| {
        let position = changes::last(connection)?;
        let (mut page, _) = listing.rows(&asked)?;
        expand::attach(connection, &query.expand, &mut page.shown, &mut page.bytes)?;
        listing.selected.finish()?;
        let docs = page.ids.into_iter().zip(page.shown.into_iter().map(|shown| shown.json)).collect();
        Ok(Watched { position, docs })
    })
}

impl<'a> Listing<'a> {
    fn new(
        connection: &'a Connection,
        collection: &'a Collection,
        query: &'a ListQuery,
        watched: bool,
    ) -> Self {
        let further = query.sort.iter().filter_map(|key| key.field).chain(expand::fields(&query.expand));
        let view =
            View { collection, rule: &query.rule, sight: &query.sight, shown: query.fields.as_deref() };
        let selected = Selected::new(connection, view, further);
        let mut columns = selected.columns();
        let keys_from = columns.len();
        columns.extend(query.sort.iter().filter(|key| key.field.is_none()).map(|key| key.sql.clone()));
        if query.search.is_some() {
            columns.push(format!("{DOCUMENT_ALIAS}._rowid_"));
        }
        let apart = watched || !query.expand.is_empty();
        Self { connection, collection, query, selected, columns, keys_from, apart }
    }

    fn total(&self, conditions: Vec<&SqlExpr>) -> Result<u64, Error> {
        let from = sql::From { collection: self.collection, joins: &self.query.joins, conditions };
        if !self.selected.has_post_filter() {
            let mut statement = self.connection.prepare_cached(&from.count())?;
            let count: i64 =
                statement.query_row(params_from_iter(from.params().map(Bound)), |row| row.get(0))?;
            return Ok(count.unsigned_abs());
        }
        let mut statement = self.connection.prepare_cached(&from.list(&self.columns, &self.query.sort))?;
        let all = [Value::Integer(-1), Value::Integer(0)];
        let mut rows = statement.query(params_from_iter(from.params().chain(&all).map(Bound)))?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            count += u64::from(self.selected.passes(row)?);
        }
        Ok(count)
    }

    fn page(&self, asked: &[&SqlExpr]) -> Result<ListPage, Error> {
        let (page, more) = self.rows(asked)?;
        self.finish(page, more)
    }

    /// The documents, and the sort keys of the last one if there are more behind it.
    fn rows(&self, asked: &[&SqlExpr]) -> Result<(Page, Option<Vec<Value>>), Error> {
        let (query, post_filter) = (self.query, self.selected.has_post_filter());
        let after = query.after_expr();
        let conditions: Vec<&SqlExpr> = asked.iter().copied().chain(&after).collect();
        let from = sql::From { collection: self.collection, joins: &query.joins, conditions };
        let mut statement = self.connection.prepare_cached(&from.list(&self.columns, &query.sort))?;
        // One more than wanted tells whether there are more. A post filter counts for itself.
        let bounds = match post_filter {
            true => [Value::Integer(-1), Value::Integer(0)],
            false => [
                Value::Integer(i64::from(query.limit) + 1),
                Value::Integer(i64::try_from(query.offset).unwrap_or(i64::MAX)),
            ],
        };
        let mut rows = statement.query(params_from_iter(from.params().chain(&bounds).map(Bound)))?;
        let mut skip = if post_filter { query.offset } else { 0 };
        let (mut page, mut last, mut more) = (Page::default(), None, None);
        while let Some(row) = rows.next()? {
            if !self.selected.passes(row)? {
                continue;
            }
            if skip > 0 {
                skip -= 1;
                continue;
            }
            if self.is_full(&page) {
                more = last;
                break;
            }
            self.read(&mut page, row)?;
            if self.is_full(&page) {
                last = Some(self.sort_keys(row)?);
            }
        }
        Ok((page, more))
    }

    fn is_full(&self, page: &Page) -> bool {
        page.count == self.query.limit as usize || page.bytes >= LIST_BYTES_MAX
    }

    fn read(&self, page: &mut Page, row: &Row<'_>) -> Result<(), Error> {
        if !self.apart {
            if page.count > 0 {
                page.json.push(b',');
            }
            self.selected.write(&mut page.json, row)?;
            page.bytes = page.json.len();
        } else {
            let mut json = Vec::with_capacity(256);
            self.selected.write(&mut json, row)?;
            page.bytes += json.len();
            let links = links(&self.selected, self.collection, row, &self.query.expand)?;
            page.shown.push(Shown { json, links });
            page.ids.push(self.selected.text(row, self.collection.primary().0)?.unwrap_or_default());
        }
        if self.query.search.is_some() {
            page.rowids.push(row.get(self.columns.len() - 1)?);
        }
        page.count += 1;
        Ok(())
    }

    fn finish(&self, mut page: Page, last: Option<Vec<Value>>) -> Result<ListPage, Error> {
        expand::attach(self.connection, &self.query.expand, &mut page.shown, &mut page.bytes)?;
        let mut docs_json = vec![b'['];
        docs_json.append(&mut page.json);
        for (place, shown) in page.shown.iter().enumerate() {
            if place > 0 {
                docs_json.push(b',');
            }
            docs_json.extend_from_slice(&shown.json);
        }
        docs_json.push(b']');
        let snippets = |search| snippets::snippets(self.connection, self.collection, search, &page.rowids);
        let snippets_json = self.query.search.as_ref().map(snippets).transpose()?;
        Ok(ListPage { docs_json, count: page.count, last, total: None, snippets_json })
    }

    fn sort_keys(&self, row: &Row<'_>) -> Result<Vec<Value>, Error> {
        let mut next = self.keys_from;
        let key = |field: Option<usize>| match field {
            Some(field) => self.selected.value(row, field).map(ValueRef::to_owned),
            None => {
                next += 1;
                column(row, next - 1).map(ValueRef::to_owned)
            }
        };
        self.query.sort.iter().map(|sort| sort.field).map(key).collect()
    }
}
