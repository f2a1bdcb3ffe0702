//! The change feed's rows. Each is written in the transaction of its change, so there is neither a
//! change without a row nor a row without its change. JSON in it is complete, internal and hidden fields
//! included; whoever hands it out must filter.

mod consumers;
mod read;

use std::cell::{Cell, RefCell};

use alyx_core::document::{Access, Document, write_json};
use alyx_core::schema::Collection;
use alyx_core::value::Value;
use jiff::Timestamp;
use rusqlite::{Connection, params};

pub use consumers::Consumer;
pub(crate) use consumers::{SetConsumer, remove as remove_consumer, set as set_consumer};
pub use read::{ChangePage, ChangeRow, Position, Since};

use crate::jobs::{self, Action, Happened};
use crate::limits::TRIM_MAX;
use crate::readers::Lane;
use crate::writer::{Command, Session};
use crate::{Error, Pending, Store, accounts, backup, time};

/// What happened to a document.
pub(crate) enum Change<'a> {
    Create { after: &'a Document },
    Update { before: &'a Document, after: &'a Document },
    Delete { before: &'a Document },
}

/// The changes that one transaction, or the commit it is part of, has made so far.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// The first of the transaction.
    first: Cell<Option<i64>>,
    /// The last of the commit; whether it was rolled back is not known.
    last: Cell<Option<i64>>,
    /// Accounts that were touched.
    accounts: RefCell<Vec<String>>,
    /// Whether there may be jobs that were not there before.
    jobs: Cell<bool>,
}

impl Marks {
    /// What follows is another transaction.
    pub(crate) fn begin(&self) {
        self.first.set(None);
    }

    pub(crate) fn last(&self) -> Option<u64> {
        self.last.get().map(i64::unsigned_abs)
    }

    /// There may be jobs that were not there before.
    pub(crate) fn note_jobs(&self) {
        self.jobs.set(true);
    }

    /// Whether there may be such jobs.
    pub(crate) fn has_jobs(&self) -> bool {
        self.jobs.get()
    }

    /// What is known of this account is stale after the commit.
    pub(crate) fn touch(&self, user_id: &str) {
        self.accounts.borrow_mut().push(user_id.to_owned());
    }

    /// How often an account was touched.
    pub(crate) fn touched(&self) -> usize {
        self.accounts.borrow().len()
    }

    /// What touched accounts after this was undone.
    pub(crate) fn untouch(&self, touched: usize) {
        self.accounts.borrow_mut().truncate(touched);
    }

    /// The accounts that were touched.
    pub(crate) fn into_accounts(self) -> Vec<String> {
        self.accounts.into_inner()
    }

    fn note(&self, seq: i64) {
        self.last.set(Some(seq));
        if self.first.get().is_none() {
            self.first.set(Some(seq));
        }
    }
}

/// See [`Store::trim_changes`].
#[derive(Debug)]
pub(crate) struct Trim {
    keep: u64,
    older_than: Timestamp,
}

impl Store {
    /// Number of changes ever made: the highest sequence number.
    pub fn change_count(&self) -> Pending<u64> {
        self.read(Lane::Point, |connection| {
            let count = connection
                .prepare_cached(
                    "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = '_alyx_changes'",
                )?
                .query_row([], |row| row.get::<_, i64>(0))?;
            Ok(count.unsigned_abs())
        })
    }

    /// Where the feed ends at this moment.
    pub fn last_change(&self) -> Pending<Position> {
        self.read(Lane::Point, |connection| Ok(read::ends(connection)?.last))
    }

    /// Up to `limit` changes of these collections, of all if none is named, in order. A page holds all
    /// changes of a transaction or none, so it may be longer than `limit`, and it looks at a bounded
    /// number of rows, so it may be shorter.
    ///
    /// Fails with [`Error::ChangesGone`] if `since` is a place of another incarnation, changes after it
    /// were trimmed, or a change of the schema altered documents after it.
    pub fn changes(&self, since: Since, collections: Vec<String>, limit: u32) -> Pending<ChangePage> {
        let wanted = read::Wanted { since, collections, limit };
        self.read(Lane::Scan, move |connection| read::page(connection, &wanted))
    }

