//! Webhooks: signed requests to others, checked by the reference libraries of Standard Webhooks; where they
//! may go; what becomes of those that fail.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use alyx_tests::peers::{self, Server};
use alyx_tests::wait::wait_for;
use alyx_tests::{Project, TestServer, tree};
use reqwest::Method;
use serde_json::{Value, json};

const NEW: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OLD: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const WRONG: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

const PATIENCE: Duration = Duration::from_secs(60);

/// Verifies what came with the library of PyPI.
const PYTHON: &str = "
import json, sys
from standardwebhooks import Webhook
for one in json.load(sys.stdin):
    for secret in sys.argv[1:]:
        Webhook(secret).verify(one['body'], one['headers'])
    try:
        Webhook(secret).verify(one['body'] + ' ', one['headers'])
    except Exception:
        continue
    sys.exit('a tampered body was verified')
";

fn schema(webhooks: &str) -> String {
    format!(
        "version: 1
collections:
  posts:
    fields:
      id: {{ type: id, primary: true, default: auto }}
      title: {{ type: string }}
      note: {{ type: string, nullable: true, hidden: true }}
      draft: {{ type: string, nullable: true, internal: true }}
    rules: {{ read: \"true\", create: \"true\", update: \"true\", delete: \"true\" }}
events:
  order.paid: {{ rules: {{ publish: \"true\" }} }}
webhooks:
{webhooks}"
    )
}

/// A server that may reach this host, with its secrets.
async fn start(webhooks: &str) -> TestServer {
    let project = Project::schema(&schema(webhooks)).with("alyx.yaml", "webhooks: { allow: [127.0.0.1] }\n");
    let server = TestServer::start(project).await;
    for (name, value) in [("NEW", NEW), ("OLD", OLD)] {
        server.cli().run_with_input(&["secrets", "set", name], value).await.expect_ok();
    }
    server
}

async fn seen(receiver: &Server) -> Vec<Value> {
    let answer = reqwest::get(format!("{}/seen", receiver.url)).await.expect("ask the receiver");
    serde_json::from_str(&answer.text().await.expect("read its answer")).expect("JSON")
}

/// What came at a path, once there is so much of it.
async fn came(receiver: &Server, path: &str, count: usize) -> Vec<Value> {
    wait_for("deliveries", PATIENCE, async || {
        let mut all = seen(receiver).await;
        all.retain(|one| one["path"] == path);
        (all.len() >= count).then_some(all)
    })
    .await
}

fn body(one: &Value) -> Value {
    serde_json::from_str(one["body"].as_str().unwrap()).unwrap()
}

/// The jobs of a webhook, once there are so many and all are settled.
async fn settled(server: &TestServer, webhook: &str, count: usize) -> Vec<Value> {
    wait_for("jobs", PATIENCE, async || {
        let said =
            server.cli().run(&["--json", "jobs", "list", "--target", webhook]).await.expect_ok().json();
        let jobs = said["jobs"].as_array().unwrap().clone();
        let over = jobs.iter().all(|job| job["state"] == "done" || job["state"] == "dead");
        (over && jobs.len() == count).then_some(jobs)
    })
    .await
}

async fn deliveries(server: &TestServer, webhook: &str) -> Vec<Value> {
    let said = server.cli().run(&["--json", "webhooks", "deliveries", webhook]).await.expect_ok().json();
    said["deliveries"].as_array().unwrap().clone()
}

#[tokio::test]
async fn m36_deliveries_verify_with_the_reference_libraries() {
    let Some(receiver) = peers::server("receiver.mjs", &[NEW, OLD, WRONG]).await else { return };
    let Some(mut python) = peers::python() else { return };
    let url = &receiver.url;
    let server = start(&format!(
        "  - id: shop
    on: posts
    url: {url}/ok
    secret: [NEW, OLD]
    condition: \"action == 'delete' || doc.title != 'quiet'\"
    headers: {{ X-Shop: one }}
  - {{ id: people, on: auth, actions: [register], url: {url}/people, secret: NEW }}
  - {{ id: paid, on: event, name: order.paid, url: {url}/paid, secret: NEW, condition: payload.amount > 5 }}
"
    ))
    .await;
    let (anon, admin) = (server.anon(), server.over_admin_socket());
    anon.create("posts", json!({ "title": "quiet" })).await.expect_created();
    let new = json!({ "title": "Grüße", "note": "canary-hidden", "draft": "canary-internal" });
    let post = admin.create("posts", new).await.expect_created();
    let id = post.id();
    let came_ok = came(&receiver, "/ok", 1).await;
    assert_eq!(settled(&server, "shop", 2).await.len(), 2);
    assert_eq!(came_ok.len(), 1, "{came_ok:#?}");
    let one = &came_ok[0];
    assert_eq!(one["verified"], json!([true, true, false]), "{one:#}");
    assert_eq!(
        (&one["headers"]["x-shop"], &one["headers"]["content-type"]),
        (&json!("one"), &json!("application/json"))
    );
    let told = body(one);
    assert_eq!(
        (&told["type"], &told["data"]["id"], &told["data"]["doc"]["title"]),
        (&json!("posts.create"), &json!(id), &json!("Grüße"))
    );
    assert!(told["timestamp"].is_string() && !one["body"].as_str().unwrap().contains("canary"), "{told:#}");
    server.user("ada").await;
    let people = came(&receiver, "/people", 1).await;
    assert_eq!(
        (&people[0]["verified"], &body(&people[0])["type"]),
        (&json!([true, false, false]), &json!("auth.register"))
    );
    for amount in [1, 9] {
        anon.post("/api/events/order.paid", json!({ "amount": amount })).await;
    }
    let paid = came(&receiver, "/paid", 1).await;
    assert_eq!(body(&paid[0])["data"]["payload"]["amount"], 9);
    // The same with the other library.
    python.args(["-c", PYTHON, NEW, OLD]).stdin(Stdio::piped());
    let mut child = python.spawn().expect("start python");
    child.stdin.take().unwrap().write_all(Value::from(came_ok.clone()).to_string().as_bytes()).unwrap();
    assert!(child.wait().expect("wait for python").success());
    // Again, with the same id and another time.
    let delivery = one["headers"]["webhook-id"].as_str().unwrap();
    let log = deliveries(&server, "shop").await;
    assert_eq!((log.len(), &log[0]["id"], &log[0]["status"]), (1, &json!(delivery), &json!(204)), "{log:#?}");
    server.cli().run(&["webhooks", "redeliver", "shop", delivery]).await.expect_ok();
    let again = came(&receiver, "/ok", 2).await;
    assert_eq!((&again[1]["headers"]["webhook-id"], &again[1]["body"]), (&json!(delivery), &one["body"]));
    assert_eq!(again[1]["verified"], json!([true, true, false]));
    let rows = ["audit", "export", "--action", "webhook.redeliver"];
    let rows = server.cli().run(&rows).await.expect_ok();
    assert!(rows.out.lines().count() == 1 && rows.out.contains(delivery), "{rows:?}");
    let other = server.cli().run(&["webhooks", "redeliver", "paid", delivery]).await;
    assert!(other.err.contains("delivery_not_found") || other.err.contains("no such delivery"), "{other:?}");
    server.stop().await;
}

/// The code of `docs/webhooks.md` as it stands there, given what came.
#[tokio::test]
async fn m36_the_receiver_of_the_page_verifies_what_comes() {
    const TRIED: &str = "
const one = JSON.parse(process.argv[1]);
console.log(receive(one).type);
for (const other of [{ ...one, body: one.body + ' ' }, { ...one, headers: {} }]) {
  try { receive(other); } catch { continue; }
  console.log('verified what was tampered with');
}
";
    let Some(receiver) = peers::server("receiver.mjs", &[NEW]).await else { return };
    let Some(mut node) = peers::node() else { return };
    let page = std::fs::read_to_string(tree::root().join("docs/webhooks.md")).unwrap();
    let code = crate::docs::blocks(&page, "js");
    let [code] = code.as_slice() else { panic!("{code:#?}") };
    let url = &receiver.url;
    let server = start(&format!("  - {{ id: shop, on: posts, url: {url}/ok, secret: NEW }}\n")).await;
    server.anon().create("posts", json!({ "title": "Grüße" })).await.expect_created();
    let one = &came(&receiver, "/ok", 1).await[0];
    let said = node
        .args(["--input-type=module", "-e", &format!("{code}\n{TRIED}"), &one.to_string()])
        .env("SHOP_WEBHOOK", NEW)
        .output()
        .expect("run node");
    assert!(said.status.success(), "{said:?}");
    assert_eq!(String::from_utf8_lossy(&said.stdout), "posts.create\n");
    server.stop().await;
}

#[tokio::test]
async fn m36_failures_are_tried_again_logged_and_given_up() {
    let Some(receiver) = peers::server("receiver.mjs", &[NEW]).await else { return };
    let url = &receiver.url;
    let retry = "retry: { attempts: 2, first: 10ms }";
    let server = start(&format!(
        "  - {{ id: flaky, on: posts, url: {url}/flaky, secret: NEW, {retry} }}
  - {{ id: broken, on: posts, url: {url}/broken, secret: NEW, {retry} }}
  - {{ id: gone, on: posts, url: {url}/gone, secret: NEW, {retry} }}
  - {{ id: redirect, on: posts, url: {url}/redirect, secret: NEW, {retry} }}
  - {{ id: unset, on: posts, url: {url}/unset, secret: UNSET, {retry} }}
  - {{ id: odd, on: posts, url: {url}/odd, secret: NEW, condition: old.title == '', {retry} }}
"
    ))
    .await;
    server.anon().create("posts", json!({ "title": "a" })).await.expect_created();
    let ends = [
        ("flaky", "done", 2, ""),
        ("broken", "dead", 2, "it answered 500"),
        ("gone", "dead", 1, "it answered 410"),
        ("redirect", "dead", 2, "redirects are not followed"),
        ("odd", "dead", 1, "its condition fails"),
    ];
    for (webhook, state, attempts, error) in ends {
        let job = &settled(&server, webhook, 1).await[0];
        assert_eq!(
            (&job["state"], &job["attempts"]),
            (&json!(state), &json!(attempts)),
            "{webhook}: {job:#}"
        );
        assert!(job["error"].as_str().unwrap_or_default().contains(error), "{webhook}: {job:#}");
    }
    // What this project lacks costs none of the attempts, is in the log, and is made up for.
    let missed = wait_for("attempts without a secret", PATIENCE, async || {
        Some(deliveries(&server, "unset").await).filter(|log| log.len() > 2)
    })
    .await;
    assert!(missed.iter().all(|one| one["error"] == "the secret UNSET is not set"), "{missed:#?}");
    assert!(missed.iter().all(|one| one["status"] == Value::Null), "{missed:#?}");
    for said in [
        server.cli().run(&["webhooks", "list"]).await.expect_ok(),
        server.cli().run(&["doctor"]).await,
        server.cli().run(&["webhooks", "show", "unset"]).await.expect_ok(),
    ] {
        assert!(said.out.contains("the secret UNSET is not set"), "{said:?}");
    }
    let secrets = server.cli().run(&["secrets", "list"]).await.expect_ok();
    assert!(
        secrets.out.lines().any(|line| line.contains("UNSET") && line.contains("missing")),
        "{secrets:?}"
    );
    server.cli().run_with_input(&["secrets", "set", "UNSET"], NEW).await.expect_ok();
    assert_eq!(settled(&server, "unset", 1).await[0]["state"], "done");
    let all = seen(&receiver).await;
    assert!(all.iter().all(|one| one["path"] != "/inner" && one["verified"] == json!([true])), "{all:#?}");
    // The same id every time; what asked for a second was given it.
    let flaky = came(&receiver, "/flaky", 2).await;
    assert_eq!(flaky[0]["headers"]["webhook-id"], flaky[1]["headers"]["webhook-id"]);
    let at = |one: &Value| one["headers"]["webhook-timestamp"].as_str().unwrap().parse::<i64>().unwrap();
    assert!(at(&flaky[1]) > at(&flaky[0]), "{flaky:#?}");
    let log = deliveries(&server, "broken").await;
    assert_eq!(
        (log.len(), &log[0]["response"], &log[0]["attempt"]),
        (2, &json!("out of order"), &json!(2)),
        "{log:#?}"
    );
    server.stop().await;
}

#[tokio::test]
async fn m36_addresses_that_are_not_public_are_refused() {
    let Some(receiver) = peers::server("receiver.mjs", &[NEW]).await else { return };
    let port = receiver.url.rsplit_once(':').unwrap().1.to_owned();
    let hosts = [
        "127.0.0.1",
        "localhost",
        "0x7f.1",
        "2130706433",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "0.0.0.0",
        "10.0.0.1",
        "169.254.169.254",
        "[fe80::1]",
        "[fd00::1]",
        "[64:ff9b::7f00:1]",
    ];
    let one = |(at, host): (usize, &&str)| {
        format!("  - {{ id: h{at}, on: posts, url: 'http://{host}:{port}/ok', secret: NEW }}\n")
    };
    let webhooks: String = hosts.iter().enumerate().map(one).collect();
    let server = TestServer::start(Project::schema(&schema(&webhooks))).await;
    server.cli().run_with_input(&["secrets", "set", "NEW"], NEW).await.expect_ok();
    server.anon().create("posts", json!({ "title": "a" })).await.expect_created();
    for (at, host) in hosts.iter().enumerate() {
        let job = &settled(&server, &format!("h{at}"), 1).await[0];
        assert_eq!((&job["state"], &job["attempts"]), (&json!("dead"), &json!(1)), "{host}: {job:#}");
        assert!(job["error"].as_str().unwrap().starts_with("refused: "), "{host}: {job:#}");
    }
    assert_eq!(seen(&receiver).await, Vec::<Value>::new());
    server.stop().await;
}

#[tokio::test]
async fn m36_webhooks_are_made_changed_and_stopped_at_run_time() {
    let Some(receiver) = peers::server("receiver.mjs", &[NEW]).await else { return };
    let declared = format!("  - {{ id: declared, on: posts, url: {}/ok, secret: NEW }}\n", receiver.url);
    let server = start(&declared).await;
    let (admin, anon) = (server.admin().await, server.anon());
    let url = format!("{}/made", receiver.url);
    let create = ["webhooks", "create", "made", "--on", "posts", "--to", &url, "--secret", "NEW"];
    server
        .cli()
        .run(&[&create[..], &["--actions", "create", "--condition", "doc.title != ''"]].concat())
        .await
        .expect_ok();
    assert_eq!(server.cli().run(&create).await.expect_code(1).code, 1);
    anon.create("posts", json!({ "title": "a" })).await.expect_created();
    came(&receiver, "/made", 1).await;
    let list = server.cli().run(&["--json", "webhooks", "list"]).await.expect_ok().json();
    let sources: Vec<&Value> =
        list["webhooks"].as_array().unwrap().iter().map(|one| &one["source"]).collect();
    assert_eq!(sources, ["schema", "api"]);
    server.cli().run(&["webhooks", "disable", "made"]).await.expect_ok();
    anon.create("posts", json!({ "title": "b" })).await.expect_created();
    came(&receiver, "/ok", 2).await;
    assert_eq!(came(&receiver, "/made", 1).await.len(), 1);
    server.cli().run(&["webhooks", "enable", "made"]).await.expect_ok();
    let other = format!("{}/other", receiver.url);
    server.cli().run(&["webhooks", "edit", "made", "--to", &other]).await.expect_ok();
    anon.create("posts", json!({ "title": "c" })).await.expect_created();
    came(&receiver, "/other", 1).await;
    let send = async |method: Method, path: &str, body: Value| {
        let body = (!body.is_null()).then(|| body.to_string());
        admin.send(method, path, body).await
    };
    send(Method::PATCH, "/api/webhooks/declared", json!({ "enabled": false }))
        .await
        .expect_error(409, "webhook_declared");
    send(Method::PATCH, "/api/webhooks/made", json!({ "url": "ftp://a" }))
        .await
        .expect_error(422, "validation_failed");
    send(Method::GET, "/api/webhooks/none", Value::Null).await.expect_error(404, "webhook_not_found");
    send(Method::GET, "/api/webhooks/none/deliveries", Value::Null)
        .await
        .expect_error(404, "webhook_not_found");
    let new = json!({ "id": "made", "on": "posts", "url": other, "secret": "NEW" });
    send(Method::POST, "/api/webhooks", new).await.expect_error(409, "webhook_exists");
    anon.get_path("/api/webhooks").await.expect_error(401, "unauthenticated");
    let server = server.restart().await;
    anon_create(&server).await;
    came(&receiver, "/other", 2).await;
    server.cli().run(&["webhooks", "delete", "made"]).await.expect_ok();
    server.stop().await;
}

async fn anon_create(server: &TestServer) {
    server.anon().create("posts", json!({ "title": "d" })).await.expect_created();
}
