//! `alyx events list|publish`.

use serde_json::Value;

use super::{cell, rows};
use crate::args::{Events, EventsCommand, Target};
use crate::client::{self, Client, escape};
use crate::exit::{Exit, Failure};
use crate::print::{self, Output};

const PATH: &str = "/api/events";

pub async fn run(args: Events, target: &Target, output: Output) -> Result<Exit, Failure> {
    let client = Client::new(target)?;
    match args.command {
        EventsCommand::List { name, before, limit } => {
            let mut query = vec![("limit", limit.to_string())];
            let given = [("name", name), ("before", before)];
            query.extend(given.into_iter().filter_map(|(key, value)| Some((key, value?))));
            list(&client.get_with(PATH, &query).await?, output)?;
        }
        EventsCommand::Publish { name, payload } => {
            let payload: Value = serde_json::from_str(&payload)
                .map_err(|error| Failure::usage(format!("the payload is not JSON: {error}")))?;
            let path = format!("{PATH}/{}", escape(&name));
            let published = client::json(client.post(&path, payload.to_string().into_bytes()).await?).await?;
            if output == Output::Json {
                print::json(&published)?;
            } else {
                print::note(&format!("published {}", print::plain(&cell(&published, "id"))));
            }
        }
    }
    Ok(Exit::Ok)
}

fn list(answer: &Value, output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        return print::json(answer);
    }
    let columns = ["id", "name", "at", "identity", "payload"];
    let line = |row: &Value| columns.iter().map(|column| cell(row, column)).collect();
    let table: Vec<Vec<String>> = rows(answer).iter().map(line).collect();
    if table.is_empty() {
        print::note("no events");
        return Ok(());
    }
    print::table(&["ID", "NAME", "AT", "IDENTITY", "PAYLOAD"], &table)
}
