//! `ctx.db` offers what HTTP offers, in every runtime, and transactions beside.

use std::time::Duration;

use alyx_tests::{Answer, Client, Project, TestServer, wait};
use futures_util::future::join_all;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::Method;
use serde_json::{Value, json};

/// Functions, and the collection that each works in.
const RUNTIMES: [(&str, &str); 4] = [
    ("ctx-node", "ctx_node"),
    ("ctx-python", "ctx_python"),
    ("ctx-async", "ctx_async"),
    ("ctx-go", "ctx_go"),
];

/// A server whose transactions may last so long.
async fn server(transaction_timeout: &str) -> TestServer {
    let config = format!("functions: {{ transaction_timeout: {transaction_timeout} }}\n");
    TestServer::start(Project::fixture("ctx").with("alyx.yaml", &config)).await
}

async fn run(who: &Client, function: &str, case: &str, collection: &str) -> Answer {
    who.invoke(function, json!({ "do": case, "in": collection })).await
}

async fn exists(who: &Client, collection: &str, id: &str) -> bool {
    who.get(collection, id).await.status == 200
}

struct OverHttp<'a>(&'a Client);

impl OverHttp<'_> {
    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Answer {
        let token = format!("Bearer {}", self.0.token());
        let mut all = vec![("authorization", token.as_str()), ("content-type", "application/json")];
        all.extend_from_slice(headers);
        let path = format!("/api/{path}");
        let body = body.map_or(Vec::new(), |body| body.to_string().into_bytes());
        self.0.raw(method, &path, &all, body).await
    }

    async fn versioned(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Value {
        let answer = self.ask(method, path, headers, body).await;
        let (doc, etag) = (answer.json(), answer.header("etag").expect("a version"));
        json!({ "status": answer.status.as_u16(), "id": doc["id"], "etag": etag, "doc": doc })
    }
}

/// The case `all` of the functions, over HTTP.
async fn all_over_http(who: &Client) -> Value {
    const C: &str = "collections/over_http";
    let http = OverHttp(who);
    let mut out = json!({});
    let first = json!({ "id": "a", "slug": "one", "n": 1, "tags": ["x"] });
    let key = [("idempotency-key", "k")];
    out["create"] = http.versioned(Method::POST, C, &key, Some(first.clone())).await;
    out["again"] = http.versioned(Method::POST, C, &key, Some(first)).await;
    out["reused"] = http.ask(Method::POST, C, &key, Some(json!({ "id": "z" }))).await.json()["code"].clone();
    let again = json!({ "slug": "one", "n": 2 });
    out["upsert"] = http.versioned(Method::POST, &format!("{C}?upsert=slug"), &[], Some(again)).await;
    let two = json!({ "slug": "two", "n": 5 });
    let absent = [("if-none-match", "*")];
    out["replace"] = http.versioned(Method::PUT, &format!("{C}/b"), &absent, Some(two)).await;
    let a = format!("{C}/a");
    let stale = [("if-match", out["create"]["etag"].as_str().unwrap())];
    out["stale"] = http.ask(Method::PATCH, &a, &stale, Some(json!({ "n": 0 }))).await.json()["code"].clone();
    let grown = json!({ "n": { "$inc": 2 }, "tags": { "$push": "y" } });
    let fresh = [("if-match", out["upsert"]["etag"].as_str().unwrap())];
    out["update"] = http.ask(Method::PATCH, &a, &fresh, Some(grown)).await.expect_ok();
    let pull = json!({ "tags": { "$pull": "x" } });
    out["pull"] = http.ask(Method::PATCH, &a, &[], Some(pull)).await.expect_ok();
    let batch = json!({ "operations": [
        { "name": "p", "op": "create", "collection": "over_http", "data": { "id": "p", "slug": "p", "n": 7 } },
        { "op": "create", "collection": "over_http", "data": { "id": "q", "n": 8, "parent": { "$ref": "p.id" } } },
        { "op": "delete", "collection": "over_http", "id": "b" },
    ] });
    out["batch"] = http.ask(Method::POST, "batch", &[], Some(batch)).await.expect_ok();
    let get = async |path: String| http.ask(Method::GET, &path, &[], None).await.expect_ok();
    let over_two = "where=%7B%22n%22:%7B%22$gt%22:2%7D%7D&sort=-n";
    out["list"] = get(format!("{C}?{over_two}&fields=id,n&limit=1&count=true")).await;
    let cursor = out["list"]["next_cursor"].as_str().unwrap();
    out["next"] = get(format!("{C}?{over_two}&fields=id&limit=5&cursor={cursor}")).await;
    out["search"] = get(format!("{C}?search=one&fields=id")).await;
    let q = format!("{C}/q?expand=parent&fields=id");
    out["expand"] = http.versioned(Method::GET, &q, &[], None).await;
    out["aggregate"] = get(format!("{C}/aggregate?filter=n:gt:1&sum=n&max=n&count=true")).await;
    let most = format!("{C}?where=%7B%22n%22:%7B%22$gte%22:7%7D%7D&limit=10");
    let dry = format!("{most}&dry_run=true");
    out["dry"] = http.ask(Method::PATCH, &dry, &[], Some(json!({ "n": 0 }))).await.expect_ok();
    let grown = json!({ "n": { "$inc": 1 } });
    out["bulk"] = http.ask(Method::PATCH, &most, &[], Some(grown)).await.expect_ok();
    let gone = format!("{C}?filter=id:eq:q&limit=5");
    out["gone"] = http.ask(Method::DELETE, &gone, &[], None).await.expect_ok();
    http.ask(Method::DELETE, &format!("{C}/p"), &[("if-match", "*")], None).await.expect_status(204);
    out["none"] = Value::Null;
    out["rest"] = get(format!("{C}?sort=id&page=1")).await;
    out
}

