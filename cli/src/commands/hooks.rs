//! `alyx hooks list|show|create|edit|enable|disable|delete`.

use serde_json::{Map, Value, json};

use super::{cell, rows};
use crate::args::{HookParts, Hooks, HooksCommand, Target};
use crate::client::{self, Client, escape};
use crate::exit::{Exit, Failure};
use crate::print::{self, Output};

const PATH: &str = "/api/hooks";

pub async fn run(args: Hooks, target: &Target, output: Output) -> Result<Exit, Failure> {
    let client = Client::new(target)?;
    let one = |id: &str| format!("{PATH}/{}", escape(id));
    match args.command {
        HooksCommand::List => list(&client.get(PATH).await?, output)?,
        HooksCommand::Show { id } => print::json(&client.get(&one(&id)).await?)?,
        HooksCommand::Create { parts, id, disabled } => {
            let mut body = members(parts);
            body.extend(id.map(|id| ("id".to_owned(), Value::from(id))));
            if disabled {
                body.insert("enabled".to_owned(), Value::from(false));
            }
            let made = client.post(PATH, Value::from(body).to_string().into_bytes()).await?;
            shown(&client::json(made).await?, "made", output)?;
        }
        HooksCommand::Edit { id, parts } => {
            let body = Value::from(members(parts));
            shown(&client.patch(&one(&id), &body).await?, "changed", output)?;
        }
        HooksCommand::Enable { id } => {
            let hook = client.patch(&one(&id), &json!({ "enabled": true })).await?;
            shown(&hook, "enabled", output)?;
        }
        HooksCommand::Disable { id } => {
            let hook = client.patch(&one(&id), &json!({ "enabled": false })).await?;
            shown(&hook, "disabled", output)?;
        }
        HooksCommand::Delete { id } => {
            client.delete(&one(&id)).await?;
            print::note(&format!("deleted {}", print::plain(&id)));
        }
    }
    Ok(Exit::Ok)
}

/// The members that are given.
fn members(parts: HookParts) -> Map<String, Value> {
    let HookParts { on, name, actions, when, mode, function } = parts;
    let texts = [("on", on), ("name", name), ("when", when), ("mode", mode), ("function", function)];
    let given = texts.into_iter().filter_map(|(key, text)| Some((key.to_owned(), Value::from(text?))));
    let mut members: Map<String, Value> = given.collect();
    if !actions.is_empty() {
        members.insert("actions".to_owned(), Value::from(actions));
    }
    members
}

fn shown(hook: &Value, done: &str, output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        return print::json(hook);
    }
    print::note(&format!("{done} {}", print::plain(&cell(hook, "id"))));
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
        let when = [cell(definition, "when"), cell(definition, "mode")].join(" ").trim().to_owned();
        vec![cell(row, "id"), on, when, cell(definition, "function"), cell(row, "source"), state]
    };
    let table: Vec<Vec<String>> = rows(answer).iter().map(line).collect();
    if table.is_empty() {
        print::note("no hooks");
        return Ok(());
    }
    print::table(&["ID", "ON", "WHEN", "FUNCTION", "SOURCE", "STATE"], &table)
}
