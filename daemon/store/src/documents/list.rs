//! Lists: one statement, and JSON written straight from its rows.

use std::cell::RefCell;

use alyx_core::document::write_json;
use alyx_core::query::ListQuery;
use alyx_core::rules::{Decision, RowFilter, Sight};
use alyx_core::schema::Collection;
use alyx_core::sql::{SqlExpr, SqlPredicate};
use alyx_core::value::{Value, ValueRef};
use rusqlite::{Connection, Row, params_from_iter};

use super::sql;
use crate::Error;
use crate::limits::{LIST_BYTES_MAX, POST_FILTER_MAX};
use crate::lookups::ConnectionLookups;
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

/// One list, ready to be asked.
struct Listing<'a> {
    connection: &'a Connection,
    collection: &'a Collection,
    rule: &'a RowFilter,
    query: &'a ListQuery,
    sight: &'a Sight,
    lookups: ConnectionLookups<'a>,
    selected: Selected,
}

pub(super) fn list(
    connection: &Connection,
    collection: &Collection,
    rule: &RowFilter,
    query: &ListQuery,
    sight: &Sight,
) -> Result<ListPage, Error> {
    let condition = match &rule.sql {
        SqlPredicate::Never => {
            return Ok(ListPage {
                docs_json: b"[]".to_vec(),
                total: query.count.then_some(0),
                ..ListPage::default()
            });
        }
        SqlPredicate::Always => None,
        SqlPredicate::When(condition) => Some(condition),
    };
    let asked: Vec<&SqlExpr> = condition.into_iter().chain(&query.filter).collect();
    let selected = Selected::new(collection, query, rule, sight);
    let lookups = ConnectionLookups::new(connection);
    let several = query.count || rule.check.is_some() || sight.has_lookups();
    let listing = Listing { connection, collection, rule, query, sight, lookups, selected };
    let ask = || {
        let mut page = listing.page(&asked)?;
        if query.count {
            page.total = Some(listing.total(&asked)?);
        }
        listing.lookups.finish()?;
        Ok(page)
    };
    // All statements must see the same documents.
    if several { snapshot(connection, |_| ask()) } else { ask() }
}

impl Listing<'_> {
    fn total(&self, conditions: &[&SqlExpr]) -> Result<u64, Error> {
        let bounds = [Value::Integer(-1), Value::Integer(0)];
        let params = conditions.iter().flat_map(|condition| bound(&condition.params));
        if self.rule.check.is_none() {
            let count: i64 = self
                .connection
                .prepare_cached(&sql::count(self.collection, conditions))?
                .query_row(params_from_iter(params), |row| row.get(0))?;
            return Ok(count.unsigned_abs());
        }
        let text = sql::list(self.collection, &self.selected.fields, conditions, &self.query.sort);
        let mut statement = self.connection.prepare_cached(&text)?;
        let mut rows = statement.query(params_from_iter(params.chain(bounds.iter().map(Bound))))?;
        let (mut count, mut examined) = (0, 0);
        while let Some(row) = rows.next()? {
            count += u64::from(self.passes(row, &mut examined)?);
        }
        Ok(count)
    }

    fn page(&self, asked: &[&SqlExpr]) -> Result<ListPage, Error> {
        let (query, post_filter) = (self.query, self.rule.check.is_some());
        let after = query.after_expr();
        let conditions: Vec<&SqlExpr> = asked.iter().copied().chain(&after).collect();
        let text = sql::list(self.collection, &self.selected.fields, &conditions, &query.sort);
        let mut statement = self.connection.prepare_cached(&text)?;
        // One more than wanted tells whether there are more. A post filter counts for itself.
        let bounds = match post_filter {
            true => [Value::Integer(-1), Value::Integer(0)],
            false => [
                Value::Integer(i64::from(query.limit) + 1),
                Value::Integer(i64::try_from(query.offset).unwrap_or(i64::MAX)),
            ],
        };
        let params = conditions.iter().flat_map(|condition| bound(&condition.params));
        let mut rows = statement.query(params_from_iter(params.chain(bounds.iter().map(Bound))))?;

        let mut page = ListPage { docs_json: vec![b'['], ..ListPage::default() };
        let mut skip = if post_filter { query.offset } else { 0 };
        let limit = query.limit as usize;
        let (mut last, mut examined) = (None, 0);
        while let Some(row) = rows.next()? {
            if !self.passes(row, &mut examined)? {
                continue;
            }
            if skip > 0 {
                skip -= 1;
                continue;
            }
            if page.count == limit || page.docs_json.len() >= LIST_BYTES_MAX {
                page.last = last;
                break;
            }
            if page.count > 0 {
                page.docs_json.push(b',');
            }
            self.write(&mut page.docs_json, row)?;
            page.count += 1;
            if page.count == limit || page.docs_json.len() >= LIST_BYTES_MAX {
                last = Some(self.selected.sort_keys(row, query)?);
            }
        }
        page.docs_json.push(b']');
        Ok(page)
    }

    /// What SQL could not decide. The number of rows that are looked at for one answer is bounded.
    fn passes(&self, row: &Row<'_>, examined: &mut usize) -> Result<bool, Error> {
        if self.rule.check.is_none() {
            return Ok(true);
        }
        *examined += 1;
        if *examined > POST_FILTER_MAX {
            return Err(Error::ScanTooLarge { limit: POST_FILTER_MAX });
        }
        let decision =
            self.selected.with(row, |value| self.rule.allows(self.collection, value, &self.lookups))?;
        Ok(match decision {
            Decision::Allow => true,
            Decision::Deny => false,
            Decision::Error(reason) => {
                self.log(&reason);
                false
            }
        })
    }

    fn write(&self, out: &mut Vec<u8>, row: &Row<'_>) -> Result<(), Error> {
        self.selected.with(row, |value| {
            let visible = self.sight.visible(self.collection, value, &self.lookups);
            visible.faults.iter().for_each(|fault| self.log(fault));
            write_json(out, self.collection, value, &visible, self.query.fields.as_deref());
        })
    }

    fn log(&self, reason: &str) {
        tracing::warn!(collection = %self.collection.name, reason, "a rule failed and denied: {reason}");
    }
}

/// The columns a list reads and where each field is among them.
struct Selected {
    fields: Vec<usize>,
    /// By place of the field in the collection.
    column: Vec<Option<usize>>,
}

impl Selected {
    fn new(collection: &Collection, query: &ListQuery, rule: &RowFilter, sight: &Sight) -> Self {
        let mut fields = query.fields.clone().unwrap_or_else(|| (0..collection.fields.len()).collect());
        let further = query
            .sort
            .iter()
            .map(|key| key.field)
            .chain([collection.primary().0])
            .chain(sight.needs())
            .chain(rule.needs().iter().copied());
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

    /// Runs `read` with the values of a row by place of the field. The first value that cannot be read
    /// is the error.
    fn with<'a, T>(
        &self,
        row: &'a Row<'_>,
        read: impl FnOnce(&dyn Fn(usize) -> ValueRef<'a>) -> T,
    ) -> Result<T, Error> {
        let failure = RefCell::new(None);
        let value = |field| {
            self.value(row, field).unwrap_or_else(|error| {
                failure.replace(Some(error));
                ValueRef::Null
            })
        };
        let outcome = read(&value);
        failure.into_inner().map_or(Ok(outcome), Err)
    }

    fn sort_keys(&self, row: &Row<'_>, query: &ListQuery) -> Result<Vec<Value>, Error> {
        query.sort.iter().map(|key| Ok(self.value(row, key.field)?.to_owned())).collect()
    }
}
