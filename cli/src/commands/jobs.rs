//! `alyx jobs list|show|replay|purge`.

use serde_json::Value;

use super::{cell, rows};
use crate::args::{Jobs, JobsCommand, Target};
use crate::client::{Client, escape};
use crate::exit::{Exit, Failure};
use crate::print::{self, Output};

const PATH: &str = "/api/admin/jobs";

pub async fn run(args: Jobs, target: &Target, output: Output) -> Result<Exit, Failure> {
    let client = Client::new(target)?;
    match args.command {
        JobsCommand::List { state, kind, target, limit } => {
            let mut query = vec![("limit", limit.to_string())];
            let given = [("state", state), ("kind", kind), ("target", target)];
            query.extend(given.into_iter().filter_map(|(name, value)| Some((name, value?))));
            list(&client.get_with(PATH, &query).await?, output)?;
        }
        JobsCommand::Show { id } => print::json(&client.get(&format!("{PATH}/{}", escape(&id))).await?)?,
        JobsCommand::Replay { ids } => {
            for id in ids {
                client.post(&format!("{PATH}/{}/replay", escape(&id)), Vec::new()).await?;
                print::note(&format!("{} is carried out again", print::plain(&id)));
            }
        }
        JobsCommand::Purge { done: false, yes: false, .. } => {
            let mut failure = Failure::new("what was given up could not be carried out any more".to_owned());
            failure.exit = Exit::NeedsConfirmation;
            return Err(failure.hint("look at `alyx jobs list --state dead`, then add --yes"));
        }
        JobsCommand::Purge { done, kind, .. } => {
            let state = if done { "done" } else { "dead" };
            let kind = kind.map(|kind| format!("&kind={}", escape(&kind))).unwrap_or_default();
            let answer = client.post(&format!("{PATH}/purge?state={state}{kind}"), Vec::new()).await?;
            let answer: Value = crate::client::json(answer).await?;
            print::note(&format!("jobs removed: {}", answer["removed"]));
        }
    }
    Ok(Exit::Ok)
}

fn list(answer: &Value, output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        return print::json(answer);
    }
    let columns = ["id", "kind", "target", "state", "attempts", "created_at", "error"];
    let line = |row: &Value| columns.iter().map(|column| cell(row, column)).collect();
    let table: Vec<Vec<String>> = rows(answer).iter().map(line).collect();
    if table.is_empty() {
        print::note("no jobs");
        return Ok(());
    }
    print::table(&["ID", "KIND", "TARGET", "STATE", "ATTEMPTS", "ADDED AT", "ERROR"], &table)
}
