//! Recording and retention.

use jiff::Timestamp;
use rusqlite::params;

use super::{ExecutionRow, LogRow};
use crate::limits::TRIM_MAX;
use crate::writer::Session;
use crate::{Error, time};

/// See [`Store::trim_executions`](crate::Store::trim_executions).
#[derive(Debug)]
pub(crate) struct Trim {
    pub(super) keep: u64,
    pub(super) older_than: Timestamp,
}

pub(crate) fn record(session: &mut Session<'_>, rows: Vec<ExecutionRow>) -> Result<(), Error> {
    for row in &rows {
        record_one(session, row)?;
        let seq = session.connection.last_insert_rowid();
        for (line, log) in row.logs.iter().enumerate() {
            record_line(session, seq, line, log)?;
        }
    }
    Ok(())
}

fn record_one(session: &Session<'_>, row: &ExecutionRow) -> Result<(), Error> {
    session
        .connection
        .prepare_cached(
            "INSERT INTO _alyx_executions (id, function, version, trigger, identity, started_at, queue_us,
                 run_us, outcome, cause_json, status, cpu_us, memory_peak_bytes, input_bytes, output_bytes,
                 trace_id, request_id, lowered_json, error_code, error_message, input_text, output_text)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            row.id,
            row.function,
            row.version,
            row.trigger,
            row.identity,
            time::to_text(row.started_at),
            integer(row.queue_us),
            integer(row.run_us),
            row.outcome,
            row.cause_json,
            row.status,
            row.cpu_us.map(integer),
            row.memory_peak_bytes.map(integer),
            integer(row.input_bytes),
            integer(row.output_bytes),
            row.trace_id,
            row.request_id,
            row.lowered_json,
            row.error_code,
            row.error_message,
            row.input,
            row.output,
        ])?;
    Ok(())
}

fn record_line(session: &Session<'_>, seq: i64, line: usize, log: &LogRow) -> Result<(), Error> {
    session
        .connection
        .prepare_cached(
            "INSERT INTO _alyx_execution_logs (execution_seq, line, at, level, stream, message)
             VALUES (?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            seq,
            integer(line as u64),
            time::to_text(log.at),
            log.level,
            log.stream,
            log.message
        ])?;
    Ok(())
}

/// No duration or size we record comes near the end of the range.
fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn trim(session: &mut Session<'_>, trim: Trim) -> Result<u64, Error> {
    let removed = session
        .connection
        // Only the oldest rows are looked at, so the cost has a bound also when nothing is due.
        .prepare_cached(
            "DELETE FROM _alyx_executions WHERE seq IN (
                 SELECT seq FROM (SELECT seq, started_at FROM _alyx_executions ORDER BY seq LIMIT ?3)
                 WHERE started_at < ?1 OR seq <= (SELECT max(seq) FROM _alyx_executions) - ?2)",
        )?
        .execute(params![time::to_text(trim.older_than), integer(trim.keep), TRIM_MAX])?;
    Ok(removed as u64)
}
