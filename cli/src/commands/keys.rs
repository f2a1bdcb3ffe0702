//! `alyx keys …`: the keys that sign access tokens.

use serde_json::{Value, json};

use super::{cell, rows};
use crate::args::{Keys, KeysCommand, Target};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::print::{self, Output};

pub async fn run(args: Keys, target: &Target, output: Output) -> Result<Exit, Failure> {
    let client = Client::new(target)?;
    match args.command {
        KeysCommand::List => {
            let answer = client.get("/api/admin/signing-keys").await?;
            list(&answer, output)?;
        }
        KeysCommand::Rotate { drop_previous } => {
            let body = json!({ "drop_previous": drop_previous }).to_string();
            let response = client.post("/api/admin/signing-keys/rotate", body.into_bytes()).await?;
            let answer: Value = response.json().await.unwrap_or_default();
            if output == Output::Json {
                print::json(&answer)?;
            } else {
                print::note("a new key signs");
                print::line(&cell(&answer, "kid"))?;
            }
        }
    }
    Ok(Exit::Ok)
}

fn list(answer: &Value, output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        return print::json(answer);
    }
    let columns = ["kid", "algorithm", "state", "created_at", "retires_at"];
    let table: Vec<Vec<String>> =
        rows(answer).iter().map(|row| columns.iter().map(|column| cell(row, column)).collect()).collect();
    print::table(&["KEY", "ALGORITHM", "STATE", "CREATED", "RETIRES"], &table)
}
