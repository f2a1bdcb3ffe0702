//! `alyx schedules list|show|create|pause|resume|trigger|delete`.

use serde_json::{Map, Value, json};

use super::{cell, rows};
use crate::args::{NewSchedule, Schedules, SchedulesCommand, Target};
use crate::client::{Client, escape};
use crate::exit::{Exit, Failure};
use crate::print::{self, Output};

const PATH: &str = "/api/schedules";

pub async fn run(args: Schedules, target: &Target, output: Output) -> Result<Exit, Failure> {
    let client = Client::new(target)?;
    match args.command {
        SchedulesCommand::List => list(&client, output).await?,
        SchedulesCommand::Show { name } => show(&client.get(&one(&name)).await?, output)?,
        SchedulesCommand::Create(new) => {
            let body = definition(*new)?;
            let made = json(client.post(PATH, body.to_string().into_bytes()).await?).await;
            show(&made, output)?;
        }
        SchedulesCommand::Pause { name } => act(&client, &name, "pause", "stopped for now").await?,
        SchedulesCommand::Resume { name } => act(&client, &name, "resume", "goes on").await?,
        SchedulesCommand::Trigger { name } => {
            let started = json(client.post(&format!("{}/trigger", one(&name)), Vec::new()).await?).await;
            if output == Output::Json {
                return print::json(&started).map(|()| Exit::Ok);
            }
            print::line(&cell(&started, "job"))?;
        }
        SchedulesCommand::Delete { name } => {
            client.delete(&one(&name)).await?;
            print::note(&format!("deleted {}", print::plain(&name)));
        }
    }
    Ok(Exit::Ok)
}

fn one(name: &str) -> String {
    format!("{PATH}/{}", escape(name))
}

async fn json(response: reqwest::Response) -> Value {
    response.json().await.unwrap_or_default()
}

async fn act(client: &Client, name: &str, verb: &str, done: &str) -> Result<(), Failure> {
    client.post(&format!("{}/{verb}", one(name)), Vec::new()).await?;
    print::note(&format!("{} {done}", print::plain(name)));
    Ok(())
}

/// The body of a request that makes a schedule. What is not given is left to the daemon.
fn definition(new: NewSchedule) -> Result<Value, Failure> {
    let mut body = Map::new();
    let catch_up = new.catch_up.map(|text| match text.strip_prefix("all:") {
        Some(count) => count.parse::<u32>().map_or_else(|_| json!(text), |count| json!({ "all": count })),
        None => json!(text),
    });
    let input = new.input.map(|text| {
        serde_json::from_str::<Value>(&text)
            .map_err(|error| Failure::usage(format!("the input is not JSON: {error}")))
    });
    let members = [
        ("name", Some(json!(new.name))),
        ("function", Some(json!(new.function))),
        ("cron", new.cron.map(Value::from)),
        ("every", new.every.map(Value::from)),
        ("at", new.at.map(Value::from)),
        ("zone", new.zone.map(Value::from)),
        ("input", input.transpose()?),
        ("overlap", new.overlap.map(Value::from)),
        ("catch_up", catch_up),
        ("jitter", new.jitter.map(Value::from)),
        ("retry", new.attempts.map(|attempts| json!({ "attempts": attempts }))),
    ];
    for (name, value) in members {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    }
    Ok(Value::Object(body))
}

/// When it runs, as it was written.
fn timing(row: &Value) -> String {
    ["cron", "every", "at"].iter().map(|key| cell(row, key)).find(|text| !text.is_empty()).unwrap_or_default()
}

/// Whether it waits for its time.
fn state(row: &Value) -> &'static str {
    match (row["paused"].as_bool(), row["enabled"].as_bool(), row["next_at"].is_null()) {
        (Some(true), ..) => "paused",
        (_, Some(false), _) => "off",
        (_, _, true) => "over",
        _ => "on",
    }
}

async fn list(client: &Client, output: Output) -> Result<(), Failure> {
    let answer = client.get(PATH).await?;
    if output == Output::Json {
        return print::json(&answer);
    }
    let line = |row: &Value| {
        let text = |member: &str| print::plain(&cell(row, member));
        vec![
            text("name"),
            print::plain(&timing(row)),
            text("zone"),
            text("function"),
            state(row).to_owned(),
            text("next_at"),
        ]
    };
    let table: Vec<Vec<String>> = rows(&answer).iter().map(line).collect();
    if table.is_empty() {
        print::note("no schedules");
        return Ok(());
    }
    print::table(&["NAME", "WHEN", "ZONE", "FUNCTION", "STATE", "NEXT"], &table)
}

fn show(row: &Value, output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        return print::json(row);
    }
    let mut table: Vec<Vec<String>> = row
        .as_object()
        .map(|members| members.keys().filter(|key| *key != "next_runs"))
        .into_iter()
        .flatten()
        .map(|key| vec![key.clone(), print::plain(&cell(row, key))])
        .collect();
    let next = row["next_runs"].as_array().map_or(&[][..], Vec::as_slice);
    table.extend(next.iter().filter_map(Value::as_str).map(|at| vec!["next run".to_owned(), at.to_owned()]));
    print::table(&["WHAT", "IS"], &table)
}
