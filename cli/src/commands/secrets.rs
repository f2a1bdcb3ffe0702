//! `alyx secrets list|set|delete`. A value never appears in an argument, where other users of the host
//! could read it.

use std::io::Read;

use serde_json::{Value, json};

use super::{cell, rows};
use crate::args::{Secrets, SecretsCommand, Target};
use crate::client::{Client, escape};
use crate::exit::{Exit, Failure};
use crate::password;
use crate::print::{self, Output};

const PATH: &str = "/api/admin/secrets";

pub async fn run(args: Secrets, target: &Target, output: Output) -> Result<Exit, Failure> {
    let client = Client::new(target)?;
    match args.command {
        SecretsCommand::List => list(&client, output).await?,
        SecretsCommand::Set { name } => {
            let value = if password::can_ask() { password::ask_for("value")? } else { piped()? };
            client.put(&format!("{PATH}/{}", escape(&name)), &json!({ "value": value })).await?;
            print::note(&format!("set {}", print::plain(&name)));
        }
        SecretsCommand::Delete { name } => {
            client.delete(&format!("{PATH}/{}", escape(&name))).await?;
            print::note(&format!("deleted {}", print::plain(&name)));
        }
    }
    Ok(Exit::Ok)
}

/// All of standard input, without the line break at its end: a key in a file has one too many.
fn piped() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .read_to_string(&mut text)
        .map_err(|error| Failure::new(format!("failed to read standard input: {error}")))?;
    let value = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    if value.is_empty() {
        return Err(Failure::usage("standard input holds no value"));
    }
    Ok(value.to_owned())
}

async fn list(client: &Client, output: Output) -> Result<(), Failure> {
    let answer = client.get(PATH).await?;
    if output == Output::Json {
        return print::json(&answer);
    }
    let functions = |row: &Value| {
        let names = row["functions"].as_array().map_or(&[][..], Vec::as_slice);
        names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
    };
    let line =
        |row: &Value| vec![cell(row, "name"), cell(row, "state"), cell(row, "updated_at"), functions(row)];
    let table: Vec<Vec<String>> = rows(&answer).iter().map(line).collect();
    if table.is_empty() {
        print::note("no secrets");
        return Ok(());
    }
    print::table(&["NAME", "STATE", "SET AT", "FUNCTIONS"], &table)
}
