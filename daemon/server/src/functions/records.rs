//! Records of executions go to the store.

use std::pin::Pin;
use std::sync::Arc;

use alyx_store::{ExecutionRow, LogRow, Store};
use jiff::Timestamp;

use super::logs::{Line, Stream, level_of, level_text};
use super::recorder::{Execution, Sink};
use crate::clock;
use crate::problem::error_chain;

/// Records go to the store.
pub struct StoreSink(pub Store);

impl Sink for StoreSink {
    fn write(&self, batch: Vec<Arc<Execution>>) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> {
        let pending = self.0.record_executions(batch.iter().map(|execution| row(execution)).collect());
        Box::pin(async move { pending.await.map_err(|error| error_chain(&error)) })
    }
}

fn row(execution: &Execution) -> ExecutionRow {
    let lowered = &execution.lowered;
    ExecutionRow {
        id: execution.id.to_string(),
        function: execution.function.clone(),
        version: execution.version.clone().unwrap_or_default(),
        trigger: execution.trigger.to_owned(),
        identity: execution.identity.clone(),
        started_at: time(&execution.started_at),
        queue_us: execution.queue_us,
        run_us: execution.run_us,
        outcome: execution.outcome.to_owned(),
        cause_json: execution.cause.as_ref().map(ToString::to_string),
        status: Some(execution.status),
        cpu_us: execution.cpu_us,
        memory_peak_bytes: execution.memory_peak_bytes,
        input_bytes: execution.input_bytes,
        output_bytes: execution.output_bytes,
        trace_id: execution.trace_id.clone(),
        request_id: execution.request_id.clone(),
        lowered_json: (!lowered.is_empty())
            .then(|| serde_json::to_string(&**lowered).expect("names of layers are text")),
        error_code: execution.error_code.clone(),
        error_message: execution.error_message.clone(),
        input: execution.input.clone(),
        output: execution.output.clone(),
        logs: execution.logs.iter().map(log_row).collect(),
    }
}

fn log_row(line: &Line) -> LogRow {
    LogRow {
        at: time(&line.at),
        level: level_text(line.level).to_owned(),
        stream: line.stream.as_str().to_owned(),
        message: line.message.clone(),
    }
}

/// A line that was recorded.
pub fn line(row: LogRow) -> Line {
    Line {
        at: clock::text(row.at),
        level: level_of(&row.level),
        stream: Stream::of(&row.stream),
        message: row.message,
    }
}

fn time(text: &str) -> Timestamp {
    text.parse().expect("our clock writes RFC 3339")
}
