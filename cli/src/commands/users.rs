//! `alyx users create|list`.

use serde_json::{Value, json};

use super::{cell, rows};
use crate::args::{Target, Users, UsersCommand};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::password;
use crate::print::{self, Output};

pub async fn run(args: Users, target: &Target, output: Output) -> Result<Exit, Failure> {
    let client = Client::new(target)?;
    match args.command {
        UsersCommand::Create { email, role, password_stdin, generate_password } => {
            let made = generate_password || (!password_stdin && !password::can_ask());
            let password = match (made, password_stdin) {
                (true, _) => password::made()?,
                (false, true) => password::from_stdin()?,
                (false, false) => password::ask()?,
            };
            let body = json!({ "email": email, "password": password, "role": role });
            create(&client, &body, made.then_some(password.as_str()), output).await?;
        }
        UsersCommand::List { limit } => list(&client, limit, output).await?,
    }
    Ok(Exit::Ok)
}

async fn create(client: &Client, body: &Value, made: Option<&str>, output: Output) -> Result<(), Failure> {
    let response = client.post("/api/admin/users", body.to_string().into_bytes()).await?;
    let answer: Value = response.json().await.unwrap_or_default();
    let mut user = answer.get("user").cloned().unwrap_or(answer);
    if output == Output::Json {
        if let (Some(password), Some(members)) = (made, user.as_object_mut()) {
            members.insert("password".to_owned(), Value::String(password.to_owned()));
        }
        return print::json(&user);
    }
    print::note(&format!("created {} with role {}", cell(&user, "email"), cell(&user, "role")));
    print::line(&cell(&user, "id"))?;
    match made {
        Some(password) => print::line(password),
        None => Ok(()),
    }
}

async fn list(client: &Client, limit: u32, output: Output) -> Result<(), Failure> {
    let answer = client.get_with("/api/admin/users", &[("limit", limit.to_string())]).await?;
    if output == Output::Json {
        return print::json(&answer);
    }
    let columns = ["id", "email", "role", "verified", "disabled", "created_at"];
    let table: Vec<Vec<String>> =
        rows(&answer).iter().map(|row| columns.iter().map(|column| cell(row, column)).collect()).collect();
    if table.is_empty() {
        print::note("no users");
        return Ok(());
    }
    print::table(&["ID", "EMAIL", "ROLE", "VERIFIED", "DISABLED", "CREATED"], &table)
}
