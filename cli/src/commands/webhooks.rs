//! `alyx webhooks list|show|create|edit|enable|disable|delete|deliveries|redeliver`.

use serde_json::{Map, Value, json};

use super::{cell, rows};
use crate::args::{Target, WebhookParts, Webhooks, WebhooksCommand};
use crate::client::{self, Client, escape};
use crate::exit::{Exit, Failure};
use crate::print::{self, Output};

const PATH: &str = "/api/webhooks";

pub async fn run(args: Webhooks, target: &Target, output: Output) -> Result<Exit, Failure> {
    let client = Client::new(target)?;
    let one = |id: &str| format!("{PATH}/{}", escape(id));
    match args.command {
        WebhooksCommand::List => list(&client.get(PATH).await?, output)?,
        WebhooksCommand::Show { id } => print::json(&client.get(&one(&id)).await?)?,
        WebhooksCommand::Create { id, parts, disabled } => {
            let mut body = members(parts)?;
            body.insert("id".to_owned(), Value::from(id));
            if disabled {
                body.insert("enabled".to_owned(), Value::from(false));
            }
            let made = client.post(PATH, Value::from(body).to_string().into_bytes()).await?;
            shown(&client::json(made).await?, "made", output)?;
        }
        WebhooksCommand::Edit { id, parts } => {
            let body = Value::from(members(parts)?);
            shown(&client.patch(&one(&id), &body).await?, "changed", output)?;
        }
        WebhooksCommand::Enable { id } => {
            let webhook = client.patch(&one(&id), &json!({ "enabled": true })).await?;
            shown(&webhook, "enabled", output)?;
        }
        WebhooksCommand::Disable { id } => {
            let webhook = client.patch(&one(&id), &json!({ "enabled": false })).await?;
            shown(&webhook, "disabled", output)?;
        }
        WebhooksCommand::Delete { id } => {
            client.delete(&one(&id)).await?;
            print::note(&format!("deleted {}", print::plain(&id)));
        }
        WebhooksCommand::Deliveries { id, limit } => {
            let path = format!("{}/deliveries", one(&id));
            deliveries(&client.get_with(&path, &[("limit", limit.to_string())]).await?, output)?;
        }
        WebhooksCommand::Redeliver { id, deliveries } => {
            for delivery in deliveries {
                let path = format!("{}/deliveries/{}/redeliver", one(&id), escape(&delivery));
                client.post(&path, Vec::new()).await?;
                print::note(&format!("{} is delivered again", print::plain(&delivery)));
            }
        }
    }
    Ok(Exit::Ok)
}

/// The members that are given.
fn members(parts: WebhookParts) -> Result<Map<String, Value>, Failure> {
    let WebhookParts { on, name, actions, to, condition, secret, headers, retry, timeout } = parts;
    let texts = [("on", on), ("name", name), ("url", to), ("condition", condition), ("timeout", timeout)];
    let given = texts.into_iter().filter_map(|(key, text)| Some((key.to_owned(), Value::from(text?))));
    let mut members: Map<String, Value> = given.collect();
    for (key, list) in [("actions", actions), ("secret", secret)] {
        if !list.is_empty() {
            members.insert(key.to_owned(), Value::from(list));
        }
    }
    for (key, pairs) in [("headers", headers), ("retry", retry)] {
        let mut given = Map::new();
        for pair in pairs {
            let Some((name, value)) = pair.split_once('=') else {
                return Err(Failure::usage(format!("{key}: write NAME=VALUE, not {pair}")));
            };
            // Of these, only attempts are a number.
            let number = value.parse::<u32>().ok().filter(|_| key == "retry").map(Value::from);
            given.insert(name.to_owned(), number.unwrap_or_else(|| Value::from(value)));
        }
        if !given.is_empty() {
            members.insert(key.to_owned(), Value::from(given));
        }
    }
    Ok(members)
}

fn deliveries(answer: &Value, output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        return print::json(answer);
    }
    let columns = ["id", "attempt", "at", "status", "duration_ms", "error"];
    let line = |row: &Value| columns.iter().map(|column| cell(row, column)).collect();
    let table: Vec<Vec<String>> = rows(answer).iter().map(line).collect();
    if table.is_empty() {
        print::note("no deliveries");
        return Ok(());
    }
    print::table(&["ID", "ATTEMPT", "AT", "STATUS", "MS", "ERROR"], &table)
}

fn shown(webhook: &Value, done: &str, output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        return print::json(webhook);
    }
    print::note(&format!("{done} {}", print::plain(&cell(webhook, "id"))));
    Ok(())
}

fn list(answer: &Value, output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        return print::json(answer);
    }
    let line = |row: &Value| {
        let definition = &row["definition"];
        let on = match cell(definition, "name") {
            name if name.is_empty() => cell(definition, "on"),
            name => format!("{} {name}", cell(definition, "on")),
        };
        let state = match (&row["problem"], &row["enabled"]) {
            (Value::String(problem), _) => problem.clone(),
            (_, Value::Bool(false)) => "disabled".to_owned(),
            _ => "enabled".to_owned(),
        };
        vec![cell(row, "id"), on, cell(definition, "url"), cell(row, "source"), state]
    };
    let table: Vec<Vec<String>> = rows(answer).iter().map(line).collect();
    if table.is_empty() {
        print::note("no webhooks");
        return Ok(());
    }
    print::table(&["ID", "ON", "URL", "SOURCE", "STATE"], &table)
}
