//! `alyx api-keys list|create|rotate|revoke`.

use serde_json::{Value, json};

use super::{cell, rows};
use crate::args::{ApiKeys, ApiKeysCommand, Target};
use crate::client::{self, Client, escape};
use crate::exit::{Exit, Failure};
use crate::print::{self, Output};

const PATH: &str = "/api/admin/api-keys";

pub async fn run(args: ApiKeys, target: &Target, output: Output) -> Result<Exit, Failure> {
    let client = Client::new(target)?;
    match args.command {
        ApiKeysCommand::List => list(&client.get(PATH).await?, output)?,
        ApiKeysCommand::Create { name, scopes, expires } => {
            let expires = expires.map(|time| time.to_string());
            let body = json!({ "name": name, "scopes": scopes, "expires_at": expires });
            made(&client, PATH, &body, output).await?;
        }
        ApiKeysCommand::Rotate { id, overlap } => {
            let path = format!("{PATH}/{}/rotate", escape(&id));
            made(&client, &path, &json!({ "overlap_seconds": overlap }), output).await?;
        }
        ApiKeysCommand::Revoke { id } => {
            client.delete(&format!("{PATH}/{}", escape(&id))).await?;
            print::note(&format!("ended {}", print::plain(&id)));
        }
    }
    Ok(Exit::Ok)
}

/// Prints a key that nothing will show again.
async fn made(client: &Client, path: &str, body: &Value, output: Output) -> Result<(), Failure> {
    let answer = client::json(client.post(path, body.to_string().into_bytes()).await?).await?;
    if output == Output::Json {
        return print::json(&answer);
    }
    print::note("this key is shown once; keep it where only the program finds it:");
    print::line(answer["key"].as_str().unwrap_or_default())
}

fn list(answer: &Value, output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        return print::json(answer);
    }
    let scopes = |row: &Value| {
        let scopes = row["scopes"].as_array().map_or(&[][..], Vec::as_slice);
        scopes.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
    };
    let line = |row: &Value| {
        let cells = ["id", "name", "expires_at", "last_used_at"].map(|column| cell(row, column));
        cells.into_iter().chain([scopes(row)]).collect()
    };
    let table: Vec<Vec<String>> = rows(answer).iter().map(line).collect();
    if table.is_empty() {
        print::note("no keys");
        return Ok(());
    }
    print::table(&["ID", "NAME", "EXPIRES", "LAST USED", "SCOPES"], &table)
}
