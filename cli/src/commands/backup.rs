//! `alyx backup create|list|status|verify|prune|restore`.

use serde_json::Value;

use super::{cell, rows};
use crate::args::{Backup, BackupCommand, Target};
use crate::client::{Client, escape};
use crate::exit::{Exit, Failure};
use crate::print::{self, Output};

pub async fn run(args: Backup, target: &Target, output: Output) -> Result<Exit, Failure> {
    let client = Client::new(target)?;
    match args.command {
        BackupCommand::Create => {
            let made = post(&client, "/api/admin/backups").await?;
            if output == Output::Json {
                return print::json(&made).map(|()| Exit::Ok);
            }
            print::note(&format!("made a backup of {} bytes", cell(&made, "bytes")));
            print::line(&cell(&made, "id"))?;
        }
        BackupCommand::List => {
            let answer = client.get("/api/admin/backups").await?;
            show(&answer, "no backups", output)?;
        }
        BackupCommand::Status => {
            let answer = client.get("/api/admin/backups/status").await?;
            status(&answer, output)?;
        }
        BackupCommand::Verify { id } => {
            let found = verify(&client, &id).await?;
            if output == Output::Json {
                return print::json(&found).map(|()| Exit::Ok);
            }
            print::note(&format!("{id} is sound"));
        }
        BackupCommand::Prune { keep, yes } => return prune(&client, keep, yes, output).await,
        BackupCommand::Restore { id } => {
            let found = verify(&client, &id).await?;
            if output == Output::Json {
                return print::json(&found).map(|()| Exit::Ok);
            }
            let path = cell(&found, "path");
            print::note(&format!("{id} is sound; to restore it, stop the daemon and run there:"));
            let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
            // What is in a bucket has no path.
            let which = match path.starts_with("s3://") {
                true => format!("--backup {}", quoted(&id)),
                false => quoted(&path),
            };
            print::line(&format!("alyxd restore --replace {which}"))?;
            print::note(
                "with the --config, --project or --data that the daemon is started with; then start it",
            );
        }
    }
    Ok(Exit::Ok)
}

fn status(answer: &Value, output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        return print::json(answer);
    }
    let rows: Vec<Vec<String>> = answer
        .as_object()
        .map(|fields| fields.keys().map(|key| vec![key.clone(), cell(answer, key)]).collect())
        .unwrap_or_default();
    print::table(&["WHAT", "IS"], &rows)
}

async fn post(client: &Client, path: &str) -> Result<Value, Failure> {
    let response = client.post(path, Vec::new()).await?;
    Ok(response.json().await.unwrap_or_default())
}

async fn verify(client: &Client, id: &str) -> Result<Value, Failure> {
    post(client, &format!("/api/admin/backups/{}/verify", escape(id))).await
}

async fn prune(client: &Client, keep: Option<u32>, yes: bool, output: Output) -> Result<Exit, Failure> {
    if !yes {
        let mut failure = Failure::new("this removes backups for good");
        failure.exit = Exit::NeedsConfirmation;
        return Err(failure.hint("look at `alyx backup list`, then add --yes"));
    }
    let query = keep.map(|keep| format!("?keep={keep}")).unwrap_or_default();
    let removed = post(client, &format!("/api/admin/backups/prune{query}")).await?;
    show(&removed, "nothing was removed", output)?;
    Ok(Exit::Ok)
}

fn show(answer: &Value, none: &str, output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        return print::json(answer);
    }
    let columns = ["id", "created_at", "bytes", "seq"];
    let table: Vec<Vec<String>> =
        rows(answer).iter().map(|row| columns.iter().map(|column| cell(row, column)).collect()).collect();
    if table.is_empty() {
        print::note(none);
        return Ok(());
    }
    print::table(&["ID", "CREATED", "BYTES", "CHANGES"], &table)
}
