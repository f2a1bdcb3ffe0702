//! `alyx webhooks list|show|create|edit|enable|disable|delete|deliveries|redeliver`.

use serde_json::{Map, Value};

use super::made::{Made, pairs};
use super::{cell, rows};
use crate::args::{Target, WebhookParts, Webhooks, WebhooksCommand};
use crate::client::{Client, escape};
use crate::exit::{Exit, Failure};
use crate::print::{self, Output};

pub async fn run(args: Webhooks, target: &Target, output: Output) -> Result<Exit, Failure> {
    let client = Client::new(target)?;
    let webhooks = Made { client: &client, path: "/api/webhooks", output };
    match args.command {
        WebhooksCommand::List => webhooks.list(&["URL"], &["url"]).await?,
        WebhooksCommand::Show { id } => webhooks.show(&id).await?,
        WebhooksCommand::Create { id, parts, disabled } => {
            webhooks.create(members(parts)?, Some(id), disabled).await?;
        }
        WebhooksCommand::Edit { id, parts } => webhooks.edit(&id, members(parts)?).await?,
        WebhooksCommand::Enable { id } => webhooks.enable(&id, true).await?,
        WebhooksCommand::Disable { id } => webhooks.enable(&id, false).await?,
        WebhooksCommand::Delete { id } => webhooks.delete(&id).await?,
        WebhooksCommand::Deliveries { id, limit } => {
            let path = format!("{}/deliveries", webhooks.one(&id));
            deliveries(&client.get_with(&path, &[("limit", limit.to_string())]).await?, output)?;
        }
        WebhooksCommand::Redeliver { id, deliveries } => {
            for delivery in deliveries {
                let path = format!("{}/deliveries/{}/redeliver", webhooks.one(&id), escape(&delivery));
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
    for (key, given) in [("headers", pairs("headers", headers)?), ("retry", pairs("retry", retry)?)] {
        members.extend(given.map(|given| (key.to_owned(), given)));
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
