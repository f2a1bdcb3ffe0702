//! `alyx mail list|retry`.

use super::{cell, rows};
use crate::args::{Mail, MailCommand, Target};
use crate::client::{Client, escape};
use crate::exit::{Exit, Failure};
use crate::print::{self, Output};

pub async fn run(args: Mail, target: &Target, output: Output) -> Result<Exit, Failure> {
    let client = Client::new(target)?;
    match args.command {
        MailCommand::List { state, limit } => list(&client, state, limit, output).await?,
        MailCommand::Retry { id } => {
            client.post(&format!("/api/admin/mail/{}/retry", escape(&id)), b"{}".to_vec()).await?;
            print::note(&format!("mail {id} is tried again"));
        }
    }
    Ok(Exit::Ok)
}

async fn list(client: &Client, state: Option<String>, limit: u32, output: Output) -> Result<(), Failure> {
    let mut query = vec![("limit", limit.to_string())];
    query.extend(state.map(|state| ("state", state)));
    let answer = client.get_with("/api/admin/mail", &query).await?;
    if output == Output::Json {
        return print::json(&answer);
    }
    let columns = ["id", "created_at", "to", "template", "state", "attempts", "error"];
    let row = |row| columns.iter().map(|column| print::plain(&cell(row, column))).collect();
    let table: Vec<Vec<String>> = rows(&answer).iter().map(row).collect();
    if table.is_empty() {
        print::note("no mails");
        return Ok(());
    }
    print::table(&["ID", "CREATED", "TO", "TEMPLATE", "STATE", "ATTEMPTS", "ERROR"], &table)
}
