//! Listing and looking up.

use jiff::Timestamp;
use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{Execution, ExecutionFilter, ExecutionRow, LogRow};
use crate::{Error, time};

const COLUMNS: &str = "seq, id, function, version, trigger, identity, started_at, queue_us, run_us, outcome,
    cause_json, status, cpu_us, memory_peak_bytes, input_bytes, output_bytes, trace_id, request_id,
    lowered_json, error_code, error_message";

pub(super) fn list(connection: &Connection, filter: &ExecutionFilter) -> Result<Vec<Execution>, Error> {
    let before = filter.before_id.as_deref().map(|id| seq_of(connection, id)).transpose()?;
    let after = filter.after_id.as_deref().map(|id| seq_of(connection, id)).transpose()?;
    let mut conditions = Vec::new();
    let mut params: Vec<&dyn ToSql> = Vec::new();
    let mut add = |condition, param| {
        conditions.push(condition);
        params.push(param);
    };
    if let Some(function) = &filter.function {
        add("function = ?", function);
    }
    if let Some(outcome) = &filter.outcome {
        add("outcome = ?", outcome);
    }
    if let Some(trigger) = &filter.trigger {
        add("trigger = ?", trigger);
    }
    if let Some(request_id) = &filter.request_id {
        add("request_id = ?", request_id);
    }
    if let Some(before) = &before {
        add("seq < ?", before);
    }
    if let Some(after) = &after {
        add("seq > ?", after);
    }
    params.push(&filter.limit);
    let condition = if conditions.is_empty() { "true".to_owned() } else { conditions.join(" AND ") };
    let order = if after.is_some() { "ASC" } else { "DESC" };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM _alyx_executions WHERE {condition} ORDER BY seq {order} LIMIT ?"
    ))?;
    let mut rows = statement.query(params.as_slice())?;
    let mut executions = Vec::new();
    while let Some(row) = rows.next()? {
        executions.push(execution(row)?);
    }
    if after.is_some() {
        executions.reverse();
    }
    Ok(executions)
}

pub(super) fn one(connection: &Connection, id: &str) -> Result<Option<Execution>, Error> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS}, input_text, output_text FROM _alyx_executions WHERE id = ?"
    ))?;
    let mut rows = statement.query([id])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let mut found = execution(row)?;
    let seq: i64 = row.get(0)?;
    (found.row.input, found.row.output) = (row.get("input_text")?, row.get("output_text")?);
    found.row.logs = logs(connection, seq)?;
    Ok(Some(found))
}

fn seq_of(connection: &Connection, id: &str) -> Result<i64, Error> {
    connection
        .prepare_cached("SELECT seq FROM _alyx_executions WHERE id = ?")?
        .query_row([id], |row| row.get(0))
        .optional()?
        .ok_or(Error::NotFound)
}

fn logs(connection: &Connection, seq: i64) -> Result<Vec<LogRow>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT at, level, stream, message FROM _alyx_execution_logs WHERE execution_seq = ? ORDER BY line",
    )?;
    let mut rows = statement.query(params![seq])?;
    let mut logs = Vec::new();
    while let Some(row) = rows.next()? {
        logs.push(log_row(row)?);
    }
    Ok(logs)
}

pub(super) fn function_log(
    connection: &Connection,
    function: &str,
    before: Timestamp,
    limit: u32,
) -> Result<Vec<(String, LogRow)>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT l.at, l.level, l.stream, l.message, e.id
         FROM _alyx_executions e JOIN _alyx_execution_logs l ON l.execution_seq = e.seq
         WHERE e.function = ? AND e.started_at < ? ORDER BY e.seq DESC, l.line DESC LIMIT ?",
    )?;
    let mut rows = statement.query(params![function, time::to_text(before), limit])?;
    let mut logs = Vec::new();
    while let Some(row) = rows.next()? {
        logs.push((row.get(4)?, log_row(row)?));
    }
    logs.reverse();
    Ok(logs)
}

/// A line from the first four columns.
fn log_row(row: &Row<'_>) -> Result<LogRow, Error> {
    Ok(LogRow {
        at: time::from_text(&row.get::<_, String>(0)?)?,
        level: row.get(1)?,
        stream: row.get(2)?,
        message: row.get(3)?,
    })
}

fn execution(row: &Row<'_>) -> Result<Execution, Error> {
    let number = |index| row.get::<_, i64>(index).map(i64::unsigned_abs);
    let maybe = |index| row.get::<_, Option<i64>>(index).map(|value| value.map(i64::unsigned_abs));
    Ok(Execution {
        seq: number(0)?,
        row: ExecutionRow {
            id: row.get(1)?,
            function: row.get(2)?,
            version: row.get(3)?,
            trigger: row.get(4)?,
            identity: row.get(5)?,
            started_at: time::from_text(&row.get::<_, String>(6)?)?,
            queue_us: number(7)?,
            run_us: number(8)?,
            outcome: row.get(9)?,
            cause_json: row.get(10)?,
            status: row.get(11)?,
            cpu_us: maybe(12)?,
            memory_peak_bytes: maybe(13)?,
            input_bytes: number(14)?,
            output_bytes: number(15)?,
            trace_id: row.get(16)?,
            request_id: row.get(17)?,
            lowered_json: row.get(18)?,
            error_code: row.get(19)?,
            error_message: row.get(20)?,
            input: None,
            output: None,
            logs: Vec::new(),
        },
    })
}
