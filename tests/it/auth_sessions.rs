//! Sessions: how they begin, go on and end, at once and after a restart.

use alyx_tests::server::PASSWORD;
use alyx_tests::{Answer, Client, Project, TestServer};
use reqwest::Method;
use serde_json::{Value, json};

use crate::lab;

/// Works with the access token, then with the refresh token.
async fn is_signed_in(who: &Client) -> bool {
    who.get_path("/api/auth/me").await.status.as_u16() == 200
}

fn refresh_of(session: &Value) -> Value {
    json!({ "refresh_token": session["refresh_token"] })
}

async fn refresh(anon: &Client, session: &Value) -> Answer {
    anon.post("/api/auth/refresh", refresh_of(session)).await
}

/// Two sessions of ada: what they are told, and whether every token of them is refused.
async fn assert_ended(anon: &Client, sessions: &[&Client]) {
    for who in sessions {
        who.get_path("/api/auth/me").await.expect_error(401, "invalid_token");
        refresh(anon, who.session()).await.expect_error(401, "invalid_refresh_token");
    }
}

async fn login(server: &TestServer, name: &str) -> Client {
    server.anon().login(&format!("{name}@example.org"), PASSWORD).await
}

#[tokio::test]
async fn m09_logout_ends_one_session_and_logout_all_every_one_also_after_a_restart() {
    let server = lab().await;
    let first = server.user("ada").await;
    let (second, third) = (login(&server, "ada").await, login(&server, "ada").await);
    // An access token alone does not say which session, and nobody is to believe it did.
    first.post("/api/auth/logout", json!({})).await.expect_error(422, "validation_failed");
    first.get_path("/api/auth/me").await.expect_ok();
    first.post("/api/auth/logout", refresh_of(first.session())).await.expect_status(204);
    assert_ended(&server.anon(), &[&first]).await;
    assert!(is_signed_in(&second).await && is_signed_in(&third).await);
    second.send(Method::POST, "/api/auth/logout-all", None).await.expect_status(204);
    assert_ended(&server.anon(), &[&second, &third]).await;
    let fourth = login(&server, "ada").await;
    let server = server.restart().await;
    let again = |who: &Client| server.anon().with_session(who.session());
    assert_ended(&server.anon(), &[&again(&first), &again(&second), &again(&third)]).await;
    assert!(is_signed_in(&again(&fourth)).await, "a restart signs nobody out");
    server.stop().await;
}

#[tokio::test]
async fn m09_a_new_password_disabling_and_deleting_end_every_token_also_after_a_restart() {
    let server = lab().await;
    let (ada, bob, eve) = (server.user("ada").await, server.user("bob").await, server.user("eve").await);
    let second = login(&server, "ada").await;
    let admin = server.admin().await;
    let new = "another long password";
    let change = json!({ "password": new, "current_password": PASSWORD });
    ada.send(Method::PATCH, "/api/auth/me", Some(change.to_string())).await.expect_ok();
    assert_ended(&server.anon(), &[&ada, &second]).await;
    let body = json!({ "email": "ada@example.org", "password": PASSWORD });
    server.anon().post("/api/auth/login", body).await.expect_error(401, "invalid_credentials");
    server.anon().login("ada@example.org", new).await;

    let user = |who: &Client| format!("/api/admin/users/{}", who.id());
    let disable = json!({ "disabled": true }).to_string();
    admin.send(Method::PATCH, &user(&bob), Some(disable)).await.expect_ok();
    admin.send(Method::DELETE, &user(&eve), None).await.expect_status(204);
    assert_ended(&server.anon(), &[&bob, &eve]).await;
    let server = server.restart().await;
    let again = |who: &Client| server.anon().with_session(who.session());
    assert_ended(&server.anon(), &[&again(&ada), &again(&second), &again(&bob), &again(&eve)]).await;

    // Enabling does not bring sessions back, but lets sign in.
    let enable = json!({ "disabled": false }).to_string();
    let admin = server.admin().await;
    admin.send(Method::PATCH, &user(&bob), Some(enable)).await.expect_ok();
    assert_ended(&server.anon(), &[&again(&bob)]).await;
    login(&server, "bob").await;
    server.stop().await;
}

