//! What came to inbound webhooks. A delivery is known by hashes of what its sender signed and of the id that
//! it gave; it is noted in the transaction that adds its job, so one that was acknowledged is owed once,
//! whatever happens to the daemon.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params};

use crate::jobs::{self, NewJob};
use crate::limits::TRIM_MAX;
use crate::writer::{Command, Session};
use crate::{Error, Pending, Store, time};

/// A delivery that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The path that it came to.
    pub path: String,
    /// What it is known by, at least one.
    pub keys: Vec<[u8; 32]>,
    /// How long it is known, if nothing else is said of it.
    pub until: Timestamp,
    /// What it causes; without one somebody waits for it to be done.
    pub job: Option<NewJob>,
}

/// Whether a delivery came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// It did not.
    New,
    /// It did, and somebody still waits for what it causes.
    Open,
    /// It did, and what it causes is done, or owed.
    Done,
}

/// Input of [`settle`].
#[derive(Debug)]
pub(crate) struct Settle {
    path: String,
    keys: Vec<[u8; 32]>,
    until: Option<Timestamp>,
}

impl Store {
    /// Notes a delivery and adds its job, unless one of its keys is known: then nothing is changed.
    pub fn receive(&self, receipt: Receipt) -> Pending<Received> {
        self.write(Command::Receive, receipt)
    }

    /// A delivery that somebody waited for is done and known until then; without a time it is forgotten, and
    /// may come again.
    pub fn settle_receipt(&self, path: String, keys: Vec<[u8; 32]>, until: Option<Timestamp>) -> Pending<()> {
        self.write(Command::SettleReceipt, Settle { path, keys, until })
    }

    /// Forgets the deliveries that somebody waited for. Call it before anybody can wait: who did is gone.
    pub fn forget_open_receipts(&self) -> Pending<u64> {
        self.write(Command::ForgetOpenReceipts, ())
    }

    /// Removes what was known until before this time, at most [`TRIM_MAX`]. Answers how many; call again
    /// until it is none.
    pub fn trim_receipts(&self, before: Timestamp) -> Pending<u64> {
        self.write(Command::TrimReceipts, before)
    }
}

pub(crate) fn receive(session: &mut Session<'_>, receipt: Receipt) -> Result<Received, Error> {
    let mut known = session
        .connection
        .prepare_cached("SELECT done FROM _alyx_received WHERE path = ? AND key = ? AND until > ?")?;
    let mut received = Received::New;
    for key in &receipt.keys {
        let done: Option<bool> =
            known.query_row(params![receipt.path, key, session.now], |row| row.get(0)).optional()?;
        received = match (done, received) {
            (Some(true), _) => Received::Done,
            (Some(false), Received::New) => Received::Open,
            (_, received) => received,
        };
    }
    if received != Received::New {
        return Ok(received);
    }
    let mut note = session.connection.prepare_cached(
        "INSERT INTO _alyx_received (path, key, done, until) VALUES (?, ?, ?, ?)
         ON CONFLICT (path, key) DO UPDATE SET done = excluded.done, until = excluded.until",
    )?;
    for key in &receipt.keys {
        note.execute(params![receipt.path, key, receipt.job.is_some(), time::to_text(receipt.until)])?;
    }
    if let Some(job) = &receipt.job {
        jobs::add(session, job)?;
    }
    Ok(Received::New)
}

pub(crate) fn settle(session: &mut Session<'_>, settled: Settle) -> Result<(), Error> {
    let Settle { path, keys, until } = settled;
    for key in keys {
        match until {
            Some(until) => session
                .connection
                .prepare_cached(
                    "UPDATE _alyx_received SET done = 1, until = ? WHERE path = ? AND key = ? AND done = 0",
                )?
                .execute(params![time::to_text(until), path, key])?,
            None => session
                .connection
                .prepare_cached("DELETE FROM _alyx_received WHERE path = ? AND key = ? AND done = 0")?
                .execute(params![path, key])?,
        };
    }
    Ok(())
}

pub(crate) fn forget_open(session: &mut Session<'_>, (): ()) -> Result<u64, Error> {
    let removed = session.connection.execute("DELETE FROM _alyx_received WHERE done = 0", [])?;
    Ok(removed as u64)
}

pub(crate) fn trim(session: &mut Session<'_>, before: Timestamp) -> Result<u64, Error> {
    let removed = session
        .connection
        .prepare_cached(
            "DELETE FROM _alyx_received WHERE (path, key) IN (
                 SELECT path, key FROM _alyx_received WHERE until < ? ORDER BY until LIMIT ?)",
        )?
        .execute(params![time::to_text(before), TRIM_MAX])?;
    Ok(removed as u64)
}
