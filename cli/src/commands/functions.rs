//! `alyx functions list|invoke|logs`.

use std::fs;
use std::io::{self, Read};

use serde_json::Value;

use super::{cell, rows};
use crate::args::{Functions, FunctionsCommand, Target};
use crate::client::{Client, escape};
use crate::exit::{Exit, Failure, root_cause};
use crate::print::{self, Output};

pub async fn run(args: Functions, target: &Target, output: Output) -> Result<Exit, Failure> {
    let client = Client::new(target)?;
    match args.command {
        FunctionsCommand::List => list(&client, output).await?,
        FunctionsCommand::Invoke { name, data } => invoke(&client, &name, &data, output).await?,
        FunctionsCommand::Logs { name } => logs(&client, &name, output).await?,
    }
    Ok(Exit::Ok)
}

async fn list(client: &Client, output: Output) -> Result<(), Failure> {
    let answer = client.get("/api/admin/functions").await?;
    if output == Output::Json {
        return print::json(&answer);
    }
    let problem = |row: &Value| row.get("problem").map_or(String::new(), |problem| cell(problem, "code"));
    let columns = |row| {
        let mut cells =
            ["name", "runtime", "workers", "running", "queued"].map(|name| cell(row, name)).to_vec();
        cells.push(problem(row));
        cells
    };
    let table: Vec<Vec<String>> = rows(&answer).iter().map(columns).collect();
    if table.is_empty() {
        print::note("no functions");
        return Ok(());
    }
    print::table(&["NAME", "RUNTIME", "WORKERS", "RUNNING", "QUEUED", "PROBLEM"], &table)
}

async fn invoke(client: &Client, name: &str, data: &str, output: Output) -> Result<(), Failure> {
    let input = input(data)?;
    let response = client.post(&format!("/api/functions/{}", escape(name)), input).await?;
    let header = |key: &str| {
        response.headers().get(key).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let (execution, content_type) = (header("x-alyx-execution"), header("content-type"));
    let status = response.status().as_u16();
    let body = response
        .bytes()
        .await
        .map_err(|error| Failure::new(format!("the answer ended early: {}", root_cause(&error))))?;
    if output == Output::Json {
        let value: Value = serde_json::from_slice(&body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()));
        return print::json(&serde_json::json!({ "status": status, "execution": execution, "body": value }));
    }
    print::note(&format!("{status}, execution {}", print::plain(&execution)));
    match serde_json::from_slice::<Value>(&body) {
        Ok(value) if content_type.contains("json") => print::json(&value),
        _ => {
            print::raw(&body)?;
            if body.is_empty() || body.ends_with(b"\n") { Ok(()) } else { print::raw(b"\n") }
        }
    }
}

/// The input as JSON text, checked here so that a typing mistake is found before the call.
fn input(data: &str) -> Result<Vec<u8>, Failure> {
    let text = if data == "-" {
        let mut text = Vec::new();
        io::stdin()
            .lock()
            .read_to_end(&mut text)
            .map_err(|error| Failure::new(format!("failed to read standard input: {error}")))?;
        text
    } else if let Some(file) = data.strip_prefix('@') {
        fs::read(file).map_err(|error| Failure::new(format!("failed to read {file}: {error}")))?
    } else {
        data.as_bytes().to_vec()
    };
    match serde_json::from_slice::<&serde_json::value::RawValue>(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::usage(format!("the input is not JSON: {error}"))
            .hint("quote it for the shell, as in -d '{\"name\":\"Ada\"}'")),
    }
}

async fn logs(client: &Client, name: &str, output: Output) -> Result<(), Failure> {
    let answer = client.get(&format!("/api/admin/functions/{}/logs", escape(name))).await?;
    if output == Output::Json {
        return print::json(&answer);
    }
    for row in rows(&answer) {
        print::line(&log_line(row))?;
    }
    if rows(&answer).is_empty() {
        print::note("no log lines");
    }
    Ok(())
}

/// One line of a function's log, safe for a terminal.
pub fn log_line(row: &Value) -> String {
    let level = cell(row, "level");
    let text = format!("{} {level:<5} {}", cell(row, "at"), cell(row, "message").trim_end());
    print::plain(&text)
}

#[cfg(test)]
mod tests {
    use super::input;

    #[test]
    fn input_is_json_before_it_is_sent() {
        let check = |data: &str, valid: bool| assert_eq!(input(data).is_ok(), valid, "{data}");
        check("{}", true);
        check("null", true);
        check(r#"{"n": 12345678901234567890123}"#, true);
        check("", false);
        check("{name: Ada}", false);
        check("{} {}", false);
        check("@/nonexistent/file", false);
    }
}
