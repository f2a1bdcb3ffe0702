//! What separates two schemas, and how documents get from one to the other. Pure: it knows neither data
//! nor SQL; the store counts what a change concerns, decides by that and carries it out.
//!
//! | module | job |
//! |---|---|
//! | `diff`, `field` | the changes between two schemas |
//! | `file` | `migrations/NNNN_name.yaml`: what a comparison cannot know |
//! | `step` | what a step of such a file does to a schema |
//! | `convert` | one value from one type to another |
//! | `hold_back` | the schema to serve while a change waits |

mod convert;
mod diff;
mod field;
mod file;
mod hold_back;
mod step;

use std::sync::Arc;

pub use convert::{canonical_value, convert_value};
pub use diff::diff;
pub use file::{
    BackfillSource, MigrationFile, MigrationStep, Otherwise, Which, file_number, parse_migration,
};
pub use hold_back::{deny_rules, hold_back};
pub use step::advance;

use crate::schema::{Collection, Field, Index};

/// One difference between two schemas, or one step of a migration file.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Whether it may be carried out unasked, if its check finds anything; else it is safe.
    pub class: Class,
    /// For people: what changes.
    pub description: String,
    /// For people: why it is not safe, if its check finds something. May be empty.
    pub reason: String,
    /// What decides about the class. [`Check::Nothing`]: the class stands.
    pub check: Check,
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

/// What to count in the data there is.
#[derive(Clone, Debug, PartialEq)]
pub enum Check {
    /// Nothing.
    Nothing,
    /// Documents of a collection.
    Documents {
        /// Its name.
        collection: String,
    },
    /// Documents with a value in a field.
    Values {
        /// The collection's name.
        collection: String,
        /// The field's name.
        field: String,
    },
    /// Documents with null in a field.
    Nulls {
        /// The collection's name.
        collection: String,
        /// The field's name.
        field: String,
    },
    /// Documents whose values in these fields another one has, too.
    Duplicates {
        /// The collection's name.
        collection: String,
        /// The fields' names.
        fields: Vec<String>,
    },
    /// Documents with a value in a field whose type changes. One value that cannot be converted makes
    /// the change impossible, unless it becomes null.
    Conversion {
        /// The collection as it is.
        collection: Arc<Collection>,
        /// The field as it is.
        old: Box<Field>,
        /// The field as it will be.
        new: Box<Field>,
        /// What becomes of a value that cannot be converted.
        otherwise: Otherwise,
    },
}

/// What to do with the tables. Steps are in an order in which they can be carried out.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing: rules, functions, validation, defaults, the order of fields.
    None,
    /// Create the table and every index of [`Collection::all_indexes`].
    CreateCollection(Arc<Collection>),
    /// Drop the table.
    DropCollection(Arc<Collection>),
    /// Add one column; its indexes are steps of their own.
    AddField {
        /// The collection as it will be.
        collection: Arc<Collection>,
        /// Place of the new field in it.
        field: usize,
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
        /// Name of the index.
        index: String,
    },
    /// Make the collection's full-text index anew, or remove it if no field is searched any more.
    Search(Arc<Collection>),
    /// Make the table with all its indexes anew, because SQLite cannot alter it like this. Further
    /// steps between the same two are done by that.
    Rebuild {
        /// The collection as it is.
        old: Arc<Collection>,
        /// The collection as it will be.
        new: Arc<Collection>,
        /// What becomes of a value that cannot be converted.
        otherwise: Otherwise,
    },
    /// Rename the table.
    RenameCollection {
        /// The collection as it is.
        old: Arc<Collection>,
        /// The collection as it will be.
        new: Arc<Collection>,
    },
    /// Rename one column.
    RenameField {
        /// The collection as it is.
        old: Arc<Collection>,
        /// The collection as it will be.
        new: Arc<Collection>,
        /// Name of the field as it is.
        from: String,
        /// Name of the field as it will be.
        to: String,
    },
    /// Write values.
    Backfill {
        /// The collection.
        collection: Arc<Collection>,
        /// Place of the field in it.
        field: usize,
        /// The values.
        source: BackfillSource,
        /// The documents.
        which: Which,
    },
    /// Run statements that the project's author wrote.
    Sql {
        /// The statements.
        text: String,
        /// What takes them back, if the author wrote that.
        down: Option<String>,
    },
}

impl Change {
    /// A change that is always safe.
    pub(crate) fn safe(description: String, step: Step) -> Self {
        Self { class: Class::Safe, description, reason: String::new(), check: Check::Nothing, step }
    }

    /// A change that needs confirmation if the check finds something.
    pub(crate) fn risky(description: String, check: Check, step: Step) -> Self {
        Self { class: Class::NeedsConfirmation, description, reason: String::new(), check, step }
    }

    /// A change that cannot be done if the check finds something.
    pub(crate) fn refused_if(check: Check, description: String, reason: &str, step: Step) -> Self {
        Self { class: Class::Impossible, description, reason: reason.to_owned(), check, step }
    }

    /// A change that cannot be done.
    #[must_use]
    pub fn impossible(description: String, reason: &str) -> Self {
        let (check, step) = (Check::Nothing, Step::None);
        Self { class: Class::Impossible, description, reason: reason.to_owned(), check, step }
    }
}

impl Class {
    /// The word of it, as commands and answers show it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::NeedsConfirmation => "needs-confirmation",
            Self::Impossible => "impossible",
        }
    }
}

#[cfg(test)]
mod tests;
