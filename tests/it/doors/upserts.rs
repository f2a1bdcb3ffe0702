//! An upsert at a document that the caller may not see: it answers as if there were none, as long as the
//! caller's own creation would be refused.

use alyx_tests::Client;
use reqwest::Method;
use serde_json::{Value, json};

use super::{ask, start};

/// The same upsert through every door.
fn doors(slug: &str, body: &Value) -> Vec<(Method, String, Option<Value>)> {
    let operation = json!({ "op": "upsert", "collection": "vaults", "field": "slug", "data": body });
    let operations = json!([operation]);
    let caller = "/api/functions/caller".to_owned();
    let batch = json!({ "op": "batch", "operations": operations });
    let transaction = json!({ "op": "transaction", "operations": operations });
    let body = Some({
        let mut body = body.clone();
        body["slug"] = json!(slug);
        body
    });
    vec![
        (Method::POST, "/api/collections/vaults?upsert=slug".to_owned(), body),
        (Method::POST, "/api/batch".to_owned(), Some(json!({ "operations": operations }))),
        (Method::POST, caller.clone(), Some(operation)),
        (Method::POST, caller.clone(), Some(batch)),
        (Method::POST, caller, Some(transaction)),
    ]
}

async fn told(who: &Client, slug: &str, body: &Value) -> Vec<String> {
    let mut body = body.clone();
    body["slug"] = json!(slug);
    let mut answers = Vec::new();
    for door in doors(slug, &body) {
        answers.push(ask(who, door, slug).await);
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn m07_a_denied_upsert_tells_nothing_of_a_hidden_document() {
    let server = start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let hidden = json!({ "owner": ada.id(), "slug": "here" });
    let hidden = ada.create("vaults", hidden).await.expect_created();
    for (who, body) in [
        // The rule denies: somebody else's, too much, nobody's.
        (&bob, json!({ "owner": ada.id() })),
        (&bob, json!({ "owner": bob.id(), "n": 7 })),
        (&server.anon(), json!({ "owner": bob.id() })),
        // No creation has this form, whatever is there.
        (&bob, json!({ "owner": bob.id(), "n": { "$inc": 1 } })),
        (&bob, json!({ "owner": bob.id(), "n": "x" })),
        (&bob, json!({ "owner": bob.id(), "unknown": 1 })),
        (&bob, json!({})),
    ] {
        let (there, absent) = (told(who, "here", &body).await, told(who, "gone", &body).await);
        assert_eq!(there, absent, "{body}");
        assert!(there.iter().all(|answer| !answer.contains("unique_violation")), "{there:?}");
    }
    // Whose creation would be allowed meets what is in the way, as any creation does.
    let own = json!({ "owner": bob.id(), "slug": "here" });
    bob.create("vaults", own.clone()).await.expect_error(409, "unique_violation");
    bob.post("/api/collections/vaults?upsert=slug", own).await.expect_error(409, "unique_violation");
    assert_eq!(ada.get("vaults", hidden.id()).await.expect_ok(), hidden.0, "nothing was changed");
    server.stop().await;
}
