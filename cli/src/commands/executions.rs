//! `alyx executions list|show|tail`.

use serde_json::Value;

use super::functions::log_line;
use super::{cell, each_line, milliseconds, rows};
use crate::args::{Executions, ExecutionsCommand, Target, WhichExecutions};
use crate::client::{Client, escape};
use crate::exit::{Exit, Failure};
use crate::print::{self, Output};

pub async fn run(args: Executions, target: &Target, output: Output) -> Result<Exit, Failure> {
    let client = Client::new(target)?;
    match args.command {
        ExecutionsCommand::List(filter) => {
            let mut query = query_of(filter.which);
            query.push(("limit", filter.limit.to_string()));
            list(&client, &query, output).await?;
        }
        ExecutionsCommand::Show { id } => show(&client, &id, output).await?,
        ExecutionsCommand::Tail(which) => {
            let mut query = query_of(which);
            query.push(("follow", "true".to_owned()));
            tail(&client, &query, output).await?;
        }
    }
    Ok(Exit::Ok)
}

fn query_of(which: WhichExecutions) -> Vec<(&'static str, String)> {
    let WhichExecutions { function, outcome, trigger, request } = which;
    let given = [("function", function), ("outcome", outcome), ("trigger", trigger), ("request_id", request)];
    given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

async fn list(client: &Client, query: &[(&str, String)], output: Output) -> Result<(), Failure> {
    let answer = client.get_with("/api/admin/executions", query).await?;
    if output == Output::Json {
        return print::json(&answer);
    }
    let table: Vec<Vec<String>> = rows(&answer).iter().map(summary).collect();
    if table.is_empty() {
        print::note("no executions");
        return Ok(());
    }
    print::table(
        &["ID", "STARTED", "FUNCTION", "TRIGGER", "OUTCOME", "QUEUE", "RUN", "STATUS", "CODE"],
        &table,
    )
}

fn summary(row: &Value) -> Vec<String> {
    vec![
        cell(row, "id"),
        cell(row, "started_at"),
        cell(row, "function"),
        cell(row, "trigger"),
        cell(row, "outcome"),
        milliseconds(row, "queue_us"),
        milliseconds(row, "run_us"),
        cell(row, "status"),
        cell(row, "error_code"),
    ]
}

async fn show(client: &Client, id: &str, output: Output) -> Result<(), Failure> {
    let answer = client.get(&format!("/api/admin/executions/{}", escape(id))).await?;
    if output == Output::Json {
        return print::json(&answer);
    }
    let Some(members) = answer.as_object() else {
        return print::json(&answer);
    };
    for (name, value) in members.iter().filter(|(name, value)| *name != "logs" && !value.is_null()) {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        print::line(&format!("{name:<18} {}", print::plain(&text)))?;
    }
    for line in answer.get("logs").map(rows).unwrap_or_default() {
        print::line(&log_line(line))?;
    }
    Ok(())
}

/// Prints records as they come, until the daemon stops or the reader goes away.
async fn tail(client: &Client, query: &[(&str, String)], output: Output) -> Result<(), Failure> {
    each_line(client, "/api/admin/executions", query, |line| record(line, output)).await
}

fn record(line: &[u8], output: Output) -> Result<(), Failure> {
    let Ok(row) = serde_json::from_slice::<Value>(line) else {
        // Blank lines keep the connection alive.
        return Ok(());
    };
    match output {
        Output::Json => print::raw(line),
        Output::Text => print::line(&print::plain(&summary(&row).join("  "))),
    }
}
