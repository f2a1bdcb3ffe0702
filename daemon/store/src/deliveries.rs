//! Requests that webhooks made, one row an attempt.

use jiff::Timestamp;
use rusqlite::params;

use crate::limits::{PAGE_MAX, TRIM_MAX};
use crate::readers::Lane;
use crate::writer::{Command, Session};
use crate::{Error, Pending, Store, time};

/// An attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Position in the list; the store sets it.
    pub seq: i64,
    /// Id of the job, the same for all attempts.
    pub job: String,
    /// The webhook.
    pub webhook: String,
    /// Attempt of the job, counted from 1.
    pub attempt: u32,
    /// When it began. RFC 3339.
    pub at: String,
    /// Where it went.
    pub url: String,
    /// What was sent; the beginning of it.
    pub request: String,
    /// Status of the answer, if there was one.
    pub status: Option<u16>,
    /// The beginning of the answer.
    pub response: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// How long it took. Unit: milliseconds.
    pub duration_ms: u32,
}

/// Input of [`trim`].
#[derive(Debug)]
pub(crate) struct Trim {
    before: Timestamp,
}

impl Store {
    /// Keeps an attempt.
    pub fn record_delivery(&self, row: DeliveryRow) -> Pending<()> {
        self.write(Command::RecordDelivery, row)
    }

    /// Attempts of a webhook, newest first, those before the position `before` if it is given.
    pub fn deliveries(&self, webhook: &str, before: Option<i64>, limit: u32) -> Pending<Vec<DeliveryRow>> {
        let webhook = webhook.to_owned();
        self.read(Lane::Scan, move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT seq, job, webhook, attempt, at, url, request, status, response, error, duration_ms
                 FROM _alyx_deliveries WHERE webhook = ?1 AND (?2 IS NULL OR seq < ?2)
                 ORDER BY seq DESC LIMIT ?3",
            )?;
            let rows = statement.query_map(params![webhook, before, limit.min(PAGE_MAX)], |row| {
                Ok(DeliveryRow {
                    seq: row.get(0)?,
                    job: row.get(1)?,
                    webhook: row.get(2)?,
                    attempt: row.get(3)?,
                    at: row.get(4)?,
                    url: row.get(5)?,
                    request: row.get(6)?,
                    status: row.get(7)?,
                    response: row.get(8)?,
                    error: row.get(9)?,
                    duration_ms: row.get(10)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Removes attempts from before this time, at most [`TRIM_MAX`]. Answers how many; call again until it
    /// is none.
    pub fn trim_deliveries(&self, before: Timestamp) -> Pending<u64> {
        self.write(Command::TrimDeliveries, Trim { before })
    }
}

pub(crate) fn record(session: &mut Session<'_>, row: DeliveryRow) -> Result<(), Error> {
    session
        .connection
        .prepare_cached(
            "INSERT INTO _alyx_deliveries
                 (job, webhook, attempt, at, url, request, status, response, error, duration_ms)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            row.job,
            row.webhook,
            row.attempt,
            row.at,
            row.url,
            row.request,
            row.status,
            row.response,
            row.error,
            row.duration_ms,
        ])?;
    Ok(())
}

pub(crate) fn trim(session: &mut Session<'_>, trim: Trim) -> Result<u64, Error> {
    let removed = session
        .connection
        .prepare_cached(
            "DELETE FROM _alyx_deliveries WHERE seq IN (
                 SELECT seq FROM (SELECT seq, at FROM _alyx_deliveries ORDER BY seq LIMIT ?2) WHERE at < ?1)",
        )?
        .execute(params![time::to_text(trim.before), TRIM_MAX])?;
    Ok(removed as u64)
}
