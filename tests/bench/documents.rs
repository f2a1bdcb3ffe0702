//! Create, get and list under rules, with 64 connections.

use std::sync::Arc;
use std::time::Duration;

use alyx_tests::{Client, PASSWORD, Project};
use serde_json::json;

use crate::http;
use crate::production::{Production, prepare};
use crate::report::{Bar, Report};

const CONNECTIONS: usize = 64;
const TIME: Duration = Duration::from_secs(4);

const SCHEMA: &str = r#"version: 1
collections:
  notes:
    fields:
      id: { type: id, primary: true, default: auto }
      owner: { type: relation, relation: { collection: users, onDelete: cascade } }
      text: { type: string }
      created_at: { type: timestamp, default: now }
    indexes:
      - { name: idx_notes_owner, fields: [owner, created_at], order: desc }
    rules:
      create: "auth.id != null && doc.owner == auth.id"
      read: "doc.owner == auth.id"
"#;

pub async fn measure(report: &mut Report) {
    let server = Production::start(prepare(Project::schema(SCHEMA)).await).await;
    let ada = Client::new(&server.url).register("ada@example.org", PASSWORD).await;
    let token = ada.token().to_owned();
    let body = json!({ "owner": ada.id(), "text": "x".repeat(100) }).to_string();
    let create = http::request("POST", "/api/collections/notes", Some(&token), &body);
    let rate = http::throughput(&server.url, CONNECTIONS, TIME, move |_| create.clone()).await;
    report.add("create under an owner rule, durable, c 64", rate, "1/s", Bar::None, None);

    let docs = ada.list("notes", "limit=1000&fields=id").await.expect_docs();
    let gets: Vec<Arc<[u8]>> = docs
        .iter()
        .filter_map(|doc| doc["id"].as_str())
        .map(|id| http::request("GET", &format!("/api/collections/notes/{id}"), Some(&token), ""))
        .collect();
    let get = move |number: usize| gets[number % gets.len()].clone();
    let rate = http::throughput(&server.url, CONNECTIONS, TIME, get).await;
    report.add("get by id, c 64", rate, "1/s", Bar::None, None);

    let list = http::request("GET", "/api/collections/notes?limit=20&sort=-created_at", Some(&token), "");
    let rate = http::throughput(&server.url, CONNECTIONS, TIME, move |_| list.clone()).await;
    report.add("list 20 of all under an owner rule, c 64", rate, "1/s", Bar::None, None);
    server.stop().await;
}
