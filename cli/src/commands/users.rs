//! `alyx users …`: accounts, one verb each.

mod import;

use serde_json::{Value, json};

use super::{cell, rows};
use crate::args::{Target, Users, UsersCommand};
use crate::client::{Client, escape};
use crate::exit::{Exit, Failure};
use crate::password;
use crate::print::{self, Output};

pub async fn run(args: Users, target: &Target, output: Output) -> Result<Exit, Failure> {
    let client = Client::new(target)?;
    match args.command {
        UsersCommand::Create { email, role, password_stdin, generate_password } => {
            let (password, made) = new_password(password_stdin, generate_password)?;
            let body = json!({ "email": email, "password": password, "role": role });
            create(&client, &body, made.then_some(password.as_str()), output).await?;
        }
        UsersCommand::List { search, limit } => list(&client, search, limit, output).await?,
        UsersCommand::Import { file } => return import::run(&client, &file).await,
        UsersCommand::Show { user } => {
            let user = client.get(&path(&id_of(&client, &user).await?)).await?;
            show(&user, output)?;
        }
        UsersCommand::Update { user, email, role, verified } => {
            let mut changes = json!({});
            for (name, value) in [
                ("email", email.map(Value::from)),
                ("role", role.map(Value::from)),
                ("verified", verified.map(Value::from)),
            ] {
                if let Some(value) = value {
                    changes[name] = value;
                }
            }
            if changes.as_object().is_some_and(serde_json::Map::is_empty) {
                return Err(Failure::usage("nothing to change: give --email, --role or --verified"));
            }
            update(&client, &id_of(&client, &user).await?, changes, output).await?;
        }
        UsersCommand::Disable { user } => {
            update(&client, &id_of(&client, &user).await?, json!({ "disabled": true }), output).await?;
        }
        UsersCommand::Enable { user } => {
            update(&client, &id_of(&client, &user).await?, json!({ "disabled": false }), output).await?;
        }
        UsersCommand::SetPassword { user, password_stdin, generate_password } => {
            let id = id_of(&client, &user).await?;
            let (password, made) = new_password(password_stdin, generate_password)?;
            set_password(&client, &id, &password, made).await?;
        }
        UsersCommand::Sessions { user } => sessions(&client, &id_of(&client, &user).await?, output).await?,
        UsersCommand::Revoke { user } => {
            client.delete(&format!("{}/sessions", path(&id_of(&client, &user).await?))).await?;
            print::note("ended the sessions");
        }
        UsersCommand::RemoveMfa { user } => {
            client.delete(&format!("{}/mfa", path(&id_of(&client, &user).await?))).await?;
            print::note("removed the second factors");
        }
        UsersCommand::Delete { user } => {
            client.delete(&path(&id_of(&client, &user).await?)).await?;
            print::note(&format!("deleted {user}"));
        }
    }
    Ok(Exit::Ok)
}

/// A password and whether it was made here: asked for, read, or made where nobody can be asked.
fn new_password(from_stdin: bool, generate: bool) -> Result<(String, bool), Failure> {
    let made = generate || (!from_stdin && !password::can_ask());
    let password = match (made, from_stdin) {
        (true, _) => password::made()?,
        (false, true) => password::from_stdin()?,
        (false, false) => password::ask()?,
    };
    Ok((password, made))
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

async fn set_password(client: &Client, id: &str, password: &str, made: bool) -> Result<(), Failure> {
    let body = json!({ "password": password }).to_string();
    client.post(&format!("{}/password", path(id)), body.into_bytes()).await?;
    print::note("set the password and ended the sessions");
    if made { print::line(password) } else { Ok(()) }
}

async fn update(client: &Client, id: &str, changes: Value, output: Output) -> Result<(), Failure> {
    let user = client.patch(&path(id), &changes).await?;
    show(&user, output)
}

fn show(user: &Value, output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        return print::json(user);
    }
    let members = user.as_object().into_iter().flat_map(|members| members.keys());
    let rows: Vec<Vec<String>> = members.map(|name| vec![name.clone(), cell(user, name)]).collect();
    print::table(&["FIELD", "VALUE"], &rows)
}

async fn sessions(client: &Client, id: &str, output: Output) -> Result<(), Failure> {
    let answer = client.get(&format!("{}/sessions", path(id))).await?;
    if output == Output::Json {
        return print::json(&answer);
    }
    let columns = ["id", "method", "address", "device", "created_at", "last_used_at"];
    let table: Vec<Vec<String>> =
        rows(&answer).iter().map(|row| columns.iter().map(|column| cell(row, column)).collect()).collect();
    print::table(&["ID", "METHOD", "ADDRESS", "DEVICE", "BEGAN", "LAST USED"], &table)
}

fn path(id: &str) -> String {
    format!("/api/admin/users/{}", escape(id))
}

/// The id of a user who was named by it or by their address.
async fn id_of(client: &Client, user: &str) -> Result<String, Failure> {
    if !user.contains('@') {
        return Ok(user.to_owned());
    }
    let wanted = user.trim().to_lowercase();
    let query = [("limit", "1000".to_owned()), ("search", wanted.clone())];
    let answer = client.get_with("/api/admin/users", &query).await?;
    let same = |row: &&Value| cell(row, "email").trim().to_lowercase() == wanted;
    let found = rows(&answer).iter().find(same).map(|row| cell(row, "id"));
    found.ok_or_else(|| {
        Failure::new(format!("there is no user {user}")).hint("`alyx users list` lists who there is")
    })
}

async fn list(client: &Client, search: String, limit: u32, output: Output) -> Result<(), Failure> {
    let query = [("limit", limit.to_string()), ("search", search)];
    let answer = client.get_with("/api/admin/users", &query).await?;
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
