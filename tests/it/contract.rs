//! The served OpenAPI document, held against independent tools: linters, a generator of types, and
//! schemathesis, which asks whatever the document allows and compares what is answered with it.

use std::path::PathBuf;
use std::process::Command;

use alyx_tests::{Project, TestServer, peers};
use serde_json::json;

/// A collection with every kind of field, one that refers to it, and rules that look at both.
const SCHEMA: &str = r#"version: 1
collections:
  posts:
    fields:
      id: { type: id, primary: true, default: auto }
      title: { type: string, minLength: 1, maxLength: 50 }
      slug: { type: string, nullable: true, unique: true, maxLength: 30 }
      body: { type: text, nullable: true, maxLength: 500 }
      author: { type: relation, relation: { collection: users, onDelete: cascade } }
      status: { type: select, select: { values: [draft, published] }, default: draft }
      views: { type: int, default: 0 }
      score: { type: float, nullable: true }
      pinned: { type: bool, default: false }
      day: { type: date, nullable: true }
      seen: { type: timestamp, nullable: true }
      link: { type: url, nullable: true }
      contact: { type: email, nullable: true }
      meta: { type: json, nullable: true }
      bytes: { type: blob, nullable: true }
      secret: { type: string, nullable: true, internal: true }
      created_at: { type: timestamp, default: now }
      updated_at: { type: timestamp, default: now, onUpdate: now }
    rules:
      create: "auth.id != null && doc.author == auth.id"
      read: "doc.status == 'published' || doc.author == auth.id"
      update: "old.author == auth.id && doc.author == old.author"
      delete: "old.author == auth.id"
  comments:
    fields:
      id: { type: id, primary: true, default: auto }
      post: { type: relation, relation: { collection: posts, onDelete: cascade } }
      text: { type: string, maxLength: 100 }
    rules:
      create: "auth.id != null"
      read: "true"
functions:
  echo:
    runtime: node
    rules: { invoke: "true" }
"#;

/// Requests of the tools are many and come from one address.
const CONFIG: &str = "{}\n";

fn project() -> Project {
    Project::schema(SCHEMA)
        .with("functions/echo/index.js", "export default async (ctx) => ({ got: ctx.input });\n")
        .with("alyx.yaml", CONFIG)
}

/// Runs a tool to its end; its whole output if it found something.
fn run(what: &str, command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("run {what}: {error}"));
    assert!(
        output.status.success(),
        "{what} found something:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

async fn document(server: &TestServer) -> PathBuf {
    let text = server.anon().get_path("/api/openapi.json").await.expect_status(200).body;
    let path = server.project.root().join("openapi.json");
    std::fs::write(&path, text).expect("write the document");
    path
}

#[tokio::test]
async fn linters_and_generators_accept_the_document() {
    let (Some(mut redocly), Some(mut generator), Some(mut compiler)) =
        (peers::program("redocly"), peers::program("openapi-typescript"), peers::program("tsc"))
    else {
        return;
    };
    let server = TestServer::start(project()).await;
    let path = document(&server).await;
    let types = path.with_file_name("api.ts");
    tokio::task::spawn_blocking(move || {
        redocly.env("REDOCLY_TELEMETRY", "off").env("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true");
        run("redocly", redocly.args(["lint", "--extends", "recommended"]).arg(&path));
        run("openapi-typescript", generator.arg(&path).arg("--output").arg(&types));
        run("tsc", compiler.args(["--noEmit", "--strict", "--skipLibCheck"]).arg(&types));
    })
    .await
    .expect("the tools run");
    server.stop().await;
}

/// Asks as somebody; every operation that this one may reach is among the questions.
async fn holds_for(who: &str) {
    let Some(mut tool) = peers::program("schemathesis") else { return };
    let server = TestServer::start(project()).await;
    let token = match who {
        "a user" => Some(server.user("ada").await.token().to_owned()),
        "an administrator" => {
            let account =
                json!({ "email": "root@example.org", "password": alyx_tests::PASSWORD, "role": "admin" });
            server.over_admin_socket().post("/api/admin/users", account).await.expect_status(201);
            let root = server.anon().login("root@example.org", alyx_tests::PASSWORD).await;
            Some(root.token().to_owned())
        }
        _ => None,
    };
    let path = document(&server).await;
    let long = std::env::var_os("ALYX_LONG").is_some();
    tool.arg("run").arg(&path).args(["--url", server.url(), "--seed", "1", "--no-color"]);
    tool.args(["--max-examples", if long { "200" } else { "8" }]);
    tool.args(["--phases", "coverage,fuzzing,stateful", "--continue-on-failure"]);
    tool.args(["--checks", CHECKS]).args(["--generation-database", "none", "--warnings", "off"]);
    // They can be told to follow, and then answer for ever.
    for operation in ["listExecutions", "functionLogs"] {
        tool.args(["--exclude-operation-id", operation]);
    }
    if let Some(token) = token {
        tool.arg("--header").arg(format!("Authorization: Bearer {token}"));
    }
    tool.current_dir(server.project.root());
    tokio::task::spawn_blocking(move || run("schemathesis", &mut tool)).await.expect("the tool runs");
    // It is still well.
    let health = server.anon().get_path("/health").await.expect_ok();
    assert_eq!(health["state"], "ok", "{health}");
    server.stop().await;
}

/// What schemathesis holds each answer against.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,unsupported_method,\
    allow_header_conformance,use_after_free,ignored_auth";

#[tokio::test]
async fn schemathesis_finds_nothing_as_nobody() {
    holds_for("nobody").await;
}

#[tokio::test]
async fn schemathesis_finds_nothing_as_a_user() {
    holds_for("a user").await;
}

#[tokio::test]
async fn schemathesis_finds_nothing_as_an_administrator() {
    holds_for("an administrator").await;
}
