//! One file a command: ask the daemon, print. What several commands share is here.

pub mod api_keys;
pub mod audit;
pub mod backup;
pub mod doctor;
pub mod events;
pub mod executions;
pub mod functions;
pub mod hooks;
pub mod inbound;
pub mod init;
pub mod jobs;
pub mod keys;
pub mod lockouts;
pub mod logs;
mod made;
pub mod mail;
pub mod manual;
pub mod migrate;
pub mod reload;
pub mod rules;
pub mod schedules;
pub mod schema;
pub mod secrets;
pub mod status;
pub mod supervisor_config;
pub mod top;
pub mod users;
pub mod version;
pub mod webhooks;

use alyx_protocol::isolation::{Layer, LayerState};
use futures_util::StreamExt;
use serde::Serialize;
use serde_json::Value;

use crate::client::Client;
use crate::exit::{Exit, Failure, root_cause};

/// A line of a stream is one object; more is not one.
const LINE_MAX_BYTES: usize = 1 << 20;

/// Members that hold the rows of a list answer.
const ROW_MEMBERS: [&str; 23] = [
    "entries",
    "backups",
    "removed",
    "docs",
    "functions",
    "executions",
    "users",
    "logs",
    "lines",
    "sessions",
    "keys",
    "rules",
    "mails",
    "lockouts",
    "secrets",
    "jobs",
    "hooks",
    "webhooks",
    "inbound",
    "deliveries",
    "events",
    "api_keys",
    "schedules",
];

/// The rows of a list answer.
pub fn rows(answer: &Value) -> &[Value] {
    answer
        .as_array()
        .or_else(|| ROW_MEMBERS.iter().find_map(|member| answer.get(member)?.as_array()))
        .map_or(&[], Vec::as_slice)
}

/// Hands on each line of an answer that keeps being written, until it ends.
pub async fn each_line(
    client: &Client,
    path: &str,
    query: &[(&str, String)],
    mut each: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut stream = client.stream(path, query).await?.bytes_stream();
    let mut pending: Vec<u8> = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk =
            chunk.map_err(|error| Failure::new(format!("the stream ended early: {}", root_cause(&error))))?;
        pending.extend_from_slice(&chunk);
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            each(&line)?;
        }
        if pending.len() > LINE_MAX_BYTES {
            return Err(Failure::new("a line of the stream is too long"));
        }
    }
    let mut failure = Failure::new("the daemon ended the stream");
    failure.exit = Exit::NotReachable;
    Err(failure.hint("it is stopping, or what was followed is not declared any more"))
}

/// A cell of a table: text as it is, nothing for null, JSON for the rest.
pub fn cell(row: &Value, member: &str) -> String {
    match row.get(member) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Microseconds as milliseconds with one decimal.
pub fn milliseconds(row: &Value, member: &str) -> String {
    match row.get(member).and_then(Value::as_f64) {
        Some(microseconds) => format!("{:.1} ms", microseconds / 1_000.0),
        None => String::new(),
    }
}

pub fn layer_name(layer: Layer) -> String {
    word(layer)
}

pub fn state_name(state: LayerState) -> String {
    word(state)
}

/// The word that a plain enum has in JSON.
fn word(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(text)) => text,
        _ => String::new(),
    }
}
