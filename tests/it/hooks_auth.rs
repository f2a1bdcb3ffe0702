//! Hooks on accounts: asked before somebody registers or signs in, told of what was done to accounts.

use std::time::Duration;

use alyx_tests::server::PASSWORD;
use alyx_tests::wait::wait_for;
use alyx_tests::{Project, TestServer};
use reqwest::Method;
use serde_json::{Value, json};

const SCHEMA: &str = "version: 1
collections:
  seen:
    fields:
      id: { type: id, primary: true, default: auto }
      action: { type: string }
      user: { type: string }
      email: { type: string, nullable: true }
      at: { type: timestamp, default: now }
  users:
    fields:
      plan: { type: string, default: none }
functions:
  gate: { runtime: node }
  told: { runtime: node }
hooks:
  - { on: auth, when: before, actions: [register, login], function: gate }
  - { on: auth, function: told }
";

const GATE: &str = "export default (ctx) => {
  const { action, doc } = ctx.input;
  if ('password_hash' in doc || JSON.stringify(ctx.input).includes('canary')) throw new Error('leak');
  if (doc.email?.startsWith('spam')) throw ctx.error('no_spam', 'not you', { status: 403 });
  if (doc.email?.startsWith('thief')) return { doc: { email: 'ada@example.org' } };
  if (doc.email?.startsWith('broken')) throw new Error('broken');
  if (action === 'login') {
    if (doc.plan === 'banned') throw ctx.error('banned', 'not any more', { status: 403 });
    return;
  }
  return { doc: { plan: doc.email === null || doc.email === '' ? 'trial' : 'basic' } };
};";

const TOLD: &str = "export default (ctx) => {
  const { action, id, doc } = ctx.input;
  return ctx.db.create('seen', { action, user: id, email: doc?.email || null });
};";

async fn start() -> TestServer {
    let project = Project::schema(SCHEMA)
        .with("functions/gate/index.js", GATE)
        .with("functions/told/index.js", TOLD)
        .with("alyx.yaml", "auth: { anonymous: allowed }\n");
    TestServer::start(project).await
}

async fn told(server: &TestServer, user: &str, count: usize) -> Vec<String> {
    let admin = server.over_admin_socket();
    wait_for(&format!("{count} hooks of {user} to run"), Duration::from_secs(60), async || {
        let docs = admin.list("seen", &format!("filter=user:eq:{user}&sort=at&limit=100")).await.expect_ok();
        let docs = docs["docs"].as_array().unwrap().clone();
        let actions = docs.iter().map(|doc| doc["action"].as_str().unwrap().to_owned());
        (docs.len() >= count).then(|| actions.collect())
    })
    .await
}

#[tokio::test]
async fn hooks_before_accounts_change_and_refuse() {
    let server = start().await;
    let anon = server.anon();
    let register = async |email: &str| {
        anon.post("/api/auth/register", json!({ "email": email, "password": PASSWORD })).await
    };
    let ada = server.user("ada").await;
    let me = ada.get_path("/api/auth/me").await.expect_ok();
    assert_eq!(me["plan"], "basic", "{me}");
    let refused = register("spam@example.org").await.expect_error(403, "no_spam");
    assert_eq!(refused.detail, "not you");
    register("thief@example.org").await.expect_error(502, "hook_failed");
    register("broken@example.org").await.expect_error(502, "hook_failed");
    let users = server.over_admin_socket().get_path("/api/admin/users?limit=50").await.expect_ok();
    let text = users.to_string();
    assert!(!text.contains("spam") && !text.contains("thief") && !text.contains("broken"), "{text}");
    // Without address, too.
    let nobody = anon.post("/api/auth/anonymous", json!({})).await;
    assert!(nobody.status.is_success(), "{nobody}");
    assert_eq!(nobody.json()["user"]["plan"], "trial", "{nobody}");
    // An administrator need not ask.
    let admin = server.over_admin_socket();
    let spam = json!({ "email": "spam@example.org", "password": PASSWORD });
    assert!(admin.post("/api/admin/users", spam.clone()).await.status.is_success());
    anon.post("/api/auth/login", spam).await.expect_error(403, "no_spam");
    // Who is banned does not come in, and a wrong password is told first.
    let path = format!("/api/admin/users/{}", ada.id());
    let banned = json!({ "plan": "banned" }).to_string();
    let answer = admin.send(Method::PATCH, &path, Some(banned)).await;
    assert!(answer.status.is_success(), "{answer}");
    let login = |password: &str| json!({ "email": "ada@example.org", "password": password });
    anon.post("/api/auth/login", login("canary-of-a-guess")).await.expect_error(401, "invalid_credentials");
    anon.post("/api/auth/login", login(PASSWORD)).await.expect_error(403, "banned");
    server.stop().await;
}

#[tokio::test]
async fn hooks_are_told_of_what_is_done_to_accounts_in_order() {
    let server = start().await;
    let ada = server.user("ada").await;
    let id = ada.id().to_owned();
    assert_eq!(told(&server, &id, 2).await, ["register", "login"]);
    let change = json!({ "password": "another-long-canary", "current_password": PASSWORD }).to_string();
    let changed = ada.send(Method::PATCH, "/api/auth/me", Some(change)).await;
    assert!(changed.status.is_success(), "{changed}");
    let ada = server.anon().login("ada@example.org", "another-long-canary").await;
    ada.post("/api/auth/logout", json!({ "refresh_token": ada.session()["refresh_token"] })).await;
    let admin = server.over_admin_socket();
    let gone = admin.send(Method::DELETE, &format!("/api/admin/users/{id}"), None).await;
    assert!(gone.status.is_success(), "{gone}");
    let all = told(&server, &id, 6).await;
    assert_eq!(all[2..], ["password_change", "login", "logout", "delete"], "{all:?}");
    let jobs = server.cli().run(&["--json", "jobs", "list", "--limit", "100"]).await.expect_ok().json();
    let text = jobs.to_string();
    assert!(!text.contains("canary") && !text.contains("argon2"), "{text}");
    // One who fails to sign in begins no session.
    let rows: Vec<&Value> = jobs["jobs"].as_array().unwrap().iter().collect();
    assert!(rows.iter().all(|job| job["state"] == "done"), "{rows:?}");
    server.stop().await;
}
