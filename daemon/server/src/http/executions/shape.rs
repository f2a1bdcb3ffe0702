//! An execution as JSON.

use alyx_store::ExecutionRow;
use serde_json::{Map, Value, json};

/// An execution as the API shows it; its log is there where it was read.
pub fn shape(row: &ExecutionRow) -> Value {
    let mut shape = Map::new();
    let mut set = |name: &str, value: Value| {
        if !value.is_null() {
            shape.insert(name.to_owned(), value);
        }
    };
    set("id", json!(row.id));
    set("function", json!(row.function));
    set("version", json!(Some(&row.version).filter(|version| !version.is_empty())));
    set("trigger", json!(row.trigger));
    set("identity", json!(row.identity));
    set("started_at", json!(crate::clock::text(row.started_at)));
    set("queue_us", json!(row.queue_us));
    set("run_us", json!(row.run_us));
    set("outcome", json!(row.outcome));
    set("cause", parsed(row.cause_json.as_deref()));
    set("status", json!(row.status));
    set("cpu_us", json!(row.cpu_us));
    set("memory_peak_bytes", json!(row.memory_peak_bytes));
    set("input_bytes", json!(row.input_bytes));
    set("output_bytes", json!(row.output_bytes));
    set("trace_id", json!(row.trace_id));
    set("request_id", json!(row.request_id));
    set("lowered", parsed(row.lowered_json.as_deref().or(Some("[]"))));
    set("error_code", json!(row.error_code));
    set("error_message", json!(row.error_message));
    set("input", json!(row.input));
    set("output", json!(row.output));
    Value::Object(shape)
}

fn parsed(text: Option<&str>) -> Value {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null)
}
