//! The first administrator of a project in development: made once, remembered beside the data.

use std::fs;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::layout::Layout;
use crate::client::Client;
use crate::commands::rows;
use crate::exit::Failure;
use crate::password;

/// Not a deliverable address: nothing is ever sent to it.
const EMAIL: &str = "admin@localhost";

/// Survives restarts, unlike the rest of `run/`.
const FILE: &str = "dev-admin.json";

/// How to sign in as administrator. The password is known only if we made it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Admin {
    pub email: String,
    pub password: Option<String>,
}

/// The administrator that exists, else a new one.
pub async fn first(client: &Client, layout: &Layout) -> Result<Admin, Failure> {
    let users = client.get("/api/admin/users?limit=1000").await?;
    let users = rows(&users);
    let admins: Vec<&str> = users
        .iter()
        .filter(|user| user.get("role").and_then(Value::as_str) == Some("admin"))
        .filter_map(|user| user.get("email").and_then(Value::as_str))
        .collect();
    if let Some(known) = remembered(layout).filter(|known| admins.contains(&known.email.as_str())) {
        return Ok(known);
    }
    if let Some(email) = admins.first() {
        return Ok(Admin { email: (*email).to_owned(), password: None });
    }
    let password = password::made()?;
    let body = json!({ "email": EMAIL, "password": password, "role": "admin" });
    client.post("/api/admin/users", body.to_string().into_bytes()).await?;
    let admin = Admin { email: EMAIL.to_owned(), password: Some(password) };
    layout.write_private(FILE, &admin)?;
    Ok(admin)
}

fn remembered(layout: &Layout) -> Option<Admin> {
    serde_json::from_slice(&fs::read(layout.run_file(FILE)).ok()?).ok()
}
