//! Jobs: work that a committed transaction owes. [`add`] is called inside the command that causes one, so
//! there is none for a write that failed. Whoever carries jobs out takes them with [`Store::take_jobs`],
//! which leases them, and reports with [`Store::settle_job`]; a crash in between has a job run again, with
//! the same id, and loses none.
//!
//! Jobs of one key run one after the other, in the order in which they were added.

mod list;
mod triggers;

use alyx_core::document::new_id;
use jiff::Timestamp;
use rusqlite::{Row, params};

pub use list::{JobFilter, JobRow, Purge};
pub(crate) use list::{purge, replay};
pub use triggers::{Action, Topic, Trigger, Triggers};
pub(crate) use triggers::{Happened, fire, fire_audited, fire_event};

use crate::limits::{PAGE_MAX, TRIM_MAX};
use crate::readers::Lane;
use crate::writer::{Command, Session};
use crate::{Error, Pending, Store, time};

/// A job to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// Its id, stable over all attempts. A second job with the same id is not added.
    pub id: String,
    /// Who carries it out.
    pub kind: &'static str,
    /// Which of theirs it is for, such as the name of a hook.
    pub target: String,
    /// Jobs of one key run one after the other.
    pub key: Option<String>,
    /// JSON.
    pub payload: String,
    /// When it is due; at once if this is none.
    pub run_at: Option<Timestamp>,
}

/// A job that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueJob {
    /// Its id.
    pub id: String,
    /// Which of its kind it is for.
    pub target: String,
    /// JSON.
    pub payload: String,
    /// How many jobs caused each other before this one.
    pub depth: u32,
    /// Attempts, this one included.
    pub attempt: u32,
    /// When it was added.
    pub created_at: Timestamp,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobOutcome {
    /// It is done.
    Done,
    /// It failed; try again.
    Retry {
        /// When.
        run_at: Timestamp,
        /// Why it failed.
        error: String,
    },
    /// It will not be tried again unless somebody asks for it.
    Dead {
        /// Why.
        error: String,
    },
    /// It was not tried: give it back as it was.
    Returned,
}

/// Input of [`take`].
#[derive(Debug)]
pub(crate) struct Take {
    kind: &'static str,
    now: Timestamp,
    lease_until: Timestamp,
    limit: u32,
}

/// Input of [`settle`].
#[derive(Debug)]
pub(crate) struct Settle {
    id: String,
    outcome: JobOutcome,
}

/// Input of [`trim`].
#[derive(Debug)]
pub(crate) struct Trim {
    done_before: Timestamp,
    dead_before: Timestamp,
}

impl Store {
    /// Adds jobs, all or none. Answers how many of them were not there yet.
    pub fn add_jobs(&self, jobs: Vec<NewJob>) -> Pending<u64> {
        self.write(Command::AddJobs, jobs)
    }

    /// Takes jobs of one kind that are due at `now`, the longest due first, at most `limit`. They are
    /// leased until `lease_until`; after that, and after a restart, [`Store::return_jobs`] gives them back.
    pub fn take_jobs(
        &self,
        kind: &'static str,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
    ) -> Pending<Vec<DueJob>> {
        self.write(Command::TakeJobs, Take { kind, now, lease_until, limit })
    }

    /// When the next job that waits is due, by kind; kinds of which none waits are left out.
    pub fn next_jobs_due(&self) -> Pending<Vec<(String, Timestamp)>> {
        self.read(Lane::Point, |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT kind, min(run_at) FROM _alyx_jobs WHERE state = 'pending' GROUP BY kind",
            )?;
            let mut rows = statement.query([])?;
            let mut due = Vec::new();
            while let Some(row) = rows.next()? {
                due.push((row.get(0)?, time::from_text(&row.get::<_, String>(1)?)?));
            }
            Ok(due)
        })
    }

    /// Reports an attempt. One for a job that does not run changes nothing.
    pub fn settle_job(&self, id: &str, outcome: JobOutcome) -> Pending<()> {
        self.write(Command::SettleJob, Settle { id: id.to_owned(), outcome })
    }

    /// Gives back the jobs whose lease ends before `before`, due at once. Their attempts still count: a job
    /// that ends the process whenever it runs comes to its last attempt too.
    pub fn return_jobs(&self, before: Timestamp) -> Pending<u64> {
        self.write(Command::ReturnJobs, before)
    }

    /// Removes jobs that were done before `done_before` or given up before `dead_before`; at most
    /// [`TRIM_MAX`]. Answers how many; call again while it is that many.
    pub fn trim_jobs(&self, done_before: Timestamp, dead_before: Timestamp) -> Pending<u64> {
        self.write(Command::TrimJobs, Trim { done_before, dead_before })
    }
}

/// An id for a job that the store itself adds.
fn fresh_id(session: &Session<'_>) -> Result<String, Error> {
    let random = session
        .connection
        .prepare_cached("SELECT randomblob(10)")?
        .query_row([], |row| row.get::<_, [u8; 10]>(0))?;
    let now = time::from_text(&session.now)?.as_millisecond();
    Ok(new_id(u64::try_from(now).unwrap_or(0), random))
}

/// Adds a job to the transaction that causes it. Answers whether it was not there yet.
pub(crate) fn add(session: &Session<'_>, job: &NewJob) -> Result<bool, Error> {
    let added = session
        .connection
        .prepare_cached(
            "INSERT INTO _alyx_jobs (id, kind, target, key, payload, depth, state, run_at, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6,
                 CASE WHEN ?4 IS NOT NULL AND EXISTS (
                     SELECT 1 FROM _alyx_jobs WHERE key = ?4 AND state IN ('held', 'pending', 'running')
                 ) THEN 'held' ELSE 'pending' END,
                 ?7, ?8)
             ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![
            job.id,
            job.kind,
            job.target,
            job.key,
            job.payload,
            session.depth,
            job.run_at.map_or_else(|| session.now.clone(), time::to_text),
            session.now,
        ])?;
    session.changes.note_jobs();
    Ok(added == 1)
}

