//! From rows to JSON: which documents are shown and what of them, written without a tree in between.

use std::cell::{Cell, RefCell};

use alyx_core::document::write_json;
use alyx_core::rules::{Decision, RowFilter, Sight};
use alyx_core::schema::Collection;
use alyx_core::sql::column as column_of;
use alyx_core::value::ValueRef;
use rusqlite::{Connection, Row};

use crate::Error;
use crate::limits::POST_FILTER_MAX;
use crate::lookups::ConnectionLookups;
use crate::values::column;

/// What is shown of a collection.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) collection: &'a Collection,
    pub(super) rule: &'a RowFilter,
    pub(super) sight: &'a Sight,
    /// Places of the fields to show; `None`: all.
    pub(super) shown: Option<&'a [usize]>,
}

/// The columns that are read of a view's rows, and where each field is among them.
pub(super) struct Selected<'a> {
    view: View<'a>,
    lookups: ConnectionLookups<'a>,
    /// Rows that a post filter has looked at.
    examined: Cell<usize>,
    /// Places of the fields in order of the columns.
    fields: Vec<usize>,
    /// By place of the field in the collection.
    columns: Vec<Option<usize>>,
}

impl<'a> Selected<'a> {
    /// `further` are fields that are needed beside those to show.
    pub(super) fn new(
        connection: &'a Connection,
        view: View<'a>,
        further: impl Iterator<Item = usize>,
    ) -> Self {
        let collection = view.collection;
        let mut fields = view.shown.map_or_else(|| (0..collection.fields.len()).collect(), <[usize]>::to_vec);
        let needed = view.sight.needs().into_iter().chain(view.rule.needs().iter().copied());
        for field in further.chain([collection.primary().0]).chain(needed) {
            if !fields.contains(&field) {
                fields.push(field);
            }
        }
        let mut columns = vec![None; collection.fields.len()];
        for (index, field) in fields.iter().enumerate() {
            columns[*field] = Some(index);
        }
        let lookups = ConnectionLookups::new(connection);
        Self { view, lookups, examined: Cell::new(0), fields, columns }
    }

    /// Whether rows are looked at one by one, by rules that SQL does not decide.
    pub(super) fn has_post_filter(&self) -> bool {
        self.view.rule.check.is_some()
    }

    /// Whether further statements are made while rows are read.
    pub(super) fn asks_further(&self) -> bool {
        self.has_post_filter() || self.view.sight.has_lookups()
    }

    /// The first failure of a lookup, if there was one.
    pub(super) fn finish(&self) -> Result<(), Error> {
        self.lookups.finish()
    }

    /// SQL of the columns.
    pub(super) fn columns(&self) -> Vec<String> {
        self.fields.iter().map(|field| column_of(&self.view.collection.fields[*field].name)).collect()
    }

    /// A field's value in a row; null for a field that was not asked for.
    pub(super) fn value<'r>(&self, row: &'r Row<'_>, field: usize) -> Result<ValueRef<'r>, Error> {
        self.columns[field].map_or(Ok(ValueRef::Null), |index| column(row, index))
    }

    /// A field's value in a row, if it is text.
    pub(super) fn text(&self, row: &Row<'_>, field: usize) -> Result<Option<String>, Error> {
        Ok(match self.value(row, field)? {
            ValueRef::Text(text) => Some(text.to_owned()),
            _ => None,
        })
    }

    /// What SQL could not decide. The number of rows that are looked at for one answer is bounded.
    pub(super) fn passes(&self, row: &Row<'_>) -> Result<bool, Error> {
        if !self.has_post_filter() {
            return Ok(true);
        }
        self.examined.set(self.examined.get() + 1);
        if self.examined.get() > POST_FILTER_MAX {
            return Err(Error::ScanTooLarge { limit: POST_FILTER_MAX });
        }
        let decision =
            self.with(row, |value| self.view.rule.allows(self.view.collection, value, &self.lookups))?;
        Ok(match decision {
            Decision::Allow => true,
            Decision::Deny => false,
            Decision::Error(reason) => {
                self.log(&reason);
                false
            }
        })
    }

    /// Appends the document.
    pub(super) fn write(&self, out: &mut Vec<u8>, row: &Row<'_>) -> Result<(), Error> {
        self.with(row, |value| {
            let visible = self.view.sight.visible(self.view.collection, value, &self.lookups);
            visible.faults.iter().for_each(|fault| self.log(fault));
            write_json(out, self.view.collection, value, &visible, self.view.shown);
        })
    }

    /// Runs `read` with the values of a row by place of the field. The first value that cannot be read
    /// is the error.
    fn with<'r, T>(
        &self,
        row: &'r Row<'_>,
        read: impl FnOnce(&dyn Fn(usize) -> ValueRef<'r>) -> T,
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

    fn log(&self, reason: &str) {
        tracing::warn!(collection = %self.view.collection.name, reason, "a rule failed and denied: {reason}");
    }
}
