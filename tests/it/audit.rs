//! The audit log as administrators read it: `GET /api/admin/audit`, `alyx audit list|export`, retention.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use alyx_tests::server::PASSWORD;
use alyx_tests::wait::wait_for;
use alyx_tests::{Client, Project, TestServer, wait_until};
use serde_json::{Value, json};

use crate::lab;

const PATH: &str = "/api/admin/audit";

/// Entries of an answer of the command with `--json`, or lines of an export.
fn actions(rows: &[Value]) -> Vec<&str> {
    rows.iter().filter_map(|row| row["action"].as_str()).collect()
}

async fn export(server: &TestServer, arguments: &[&str]) -> Vec<Value> {
    let said = server.cli().run(&[&["audit", "export"], arguments].concat()).await.expect_code(0);
    said.out.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// Ada registers and signs in, and somebody guesses at her password.
async fn some_history(server: &TestServer) -> Client {
    let ada = server.user("ada").await;
    let wrong = json!({ "email": "ada@example.org", "password": "canary-wrong-password" });
    server.anon().post("/api/auth/login", wrong).await.expect_error(401, "invalid_credentials");
    ada
}

#[tokio::test]
async fn audit_rows_are_found_by_every_filter() {
    let server = lab().await;
    let ada = format!("user:{}", some_history(&server).await.id());
    let all = export(&server, &[]).await;
    let denied = export(&server, &["--outcome", "denied"]).await;
    assert_eq!(actions(&denied), ["session.begin"], "{all:#?}");
    let request = denied[0]["request_id"].as_str().unwrap();
    assert_eq!(export(&server, &["--request-id", request]).await, denied);
    let family = export(&server, &["--action", "session.*"]).await;
    assert!(family.len() >= 2 && actions(&family).iter().all(|action| *action == "session.begin"));
    assert_eq!(export(&server, &["--action", "session.begin"]).await, family);
    assert_eq!(export(&server, &["--action", "session"]).await, Vec::<Value>::new());
    let hers = export(&server, &["--target", &ada]).await;
    assert!(!hers.is_empty() && hers.iter().all(|row| row["target"] == ada.as_str()), "{hers:#?}");
    let stranger = export(&server, &["--identity", "anonymous", "--outcome", "denied"]).await;
    assert_eq!(stranger, denied);
    // Rows have ids; who looks for somebody has their address.
    let by_id = export(&server, &["--identity", &ada]).await;
    assert!(!by_id.is_empty(), "{all:#?}");
    assert_eq!(export(&server, &["--identity", "Ada@example.org"]).await, by_id);
    assert_eq!(export(&server, &["--target", "ada@example.org"]).await, hers);
    let admin = export(&server, &["--identity", "admin@localhost"]).await;
    assert!(admin.iter().all(|row| row["identity"].as_str().unwrap().starts_with("admin:")), "{admin:#?}");
    let unknown = ["audit", "list", "--identity", "nobody@example.org"];
    let unknown = server.cli().run(&unknown).await.expect_code(1);
    assert!(unknown.err.contains("no account has this address"), "{unknown:#?}");
    let near = export(&server, &["--address", "127.0.0.1"]).await;
    assert!(near.contains(&denied[0]) && near.len() <= all.len());
    assert_eq!(export(&server, &["--address", "192.0.2.1"]).await, Vec::<Value>::new());
    let at = denied[0]["at"].as_str().unwrap();
    assert!(export(&server, &["--since", at]).await.contains(&denied[0]));
    assert!(!export(&server, &["--until", at]).await.contains(&denied[0]));
    assert_eq!(export(&server, &["--since", "7d"]).await, all);
    assert_eq!(export(&server, &["--until", "24h"]).await, Vec::<Value>::new());
    server.stop().await;
}

#[tokio::test]
async fn audit_pages_follow_each_other_both_ways() {
    let server = lab().await;
    some_history(&server).await;
    let admin = server.admin().await;
    let all = export(&server, &[]).await;
    let numbers: Vec<i64> = all.iter().filter_map(|row| row["seq"].as_i64()).collect();
    assert!(numbers.len() >= 4 && numbers.is_sorted(), "{numbers:?}");
    for (cursor, first, expected) in [
        ("before", String::new(), numbers.iter().rev().copied().collect::<Vec<_>>()),
        ("after", "&after=0".to_owned(), numbers.clone()),
    ] {
        let (mut place, mut found) = (first, Vec::new());
        loop {
            let page = admin.get_path(&format!("{PATH}?limit=1{place}")).await.expect_ok();
            found.extend(page["entries"].as_array().unwrap().iter().filter_map(|row| row["seq"].as_i64()));
            let Some(next) = page[format!("next_{cursor}")].as_i64() else { break };
            place = format!("&{cursor}={next}");
        }
        assert_eq!(found, expected, "{cursor}");
    }
    server.stop().await;
}

#[tokio::test]
async fn audit_exports_hold_no_secret_and_are_for_administrators() {
    let server = lab().await;
    let ada = some_history(&server).await;
    ada.get_path(PATH).await.expect_error(403, "forbidden");
    server.anon().get_path(PATH).await.expect_error(401, "unauthenticated");
    let admin = server.admin().await;
    for wrong in [
        "outcome=maybe",
        "since=yesterday",
        "before=x",
        "after=-1",
        "before=1&after=1",
        "limit=0",
        "limit=1001",
        "who=ada",
    ] {
        admin.get_path(&format!("{PATH}?{wrong}")).await.expect_error(400, "invalid_parameter");
    }
    let csv = server.cli().run(&["audit", "export", "--format", "csv"]).await.expect_code(0).out;
    let mut lines = csv.lines();
    let headings = "seq,at,identity,address,action,target,outcome,request_id,details";
    assert_eq!(lines.next(), Some(headings));
    assert_eq!(lines.count(), export(&server, &[]).await.len());
    let table = server.cli().run(&["audit", "list", "--outcome", "denied"]).await.expect_code(0).out;
    assert!(table.contains("session.begin") && table.lines().count() == 2, "{table}");
    let jsonl = server.cli().run(&["audit", "export"]).await.expect_code(0).out;
    for secret in [PASSWORD, "canary", "$argon2", ada.token(), admin.token()] {
        assert!(!csv.contains(secret) && !jsonl.contains(secret), "an export tells {secret}");
    }
    server.cli().run(&["audit", "list", "--since", "yesterday"]).await.expect_code(2);
    server.stop().await;
}

#[tokio::test]
async fn audit_rows_are_removed_when_they_are_old_enough() {
    let server = lab().await;
    some_history(&server).await;
    let project = server.stop().await;
    let before = crate::audit_rows(&project).len();
    assert!(before >= 3, "{before} rows");
    let written = Instant::now();
    wait_until("the rows to be old", Duration::from_secs(60), || written.elapsed() > Duration::from_secs(2))
        .await;
    let server = TestServer::start(project.with("alyx.yaml", "audit: { keep_for: 1s }")).await;
    // The first sweep is at the start.
    wait_for("old rows to be removed", Duration::from_secs(60), async || {
        let left = export(&server, &["--action", "account.register"]).await;
        left.is_empty().then_some(())
    })
    .await;
    server.stop().await;
}

/// What changes nothing though it is asked for by POST, and what other tests look at.
const NO_ROW_HERE: [&str; 9] = [
    "DELETE /api/admin/api-keys/{id}",
    "POST /api/admin/api-keys/{id}/rotate",
    "DELETE /api/admin/users/{id}/mfa",
    "POST /api/admin/backups/{id}/verify",
    "POST /api/admin/jobs/{id}/replay",
    "POST /api/admin/mail/{id}/retry",
    "POST /api/admin/rules/explain",
    "POST /api/admin/rules/test",
    "POST /api/webhooks/{id}/deliveries/{delivery}/redeliver",
];

#[tokio::test]
async fn every_route_of_administrators_that_changes_something_leaves_a_row() {
    let schema = |fields: &str| {
        format!(
            "version: 1\ncollections:\n  notes:\n    fields:\n      id: {{ type: id, primary: true, default: auto }}\n{fields}"
        )
    };
    let (more, less) = (
        "      a: { type: int, default: 1 }\n      b: { type: int, default: 1 }\n",
        "      a: { type: int, default: 1 }\n",
    );
    let function = "export default () => null;";
    let project = Project::schema(&schema(more))
        .with("functions/f/index.js", function)
        .with("functions/f/function.yaml", "runtime: node\n");
    let server = TestServer::start(project).await;
    let admin = server.admin().await;
    server.over_admin_socket().create("notes", json!({})).await.expect_created();
    let ada = server.user("ada").await;
    let user = |rest: &str| format!("/api/admin/users/{}{rest}", ada.id());
    let eve = json!({ "email": "eve@example.org", "password": PASSWORD });
    let confirm = json!({ "confirm": true });
    let hook = json!({ "id": "h", "on": "notes", "function": "f" });
    let schedule = json!({ "name": "s", "every": "24h", "function": "f" });
    let webhook = json!({ "id": "w", "on": "notes", "url": "https://a.example/", "secret": "KEY" });
    let acts = [
        ("POST", "/api/admin/users", "/api/admin/users".to_owned(), eve, "user.create"),
        ("PATCH", "/api/admin/users/{id}", user(""), json!({ "verified": true }), "user.update"),
        (
            "POST",
            "/api/admin/users/{id}/password",
            user("/password"),
            json!({ "password": "canary-horse-battery" }),
            "user.password",
        ),
        ("DELETE", "/api/admin/users/{id}/sessions", user("/sessions"), Value::Null, "user.end_sessions"),
        ("DELETE", "/api/admin/users/{id}", user(""), Value::Null, "user.delete"),
        ("DELETE", "/api/admin/lockouts", "/api/admin/lockouts".to_owned(), Value::Null, "lockout.clear"),
        (
            "POST",
            "/api/admin/signing-keys/rotate",
            "/api/admin/signing-keys/rotate".to_owned(),
            json!({}),
            "key.rotate",
        ),
        (
            "POST",
            "/api/admin/api-keys",
            "/api/admin/api-keys".to_owned(),
            json!({ "name": "a", "scopes": ["admin:*"] }),
            "api_key.create",
        ),
        ("POST", "/api/admin/jobs/purge", "/api/admin/jobs/purge".to_owned(), Value::Null, "job.purge"),
        ("POST", "/api/hooks", "/api/hooks".to_owned(), hook, "hook.create"),
        ("PATCH", "/api/hooks/{id}", "/api/hooks/h".to_owned(), json!({ "enabled": false }), "hook.update"),
        ("DELETE", "/api/hooks/{id}", "/api/hooks/h".to_owned(), Value::Null, "hook.delete"),
        ("POST", "/api/schedules", "/api/schedules".to_owned(), schedule, "schedule.create"),
        (
            "POST",
            "/api/schedules/{name}/pause",
            "/api/schedules/s/pause".to_owned(),
            Value::Null,
            "schedule.pause",
        ),
        (
            "POST",
            "/api/schedules/{name}/resume",
            "/api/schedules/s/resume".to_owned(),
            Value::Null,
            "schedule.resume",
        ),
        (
            "POST",
            "/api/schedules/{name}/trigger",
            "/api/schedules/s/trigger".to_owned(),
            Value::Null,
            "schedule.trigger",
        ),
        ("DELETE", "/api/schedules/{name}", "/api/schedules/s".to_owned(), Value::Null, "schedule.delete"),
        ("POST", "/api/webhooks", "/api/webhooks".to_owned(), webhook, "webhook.create"),
        (
            "PATCH",
            "/api/webhooks/{id}",
            "/api/webhooks/w".to_owned(),
            json!({ "enabled": false }),
            "webhook.update",
        ),
        ("DELETE", "/api/webhooks/{id}", "/api/webhooks/w".to_owned(), Value::Null, "webhook.delete"),
        (
            "PUT",
            "/api/admin/secrets/{name}",
            "/api/admin/secrets/KEY".to_owned(),
            json!({ "value": "canary-of-secrets" }),
            "secret.set",
        ),
        (
            "DELETE",
            "/api/admin/secrets/{name}",
            "/api/admin/secrets/KEY".to_owned(),
            Value::Null,
            "secret.delete",
        ),
        ("POST", "/api/admin/backups", "/api/admin/backups".to_owned(), Value::Null, "backup.create"),
        (
            "POST",
            "/api/admin/backups/prune",
            "/api/admin/backups/prune".to_owned(),
            Value::Null,
            "backup.prune",
        ),
        ("POST", "/api/admin/reload", "/api/admin/reload".to_owned(), Value::Null, "project.reload"),
        (
            "POST",
            "/api/admin/migrations/apply",
            "/api/admin/migrations/apply".to_owned(),
            confirm.clone(),
            "schema.apply",
        ),
        (
            "POST",
            "/api/admin/migrations/rollback",
            "/api/admin/migrations/rollback".to_owned(),
            confirm,
            "schema.roll_back",
        ),
    ];
    let openapi = server.anon().get_path("/api/openapi.json").await.expect_ok();
    let routes = openapi["paths"].as_object().unwrap().iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().keys().map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    let changing: BTreeSet<String> = routes
        .filter(|route| {
            [" /api/admin/", " /api/hooks", " /api/webhooks", " /api/schedules"]
                .iter()
                .any(|path| route.contains(path))
        })
        .filter(|route| ["POST ", "PUT ", "PATCH ", "DELETE "].iter().any(|method| route.starts_with(method)))
        .collect();
    let known = acts.iter().map(|(method, route, ..)| format!("{method} {route}"));
    let known: BTreeSet<String> = known.chain(NO_ROW_HERE.map(str::to_owned)).collect();
    assert_eq!(changing, known);
    server.project.write("schema.yaml", &schema(less));
    for (method, _, path, body, action) in acts {
        let body = (!body.is_null()).then(|| body.to_string());
        let answer = admin.send(method.parse().unwrap(), &path, body).await;
        assert!(answer.status.is_success(), "{method} {path}: {answer}");
        // At once: to take a change back by a copy takes the log back as well.
        let rows = export(&server, &["--request-id", answer.header("x-request-id").unwrap()]).await;
        assert_eq!(actions(&rows), [action], "{method} {path}: {rows:#?}");
        assert_eq!((&rows[0]["outcome"], &rows[0]["address"]), (&json!("ok"), &json!("127.0.0.1")));
        assert!(rows[0]["identity"].as_str().unwrap().starts_with("admin:"), "{rows:#?}");
        let text = serde_json::to_string(&rows).unwrap();
        assert!(!text.contains("canary") && !text.contains(PASSWORD), "{text}");
    }
    let rows = export(&server, &[]).await;
    // What the daemon does by itself, it tells as well.
    assert!(rows.iter().any(|row| row["action"] == "schema.apply" && row["identity"] == "daemon"));
    server.stop().await;
}