    /// Removes changes beyond the newest `keep`, and those older than `older_than`; at most
    /// [`TRIM_MAX`] per call, oldest first, and none that a durable consumer has not seen. Answers how many; call again while it is that many.
    pub fn trim_changes(&self, keep: u64, older_than: Timestamp) -> Pending<u64> {
        self.write(Command::TrimChanges, Trim { keep, older_than })
    }
}

/// Where the feed ends.
pub(crate) fn last(connection: &Connection) -> Result<Position, Error> {
    let (seq, incarnation) = backup::position(connection)?;
    Ok(Position { incarnation, seq })
}

/// Documents changed and the feed does not tell how: whoever follows it from before must start anew.
pub(crate) fn break_off(session: &Session<'_>) -> Result<(), Error> {
    let connection = session.connection;
    let (last, _) = backup::position(connection)?;
    let from = i64::try_from(last + 1).unwrap_or(i64::MAX);
    // A number that no change has, so that also who has seen every change is told.
    let moved = connection
        .prepare_cached("UPDATE sqlite_sequence SET seq = ?1 WHERE name = '_alyx_changes'")?
        .execute([from])?;
    if moved == 0 {
        connection
            .prepare_cached("INSERT INTO sqlite_sequence (name, seq) VALUES ('_alyx_changes', ?1)")?
            .execute([from])?;
    }
    connection.prepare_cached("UPDATE _alyx_schema SET feed_from = ?1")?.execute([from])?;
    session.changes.last.set(Some(from));
    Ok(())
}

/// Writes the row of a change.
pub(crate) fn record(
    session: &Session<'_>,
    collection: &Collection,
    change: &Change<'_>,
    actor: &str,
) -> Result<(), Error> {
    let (action, before, after) = match change {
        Change::Create { after } => (Action::Create, None, Some(*after)),
        Change::Update { before, after } => (Action::Update, Some(*before), Some(*after)),
        Change::Delete { before } => (Action::Delete, Some(*before), None),
    };
    let (primary, _) = collection.primary();
    let id = before.or(after).map(|document| &document.values[primary]).and_then(Value::as_text);
    let before = before.map(|document| full_json(collection, document)).transpose()?;
    let after = after.map(|document| full_json(collection, document)).transpose()?;
    session
        .connection
        .prepare_cached(
            "INSERT INTO _alyx_changes (at, collection, id, op, identity, before, after, first_seq)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            session.now,
            collection.name,
            id,
            action.as_str(),
            actor,
            before,
            after,
            session.changes.first.get(),
        ])?;
    let seq = session.connection.last_insert_rowid();
    session.changes.note(seq);
    let (before, after) = (before.as_deref(), after.as_deref());
    let (name, id_text) = (&collection.name, id.unwrap_or_default());
    jobs::fire(
        session,
        &Happened { collection: name, id: id_text, action, seq, identity: actor, before, after },
    )?;
    if let (true, Some(id)) = (accounts::is_users(collection), id) {
        session.changes.touch(id);
    }
    Ok(())
}

fn full_json(collection: &Collection, document: &Document) -> Result<String, Error> {
    let mut json = Vec::with_capacity(256);
    write_json(&mut json, collection, |field| document.values[field].as_ref(), &Access::System.into(), None);
    String::from_utf8(json).map_err(|error| Error::internal("write a change as JSON", error))
}

pub(crate) fn trim(session: &mut Session<'_>, trim: Trim) -> Result<u64, Error> {
    let removed = session
        .connection
        .prepare_cached(
            // Only the oldest rows are looked at, so the cost has a bound also when nothing is due.
            "DELETE FROM _alyx_changes WHERE seq IN (
                 SELECT seq FROM (SELECT seq, at FROM _alyx_changes ORDER BY seq LIMIT ?3)
                 WHERE (at < ?1 OR seq <= (SELECT max(seq) FROM _alyx_changes) - ?2)
                   AND seq <= coalesce((SELECT min(seq) FROM _alyx_consumers), seq))",
        )?
        .execute(params![
            time::to_text(trim.older_than),
            i64::try_from(trim.keep).unwrap_or(i64::MAX),
            TRIM_MAX
        ])?;
    Ok(removed as u64)
}
