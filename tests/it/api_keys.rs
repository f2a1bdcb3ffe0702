//! Keys of programs: they do what their scopes say and nothing else, are shown once, and end when they are
//! told to.

use std::fs;

use alyx_tests::wait::wait_for;
use alyx_tests::{Answer, Project, TestServer};
use reqwest::Method;
use serde_json::{Value, json};

const SCHEMA: &str = "version: 1
collections:
  posts:
    fields:
      id: { type: id, primary: true }
      title: { type: string }
      pin: { type: string, nullable: true, hidden: true }
      note: { type: string, nullable: true, internal: true }
      tag: { type: string, nullable: true, rules: { read: \"false\", write: \"false\" } }
  open:
    fields:
      id: { type: id, primary: true }
    rules: { read: \"true\" }
  scoped:
    fields:
      id: { type: id, primary: true }
    rules: { read: \"'functions:invoke:f' in auth.scopes\" }
functions:
  f: { runtime: node }
  g: { runtime: node }
";

const CODE: &str = "export default async (ctx) => ({
  id: ctx.auth.id,
  posts: (await ctx.db.list('posts', {}).catch((error) => ({ docs: error.code }))).docs,
});
";

fn project() -> Project {
    Project::schema(SCHEMA).with("functions/f/index.js", CODE).with("functions/g/index.js", CODE)
}

struct Key<'a>(&'a TestServer, String);

impl Key<'_> {
    async fn ask(&self, method: Method, path: &str, body: Value) -> Answer {
        let bearer = format!("Bearer {}", self.1);
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.0.anon().raw(method, path, &headers, body).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, Value::Null).await
    }
}

/// Makes a key by the command; its whole text.
async fn made<'a>(server: &'a TestServer, scopes: &[&str]) -> Key<'a> {
    let mut arguments = vec!["api-keys", "create", "test"];
    scopes.iter().for_each(|scope| arguments.extend(["--scope", scope]));
    if scopes.contains(&"admin:deploy") {
        arguments.extend(["--expires", "1d"]);
    }
    let said = server.cli().run(&arguments).await.expect_ok();
    let key = said.out.trim().to_owned();
    assert!(key.starts_with("alyx_") && !key.contains('\n'), "{said:?}");
    Key(server, key)
}

fn id_of<'k>(key: &'k Key<'_>) -> &'k str {
    key.1.split('_').nth(1).unwrap()
}

const POSTS: &str = "/api/collections/posts";

#[tokio::test]
async fn a_key_is_free_of_rules_within_its_scopes_and_nobody_outside() {
    let server = TestServer::start(project()).await;
    let over = server.over_admin_socket();
    let post = json!({ "id": "a", "title": "one", "note": "n", "tag": "t" });
    over.create("posts", post).await.expect_created();
    over.create("open", json!({ "id": "o" })).await.expect_created();
    over.create("scoped", json!({ "id": "s" })).await.expect_created();

    let reads = made(&server, &["collections:posts:read"]).await;
    let listed = reads.get(POSTS).await.expect_ok();
    // Fields as a client sees them, without the rules of fields.
    assert_eq!(listed["docs"], json!([{ "id": "a", "title": "one", "tag": "t" }]));
    assert_eq!(reads.get(&format!("{POSTS}/a")).await.expect_ok()["title"], "one");
    assert_eq!(
        reads.get("/api/changes?since=start&collections=posts").await.expect_ok()["changes"][0]["id"],
        "a"
    );
    let b = json!({ "id": "b", "title": "two" });
    reads.ask(Method::POST, POSTS, b.clone()).await.expect_error(403, "forbidden");
    reads
        .ask(Method::PATCH, &format!("{POSTS}/a"), json!({ "title": "x" }))
        .await
        .expect_error(404, "document_not_found");
    reads
        .ask(Method::DELETE, &format!("{POSTS}/a"), Value::Null)
        .await
        .expect_error(404, "document_not_found");
    // What is everybody's is a key's too; what is only for people is not.
    assert_eq!(reads.get("/api/collections/open").await.expect_ok()["docs"], json!([{ "id": "o" }]));
    assert_eq!(reads.get("/api/collections/scoped").await.expect_ok()["docs"], json!([]));
    reads.get("/api/auth/me").await.expect_error(403, "forbidden");
    reads.get("/api/admin/users").await.expect_error(403, "forbidden");

    let writes = made(&server, &["collections:*:write"]).await;
    writes.ask(Method::POST, POSTS, b).await.expect_created();
    let changed =
        writes.ask(Method::PATCH, &format!("{POSTS}/b"), json!({ "title": "three", "tag": "u" })).await;
    changed.expect_ok();
    writes
        .ask(Method::PATCH, &format!("{POSTS}/b"), json!({ "note": "x" }))
        .await
        .expect_error(422, "validation_failed");
    writes.get(POSTS).await.expect_error(403, "forbidden");
    assert_eq!(writes.ask(Method::DELETE, &format!("{POSTS}/b"), Value::Null).await.status, 204);
    let seen = over.get_path("/api/changes?since=start&collections=posts").await.expect_ok();
    assert_eq!(seen["changes"][1]["identity"], format!("key:{}", id_of(&writes)));
    // Accounts are not among `*`, and a key makes nobody an administrator.
    let ada = server.user("ada").await;
    let account = format!("/api/collections/users/{}", ada.id());
    writes
        .ask(Method::PATCH, &account, json!({ "role": "admin" }))
        .await
        .expect_error(404, "document_not_found");
    let users = made(&server, &["collections:users:write"]).await;
    let raised = users.ask(Method::PATCH, &account, json!({ "role": "admin" })).await;
    assert!(!raised.status.is_success(), "{raised}");
    server.stop().await;
}

