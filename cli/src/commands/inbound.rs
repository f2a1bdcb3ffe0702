//! `alyx inbound list`.

use serde_json::Value;

use super::{cell, rows};
use crate::args::{Inbound, InboundCommand, Target};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::print::{self, Output};

/// Where the list is.
pub const PATH: &str = "/api/inbound";

pub async fn run(args: Inbound, target: &Target, output: Output) -> Result<Exit, Failure> {
    let client = Client::new(target)?;
    match args.command {
        InboundCommand::List => list(&client.get(PATH).await?, output)?,
    }
    Ok(Exit::Ok)
}

fn list(answer: &Value, output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        return print::json(answer);
    }
    let line = |row: &Value| {
        let definition = &row["definition"];
        let state = row["problem"].as_str().unwrap_or("ready").to_owned();
        let [verify, function, mode] = ["verify", "function", "mode"].map(|member| cell(definition, member));
        vec![cell(row, "path"), verify, function, mode, state]
    };
    let table: Vec<Vec<String>> = rows(answer).iter().map(line).collect();
    if table.is_empty() {
        print::note("no inbound webhooks");
        return Ok(());
    }
    print::table(&["PATH", "VERIFY", "FUNCTION", "MODE", "STATE"], &table)
}