#[tokio::test]
async fn every_runtime_offers_what_http_offers() {
    let server = server("30s").await;
    let ada = server.user("ada").await;
    let mut expected = all_over_http(&ada).await;
    assert_eq!(
        (&expected["reused"], &expected["stale"]),
        (&json!("idempotency_key_reused"), &json!("precondition_failed"))
    );
    // Cursors are compared by what they lead to.
    expected["list"].as_object_mut().unwrap().remove("next_cursor");
    for (function, collection) in RUNTIMES {
        let mut answer = run(&ada, function, "all", collection).await.expect_ok();
        answer["list"].as_object_mut().unwrap().remove("next_cursor");
        for (step, value) in expected.as_object().unwrap() {
            assert_eq!(&answer[step], value, "{function}: {step}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_transaction_is_whole_or_nothing() {
    let server = server("30s").await;
    let ada = server.user("ada").await;
    for (function, c) in RUNTIMES {
        let answer = run(&ada, function, "commit", c).await.expect_ok();
        assert_eq!(answer, json!({ "seen": 2, "outside": null }), "{function}");
        assert_eq!(ada.get(c, "t").await.expect_ok()["n"], 2, "{function}");
        run(&ada, function, "fail", c).await.expect_error(418, "changed_my_mind");
        assert!(!exists(&ada, c, "f").await, "{function}");
        let answer = run(&ada, function, "wrong", c).await.expect_ok();
        let expected = json!({
            "nested": "transaction_open", "second": "transaction_open", "outside": "transaction_open",
            "refused": "unique_violation", "invalid": "validation_failed", "late": "transaction_ended",
        });
        assert_eq!(answer, expected, "{function}");
        assert!(exists(&ada, c, "w").await, "{function}: a refused write leaves the others alone");
        // Rules hold inside: anonymous callers may not create.
        run(&server.anon(), function, "commit", c).await.expect_error(401, "unauthenticated");
    }
    run(&ada, "ctx-go", "panic", "ctx_go").await.expect_error(500, "function_error");
    assert!(!exists(&ada, "ctx_go", "f").await);
    server.stop().await;
}

#[tokio::test]
async fn a_transaction_that_takes_too_long_is_undone() {
    let server = server("300ms").await;
    let ada = server.user("ada").await;
    for (function, c) in RUNTIMES {
        run(&ada, function, "sleep", c).await.expect_error(409, "transaction_ended");
        assert!(!exists(&ada, c, "s").await, "{function}");
        ada.create(c, json!({ "id": "s" })).await.expect_created();
    }
    server.stop().await;
}

#[tokio::test]
async fn transactions_of_one_counter_lose_no_update() {
    let server = server("30s").await;
    let ada = server.user("ada").await;
    ada.create("over_http", json!({ "id": "counter" })).await.expect_created();
    let calls = (0..6).flat_map(|_| RUNTIMES).map(|(function, c)| run(&ada, function, "count", c));
    for answer in join_all(calls).await {
        answer.expect_status(204);
    }
    assert_eq!(ada.get("over_http", "counter").await.expect_ok()["n"], 24);
    server.stop().await;
}

#[tokio::test]
async fn a_worker_killed_within_a_transaction_leaves_nothing() {
    let server = server("1m").await;
    let ada = server.user("ada").await;
    ada.create("over_http", json!({ "id": "counter" })).await.expect_created();
    for function in ["ctx-node", "ctx-python"] {
        let c = function.replace('-', "_");
        let before = server.processes();
        let hanging = run(&ada, function, "hang", &c);
        let killing = async {
            // It is within the transaction once the writer is lent.
            wait::wait_for("the writer to be lent", Duration::from_secs(60), async || {
                let write = ada.patch("over_http", "counter", json!({ "n": { "$inc": 1 } }));
                tokio::time::timeout(Duration::from_secs(2), write).await.is_err().then_some(())
            })
            .await;
            for worker in server.processes().difference(&before) {
                // Another one of the worker's processes may have taken it along.
                kill(Pid::from_raw(worker.pid), Signal::SIGKILL).unwrap_or_default();
            }
        };
        let (answer, ()) = tokio::join!(hanging, killing);
        assert!([502, 503].contains(&answer.status.as_u16()), "{function}: {answer}");
        assert!(!exists(&ada, &c, "h").await, "{function}");
        ada.create(&c, json!({ "id": "h" })).await.expect_created();
    }
    server.stop().await;
}