/// How many jobs of a target wait or run.
pub(crate) fn count_open(session: &Session<'_>, kind: &str, target: &str) -> Result<u32, Error> {
    let count = session
        .connection
        .prepare_cached(
            "SELECT count(*) FROM _alyx_jobs
             WHERE kind = ? AND target = ? AND state IN ('held', 'pending', 'running')",
        )?
        .query_row([kind, target], |row| row.get(0))?;
    Ok(count)
}

pub(crate) fn add_all(session: &mut Session<'_>, jobs: Vec<NewJob>) -> Result<u64, Error> {
    let mut added = 0;
    for job in &jobs {
        added += u64::from(add(session, job)?);
    }
    Ok(added)
}

pub(crate) fn take(session: &mut Session<'_>, input: Take) -> Result<Vec<DueJob>, Error> {
    let Take { kind, now, lease_until, limit } = input;
    let mut statement = session.connection.prepare_cached(
        "UPDATE _alyx_jobs SET state = 'running', attempts = attempts + 1, lease_until = ?1
         WHERE seq IN (
             SELECT seq FROM _alyx_jobs WHERE state = 'pending' AND kind = ?2 AND run_at <= ?3
             ORDER BY run_at, seq LIMIT ?4)
         RETURNING seq, id, target, payload, depth, attempts, created_at",
    )?;
    let mut rows = statement.query(params![
        time::to_text(lease_until),
        kind,
        time::to_text(now),
        limit.min(PAGE_MAX)
    ])?;
    let mut jobs = Vec::new();
    while let Some(row) = rows.next()? {
        jobs.push((row.get::<_, i64>(0)?, due(row)?));
    }
    jobs.sort_by_key(|(seq, _)| *seq);
    Ok(jobs.into_iter().map(|(_, job)| job).collect())
}

fn due(row: &Row<'_>) -> Result<DueJob, Error> {
    Ok(DueJob {
        id: row.get(1)?,
        target: row.get(2)?,
        payload: row.get(3)?,
        depth: row.get(4)?,
        attempt: row.get(5)?,
        created_at: time::from_text(&row.get::<_, String>(6)?)?,
    })
}

pub(crate) fn settle(session: &mut Session<'_>, Settle { id, outcome }: Settle) -> Result<(), Error> {
    let connection = session.connection;
    let settled = match outcome {
        JobOutcome::Done => connection
            .prepare_cached(
                "UPDATE _alyx_jobs SET state = 'done', lease_until = NULL, settled_at = ?, error = NULL
                 WHERE id = ? AND state = 'running'",
            )?
            .execute(params![session.now, id])?,
        JobOutcome::Dead { error } => connection
            .prepare_cached(
                "UPDATE _alyx_jobs SET state = 'dead', lease_until = NULL, settled_at = ?, error = ?
                 WHERE id = ? AND state = 'running'",
            )?
            .execute(params![session.now, error, id])?,
        JobOutcome::Retry { run_at, error } => {
            connection
                .prepare_cached(
                    "UPDATE _alyx_jobs SET state = 'pending', lease_until = NULL, run_at = ?, error = ?
                     WHERE id = ? AND state = 'running'",
                )?
                .execute(params![time::to_text(run_at), error, id])?;
            // Whoever sleeps until the next one is due has to look again.
            session.changes.note_jobs();
            0
        }
        JobOutcome::Returned => {
            connection
                .prepare_cached(
                    "UPDATE _alyx_jobs SET state = 'pending', lease_until = NULL, attempts = attempts - 1
                     WHERE id = ? AND state = 'running'",
                )?
                .execute([&id])?;
            session.changes.note_jobs();
            0
        }
    };
    if settled > 0 {
        release_next(session, &id)?;
    }
    Ok(())
}

/// The next job of the key of one that is settled is not held any more.
fn release_next(session: &Session<'_>, id: &str) -> Result<(), Error> {
    let released = session
        .connection
        .prepare_cached(
            "UPDATE _alyx_jobs SET state = 'pending' WHERE seq = (
                 SELECT min(held.seq) FROM _alyx_jobs AS settled
                 JOIN _alyx_jobs AS held ON held.key = settled.key AND held.state = 'held'
                 WHERE settled.id = ?)",
        )?
        .execute([id])?;
    if released > 0 {
        session.changes.note_jobs();
    }
    Ok(())
}

pub(crate) fn give_back(session: &mut Session<'_>, before: Timestamp) -> Result<u64, Error> {
    let returned = session
        .connection
        .prepare_cached(
            "UPDATE _alyx_jobs SET state = 'pending', lease_until = NULL, run_at = ?1
             WHERE state = 'running' AND lease_until < ?2",
        )?
        .execute(params![session.now, time::to_text(before)])?;
    if returned > 0 {
        session.changes.note_jobs();
    }
    Ok(returned as u64)
}

pub(crate) fn trim(session: &mut Session<'_>, trim: Trim) -> Result<u64, Error> {
    let removed = session
        .connection
        .prepare_cached(
            "DELETE FROM _alyx_jobs WHERE seq IN (
                 SELECT seq FROM _alyx_jobs
                 WHERE settled_at IS NOT NULL AND settled_at < CASE state WHEN 'dead' THEN ?1 ELSE ?2 END
                 LIMIT ?3)",
        )?
        .execute(params![time::to_text(trim.dead_before), time::to_text(trim.done_before), TRIM_MAX])?;
    Ok(removed as u64)
}