#[tokio::test]
async fn reuse_of_a_rotated_refresh_token_ends_the_family_and_is_recorded() {
    let server = lab().await;
    let ada = server.user("ada").await;
    let other = login(&server, "ada").await;
    let first = ada.session().clone();
    let second = refresh(&server.anon(), &first).await.expect_ok();
    let third = refresh(&server.anon(), &second).await.expect_ok();
    // Past the grace for two refreshes at once.
    tokio::time::sleep(std::time::Duration::from_secs(11)).await;
    refresh(&server.anon(), &first).await.expect_error(401, "invalid_refresh_token");
    for session in [&second, &third] {
        refresh(&server.anon(), session).await.expect_error(401, "invalid_refresh_token");
        let token = session["access_token"].as_str().unwrap();
        server.anon().with_token(token).get_path("/api/auth/me").await.expect_error(401, "invalid_token");
    }
    assert!(is_signed_in(&other).await, "another session of the same user is none of it");
    let id = ada.id().to_owned();
    let project = server.stop().await;
    let reuse: Vec<Value> =
        crate::audit_rows(&project).into_iter().filter(|row| row["action"] == "session.reuse").collect();
    assert_eq!(reuse.len(), 1, "{reuse:?}");
    assert_eq!(
        (&reuse[0]["outcome"], &reuse[0]["identity"]),
        (&json!("denied"), &json!(format!("user:{id}")))
    );
}

#[tokio::test]
async fn two_parallel_refreshes_of_one_client_both_survive() {
    let server = lab().await;
    let ada = server.user("ada").await;
    let anon = server.anon();
    let (one, two) = tokio::join!(refresh(&anon, ada.session()), refresh(&anon, ada.session()));
    for session in [one.expect_ok(), two.expect_ok()] {
        let token = session["access_token"].as_str().unwrap();
        server.anon().with_token(token).get_path("/api/auth/me").await.expect_ok();
        refresh(&anon, &session).await.expect_ok();
    }
    server.stop().await;
}

