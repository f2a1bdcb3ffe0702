//! SQL through every parameter: a corpus of our own, and sqlmap.

use alyx_tests::{Client, Project, TestServer, peers};
use reqwest::Method;
use serde_json::{Value, json};

const SCHEMA: &str = r#"version: 1
collections:
  posts:
    fields:
      id: { type: id, primary: true, default: auto }
      title: { type: string, maxLength: 200 }
      body: { type: text, nullable: true, search: true }
      author: { type: relation, relation: { collection: users, onDelete: cascade } }
      views: { type: int, default: 0 }
      meta: { type: json, nullable: true }
      secret: { type: string, nullable: true, internal: true }
    rules:
      read: "auth.id != null"
      create: "auth.id != null && doc.author == auth.id"
      update: "old.author == auth.id && doc.author == old.author"
      delete: "old.author == auth.id"
"#;

const SECRET: &str = "nobody-may-read-this";

/// What would change the meaning of a statement if it got into one.
const PAYLOADS: [&str; 30] = [
    "'",
    "\"",
    "`",
    "\\",
    "';--",
    "' OR '1'='1",
    "\" OR \"1\"=\"1",
    "1 OR 1=1",
    "1) OR (1=1",
    "') OR ('1'='1",
    "' UNION SELECT secret FROM posts --",
    "\" UNION SELECT secret FROM \"posts\" --",
    "title\" = title OR \"secret",
    "title, secret",
    "title; DROP TABLE posts",
    "'; DROP TABLE posts; --",
    "'; UPDATE posts SET title = 'owned'; --",
    "' AND randomblob(1000000000) --",
    "(SELECT secret FROM posts)",
    "secret",
    "posts.secret",
    "author.password_hash",
    "_alyx_accounts",
    "rowid",
    "%27%20OR%201=1",
    "\u{2019} OR 1=1 --",
    "a\u{0}' OR 1=1",
    "NEAR(a b) AND secret:nobody*",
    "{\"$or\":[{\"title\":{\"$eq\":\"' OR 1=1\"}}]}",
    "?1",
];

/// Query parameters of lists and aggregates, with a place for the payload.
const PARAMETERS: [&str; 22] = [
    "filter={}",
    "filter=title:eq:{}",
    "filter=title:{}:x",
    "filter={}:eq:x",
    "filter=views:gt:{}",
    "filter=views:in:1,{}",
    "filter=title:like:{}",
    "filter=author.{}:eq:x",
    "filter=meta.{}:eq:x",
    "where={}",
    "where={\"title\":\"{}\"}",
    "where={\"{}\":1}",
    "sort={}",
    "sort=-{}",
    "fields={}",
    "expand={}",
    "search={}",
    "limit={}",
    "offset={}",
    "cursor={}",
    "count={}",
    "{}=1",
];

async fn posts(server: &TestServer) -> Client {
    let ada = server.user("ada").await;
    let admin = server.over_admin_socket();
    for number in 0..5 {
        let post = json!({ "title": format!("post {number}"), "body": "some words", "author": ada.id(),
            "meta": { "tag": "a" }, "secret": SECRET });
        admin.create("posts", post).await.expect_created();
    }
    ada
}

#[tokio::test]
async fn m02_no_parameter_changes_a_statement() {
    let server = TestServer::start(Project::schema(SCHEMA)).await;
    let ada = posts(&server).await;
    let list = async || ada.list("posts", "sort=id").await.expect_docs();
    let before = list().await;
    let check = async |method: Method, path: &str, body: Option<Value>| {
        let answer = ada.send(method, path, body.map(|body| body.to_string())).await;
        let text = answer.text();
        assert!(answer.status.as_u16() < 500, "{path}: {text}");
        assert!(!text.contains(SECRET), "{path}: {text}");
        assert!(!text.to_lowercase().contains("sqlite"), "{path}: {text}");
    };
    for payload in PAYLOADS {
        let escaped: String = url_escape(payload);
        let quoted =
            url_escape(&payload.replace('\\', "\\\\").replace('"', "\\\"").replace('\u{0}', "\\u0000"));
        for parameter in PARAMETERS {
            let value = if parameter.contains("\"{}\"") { &quoted } else { &escaped };
            let query = parameter.replace("{\"", "%7B%22").replace("\":", "%22:").replace("{}", value);
            check(Method::GET, &format!("/api/collections/posts?{query}"), None).await;
            check(Method::GET, &format!("/api/collections/posts/aggregate?{query}"), None).await;
        }
        for name in ["count", "sum", "avg", "min", "max", "group"] {
            check(Method::GET, &format!("/api/collections/posts/aggregate?{name}={escaped}"), None).await;
        }
        check(Method::GET, &format!("/api/collections/posts/{escaped}"), None).await;
        check(Method::GET, &format!("/api/collections/{escaped}"), None).await;
        check(Method::GET, &format!("/api/changes?since={escaped}"), None).await;
        let id = before[0]["id"].as_str().expect("a document has an id");
        let one = format!("/api/collections/posts/{id}");
        check(Method::PATCH, &one, Some(json!({ payload: 1 }))).await;
        check(Method::PATCH, &one, Some(json!({ "views": { "$inc": payload } }))).await;
        check(Method::PATCH, &one, Some(json!({ "views": { payload: 1 } }))).await;
    }
    assert_eq!(list().await, before, "nothing was changed");
    server.stop().await;
}

/// Texts that look like SQL are texts.
#[tokio::test]
async fn what_looks_like_sql_is_stored_as_it_is() {
    let server = TestServer::start(Project::schema(SCHEMA)).await;
    let ada = posts(&server).await;
    for payload in PAYLOADS.into_iter().filter(|payload| !payload.contains('\u{0}')) {
        let post = json!({ "title": payload, "author": ada.id() });
        let made = ada.create("posts", post).await.expect_created();
        assert_eq!(made.0["title"], payload);
        let found =
            ada.list("posts", &format!("filter=title:eq:{}", url_escape(payload))).await.expect_docs();
        assert_eq!(found.len(), 1, "{payload}");
    }
    server.stop().await;
}

#[tokio::test]
async fn m02_sqlmap_finds_nothing() {
    if peers::program("sqlmap").is_none() {
        return;
    }
    let server = TestServer::start(Project::schema(SCHEMA)).await;
    let ada = posts(&server).await;
    let level = if std::env::var_os("ALYX_LONG").is_some() { "5" } else { "1" };
    // `*` marks where it is to try.
    for query in [
        "/api/collections/posts?filter=title:eq:post*&sort=title*",
        "/api/collections/posts?search=words*&limit=1*",
        "/api/collections/posts?where=%7B%22title%22:%22post*%22%7D",
        "/api/collections/posts/abc*",
    ] {
        let mut tool = peers::program("sqlmap").expect("it was there");
        tool.args(["--batch", "--flush-session", "--dbms=sqlite", "--technique=BEU", "--threads=2"]);
        tool.args(["--disable-coloring", "--ignore-code=*", "--level", level, "--url"]);
        tool.arg(format!("{}{query}", server.url()));
        tool.arg("--header").arg(format!("Authorization: Bearer {}", ada.token()));
        tool.arg("--output-dir").arg(server.project.root().join("sqlmap"));
        tool.env("HOME", server.project.root());
        let output =
            tokio::task::spawn_blocking(move || tool.output()).await.expect("it runs").expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("do not appear to be injectable"), "{query}: {said}");
    }
    server.stop().await;
}

fn url_escape(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
