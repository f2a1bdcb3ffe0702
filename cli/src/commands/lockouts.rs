//! `alyx lockouts list|clear`.

use super::{cell, rows};
use crate::args::{Lockouts, LockoutsCommand, Target};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::print::{self, Output};

const PATH: &str = "/api/admin/lockouts";

pub async fn run(args: Lockouts, target: &Target, output: Output) -> Result<Exit, Failure> {
    let client = Client::new(target)?;
    match args.command {
        LockoutsCommand::List => list(&client, output).await?,
        LockoutsCommand::Clear { account, .. } => {
            let query: Vec<(&str, String)> =
                account.iter().map(|account| ("account", account.clone())).collect();
            client.delete_with(PATH, &query).await?;
            print::note(&format!(
                "forgot the wrong guesses at {}",
                account.as_deref().unwrap_or("every account")
            ));
        }
    }
    Ok(Exit::Ok)
}

async fn list(client: &Client, output: Output) -> Result<(), Failure> {
    let answer = client.get_with(PATH, &[]).await?;
    if output == Output::Json {
        return print::json(&answer);
    }
    let columns = ["account", "place", "failures", "until"];
    let table: Vec<Vec<String>> =
        rows(&answer).iter().map(|row| columns.iter().map(|column| cell(row, column)).collect()).collect();
    if table.is_empty() {
        print::note("no lockouts");
        return Ok(());
    }
    print::table(&["ACCOUNT", "FROM", "WRONG GUESSES", "UNTIL"], &table)
}