#[tokio::test]
async fn owners_see_and_end_their_sessions() {
    let server = lab().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let phone = login(&server, "ada").await;
    let sessions = ada.get_path("/api/auth/sessions").await.expect_ok();
    let sessions = sessions["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 2);
    let current = |wanted: bool| sessions.iter().find(|session| session["current"] == wanted).unwrap();
    assert_eq!(
        (&current(true)["method"], &current(false)["method"]),
        (&json!("registration"), &json!("password"))
    );
    assert_eq!(current(true)["address"], "127.0.0.1");
    let path = format!("/api/auth/sessions/{}", current(false)["id"].as_str().unwrap());
    bob.send(Method::DELETE, &path, None).await.expect_error(404, "session_not_found");
    assert!(is_signed_in(&phone).await);
    ada.send(Method::DELETE, &path, None).await.expect_status(204);
    ada.send(Method::DELETE, &path, None).await.expect_error(404, "session_not_found");
    assert_ended(&server.anon(), &[&phone]).await;
    assert!(is_signed_in(&ada).await);
    server.anon().get_path("/api/auth/sessions").await.expect_error(401, "unauthenticated");
    server.stop().await;
}

#[tokio::test]
async fn a_password_and_an_account_need_the_current_password() {
    let server = lab().await;
    let ada = server.user("ada").await;
    let patch = async |body: Value| ada.send(Method::PATCH, "/api/auth/me", Some(body.to_string())).await;
    let missing = patch(json!({ "password": "another long password" })).await;
    assert_eq!(missing.expect_error(422, "validation_failed").errors[0].field, "current_password");
    let wrong = json!({ "password": "another long password", "current_password": "wrong wrong" });
    patch(wrong.clone()).await.expect_error(403, "confirmation_failed");
    let weak = patch(json!({ "password": "password1", "current_password": PASSWORD })).await;
    assert_eq!(weak.expect_error(422, "validation_failed").errors[0].code, "too_common");
    let personal = json!({ "email": "lovelace@example.org", "password": "lovelace 1815" });
    let personal = server.anon().post("/api/auth/register", personal).await;
    assert_eq!(personal.expect_error(422, "validation_failed").errors[0].code, "too_personal");
    for field in ["role", "email", "verified", "disabled", "id"] {
        patch(json!({ field: "admin" })).await.expect_error(422, "validation_failed");
    }
    let delete = async |body: Value| ada.send(Method::DELETE, "/api/auth/me", Some(body.to_string())).await;
    delete(json!({})).await.expect_error(422, "validation_failed");
    delete(json!({ "current_password": "wrong wrong" })).await.expect_error(403, "confirmation_failed");
    assert!(is_signed_in(&ada).await);
    delete(json!({ "current_password": PASSWORD })).await.expect_status(204);
    assert_ended(&server.anon(), &[&ada]).await;
    server.user("ada").await;
    server.stop().await;
}

#[tokio::test]
async fn anonymous_accounts_are_claimed_with_what_they_own() {
    let project = Project::fixture("lab").with("alyx.yaml", "auth: { anonymous: allowed }\n");
    let server = TestServer::start(project).await;
    let methods = server.anon().get_path("/api/auth/status").await.expect_ok();
    assert_eq!(methods["methods"], json!(["password", "otp", "anonymous", "passkey"]));
    let session = server.anon().send(Method::POST, "/api/auth/anonymous", None).await;
    let session = session.expect_status(201).json();
    assert_eq!((&session["user"]["email"], &session["user"]["role"]), (&Value::Null, &json!("anonymous")));
    let guest = server.anon().with_session(&session);
    let post = crate::post(&guest, "mine", "published").await;
    let other = server.anon().send(Method::POST, "/api/auth/anonymous", None).await.expect_status(201);
    assert_ne!(other.json()["user"]["id"], session["user"]["id"]);

    server.user("ada").await;
    let claim = async |email: &str| {
        guest.post("/api/auth/upgrade", json!({ "email": email, "password": PASSWORD })).await
    };
    claim("ada@example.org").await.expect_error(409, "unique_violation");
    guest
        .post("/api/auth/upgrade", json!({ "password": PASSWORD }))
        .await
        .expect_error(422, "validation_failed");
    let claimed = claim("guest@example.org").await.expect_ok();
    assert_eq!((&claimed["user"]["id"], &claimed["user"]["role"]), (&session["user"]["id"], &json!("user")));
    assert_ended(&server.anon(), &[&guest]).await;
    let guest = login(&server, "guest").await;
    guest.patch("posts", post.id(), json!({ "title": "still mine" })).await.expect_ok();
    let again = json!({ "email": "x@example.org", "password": PASSWORD });
    guest.post("/api/auth/upgrade", again).await.expect_error(409, "conflict");
    server.stop().await;
}

#[tokio::test]
async fn anonymous_accounts_are_refused_unless_they_are_allowed() {
    let server = lab().await;
    let refused = server.anon().send(Method::POST, "/api/auth/anonymous", None).await;
    refused.expect_error(403, "anonymous_refused");
    server.stop().await;
}

#[tokio::test]
async fn every_action_leaves_an_audit_row_without_secrets() {
    let server = lab().await;
    let ada = server.user("ada").await;
    let wrong = json!({ "email": "ada@example.org", "password": "canary-wrong-password" });
    server.anon().post("/api/auth/login", wrong).await.expect_error(401, "invalid_credentials");
    let unknown = json!({ "email": "canary-typed@example.org", "password": "canary-wrong-password" });
    server.anon().post("/api/auth/login", unknown).await.expect_error(401, "invalid_credentials");
    let change = json!({ "password": "canary-new-password", "current_password": PASSWORD });
    ada.send(Method::PATCH, "/api/auth/me", Some(change.to_string())).await.expect_ok();
    let admin = server.admin().await;
    let user = format!("/api/admin/users/{}", ada.id());
    admin.send(Method::PATCH, &user, Some(json!({ "verified": true }).to_string())).await.expect_ok();
    let password = json!({ "password": "canary-set-password" });
    admin.post(&format!("{user}/password"), password).await.expect_status(204);
    admin.send(Method::DELETE, &format!("{user}/sessions"), None).await.expect_status(204);
    admin.post("/api/admin/signing-keys/rotate", json!({})).await.expect_status(201);
    admin.send(Method::DELETE, &user, None).await.expect_status(204);
    let tokens =
        [ada.token(), admin.token(), ada.session()["refresh_token"].as_str().unwrap()].map(str::to_owned);
    let target = format!("user:{}", ada.id());
    let project = server.stop().await;
    let rows = crate::audit_rows(&project);
    let expected = [
        ("account.register", "ok", "anonymous"),
        // An address is verified by a mail.
        ("verify.request", "ok", ""),
        ("session.begin", "ok", "user:"),
        ("session.begin", "denied", "anonymous"),
        ("session.begin", "denied", "anonymous"),
        ("password.change", "ok", "user:"),
        ("session.begin", "ok", "admin:"),
        ("user.update", "ok", "admin:"),
        ("user.password", "ok", "admin:"),
        ("user.end_sessions", "ok", "admin:"),
        ("key.rotate", "ok", "admin:"),
        ("user.delete", "ok", "admin:"),
    ];
    // Before them, `alyx dev` made its administrator.
    let rows: Vec<&Value> = rows.iter().skip_while(|row| row["action"] != "account.register").collect();
    assert_eq!(rows.len(), expected.len(), "{rows:#?}");
    for (row, (action, outcome, identity)) in rows.iter().zip(expected) {
        assert_eq!((&row["action"], &row["outcome"]), (&json!(action), &json!(outcome)), "{row}");
        assert!(row["identity"].as_str().unwrap().starts_with(identity), "{row}");
        assert_eq!(row["address"], "127.0.0.1", "{row}");
        assert!(!row["request_id"].as_str().unwrap().is_empty(), "{row}");
        if action.starts_with("user.") {
            assert_eq!(row["target"], target.as_str(), "{row}");
        }
    }
    let text = serde_json::to_string(&rows).unwrap();
    for secret in tokens.iter().map(String::as_str).chain([PASSWORD, "canary", "$argon2"]) {
        assert!(!text.contains(secret), "the audit log tells {secret}");
    }
}
