//! Hooks that administrators make at run time, and events that the project names.

use std::time::Duration;

use alyx_tests::wait::wait_for;
use alyx_tests::{Project, TestServer};
use reqwest::Method;
use serde_json::{Value, json};

const SCHEMA: &str = "version: 1
collections:
  posts:
    fields:
      id: { type: id, primary: true, default: auto, client: true }
      title: { type: string }
    rules: { read: \"true\", create: \"true\" }
  seen:
    fields:
      id: { type: id, primary: true, default: auto }
      what: { type: string }
      at: { type: timestamp, default: now }
    rules: { read: \"true\" }
functions:
  told: { runtime: node }
  n: { runtime: node, rules: { invoke: \"true\" } }
  p: { runtime: python, rules: { invoke: \"true\" } }
  g: { runtime: go, rules: { invoke: \"true\" } }
events:
  order.paid: { rules: { publish: \"auth.id != null && request.body.amount > 0\" } }
  closed: {}
hooks:
  - { id: declared, on: event, name: order.paid, function: told }
  - { id: also, on: event, name: order.paid, function: told }
";

const TOLD: &str = "export default async (ctx) => {
  const { hook, event, payload, id, identity } = ctx.input;
  const what = event ? `${event} ${JSON.stringify(payload)}` : `${ctx.input.action} ${id}`;
  await ctx.db.create('seen', { what: `${hook}: ${what}` });
};";

const NODE: &str = "export default async (ctx) => {
  const { mode, amount } = ctx.input;
  if (mode === 'plain') return ctx.events.publish('order.paid', { amount });
  return ctx.db.transaction(async (tx) => {
    await tx.create('posts', { id: `n${amount}`, title: 'x' });
    await tx.events.publish('order.paid', { amount });
    if (mode === 'undo') throw ctx.error('undone', 'undone', { status: 409 });
  });
};";

const PYTHON: &str = "import alyx

def handler(ctx):
    amount, mode = ctx.input['amount'], ctx.input['mode']
    if mode == 'plain':
        return ctx.events.publish('order.paid', {'amount': amount})
    with ctx.db.transaction() as tx:
        tx.create('posts', {'id': f'p{amount}', 'title': 'x'})
        tx.events.publish('order.paid', {'amount': amount})
        if mode == 'undo':
            raise alyx.Error('undone', 'undone', status=409)
";

const GO: &str = "package pay

import (
	\"fmt\"

	\"alyx.dev/alyx\"
)

func Handler(ctx *alyx.Context) (any, error) {
	amount, mode := ctx.Input[\"amount\"], ctx.Input[\"mode\"]
	payload := map[string]any{\"amount\": amount}
	if mode == \"plain\" {
		return ctx.Events.Publish(\"order.paid\", payload)
	}
	return nil, ctx.DB.Transaction(func(tx *alyx.DB) error {
		if _, err := tx.Create(\"posts\", alyx.Document{\"id\": fmt.Sprintf(\"g%v\", amount), \"title\": \"x\"}); err != nil {
			return err
		}
		if _, err := tx.Events().Publish(\"order.paid\", payload); err != nil {
			return err
		}
		if mode == \"undo\" {
			return alyx.Errorf(\"undone\", 409, \"undone\")
		}
		return nil
	})
}
";

async fn start() -> TestServer {
    let project = Project::schema(SCHEMA)
        .with("functions/told/index.js", TOLD)
        .with("functions/n/index.js", NODE)
        .with("functions/p/main.py", PYTHON)
        .with("functions/g/pay.go", GO);
    TestServer::start(project).await
}

/// What the hooks have told, once there are so many lines, sorted.
async fn seen(server: &TestServer, count: usize) -> Vec<String> {
    let anon = server.anon();
    wait_for("the hooks to run", Duration::from_secs(60), async || {
        let docs = anon.list("seen", "limit=500").await.expect_ok()["docs"].as_array().unwrap().clone();
        let mut lines: Vec<_> = docs.iter().map(|doc| doc["what"].as_str().unwrap().to_owned()).collect();
        lines.sort();
        (lines.len() >= count).then_some(lines)
    })
    .await
}

/// Jobs that are neither done nor dead.
async fn settled(server: &TestServer) {
    wait_for("no job to be open", Duration::from_secs(60), async || {
        let said = server.cli().run(&["--json", "jobs", "list", "--limit", "200"]).await.expect_ok().json();
        let rows = said["jobs"].as_array().unwrap();
        rows.iter().all(|job| job["state"] == "done").then_some(())
    })
    .await;
}

#[tokio::test]
async fn events_are_published_under_their_rule_and_told_to_every_hook() {
    let server = start().await;
    let (anon, ada, admin) = (server.anon(), server.user("ada").await, server.over_admin_socket());
    let path = "/api/events/order.paid";
    anon.post(path, json!({ "amount": 5 })).await.expect_error(401, "unauthenticated");
    ada.post(path, json!({ "amount": 0 })).await.expect_error(403, "forbidden");
    // A rule that fails denies.
    ada.post(path, json!("text")).await.expect_error(403, "forbidden");
    ada.post("/api/events/closed", json!({})).await.expect_error(403, "forbidden");
    ada.post("/api/events/none", json!({})).await.expect_error(404, "event_not_found");
    ada.send(Method::POST, path, Some("{".to_owned())).await.expect_error(400, "invalid_json");
    let long = json!({ "amount": 1, "text": "x".repeat(70_000) });
    ada.post(path, long).await.expect_error(413, "body_too_large");
    let published = ada.post(path, json!({ "amount": 5 })).await.expect_status(202).json();
    assert_eq!(published["name"], "order.paid");
    let lines = seen(&server, 2).await;
    assert_eq!(lines, ["also: order.paid {\"amount\":5}", "declared: order.paid {\"amount\":5}"]);
    // Administrators publish anything that has a name.
    admin.post("/api/events/closed", Value::Null).await.expect_status(202);
    ada.get_path("/api/events").await.expect_error(403, "forbidden");
    let listed = admin.get_path("/api/events").await.expect_ok();
    let events = listed["events"].as_array().unwrap();
    assert_eq!(events.len(), 2, "{listed}");
    assert_eq!((&events[0]["name"], &events[0]["payload"]), (&json!("closed"), &Value::Null));
    let hers = json!({
        "id": published["id"], "name": "order.paid", "at": published["at"],
        "identity": format!("user:{}", ada.id()), "payload": { "amount": 5 },
    });
    assert_eq!(events[1], hers);
    let of = |query: &str| format!("/api/events?{query}");
    let before = of(&format!("before={}", events[0]["id"].as_str().unwrap()));
    assert_eq!(admin.get_path(&before).await.expect_ok()["events"], json!([hers]));
    assert_eq!(admin.get_path(&of("name=order.paid")).await.expect_ok()["events"], json!([hers]));
    admin.get_path(&of("limit=0")).await.expect_error(400, "invalid_parameter");
    admin.get_path(&of("what=1")).await.expect_error(400, "invalid_parameter");
    server.stop().await;
}

#[tokio::test]
async fn functions_publish_events_and_what_is_undone_publishes_nothing() {
    let server = start().await;
    let ada = server.user("ada").await;
    for (function, amount) in [("n", 1), ("p", 2), ("g", 3)] {
        let said = ada.invoke(function, json!({ "mode": "plain", "amount": amount })).await.expect_ok();
        assert_eq!(said["name"], "order.paid", "{said}");
        let undone = json!({ "mode": "undo", "amount": amount * 10 });
        ada.invoke(function, undone).await.expect_error(409, "undone");
        let kept = ada.invoke(function, json!({ "mode": "commit", "amount": amount * 100 })).await;
        assert!(kept.status.is_success(), "{kept}");
        // They act for their caller.
        let refused = server.anon().invoke(function, json!({ "mode": "plain", "amount": amount })).await;
        refused.expect_error(401, "unauthenticated");
    }
    let lines = seen(&server, 12).await;
    settled(&server).await;
    assert_eq!(seen(&server, 12).await, lines);
    let amounts: Vec<i64> = lines
        .iter()
        .filter_map(|line| {
            line.strip_prefix("also: order.paid {\"amount\":")?.strip_suffix('}')?.parse().ok()
        })
        .collect();
    let mut amounts = amounts;
    amounts.sort_unstable();
    assert_eq!(amounts, [1, 2, 3, 100, 200, 300]);
    server.stop().await;
}

#[tokio::test]
async fn how_jobs_of_a_hook_are_tried_again_is_set_at_run_time() {
    let server = start().await;
    let cli = server.cli();
    let create = ["hooks", "create", "--id", "mine", "--on", "posts", "--function", "told"];
    cli.run(&create).await.expect_ok();
    cli.run(&["hooks", "edit", "mine", "--retry", "attempts=2,first=1s"]).await.expect_ok();
    let shown = cli.run(&["hooks", "show", "mine"]).await.expect_ok().json();
    assert_eq!(shown["definition"]["retry"], json!({ "attempts": 2, "first": "1s" }), "{shown}");
    cli.run(&["hooks", "edit", "mine", "--retry", "attempts"]).await.expect_code(2);
    cli.run(&["hooks", "edit", "mine", "--retry", "attempts=0"]).await.expect_code(1);
    server.stop().await;
}

#[tokio::test]
async fn hooks_are_made_changed_stopped_and_deleted_at_run_time() {
    let server = start().await;
    let (anon, admin, cli) = (server.anon(), server.over_admin_socket(), server.cli());
    let ada = server.user("ada").await;
    ada.get_path("/api/hooks").await.expect_error(403, "forbidden");
    anon.get_path("/api/hooks").await.expect_error(401, "unauthenticated");
    cli.run(&[
        "hooks",
        "create",
        "--id",
        "mine",
        "--on",
        "posts",
        "--actions",
        "create",
        "--function",
        "told",
    ])
    .await
    .expect_ok();
    let hook = json!({ "id": "mine", "on": "posts", "function": "told" });
    admin.post("/api/hooks", hook).await.expect_error(409, "hook_exists");
    for (wrong, code) in [
        (json!({ "on": "nothing", "function": "told" }), "validation_failed"),
        (json!({ "on": "posts", "function": "nobody" }), "validation_failed"),
        (json!({ "on": "posts" }), "validation_failed"),
        (json!({ "on": "posts", "function": "told", "colour": "red" }), "validation_failed"),
        (json!({ "on": "posts", "function": "told", "enabled": "yes" }), "validation_failed"),
        (json!({ "id": "x y", "on": "posts", "function": "told" }), "validation_failed"),
    ] {
        admin.post("/api/hooks", wrong).await.expect_error(422, code);
    }
    let create = async |id: &str| {
        anon.create("posts", json!({ "id": id, "title": "x" })).await.expect_created();
    };
    create("a").await;
    assert_eq!(seen(&server, 1).await, ["mine: create a"]);
    cli.run(&["hooks", "disable", "mine"]).await.expect_ok();
    create("b").await;
    // It is there after a restart, and still stopped.
    let project = server.kill().await;
    let server = TestServer::start(project).await;
    let (anon, admin, cli) = (server.anon(), server.over_admin_socket(), server.cli());
    create_post(&server, "c").await;
    let shown = cli.run(&["--json", "hooks", "show", "mine"]).await.expect_ok().json();
    assert_eq!((&shown["enabled"], &shown["source"]), (&json!(false), &json!("api")));
    cli.run(&["hooks", "enable", "mine"]).await.expect_ok();
    cli.run(&["hooks", "edit", "mine", "--when", "after", "--mode", "sync"]).await.expect_ok();
    create_post(&server, "d").await;
    let lines = anon.list("seen", "").await.expect_ok()["docs"].as_array().unwrap().len();
    assert_eq!(lines, 2, "a sync hook has run when the answer comes");
    assert_eq!(seen(&server, 2).await, ["mine: create a", "mine: create d"]);
    // Those of the schema are changed there.
    let path = "/api/hooks/declared";
    admin
        .send(Method::PATCH, path, Some(json!({ "enabled": false }).to_string()))
        .await
        .expect_error(409, "hook_declared");
    admin.send(Method::DELETE, path, None).await.expect_error(409, "hook_declared");
    admin.get_path("/api/hooks/none").await.expect_error(404, "hook_not_found");
    // One whose function is gone says so, does not run, and can be stopped.
    let schema = SCHEMA
        .replace("  told: { runtime: node }\n", "  other: { runtime: node }\n")
        .replace("function: told", "function: other");
    server.project.write("functions/other/index.js", TOLD);
    std::fs::remove_dir_all(server.project.folder().join("functions/told")).unwrap();
    server.project.write("schema.yaml", &schema);
    let problem = wait_for("the schema to be taken over", Duration::from_secs(60), async || {
        let hook = admin.get_path("/api/hooks/mine").await.expect_ok();
        hook["problem"].as_str().map(str::to_owned)
    })
    .await;
    assert!(problem.contains("told"), "{problem}");
    create_post(&server, "e").await;
    cli.run(&["hooks", "disable", "mine"]).await.expect_ok();
    cli.run(&["hooks", "delete", "mine"]).await.expect_ok();
    cli.run(&["hooks", "show", "mine"]).await.expect_code(1);
    let listed = cli.run(&["hooks", "list"]).await.expect_ok();
    assert!(listed.out.contains("declared") && !listed.out.contains("mine"), "{}", listed.out);
    server.stop().await;
}

async fn create_post(server: &TestServer, id: &str) {
    server.anon().create("posts", json!({ "id": id, "title": "x" })).await.expect_created();
}