#[tokio::test]
async fn scopes_of_functions_and_administration_open_what_they_name() {
    let server = TestServer::start(project()).await;
    server.over_admin_socket().create("scoped", json!({ "id": "s" })).await.expect_created();
    let invokes = made(&server, &["functions:invoke:f"]).await;
    let answer = invokes.ask(Method::POST, "/api/functions/f", json!({})).await.expect_ok();
    assert_eq!(answer, json!({ "id": null, "posts": "forbidden" }));
    invokes.ask(Method::POST, "/api/functions/g", json!({})).await.expect_error(403, "function_denied");
    assert_eq!(invokes.get("/api/collections/scoped").await.expect_ok()["docs"], json!([{ "id": "s" }]));
    let both = made(&server, &["functions:invoke:*", "collections:posts:read"]).await;
    let answer = both.ask(Method::POST, "/api/functions/g", json!({})).await.expect_ok();
    assert_eq!(answer["posts"], json!([]));

    let audit = made(&server, &["admin:audit"]).await;
    let rows = audit.get("/api/admin/audit").await.expect_ok();
    assert!(rows.to_string().contains("api_key.create"), "{rows}");
    audit.get("/api/admin/users").await.expect_error(403, "forbidden");
    audit.get(POSTS).await.expect_error(403, "forbidden");
    let tried = audit.get("/api/admin/audit?action=api_key.refuse").await.expect_ok();
    let row = &tried["entries"][0];
    assert_eq!((&row["target"], &row["outcome"]), (&json!("/api/admin/users"), &json!("denied")), "{tried}");
    assert_eq!(row["identity"], format!("key:{}", id_of(&audit)));
    let all = made(&server, &["admin:*"]).await;
    all.get("/api/admin/users").await.expect_ok();
    // Nothing opens the keys themselves, and the routes of administration are no rules of documents.
    all.get("/api/admin/api-keys").await.expect_error(403, "forbidden");
    let more = json!({ "name": "more", "scopes": ["admin:*"] });
    all.ask(Method::POST, "/api/admin/api-keys", more).await.expect_error(403, "forbidden");
    all.get(POSTS).await.expect_error(403, "forbidden");

    let deploy = made(&server, &["admin:deploy"]).await;
    deploy.get("/api/admin/migrations").await.expect_ok();
    server.project.write("schema.yaml", &format!("{SCHEMA}  h: {{ runtime: node }}\n"));
    deploy.ask(Method::POST, "/api/admin/migrations/apply", json!({ "confirm": true })).await.expect_ok();
    for path in ["users", "audit", "secrets", "backups", "api-keys", "jobs", "mail", "signing-keys"] {
        deploy.get(&format!("/api/admin/{path}")).await.expect_error(403, "forbidden");
    }
    server.stop().await;
}

