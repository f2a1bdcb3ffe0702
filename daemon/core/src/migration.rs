//! What separates two schemas. Pure: it knows neither data nor SQL; the store carries out the safe
//! steps, and none of the others unasked.

mod diff;
mod field;

use std::sync::Arc;

pub use diff::diff;

use crate::schema::{Collection, Index};

/// One difference between two schemas.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Whether it may be carried out unasked.
    pub class: Class,
    /// For people: what changes and, where it is not safe, why not.
    pub description: String,
    /// What to do.
    pub step: Step,
}

/// Whether a change may be carried out unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// It loses nothing and cannot fail for the data there is.
    Safe,
    /// Data may be lost, or it fails for some data.
    NeedsConfirmation,
    /// It has no meaning for the data there is.
    Impossible,
}

/// What to do with the tables. Steps are in an order in which they can be carried out.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing: rules, functions, validation, defaults, the order of fields.
    None,
    /// Create the table and every index of [`Collection::all_indexes`].
    CreateCollection(Arc<Collection>),
    /// Drop the table.
    DropCollection {
        /// Name of the collection.
        collection: String,
    },
    /// Add one column; its indexes are steps of their own.
    AddField {
        /// The collection as it will be.
        collection: Arc<Collection>,
        /// Place of the new field in it.
        field: usize,
    },
    /// Drop one column.
    DropField {
        /// Name of the collection.
        collection: String,
        /// Name of the field.
        field: String,
    },
    /// Create one index.
    CreateIndex {
        /// The collection as it will be.
        collection: Arc<Collection>,
        /// One of its [`Collection::all_indexes`].
        index: Index,
    },
    /// Drop one index.
    DropIndex {
        /// Name of the collection.
        collection: String,
        /// Name of the index.
        index: String,
    },
    /// Make the table anew, because SQLite cannot alter it like this.
    Rebuild {
        /// The collection as it will be.
        collection: Arc<Collection>,
        /// Why.
        reason: String,
    },
}

#[cfg(test)]
mod tests;
