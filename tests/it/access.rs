//! Who may do what: rules, tokens, administrators.

use alyx_tests::Client;
use alyx_tests::server::PASSWORD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{lab, post, titles};

#[tokio::test]
async fn m01_lists_and_counts_hold_only_what_the_read_rule_allows() {
    let server = lab().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    post(&ada, "ada's draft", "draft").await;
    post(&ada, "ada's post", "published").await;
    post(&bob, "bob's draft", "draft").await;
    let check = async |who: &Client, expected: &[&str]| {
        let list = who.list("posts", "sort=title&count=true").await.expect_ok();
        assert_eq!(titles(list["docs"].as_array().unwrap()), expected);
        assert_eq!(list["total"], expected.len());
        // A filter narrows what may be seen; it never widens it.
        let drafts = who.list("posts", "filter=status:eq:draft&count=true&sort=title").await.expect_ok();
        let allowed: Vec<&str> = expected.iter().copied().filter(|title| title.contains("draft")).collect();
        assert_eq!(titles(drafts["docs"].as_array().unwrap()), allowed);
        assert_eq!(drafts["total"], allowed.len());
    };
    check(&ada, &["ada's draft", "ada's post"]).await;
    check(&bob, &["ada's post", "bob's draft"]).await;
    check(&server.anon(), &["ada's post"]).await;
    server.stop().await;
}

