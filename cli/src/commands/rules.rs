//! `alyx rules check|test|explain`.

use std::path::Path;

use reqwest::Response;
use serde_json::{Value, json};

use super::{cell, rows};
use crate::args::{Rules, RulesCommand, Target};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::print::{self, Output};

pub async fn run(args: Rules, target: &Target, output: Output) -> Result<Exit, Failure> {
    let client = Client::new(target)?;
    match args.command {
        RulesCommand::Check => check(&client, output).await,
        RulesCommand::Test { file } => test(&client, &file, output).await,
        RulesCommand::Explain { collection, operation, who } => {
            let body = json!({ "collection": collection, "operation": operation, "as": who });
            explain(&client, &body, output).await
        }
    }
}

async fn check(client: &Client, output: Output) -> Result<Exit, Failure> {
    let answer = client.get("/api/admin/rules").await?;
    if output == Output::Json {
        print::json(&answer)?;
        return Ok(Exit::Ok);
    }
    let mark = |row: &Value, member: &str, mark: &str| {
        if row[member] == true { mark.to_owned() } else { String::new() }
    };
    let table: Vec<Vec<String>> = rows(&answer)
        .iter()
        .map(|row| {
            let rule =
                if row["rule"].is_null() { "(administrators only)".to_owned() } else { cell(row, "rule") };
            let notes = [mark(row, "post_filter", "post filter"), mark(row, "lookups", "lookups")];
            let notes: Vec<String> = notes.into_iter().filter(|note| !note.is_empty()).collect();
            vec![cell(row, "collection"), cell(row, "operation"), notes.join(", "), rule]
        })
        .collect();
    print::table(&["OF", "OPERATION", "NOTES", "RULE"], &table)?;
    Ok(Exit::Ok)
}

async fn test(client: &Client, file: &Path, output: Output) -> Result<Exit, Failure> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::new(format!("failed to read {name}: {error}")).hint("docs/rules.md describes the file")
    })?;
    let body = json!({ "file": name, "text": text });
    let answer = answer(client.post("/api/admin/rules/test", body.to_string().into_bytes()).await?).await?;
    if output == Output::Json {
        print::json(&answer)?;
    } else {
        for result in answer["results"].as_array().map(Vec::as_slice).unwrap_or_default() {
            print::line(&describe(&name, result))?;
        }
    }
    print::note(&format!("{} passed, {} failed", answer["passed"], answer["failed"]));
    Ok(if answer["failed"] == 0 { Exit::Ok } else { Exit::Failed })
}

/// `rules.test.yaml:12: FAILED ada may delete posts.draft, expected not`
fn describe(file: &str, result: &Value) -> String {
    let (who, of, subject) = (cell(result, "as"), cell(result, "of"), cell(result, "subject"));
    let may = |yes: &Value| if *yes == true { "may" } else { "may not" };
    let line = format!("{who} {} {of} {subject}", may(&result["found"]));
    let mut text = match result["passed"] == true {
        true => format!("{file}:{}: ok {line}", result["line"]),
        false => {
            format!("{file}:{}: FAILED {line}, but {} was expected", result["line"], may(&result["expected"]))
        }
    };
    if !cell(result, "test").is_empty() {
        text.push_str(&format!(" ({})", cell(result, "test")));
    }
    if result["passed"] != true && !result["reason"].is_null() {
        text.push_str(&format!(": {}", cell(result, "reason")));
    }
    print::plain(&text)
}

async fn explain(client: &Client, body: &Value, output: Output) -> Result<Exit, Failure> {
    let answer =
        answer(client.post("/api/admin/rules/explain", body.to_string().into_bytes()).await?).await?;
    if output == Output::Json {
        print::json(&answer)?;
        return Ok(Exit::Ok);
    }
    let rule = if answer["rule"].is_null() {
        "(none: administrators only)".to_owned()
    } else {
        cell(&answer, "rule")
    };
    let mut lines = vec![format!("rule: {rule}"), format!("as: {}", cell(&answer, "as"))];
    if answer["admin"] == true {
        lines.push("rules do not apply to administrators".to_owned());
    }
    match answer.get("selects") {
        None => lines.push("evaluated in memory, for one document".to_owned()),
        Some(_) => {
            lines.push(format!("selects: {}", cell(&answer, "selects")));
            if answer["post_filter"] == true {
                lines.push("then every selected document is checked in memory".to_owned());
            }
            if !cell(&answer, "sql").is_empty() {
                lines.push(format!("sql: {}", cell(&answer, "sql")));
                lines.push(format!("params: {}", answer["params"]));
                lines.push("plan:".to_owned());
                let steps = answer["plan"].as_array().map(Vec::as_slice).unwrap_or_default();
                lines.extend(steps.iter().filter_map(Value::as_str).map(|step| format!("  {step}")));
            }
        }
    }
    for line in lines {
        print::line(&print::plain(&line))?;
    }
    Ok(Exit::Ok)
}

async fn answer(response: Response) -> Result<Value, Failure> {
    let answer = response.json().await;
    answer.map_err(|error| Failure::new(format!("failed to read the answer: {error}")))
}
