//! Events that the project itself names. Publishing one adds the jobs of everybody who wants to be told to
//! the same transaction, so all of them are told or, if it is taken back, none.

use jiff::Timestamp;
use rusqlite::params;

use crate::jobs;
use crate::limits::{PAGE_MAX, TRIM_MAX};
use crate::readers::Lane;
use crate::writer::{Command, Session};
use crate::{Error, Pending, Store, time};

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it tells, JSON.
    pub payload: String,
    /// Label of who published it.
    pub identity: String,
    /// When, in the stored form of a timestamp; the store sets it.
    pub at: String,
}

/// Input of [`trim`].
#[derive(Debug)]
pub(crate) struct Trim {
    before: Timestamp,
}

impl Store {
    /// Publishes an event. Answers when it was.
    pub fn publish(&self, event: EventRow) -> Pending<String> {
        self.write(Command::PublishEvent, event)
    }

    /// The newest events first, of one name if it is given, and only those before the event with the id
    /// `before` if that is; at most `limit`.
    pub fn events(&self, name: Option<String>, before: Option<String>, limit: u32) -> Pending<Vec<EventRow>> {
        self.read(Lane::Scan, move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, name, payload, identity, at FROM _alyx_events
                 WHERE (?1 IS NULL OR name = ?1)
                   AND (?2 IS NULL OR seq < (SELECT seq FROM _alyx_events WHERE id = ?2))
                 ORDER BY seq DESC LIMIT ?3",
            )?;
            let rows = statement.query_map(params![name, before, limit.min(PAGE_MAX)], read_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The events after a place, oldest first, at most `limit`, and the place of each.
    pub fn events_after(&self, place: i64, limit: u32) -> Pending<Vec<(i64, EventRow)>> {
        self.read(Lane::Point, move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, name, payload, identity, at, seq FROM _alyx_events
                 WHERE seq > ?1 ORDER BY seq LIMIT ?2",
            )?;
            let rows = statement
                .query_map(params![place, limit.min(PAGE_MAX)], |row| Ok((row.get(5)?, read_row(row)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The place of the last event.
    pub fn last_event(&self) -> Pending<i64> {
        self.read(Lane::Point, |connection| {
            let mut statement =
                connection.prepare_cached("SELECT coalesce(max(seq), 0) FROM _alyx_events")?;
            Ok(statement.query_row([], |row| row.get(0))?)
        })
    }

    /// Removes events from before this time, at most [`TRIM_MAX`]. Answers how many; call again until it is
    /// none.
    pub fn trim_events(&self, before: Timestamp) -> Pending<u64> {
        self.write(Command::TrimEvents, Trim { before })
    }
}

fn read_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<EventRow> {
    Ok(EventRow {
        id: row.get(0)?,
        name: row.get(1)?,
        payload: row.get(2)?,
        identity: row.get(3)?,
        at: row.get(4)?,
    })
}

pub(crate) fn publish(session: &mut Session<'_>, event: EventRow) -> Result<String, Error> {
    let EventRow { id, name, payload, identity, .. } = event;
    session
        .connection
        .prepare_cached("INSERT INTO _alyx_events (id, name, payload, identity, at) VALUES (?, ?, ?, ?, ?)")?
        .execute(params![id, name, payload, identity, session.now])?;
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let told = format!(
        r#"{{"event":{},"id":{},"at":"{}","identity":{},"payload":{payload}}}"#,
        text(&name),
        text(&id),
        session.now,
        text(&identity),
    );
    jobs::fire_event(session, &name, &told)?;
    // Who follows events is woken along with those who do jobs.
    session.changes.note_jobs();
    Ok(session.now.clone())
}

pub(crate) fn trim(session: &mut Session<'_>, trim: Trim) -> Result<u64, Error> {
    let removed = session
        .connection
        .prepare_cached(
            "DELETE FROM _alyx_events WHERE seq IN (
                 SELECT seq FROM (SELECT seq, at FROM _alyx_events ORDER BY seq LIMIT ?2) WHERE at < ?1)",
        )?
        .execute(params![time::to_text(trim.before), TRIM_MAX])?;
    Ok(removed as u64)
}