#[tokio::test]
async fn m02_names_in_a_query_are_fields_or_errors() {
    let server = lab().await;
    let ada = server.user("ada").await;
    post(&ada, "one", "published").await;
    let names =
        ["rowid", "_alyx_rev", "title;DROP TABLE posts", "title\"", "1", "author.nope", "title)--", "TITLE"];
    for name in names {
        let name = name.replace(';', "%3B").replace('"', "%22").replace(' ', "%20");
        for query in [format!("filter={name}:eq:x"), format!("sort={name}"), format!("fields={name}")] {
            let answer = ada.list("posts", &query).await;
            assert_eq!(answer.status.as_u16(), 400, "{answer}");
            assert!(!answer.text().to_lowercase().contains("sqlite"), "{answer}");
        }
    }
    assert_eq!(ada.list("posts", "").await.expect_docs().len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn m03_hidden_and_internal_fields_cannot_be_probed() {
    let server = lab().await;
    let ada = server.user("ada").await;
    let created = post(&ada, "one", "published").await;
    let admin = server.admin().await;
    let secret = json!({ "internal_note": "s3cret-a", "hidden_note": "s3cret-b" });
    admin.patch("posts", created.id(), secret).await.expect_status(200);
    let seen = ada.get("posts", created.id()).await;
    assert!(!seen.text().contains("s3cret"), "{seen}");
    for field in ["internal_note", "hidden_note", "no_such_field"] {
        for query in
            [format!("filter={field}:eq:s3cret-a"), format!("sort={field}"), format!("fields={field}")]
        {
            let problem = ada.list("posts", &query).await.expect_status(400).json();
            let text = problem.to_string().replace(field, "FIELD");
            assert!(text.contains("unknown_field"), "{problem}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn m04_missing_and_failing_rules_deny() {
    let server = lab().await;
    let ada = server.user("ada").await;
    ada.create("closed", json!({ "name": "x" })).await.expect_error(403, "forbidden");
    let list = ada.list("closed", "count=true").await;
    assert!(list.status.as_u16() == 403 || list.json()["total"] == 0, "{list}");
    ada.create("failing", json!({ "n": 0 })).await.expect_error(403, "forbidden");
    ada.create("failing", json!({ "n": 1 })).await.expect_created();
    ada.invoke("denied", json!({})).await.expect_error(403, "function_denied");
    server.stop().await;
}

#[tokio::test]
async fn m04_a_removed_rule_is_not_active_after_a_reload() {
    let server = lab().await;
    let ada = server.user("ada").await;
    ada.create("select", json!({ "order": 1 })).await.expect_created();
    let schema = std::fs::read_to_string(server.project.folder().join("schema.yaml")).unwrap();
    let without = schema.replace(
        r#"rules: { create: "true", read: "true", update: "true", delete: "true" }"#,
        r#"rules: { read: "true" }"#,
    );
    assert_ne!(schema, without);
    server.project.write("schema.yaml", &without);
    alyx_tests::wait::wait_for("the removed rule to deny", std::time::Duration::from_secs(20), async || {
        let answer = ada.create("select", json!({ "order": 2 })).await;
        (answer.status.as_u16() == 403).then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn m05_an_anonymous_caller_is_denied_not_an_error() {
    let server = lab().await;
    let anon = server.anon();
    anon.create("posts", json!({ "title": "x", "author": "nobody" }))
        .await
        .expect_error(401, "unauthenticated");
    anon.invoke("caller", json!({ "op": "auth" })).await.expect_error(401, "unauthenticated");
    assert!(anon.list("posts", "").await.expect_docs().is_empty());
    server.stop().await;
}

#[tokio::test]
async fn m06_ownership_is_neither_given_away_nor_taken() {
    let server = lab().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let mine = post(&ada, "mine", "published").await;
    let given = ada.patch("posts", mine.id(), json!({ "author": bob.id() })).await;
    assert!([403, 404].contains(&given.status.as_u16()), "{given}");
    let taken = bob.patch("posts", mine.id(), json!({ "author": bob.id() })).await;
    assert!([403, 404].contains(&taken.status.as_u16()), "{taken}");
    let forged = bob.create("posts", json!({ "title": "x", "author": ada.id() })).await;
    forged.expect_error(403, "forbidden");
    assert_eq!(ada.get("posts", mine.id()).await.expect_ok()["author"], ada.id());
    server.stop().await;
}

#[tokio::test]
async fn m07_what_may_not_be_read_does_not_exist() {
    let server = lab().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let draft = post(&ada, "draft", "draft").await;
    let absent = "0".repeat(draft.id().len());
    for who in [&bob, &server.anon()] {
        let denied = who.get("posts", draft.id()).await.expect_error(404, "document_not_found");
        let missing = who.get("posts", &absent).await.expect_error(404, "document_not_found");
        assert_eq!(denied.detail.replace(draft.id(), "ID"), missing.detail.replace(&absent, "ID"));
        assert_eq!(denied.hint, missing.hint);
    }
    for id in [draft.id(), &absent] {
        bob.patch("posts", id, json!({ "title": "x" })).await.expect_error(404, "document_not_found");
        bob.delete("posts", id).await.expect_error(404, "document_not_found");
    }
    server.stop().await;
}

#[tokio::test]
async fn m08_secrets_do_not_appear_in_answers_or_logs() {
    let server = lab().await;
    let ada = server.user("ada").await;
    let admin = server.admin().await;
    let session = ada.session().clone();
    let (access, refresh) =
        (session["access_token"].as_str().unwrap(), session["refresh_token"].as_str().unwrap());
    for path in ["/api/auth/me", "/api/admin/users", "/api/admin/status", "/api/collections/users", "/health"]
    {
        let text = admin.get_path(path).await.text();
        for secret in [PASSWORD, access, refresh, "$argon2", "password_hash"] {
            assert!(!text.contains(secret), "{path} tells {secret}: {text}");
        }
    }
    let output = server.output();
    for secret in [PASSWORD, access, refresh, "$argon2"] {
        assert!(!output.contains(secret), "the log tells {secret}");
    }
    server.stop().await;
}

#[tokio::test]
async fn m09_a_refresh_token_is_not_an_access_token() {
    let server = lab().await;
    let ada = server.user("ada").await;
    let refresh = ada.session()["refresh_token"].as_str().unwrap();
    server.anon().with_token(refresh).get_path("/api/auth/me").await.expect_error(401, "invalid_token");
    let body = json!({ "refresh_token": ada.token() });
    server.anon().post("/api/auth/refresh", body).await.expect_error(401, "invalid_refresh_token");
    server.stop().await;
}

#[tokio::test]
async fn m09_the_token_does_not_choose_its_algorithm() {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let server = lab().await;
    let ada = server.user("ada").await;
    let parts: Vec<&str> = ada.token().split('.').collect();
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let decode =
        |part: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
    let mut claims = decode(parts[1]);
    claims["role"] = json!("admin");
    let none = encode(&json!({ "alg": "none", "typ": "JWT" }));
    let header = decode(parts[0]);
    let mut symmetric = header.clone();
    symmetric["alg"] = json!("HS256");
    let key = jsonwebtoken::EncodingKey::from_secret(b"");
    let signed =
        jsonwebtoken::encode(&jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256), &claims, &key);
    let forged = [
        format!("{none}.{}.", encode(&claims)),
        format!("{none}.{}.{}", encode(&claims), parts[2]),
        format!("{}.{}.{}", parts[0], encode(&claims), parts[2]),
        format!("{}.{}.{}", encode(&symmetric), parts[1], parts[2]),
        format!("{}.{}", parts[0], parts[1]),
        signed.unwrap_or_default(),
        "x".repeat(100_000),
    ];
    for token in forged {
        let answer = server.anon().with_token(&token).get_path("/api/auth/me").await;
        assert!([401, 431].contains(&answer.status.as_u16()), "{answer}");
    }
    ada.get_path("/api/auth/me").await.expect_ok();
    server.stop().await;
}

#[tokio::test]
async fn m09_an_ended_session_ends_its_tokens() {
    let server = lab().await;
    let ada = server.user("ada").await;
    let refresh = json!({ "refresh_token": ada.session()["refresh_token"] });
    ada.post("/api/auth/logout", refresh.clone()).await;
    server.anon().post("/api/auth/refresh", refresh).await.expect_error(401, "invalid_refresh_token");
    ada.get_path("/api/auth/me").await.expect_error(401, "invalid_token");
    server.stop().await;
}

#[tokio::test]
async fn a_rotated_refresh_token_gives_a_new_pair() {
    let server = lab().await;
    let ada = server.user("ada").await;
    let old = json!({ "refresh_token": ada.session()["refresh_token"] });
    let next = server.anon().post("/api/auth/refresh", old.clone()).await.expect_ok();
    assert_ne!(next["refresh_token"], old["refresh_token"]);
    let renewed = server.anon().with_token(next["access_token"].as_str().unwrap());
    assert_eq!(renewed.get_path("/api/auth/me").await.expect_ok()["email"], "ada@example.org");
    server.stop().await;
}

#[tokio::test]
async fn m10_administration_needs_an_administrator() {
    let server = lab().await;
    let ada = server.user("ada").await;
    let reads = [
        "/api/admin/users",
        "/api/admin/status",
        "/api/admin/isolation",
        "/api/admin/functions",
        "/api/admin/functions/cold/logs",
        "/api/admin/executions",
        "/api/admin/executions/x",
    ];
    for path in reads {
        for (who, statuses) in [(&ada, [403, 404]), (&server.anon(), [401, 403])] {
            let answer = who.get_path(path).await;
            assert!(statuses.contains(&answer.status.as_u16()), "{answer}");
        }
    }
    let body = json!({ "email": "eve@example.org", "password": PASSWORD, "role": "admin" });
    for who in [&ada, &server.anon()] {
        let answer = who.post("/api/admin/users", body.clone()).await;
        assert!([401, 403, 404].contains(&answer.status.as_u16()), "{answer}");
    }
    // Nor can an account promote itself.
    for promote in [json!({ "role": "admin" }), json!({ "verified": true }), json!({ "disabled": true })] {
        let answer = ada.patch("users", ada.id(), promote).await;
        assert!(answer.status.is_client_error(), "{answer}");
    }
    let register = json!({ "email": "eve@example.org", "password": PASSWORD, "role": "admin" });
    let answer = server.anon().post("/api/auth/register", register).await;
    assert!(answer.status.is_client_error(), "{answer}");
    server.admin().await.get_path("/api/admin/users").await.expect_ok();
    server.stop().await;
}

/// Generated from the description of the API, so a route that is added is among them.
#[tokio::test]
async fn m10_no_route_of_administrators_answers_others() {
    let server = lab().await;
    let ada = server.user("ada").await;
    let openapi = server.anon().get_path("/api/openapi.json").await.expect_ok();
    let mut tried = 0;
    for (path, methods) in openapi["paths"].as_object().expect("paths") {
        if !path.starts_with("/api/admin/") {
            continue;
        }
        let path = path.replace(['{', '}'], "");
        for method in methods.as_object().expect("methods").keys() {
            let Ok(method) = Method::from_bytes(method.to_uppercase().as_bytes()) else { continue };
            if !["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method.as_str()) {
                continue;
            }
            let body = (method != Method::GET).then(|| "{}".to_owned());
            server
                .anon()
                .send(method.clone(), &path, body.clone())
                .await
                .expect_error(401, "unauthenticated");
            ada.send(method, &path, body).await.expect_error(403, "forbidden");
            tried += 1;
        }
    }
    assert!(tried >= 15, "only {tried} routes were tried");
    server.stop().await;
}

#[tokio::test]
async fn m13_login_does_not_tell_which_accounts_exist() {
    let server = lab().await;
    server.user("ada").await;
    let login = async |email: &str| {
        let body = json!({ "email": email, "password": "wrong wrong wrong" });
        server.anon().post("/api/auth/login", body).await.expect_error(401, "invalid_credentials")
    };
    let (known, unknown) = (login("ada@example.org").await, login("nobody@example.org").await);
    assert_eq!((known.detail, known.hint), (unknown.detail, unknown.hint));
    server.stop().await;
}

#[tokio::test]
async fn wrong_methods_name_the_right_ones() {
    let server = lab().await;
    let answer = server.anon().send(Method::PUT, "/api/collections/posts", None).await;
    assert!(answer.header("allow").is_some_and(|allow| allow.contains("POST")), "{answer}");
    answer.expect_error(405, "method_not_allowed");
    server.stop().await;
}
