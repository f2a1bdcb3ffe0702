//! Answers what rules ask about other documents, from one reader. Rules do not apply to what a rule
//! looks up.

use std::cell::RefCell;

use alyx_core::rules::{LookupFailed, Lookups};
use alyx_core::schema::Collection;
use alyx_core::sql::{SqlExpr, quote};
use alyx_core::value::Value;
use rusqlite::{Connection, params_from_iter};

use crate::documents::fetch;
use crate::readers::{Lane, snapshot};
use crate::values::bound;
use crate::{Error, Pending, Store};

impl Store {
    /// Runs `decide` where it can look up documents. All lookups see the same snapshot.
    ///
    /// Fails if a lookup does, whatever `decide` made of it.
    pub fn with_lookups<T: Send + 'static>(
        &self,
        decide: impl FnOnce(&dyn Lookups) -> T + Send + 'static,
    ) -> Pending<T> {
        self.read(Lane::Point, move |connection| {
            snapshot(connection, |connection| {
                let lookups = ConnectionLookups::new(connection);
                let decided = decide(&lookups);
                lookups.finish().map(|()| decided)
            })
        })
    }
}

/// Lookups over a connection.
#[derive(Debug)]
pub(crate) struct ConnectionLookups<'c> {
    connection: &'c Connection,
    failure: RefCell<Option<Error>>,
}

impl<'c> ConnectionLookups<'c> {
    pub(crate) const fn new(connection: &'c Connection) -> Self {
        Self { connection, failure: RefCell::new(None) }
    }

    /// The first failure of the database, if there was one.
    pub(crate) fn finish(&self) -> Result<(), Error> {
        self.failure.take().map_or(Ok(()), Err)
    }

    fn failed(&self, error: Error) -> LookupFailed {
        let text = error.to_string();
        self.failure.borrow_mut().get_or_insert(error);
        LookupFailed(text)
    }

    fn holds(
        &self,
        collection: &Collection,
        alias: &str,
        condition: Option<&SqlExpr>,
    ) -> Result<bool, Error> {
        let mut text = format!("SELECT 1 FROM {} AS {alias}", quote(&collection.name));
        let mut params = &Vec::new();
        if let Some(condition) = condition {
            text.push_str(" WHERE ");
            text.push_str(&condition.text);
            params = &condition.params;
        }
        text.push_str(" LIMIT 1");
        Ok(self.connection.prepare_cached(&text)?.exists(params_from_iter(bound(params)))?)
    }
}

impl Lookups for ConnectionLookups<'_> {
    fn get(&self, collection: &Collection, id: &str) -> Result<Option<Vec<Value>>, LookupFailed> {
        let found = fetch(self.connection, collection, id).map_err(|error| self.failed(error))?;
        Ok(found.map(|document| document.values))
    }

    fn exists(
        &self,
        collection: &Collection,
        alias: &str,
        condition: Option<&SqlExpr>,
    ) -> Result<bool, LookupFailed> {
        self.holds(collection, alias, condition).map_err(|error| self.failed(error))
    }
}