#[tokio::test]
async fn m09_a_key_that_is_wrong_rotated_expired_or_ended_opens_nothing() {
    let server = TestServer::start(project()).await;
    let key = made(&server, &["collections:posts:read"]).await;
    let check = async |text: &str, good: bool| {
        let answer = Key(&server, text.to_owned()).get(POSTS).await;
        match good {
            true => drop(answer.expect_ok()),
            false => drop(answer.expect_error(401, "invalid_token")),
        }
    };
    check(&key.1, true).await;
    let other = made(&server, &["collections:posts:read"]).await;
    let (id, secret) = (id_of(&key), key.1.rsplit('_').next().unwrap());
    let last = if secret.ends_with('0') { "1" } else { "0" };
    for wrong in [
        format!("alyx_{id}_{}{last}", &secret[..63]),
        format!("alyx_{}_{secret}", id_of(&other)),
        format!("alyx_{id}_{secret}0"),
        format!("alyx_{id}_{}", secret.to_uppercase()),
        format!("alyx_{id}"),
        format!("{id}_{secret}"),
        "alyx_".to_owned(),
    ] {
        check(&wrong, false).await;
    }
    // A key is no cookie and no refresh token.
    let cookie = format!("alyx_access={}; __Host-alyx_access={}", key.1, key.1);
    let by_cookie = server.anon().raw(Method::GET, POSTS, &[("cookie", &cookie)], Vec::new()).await;
    assert_eq!(by_cookie.status, 401, "{by_cookie}");

    let rotated = server.cli().run(&["api-keys", "rotate", id]).await.expect_ok().out.trim().to_owned();
    check(&key.1, false).await;
    check(&rotated, true).await;
    let again = server.cli().run(&["api-keys", "rotate", id, "--overlap", "3600"]).await.expect_ok();
    check(&rotated, true).await;
    check(again.out.trim(), true).await;
    let again = again.out.trim().to_owned();
    let third = server.cli().run(&["api-keys", "rotate", id]).await.expect_ok().out.trim().to_owned();
    for (text, good) in [(&rotated, false), (&again, false), (&third, true)] {
        check(text, good).await;
    }
    let listed = wait_for("the use to be noted", std::time::Duration::from_secs(30), async || {
        let listed = server.cli().run(&["--json", "api-keys", "list"]).await.expect_ok().json();
        let row = listed["api_keys"].as_array().unwrap().iter().find(|row| row["id"] == id).unwrap().clone();
        (!row["last_used_at"].is_null()).then_some(row)
    })
    .await;
    assert_eq!((&listed["name"], &listed["scopes"]), (&json!("test"), &json!(["collections:posts:read"])));

    let admin = server.admin().await;
    let soon = (jiff::Timestamp::now() + std::time::Duration::from_secs(2)).to_string();
    let body = json!({ "name": "short", "scopes": ["collections:posts:read"], "expires_at": soon });
    let made = admin.send(Method::POST, "/api/admin/api-keys", Some(body.to_string())).await.json();
    let short = made["key"].as_str().unwrap().to_owned();
    wait_for("the key to expire", std::time::Duration::from_secs(30), async || {
        (Key(&server, short.clone()).get(POSTS).await.status == 401).then_some(())
    })
    .await;

    server.cli().run(&["api-keys", "revoke", id]).await.expect_ok();
    check(&third, false).await;
    server.cli().run(&["api-keys", "revoke", id]).await.expect_code(1);
    let (third, other) = (third, other.1.clone());
    let server = server.restart().await;
    Key(&server, third.clone()).get(POSTS).await.expect_error(401, "invalid_token");
    Key(&server, other.clone()).get(POSTS).await.expect_ok();
    // Nothing kept or said holds a secret; the id is found in the same places.
    let audit = server.cli().run(&["audit", "export"]).await.expect_ok().out;
    let text = format!("{audit}{}", server.output());
    let project = server.stop().await;
    let mut kept = text.into_bytes();
    for name in ["data.db", "data.db-wal"] {
        kept.extend(fs::read(project.data().join(name)).unwrap_or_default());
    }
    let holds = |wanted: &str| kept.windows(wanted.len()).any(|part| part == wanted.as_bytes());
    assert!(holds(other.split('_').nth(1).unwrap()));
    for key in [third, other, rotated, short] {
        assert!(!holds(key.rsplit('_').next().unwrap()));
    }
}

#[tokio::test]
async fn keys_that_make_no_sense_are_not_made() {
    let server = TestServer::start(project()).await;
    let admin = server.admin().await;
    let make =
        async |body: Value| admin.send(Method::POST, "/api/admin/api-keys", Some(body.to_string())).await;
    let far = "2999-01-01T00:00:00Z";
    for body in [
        json!({ "name": "", "scopes": ["admin:*"] }),
        json!({ "name": "a\nb", "scopes": ["admin:*"] }),
        json!({ "name": "x".repeat(101), "scopes": ["admin:*"] }),
        json!({ "name": "a", "scopes": [] }),
        json!({ "name": "a", "scopes": ["everything"] }),
        json!({ "name": "a", "scopes": ["admin:api-keys"] }),
        json!({ "name": "a", "scopes": vec!["admin:*"; 51] }),
        json!({ "name": "a", "scopes": ["admin:*"], "expires_at": "tomorrow" }),
        json!({ "name": "a", "scopes": ["admin:*"], "expires_at": "2001-01-01T00:00:00Z" }),
        json!({ "name": "a", "scopes": ["admin:deploy"] }),
        json!({ "name": "a", "scopes": ["admin:deploy"], "expires_at": far }),
        json!({ "name": "a", "scopes": ["admin:deploy", "admin:users"], "expires_at": far }),
        json!({ "name": "a", "scopes": ["admin:*"], "more": 1 }),
    ] {
        make(body).await.expect_error(422, "validation_failed");
    }
    let body = Some(json!({ "name": "a", "scopes": ["admin:*"] }).to_string());
    let ada = server.user("ada").await;
    ada.send(Method::POST, "/api/admin/api-keys", body).await.expect_error(403, "forbidden");
    let key = make(json!({ "name": "a", "scopes": ["admin:*"] })).await.json();
    let path = format!("/api/admin/api-keys/{}/rotate", key["id"].as_str().unwrap());
    let long = Some(json!({ "overlap_seconds": 604_801 }).to_string());
    admin.send(Method::POST, &path, long).await.expect_error(422, "validation_failed");
    let shown =
        admin.get_path(&format!("/api/admin/api-keys/{}", key["id"].as_str().unwrap())).await.expect_ok();
    assert!(shown["key"].is_null() && !shown.to_string().contains("hash"), "{shown}");
    admin.get_path("/api/admin/api-keys/none").await.expect_error(404, "api_key_not_found");
    server.stop().await;
}
