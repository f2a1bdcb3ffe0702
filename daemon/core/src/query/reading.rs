//! Who reads what: a collection as one identity may see it. Every name in a query is looked up here,
//! also behind relations, so a field that cannot be read cannot be asked about either.

use std::sync::Arc;

use super::QueryError;
use crate::catalog::{Catalog, CollectionEntry};
use crate::document::Access;
use crate::identity::{Identity, RequestFacts};
use crate::limits::NAME_MAX_BYTES;
use crate::rules::{RowFilter, Sight};
use crate::schema::{Collection, Field};
use crate::scope::Touch;
use crate::sql::SqlPredicate;

/// A collection, and who reads it.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    catalog: &'a Catalog,
    entry: &'a CollectionEntry,
    identity: &'a Identity,
    request: &'a RequestFacts,
    /// Whether the collection is watched rather than listed.
    watches: bool,
}

impl<'a> Reading<'a> {
    /// `None` if there is no such collection.
    #[must_use]
    pub fn new(
        catalog: &'a Catalog,
        collection: &str,
        identity: &'a Identity,
        request: &'a RequestFacts,
    ) -> Option<Self> {
        Some(Self { catalog, entry: catalog.collection(collection)?, identity, request, watches: false })
    }

    /// The same for somebody who wants to be told of changes: the rule is that of `subscribe`. What lies
    /// behind relations is listed as ever.
    #[must_use]
    pub const fn watching(self) -> Self {
        Self { watches: true, ..self }
    }

    /// The collection.
    #[must_use]
    pub fn collection(&self) -> &'a Arc<Collection> {
        &self.entry.collection
    }

    /// What is shown of its documents.
    #[must_use]
    pub fn sight(&self) -> Sight {
        self.entry.sight(self.identity, self.request)
    }

    /// Which of its documents are shown: the list rule. A missing rule shows none.
    #[must_use]
    pub fn rule(&self) -> RowFilter {
        let free = self.identity.is_free_of_rules(&self.entry.collection.name, Touch::Read);
        let rule = if self.watches { &self.entry.watch } else { &self.entry.list };
        match (rule, free) {
            (_, true) => SqlPredicate::Always.into(),
            (Some(rule), false) => RowFilter::new(rule, self.identity, self.request),
            (None, false) => SqlPredicate::Never.into(),
        }
    }

    /// The same for what works in SQL only; a post filter does not.
    pub(super) fn sql_rule(&self, param: &str) -> Result<SqlPredicate, QueryError> {
        let rule = self.rule();
        if rule.check.is_none() {
            return Ok(rule.sql);
        }
        let message = format!("{} has a post filter, which cannot be used here", self.entry.collection.name);
        Err(QueryError::new(param, "invalid_value", message))
    }

    /// The same identity before another collection.
    pub(super) fn of(&self, collection: &str) -> Option<Self> {
        Some(Self { entry: self.catalog.collection(collection)?, watches: false, ..*self })
    }

    /// Whether the field may be asked about: it is shown in every document.
    pub(super) fn may_ask(&self, place: usize, field: &Field) -> bool {
        if self.entry.fields.read.is_empty() {
            let access = if self.identity.is_admin() { Access::Admin } else { Access::Client };
            return access.sees(field);
        }
        self.sight().may_ask(place, field)
    }

    /// A field that may be asked about, and its place.
    pub(super) fn field(&self, name: &str) -> Option<(usize, &'a Field)> {
        self.entry.collection.field(name).filter(|(place, field)| self.may_ask(*place, field))
    }

    /// A field that some document may show, and its place.
    pub(super) fn shown_field(&self, name: &str) -> Option<(usize, &'a Field)> {
        let found = self.entry.collection.field(name);
        found.filter(|(place, field)| {
            self.may_ask(*place, field)
                || (!self.entry.fields.read.is_empty() && self.sight().may_select(*place, field))
        })
    }

    /// The same with the error, which is one for all fields that may not be named.
    pub(super) fn resolve(&self, param: &str, name: &str) -> Result<(usize, &'a Field), QueryError> {
        self.field(name).ok_or_else(|| unknown_field(param, name))
    }
}

/// The one answer to every field that is not there, not shown, or leads nowhere.
pub(super) fn unknown_field(param: &str, name: &str) -> QueryError {
    let shown: String = name.chars().take(NAME_MAX_BYTES).collect();
    QueryError::new(param, "unknown_field", format!("there is no field \"{shown}\""))
}
