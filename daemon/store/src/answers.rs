//! Answers that are given again: a request with an `Idempotency-Key` that comes twice is done once.
//!
//! The answer is written in the transaction of what it answers, so there is no moment at which one of
//! them exists without the other. Two such requests at once take their turns in the writer, and the
//! second finds the answer of the first.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params};

use crate::limits::TRIM_MAX;
use crate::transaction::Transaction;
use crate::writer::{Command, Session};
use crate::{Error, Pending, Store, time};

/// An answer, and what it answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    /// Hash of the request.
    pub request: Vec<u8>,
    /// HTTP status.
    pub status: u16,
    /// What was answered, in its caller's own form.
    pub body: Vec<u8>,
}

/// See [`Store::trim_answers`].
#[derive(Debug)]
pub(crate) struct Trim {
    older_than: Timestamp,
}

impl Store {
    /// Removes answers older than `older_than`, at most [`TRIM_MAX`] per call, oldest first. Answers how
    /// many.
    pub fn trim_answers(&self, older_than: Timestamp) -> Pending<u64> {
        self.write(Command::TrimAnswers, Trim { older_than })
    }
}

impl Transaction<'_, '_> {
    /// The answer kept for a key of this caller.
    ///
    /// # Errors
    /// As [`Transaction::get`].
    pub fn answer(&self, identity: &str, key: &str) -> Result<Option<StoredAnswer>, Error> {
        let found = self
            .session
            .connection
            .prepare_cached("SELECT request, status, body FROM _alyx_answers WHERE identity = ? AND key = ?")?
            .query_row([identity, key], |row| {
                Ok(StoredAnswer { request: row.get(0)?, status: row.get(1)?, body: row.get(2)? })
            })
            .optional()?;
        Ok(found)
    }

    /// Keeps an answer under a key of this caller that has none.
    ///
    /// # Errors
    /// As [`Store::create`].
    pub fn keep_answer(&mut self, identity: &str, key: &str, answer: &StoredAnswer) -> Result<(), Error> {
        let StoredAnswer { request, status, body } = answer;
        self.session
            .connection
            .prepare_cached(
                "INSERT INTO _alyx_answers (identity, key, request, status, body, at)
                 VALUES (?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![identity, key, request, status, body, self.session.now])?;
        Ok(())
    }
}

pub(crate) fn trim(session: &mut Session<'_>, trim: Trim) -> Result<u64, Error> {
    let removed = session
        .connection
        .prepare_cached(
            "DELETE FROM _alyx_answers WHERE rowid IN (
                 SELECT rowid FROM _alyx_answers WHERE at < ?1 ORDER BY at LIMIT ?2)",
        )?
        .execute(params![time::to_text(trim.older_than), TRIM_MAX])?;
    Ok(removed as u64)
}
