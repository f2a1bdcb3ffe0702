//! What functions did: one row per execution and its log lines. Written after the fact and in batches;
//! losing the newest ones with the process is acceptable, holding up an invocation for them is not.

mod read;
mod write;

use jiff::Timestamp;

pub(crate) use write::{Trim, record, trim};

use crate::limits::{EXECUTIONS_MAX, PAGE_MAX};
use crate::readers::Lane;
use crate::writer::Command;
use crate::{Error, Pending, Store};

/// An execution to record. Texts that name a state come from the caller and are stored as they are.
#[derive(Clone, Debug, PartialEq)]
pub struct ExecutionRow {
    /// Its id.
    pub id: String,
    /// Name of the function.
    pub function: String,
    /// Which code: the bundle's digest.
    pub version: String,
    /// What caused it, such as `http`.
    pub trigger: String,
    /// Label of the identity it ran for.
    pub identity: String,
    /// When it was accepted.
    pub started_at: Timestamp,
    /// Time it waited for a worker, in microseconds.
    pub queue_us: u64,
    /// Time it ran, in microseconds.
    pub run_us: u64,
    /// How it ended.
    pub outcome: String,
    /// Why it was ended, as JSON, where something ended it.
    pub cause_json: Option<String>,
    /// Status of the answer.
    pub status: Option<u16>,
    /// Processor time, in microseconds.
    pub cpu_us: Option<u64>,
    /// Largest memory of its worker, in bytes.
    pub memory_peak_bytes: Option<u64>,
    /// Size of the input.
    pub input_bytes: u64,
    /// Size of the output.
    pub output_bytes: u64,
    /// Trace it belongs to.
    pub trace_id: String,
    /// Request it belongs to.
    pub request_id: String,
    /// Confinement that was not in force, as JSON.
    pub lowered_json: Option<String>,
    /// Code of the error.
    pub error_code: Option<String>,
    /// Text of the error.
    pub error_message: Option<String>,
    /// The beginning of its input, where it is kept. None in lists.
    pub input: Option<String>,
    /// The beginning of its output, where it is kept. None in lists.
    pub output: Option<String>,
    /// Its log, in order. Empty in lists.
    pub logs: Vec<LogRow>,
}

/// A line of an execution's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRow {
    /// When.
    pub at: Timestamp,
    /// Such as `info`.
    pub level: String,
    /// Such as `stdout`.
    pub stream: String,
    /// The line.
    pub message: String,
}

/// A recorded execution.
#[derive(Clone, Debug, PartialEq)]
pub struct Execution {
    /// Place in the order of recording, in which executions are listed.
    pub seq: u64,
    /// What was recorded.
    pub row: ExecutionRow,
}

/// Which executions are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecutionFilter {
    /// Of this function.
    pub function: Option<String>,
    /// With this outcome.
    pub outcome: Option<String>,
    /// Caused in this way: `http`, `hook`, ….
    pub trigger: Option<String>,
    /// Of the request or job with this id.
    pub request_id: Option<String>,
    /// Recorded before this one, exclusive: the next page.
    pub before_id: Option<String>,
    /// Recorded after this one, exclusive. The oldest of them that the limit allows are answered, so
    /// that following them leaves none out.
    pub after_id: Option<String>,
    /// At most this many, up to [`PAGE_MAX`].
    pub limit: u32,
}

impl Store {
    /// Records executions, up to [`EXECUTIONS_MAX`] at once.
    ///
    /// Fails with [`Error::UniqueViolation`] if one is recorded already; none is recorded then.
    pub fn record_executions(&self, rows: Vec<ExecutionRow>) -> Pending<()> {
        if rows.len() > EXECUTIONS_MAX {
            return Pending::failed(Error::internal("record executions", "too many at once"));
        }
        self.write(Command::RecordExecutions, rows)
    }

    /// Executions in order of recording, newest first, without logs.
    ///
    /// Fails with [`Error::NotFound`] if `before_id` or `after_id` is not recorded (any more).
    pub fn executions(&self, filter: ExecutionFilter) -> Pending<Vec<Execution>> {
        let filter = ExecutionFilter { limit: filter.limit.min(PAGE_MAX), ..filter };
        self.read(Lane::Scan, move |connection| read::list(connection, &filter))
    }

    /// One execution with its log.
    pub fn execution(&self, id: &str) -> Pending<Option<Execution>> {
        let id = id.to_owned();
        self.read(Lane::Point, move |connection| read::one(connection, &id))
    }

    /// The newest log lines of the executions of a function that started before a time, oldest first, each
    /// with the id of its execution. At most `limit`, up to [`PAGE_MAX`].
    pub fn function_log(
        &self,
        function: &str,
        before: Timestamp,
        limit: u32,
    ) -> Pending<Vec<(String, LogRow)>> {
        let (function, limit) = (function.to_owned(), limit.min(PAGE_MAX));
        self.read(Lane::Scan, move |connection| read::function_log(connection, &function, before, limit))
    }

    /// Removes executions beyond the newest `keep`, and those started before `older_than`, oldest
    /// first, at most [`TRIM_MAX`](crate::limits::TRIM_MAX) per call. Answers how many; call again
    /// while it is that many.
    pub fn trim_executions(&self, keep: u64, older_than: Timestamp) -> Pending<u64> {
        self.write(Command::TrimExecutions, Trim { keep, older_than })
    }
}
