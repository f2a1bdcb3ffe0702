//! What can go wrong. SQLite's codes become these variants here and nowhere else; the caller maps
//! them to answers. `Clone`, because one failed commit is the answer to every command of its batch.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::ErrorCode;
use rusqlite::ffi;

/// An error and its causes as one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// What can go wrong in the store.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Another document has the same value in all of these fields.
    #[error("another document has the same {}", fields.join(", "))]
    UniqueViolation {
        /// Names of fields, at least one.
        fields: Vec<String>,
    },
    /// The documents these fields refer to do not exist.
    #[error("no document for {}", fields.join(", "))]
    ForeignKey {
        /// Names of relation fields, at least one for documents; empty where we cannot tell.
        fields: Vec<String>,
    },
    /// Other documents refer to the one to be deleted, and their relation says `restrict`.
    #[error("documents of {collection} refer to it by {field}")]
    Restricted {
        /// Collection of the referring documents.
        collection: String,
        /// Their relation field.
        field: String,
    },
    /// Deleting it would delete more than [`CASCADE_MAX`](crate::limits::CASCADE_MAX) others.
    #[error("more than {limit} documents refer to it")]
    CascadeTooLarge {
        /// The limit.
        limit: usize,
    },
    /// The place in the change feed is of another incarnation, or changes after it are no longer kept.
    #[error("the change feed no longer reaches back there")]
    ChangesGone,
    /// A list whose rule has to look at each document would read more than
    /// [`POST_FILTER_MAX`](crate::limits::POST_FILTER_MAX).
    #[error("more than {limit} documents would have to be looked at")]
    ScanTooLarge {
        /// The limit.
        limit: usize,
    },
    /// The answer would hold more than [`LIST_BYTES_MAX`](crate::limits::LIST_BYTES_MAX) bytes.
    #[error("the answer would be larger than {limit} bytes")]
    AnswerTooLarge {
        /// The limit.
        limit: usize,
    },
    /// The document is no longer at the expected revision.
    #[error("the document was changed in the meantime")]
    Stale,
    /// There is no such document, account, session or execution.
    #[error("not found")]
    NotFound,
    /// No space left on the disk, or the size limit of the database is reached. Reads go on.
    #[error("no space left for the database")]
    DiskFull,
    /// The database cannot be written. Reads go on.
    #[error("the database is read-only")]
    ReadOnly,
    /// The disk failed to read or write. What was answered before is on it.
    #[error("the disk fails: {detail}")]
    Io {
        /// What SQLite says of it.
        detail: String,
    },
    /// The database file was deleted or replaced while it was open. Writes would be lost.
    #[error("the database file was deleted or replaced")]
    Replaced,
    /// Too much is waiting already, or another process holds the file. Nothing was done.
    #[error("the database is busy")]
    Busy,
    /// The deadline passed or the caller went away. A write that answers this was not done.
    #[error("the deadline passed")]
    Interrupted,
    /// The transaction is over: it ran out of time, was undone, or was lost to an error. Nothing of it
    /// remains.
    #[error("the transaction has ended")]
    TransactionEnded,
    /// A program of [`Store::transact`](crate::Store::transact) refused; its caller gets the reason.
    #[error("refused")]
    Refused,
    /// The store is closed. Nothing was done.
    #[error("the store is closed")]
    Closed,
    /// The file is damaged.
    #[error("the database is damaged: {detail}")]
    Corrupt {
        /// What SQLite says of it.
        detail: String,
    },
    /// Another process has the database open.
    #[error("{path} is in use by another process", path = path.display())]
    InUse {
        /// The database file.
        path: PathBuf,
    },
    /// The file is a database, but not one of ours.
    #[error("{path} is not a database of alyx", path = path.display())]
    Foreign {
        /// The database file.
        path: PathBuf,
    },
    /// The file was written by a newer version.
    #[error("the database has format {found}, this version knows up to {known}")]
    Newer {
        /// Format of the file.
        found: i64,
        /// Newest format we know.
        known: i64,
    },
    /// A schema change that this call must not do.
    #[error("apply schema: {reason}")]
    Schema {
        /// Which change and why, one sentence.
        reason: String,
    },
    /// The file could not be created, locked or read.
    #[error("open {path}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// Anything else; a defect or a failing disk.
    #[error("{doing}")]
    Internal {
        /// What we were doing.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    pub(crate) fn internal(
        doing: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Internal { doing, source: Arc::from(source.into()) }
    }

    /// Whether writing as such is impossible, as opposed to this one write.
    pub(crate) const fn degrades(&self) -> bool {
        matches!(
            self,
            Self::DiskFull | Self::ReadOnly | Self::Io { .. } | Self::Replaced | Self::Corrupt { .. }
        )
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        let rusqlite::Error::SqliteFailure(failure, message) = &error else {
            return match error {
                rusqlite::Error::QueryReturnedNoRows => Self::NotFound,
                other => Self::internal("run statement", other),
            };
        };
        let text = message.as_deref().unwrap_or_default();
        match (failure.code, failure.extended_code) {
            (_, ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY) => {
                Self::UniqueViolation { fields: unique_fields(text) }
            }
            (_, ffi::SQLITE_CONSTRAINT_FOREIGNKEY) => Self::ForeignKey { fields: Vec::new() },
            (ErrorCode::DiskFull, _) => Self::DiskFull,
            (ErrorCode::SystemIoFailure, _) => Self::Io { detail: text.to_owned() },
            (_, ffi::SQLITE_READONLY_DBMOVED) => Self::Replaced,
            (ErrorCode::ReadOnly, _) => Self::ReadOnly,
            (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => Self::Busy,
            (ErrorCode::OperationInterrupted, _) => Self::Interrupted,
            (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _) => {
                Self::Corrupt { detail: text.to_owned() }
            }
            _ => Self::internal("run statement", error),
        }
    }
}

/// Fields named by `UNIQUE constraint failed: posts.slug, posts.author`. Names have no dots, commas or
/// quotes, so the text has one reading. An index on an expression is named instead of its columns; the
/// only one there is stands for the address of an account.
fn unique_fields(message: &str) -> Vec<String> {
    let (_, list) = message.split_once(": ").unwrap_or_default();
    if list.starts_with("index ") {
        return vec!["email".to_owned()];
    }
    list.split(", ").filter_map(|column| column.split_once('.')).map(|(_, field)| field.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::unique_fields;

    #[test]
    fn unique_violations_name_their_fields() {
        let check =
            |message: &str, expected: &[&str]| assert_eq!(unique_fields(message), expected, "{message}");
        check("UNIQUE constraint failed: posts.slug", &["slug"]);
        check("UNIQUE constraint failed: order.group, order.by-line", &["group", "by-line"]);
        check("UNIQUE constraint failed: index '_alyx_users_email'", &["email"]);
        check("", &[]);
    }
}
