//! Jobs as administrators see them, and what they can do about them.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row, params};

use crate::limits::{PAGE_MAX, TRIM_MAX};
use crate::readers::Lane;
use crate::writer::{Command, Session};
use crate::{Error, Pending, Store, time};

/// Which jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// `held`, `pending`, `running`, `done` or `dead`.
    pub state: Option<String>,
    /// Of this kind.
    pub kind: Option<String>,
    /// For this target.
    pub target: Option<String>,
    /// Before this position in the list.
    pub before: Option<i64>,
}

/// A job as administrators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRow {
    /// Position in the list.
    pub seq: i64,
    /// Its id.
    pub id: String,
    /// Who carries it out.
    pub kind: String,
    /// Which of theirs it is for.
    pub target: String,
    /// Jobs of one key run one after the other.
    pub key: Option<String>,
    /// `held`, `pending`, `running`, `done` or `dead`.
    pub state: String,
    /// Attempts so far.
    pub attempts: u32,
    /// How many jobs caused each other before this one.
    pub depth: u32,
    /// When it was added.
    pub created_at: String,
    /// When it is due, while it waits.
    pub run_at: String,
    /// When it was done or given up.
    pub settled_at: Option<String>,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

/// Which jobs [`Store::purge_jobs`] removes: those that are settled, and match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purge {
    /// `done` or `dead`.
    pub state: String,
    /// Of this kind.
    pub kind: Option<String>,
    /// Settled before this.
    pub before: Timestamp,
}

const COLUMNS: &str =
    "seq, id, kind, target, key, state, attempts, depth, created_at, run_at, settled_at, error";

impl Store {
    /// Jobs, newest first.
    pub fn list_jobs(&self, filter: JobFilter, limit: u32) -> Pending<Vec<JobRow>> {
        self.read(Lane::Scan, move |connection| {
            // Dead ones have an index of their own, which a parameter would keep SQLite from using.
            let state = match filter.state.as_deref() {
                Some("dead") => "state = 'dead' AND ?1 = 'dead'",
                _ => "(?1 IS NULL OR state = ?1)",
            };
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM _alyx_jobs WHERE {state} AND (?2 IS NULL OR kind = ?2)
                 AND (?3 IS NULL OR target = ?3) AND (?4 IS NULL OR seq < ?4) ORDER BY seq DESC LIMIT ?5"
            ))?;
            let JobFilter { state, kind, target, before } = filter;
            let rows =
                statement.query_map(params![state, kind, target, before, limit.min(PAGE_MAX)], shown)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// How many jobs are not done, by kind and state.
    pub fn open_jobs(&self) -> Pending<Vec<(String, String, i64)>> {
        self.read(Lane::Scan, |connection| {
            // Each half has an index; together they would have none.
            let mut statement = connection.prepare_cached(
                "SELECT kind, state, count(*) FROM _alyx_jobs
                 WHERE state IN ('held', 'pending', 'running') GROUP BY kind, state
                 UNION ALL SELECT kind, state, count(*) FROM _alyx_jobs WHERE state = 'dead' GROUP BY kind",
            )?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// A job and its payload.
    pub fn job(&self, id: &str) -> Pending<Option<(JobRow, String)>> {
        let id = id.to_owned();
        self.read(Lane::Point, move |connection| {
            let job = connection
                .prepare_cached(&format!("SELECT {COLUMNS}, payload FROM _alyx_jobs WHERE id = ?"))?
                .query_row([id], |row| Ok((shown(row)?, row.get(12)?)))
                .optional()?;
            Ok(job)
        })
    }

    /// Has a job that is settled carried out again, due at once, with its attempts counted anew.
    ///
    /// Fails with [`Error::NotFound`] if there is none, and with [`Error::Stale`] if it is not settled.
    pub fn replay_job(&self, id: &str) -> Pending<()> {
        self.write(Command::ReplayJob, id.to_owned())
    }

    /// Removes settled jobs; at most [`TRIM_MAX`]. Answers how many; call again while it is that many.
    pub fn purge_jobs(&self, purge: Purge) -> Pending<u64> {
        self.write(Command::PurgeJobs, purge)
    }
}

fn shown(row: &Row<'_>) -> rusqlite::Result<JobRow> {
    Ok(JobRow {
        seq: row.get(0)?,
        id: row.get(1)?,
        kind: row.get(2)?,
        target: row.get(3)?,
        key: row.get(4)?,
        state: row.get(5)?,
        attempts: row.get(6)?,
        depth: row.get(7)?,
        created_at: row.get(8)?,
        run_at: row.get(9)?,
        settled_at: row.get(10)?,
        error: row.get(11)?,
    })
}

pub(crate) fn replay(session: &mut Session<'_>, id: String) -> Result<(), Error> {
    let state: String = session
        .connection
        .prepare_cached("SELECT state FROM _alyx_jobs WHERE id = ?")?
        .query_row([&id], |row| row.get(0))
        .optional()?
        .ok_or(Error::NotFound)?;
    if !matches!(state.as_str(), "done" | "dead") {
        return Err(Error::Stale);
    }
    session
        .connection
        .prepare_cached(
            "UPDATE _alyx_jobs SET attempts = 0, run_at = ?1, settled_at = NULL,
                 state = CASE WHEN key IS NOT NULL AND EXISTS (
                     SELECT 1 FROM _alyx_jobs AS other
                     WHERE other.key = _alyx_jobs.key AND other.state IN ('held', 'pending', 'running')
                 ) THEN 'held' ELSE 'pending' END
             WHERE id = ?2",
        )?
        .execute(params![session.now, id])?;
    session.changes.note_jobs();
    Ok(())
}

pub(crate) fn purge(session: &mut Session<'_>, purge: Purge) -> Result<u64, Error> {
    let removed = session
        .connection
        .prepare_cached(
            "DELETE FROM _alyx_jobs WHERE seq IN (
                 SELECT seq FROM _alyx_jobs WHERE settled_at IS NOT NULL AND settled_at < ?1 AND state = ?2
                 AND (?3 IS NULL OR kind = ?3) LIMIT ?4)",
        )?
        .execute(params![time::to_text(purge.before), purge.state, purge.kind, TRIM_MAX])?;
    Ok(removed as u64)
}
