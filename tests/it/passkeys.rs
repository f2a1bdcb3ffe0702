//! Passkeys: as the first factor and as the second, what they are bound to, and what is refused.

mod limits;

use std::process::Stdio;
use std::time::Duration;

use alyx_tests::authenticator::Authenticator;
use alyx_tests::client::Answer;
use alyx_tests::mails::wait_in_folder;
use alyx_tests::server::PASSWORD;
use alyx_tests::{Client, Project, TestServer, peers, tree};
use reqwest::Method;
use serde_json::{Value, json};

use crate::docs::blocks;

/// A loaded machine takes its time to start a browser.
const BROWSER_PATIENCE: Duration = Duration::from_secs(300);

async fn start() -> TestServer {
    TestServer::start(Project::fixture("lab")).await
}

async fn begin(client: &Client, proof: Value) -> Value {
    client.post("/api/auth/passkey/register/begin", proof).await.expect_ok()
}

async fn finish(client: &Client, asked: &Value, credential: &Value) -> Answer {
    let body = json!({ "passkey_token": asked["passkey_token"], "credential": credential, "name": "Phone" });
    client.post("/api/auth/passkey/register/finish", body).await
}

/// Ada with a passkey, and the answer to its registration.
async fn with_passkey(server: &TestServer) -> (Client, Authenticator, Value) {
    let ada = server.user("ada").await;
    let mut phone = Authenticator::new(server.url());
    let asked = begin(&ada, json!({ "current_password": PASSWORD })).await;
    let registered = finish(&ada, &asked, &phone.create(&asked)).await.expect_status(201).json();
    (ada, phone, registered)
}

async fn ask(client: &Client, body: Value) -> Value {
    client.post("/api/auth/passkey/login/begin", body).await.expect_ok()
}

async fn sign_in(server: &TestServer, passkey: &mut Authenticator) -> Answer {
    let asked = ask(&server.anon(), json!({})).await;
    server.anon().post("/api/auth/passkey/login/finish", passkey.answer(&asked)).await
}

/// Signs in with the password and gives the question for the second factor.
async fn first_factor(server: &TestServer) -> Value {
    let body = json!({ "email": "ada@example.org", "password": PASSWORD });
    let answer = server.anon().post("/api/auth/login", body).await.expect_ok();
    assert_eq!(answer["mfa_required"], true, "{answer}");
    answer
}

async fn second_factor(server: &TestServer, question: &Value, passkey: Value) -> Answer {
    let body = json!({ "mfa_token": question["mfa_token"], "passkey": passkey });
    server.anon().post("/api/auth/mfa/challenge", body).await
}

#[tokio::test]
async fn a_passkey_signs_in_by_itself_with_tokens_and_with_cookies() {
    let server = start().await;
    let (ada, mut phone, registered) = with_passkey(&server).await;
    assert_eq!(registered["passkey"]["name"], "Phone");
    assert_eq!(registered["recovery_codes"].as_array().map(Vec::len), Some(10));
    let signed_in = sign_in(&server, &mut phone).await.expect_ok();
    let session = server.anon().with_session(&signed_in);
    assert_eq!(session.get_path("/api/auth/me").await.expect_ok()["id"], json!(ada.id()));
    let sessions = session.get_path("/api/auth/sessions").await.expect_ok();
    let mine = sessions["sessions"].as_array().unwrap().iter().find(|session| session["current"] == true);
    assert_eq!(mine.unwrap()["method"], "passkey");

    let asked = ask(&server.anon(), json!({})).await;
    let headers = [("content-type", "application/json"), ("x-alyx-session", "cookie")];
    let body = phone.answer(&asked).to_string().into_bytes();
    let answer = server.anon().raw(Method::POST, "/api/auth/passkey/login/finish", &headers, body).await;
    let cookies = answer.headers.get_all("set-cookie").iter().count();
    let answer = answer.expect_ok();
    assert!(cookies >= 2 && answer["token_type"] == "Cookie" && answer.get("access_token").is_none());
    let status = ada.get_path("/api/auth/mfa").await.expect_ok();
    assert_eq!(status, json!({ "totp": false, "passkeys": 1, "recovery_codes_left": 10 }));
    let offered = server.anon().get_path("/api/auth/status").await.expect_ok();
    assert!(offered["methods"].as_array().unwrap().contains(&json!("passkey")), "{offered}");
    server.stop().await;
}

#[tokio::test]
async fn a_passkey_is_the_second_factor_after_the_password() {
    let server = start().await;
    let (ada, mut phone, registered) = with_passkey(&server).await;
    let question = first_factor(&server).await;
    assert_eq!(question["methods"], json!(["passkey", "recovery_code"]));
    let asked = ask(&server.anon(), json!({ "mfa_token": question["mfa_token"] })).await;
    assert_eq!(asked["public_key"]["allowCredentials"].as_array().map(Vec::len), Some(1));
    let signed_in = second_factor(&server, &question, phone.answer(&asked)).await.expect_ok();
    server.anon().with_session(&signed_in).get_path("/api/auth/me").await.expect_ok();

    // A recovery code stands in for it; a passkey of the first kind of question does not.
    let question = first_factor(&server).await;
    let other = ask(&server.anon(), json!({})).await;
    let refused = second_factor(&server, &question, phone.answer(&other)).await;
    refused.expect_error(401, "invalid_passkey");
    let body =
        json!({ "mfa_token": question["mfa_token"], "recovery_code": registered["recovery_codes"][0] });
    server.anon().post("/api/auth/mfa/challenge", body).await.expect_ok();
    let unknown = json!({ "mfa_token": "nothing" });
    server.anon().post("/api/auth/passkey/login/begin", unknown).await.expect_error(401, "invalid_code");

    // With the last second factor its recovery codes go.
    let asked = ada.post("/api/auth/passkey/prove/begin", json!({})).await.expect_ok();
    let path = format!("/api/auth/passkeys/{}", registered["passkey"]["id"].as_str().unwrap());
    let body = json!({ "passkey": phone.answer(&asked) }).to_string();
    ada.send(Method::DELETE, &path, Some(body)).await.expect_status(204);
    server.anon().login("ada@example.org", PASSWORD).await;
    let status = ada.get_path("/api/auth/mfa").await.expect_ok();
    assert_eq!(status, json!({ "totp": false, "passkeys": 0, "recovery_codes_left": 0 }));
    sign_in(&server, &mut phone).await.expect_error(401, "invalid_passkey");
    let folder = server.project.data().join("mail");
    wait_in_folder(&folder, "ada@example.org", "passkey was added").await;
    wait_in_folder(&folder, "ada@example.org", "was deleted").await;
    server.stop().await;
}

#[tokio::test]
async fn an_answer_is_good_once() {
    let server = start().await;
    let ada = server.user("ada").await;
    let mut phone = Authenticator::new(server.url());
    let asked = begin(&ada, json!({ "current_password": PASSWORD })).await;
    let credential = phone.create(&asked);
    finish(&ada, &asked, &credential).await.expect_status(201);
    finish(&ada, &asked, &credential).await.expect_error(401, "invalid_passkey");
    let asked = ask(&server.anon(), json!({})).await;
    let answer = phone.answer(&asked);
    let again = async || server.anon().post("/api/auth/passkey/login/finish", answer.clone()).await;
    again().await.expect_ok();
    again().await.expect_error(401, "invalid_passkey");
    // Nor is a challenge that was answered wrongly.
    let asked = ask(&server.anon(), json!({})).await;
    phone.flags = 0b001;
    let wrong = phone.answer(&asked);
    server.anon().post("/api/auth/passkey/login/finish", wrong).await.expect_error(401, "invalid_passkey");
    phone.flags = 0b101;
    let right = phone.answer(&asked);
    server.anon().post("/api/auth/passkey/login/finish", right).await.expect_error(401, "invalid_passkey");
    // What was answered before a restart is not good after it, what was asked is.
    let (token, challenge) = (asked["passkey_token"].as_str().unwrap(), &asked["public_key"]["challenge"]);
    let open = ask(&server.anon(), json!({})).await;
    let database = std::fs::read(server.project.data().join("data.db")).unwrap();
    let wal = std::fs::read(server.project.data().join("data.db-wal")).unwrap_or_default();
    for secret in [token, challenge.as_str().unwrap(), open["passkey_token"].as_str().unwrap()] {
        let secret = secret.as_bytes();
        let is_in = |bytes: &[u8]| bytes.windows(secret.len()).any(|part| part == secret);
        assert!(!is_in(&database) && !is_in(&wal), "a challenge or its token is in the database");
    }
    let server = server.restart().await;
    let used = server.anon().post("/api/auth/passkey/login/finish", answer).await;
    used.expect_error(401, "invalid_passkey");
    phone.origin = server.url().replace("127.0.0.1", "localhost");
    server.anon().post("/api/auth/passkey/login/finish", phone.answer(&open)).await.expect_ok();
    server.stop().await;
}

#[tokio::test]
async fn a_challenge_is_good_for_one_session_one_account_and_one_purpose() {
    let server = start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let mut phone = Authenticator::new(server.url());
    let elsewhere = server.anon().login("ada@example.org", PASSWORD).await;
    for other in [&elsewhere, &bob] {
        let asked = begin(&ada, json!({ "current_password": PASSWORD })).await;
        finish(other, &asked, &phone.create(&asked)).await.expect_error(401, "invalid_passkey");
    }
    // The token of one question with the challenge of another.
    let (first, second) = (
        begin(&ada, json!({ "current_password": PASSWORD })).await,
        begin(&ada, json!({ "current_password": PASSWORD })).await,
    );
    finish(&ada, &first, &phone.create(&second)).await.expect_error(401, "invalid_passkey");
    // The question of a sign-in is none for a registration.
    let mut login = ask(&server.anon(), json!({})).await;
    login["public_key"]["rp"] = json!({ "id": "localhost" });
    login["public_key"]["user"] = json!({ "id": "AAAA" });
    finish(&ada, &login, &phone.create(&login)).await.expect_error(401, "invalid_passkey");
    assert_eq!(ada.get_path("/api/auth/passkeys").await.expect_ok(), json!({ "passkeys": [] }));
    server.stop().await;
}

#[tokio::test]
async fn somebody_elses_passkey_is_refused() {
    let server = start().await;
    let (ada, _, _) = with_passkey(&server).await;
    let bob = server.user("bob").await;
    let mut bobs = Authenticator::new(server.url());
    let asked = begin(&bob, json!({ "current_password": PASSWORD })).await;
    finish(&bob, &asked, &bobs.create(&asked)).await.expect_status(201);
    let question = first_factor(&server).await;
    let asked = ask(&server.anon(), json!({ "mfa_token": question["mfa_token"] })).await;
    second_factor(&server, &question, bobs.answer(&asked)).await.expect_error(401, "invalid_passkey");
    let asked = ada.post("/api/auth/passkey/prove/begin", json!({})).await.expect_ok();
    let body = json!({ "passkey": bobs.answer(&asked) });
    ada.post("/api/auth/passkey/register/begin", body).await.expect_error(403, "confirmation_failed");
    // With ada's handle it is not hers, either.
    let asked = ask(&server.anon(), json!({})).await;
    let mut answer = bobs.answer(&asked);
    answer["credential"]["response"]["userHandle"] = json!("AAAA");
    server.anon().post("/api/auth/passkey/login/finish", answer).await.expect_error(401, "invalid_passkey");
    // Nor is one that nobody registered.
    let mut unknown = Authenticator::new(server.url());
    unknown.user_handle.clone_from(&bobs.user_handle);
    sign_in(&server, &mut unknown).await.expect_error(401, "invalid_passkey");
    server.stop().await;
}

#[tokio::test]
async fn a_credential_belongs_to_one_account() {
    let server = start().await;
    let (ada, mut phone, _) = with_passkey(&server).await;
    let bob = server.user("bob").await;
    let asked = begin(&bob, json!({ "current_password": PASSWORD })).await;
    finish(&bob, &asked, &phone.create(&asked)).await.expect_error(409, "passkey_exists");
    assert_eq!(bob.get_path("/api/auth/passkeys").await.expect_ok(), json!({ "passkeys": [] }));
    let status = bob.get_path("/api/auth/mfa").await.expect_ok();
    assert_eq!(status, json!({ "totp": false, "passkeys": 0, "recovery_codes_left": 0 }));
    assert_eq!(ada.get_path("/api/auth/passkeys").await.expect_ok()["passkeys"].as_array().unwrap().len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_page_of_another_origin_and_an_unverified_user_are_refused() {
    let server = start().await;
    let (_, mut phone, _) = with_passkey(&server).await;
    let own = phone.origin.clone();
    for origin in ["http://127.0.0.1", "https://evil.example", "http://localhost:1", "null"] {
        origin.clone_into(&mut phone.origin);
        let problem = sign_in(&server, &mut phone).await.expect_error(401, "invalid_passkey");
        assert!(problem.detail.contains("origin"), "{problem:?}");
    }
    phone.origin = own;
    phone.flags = 0b001;
    sign_in(&server, &mut phone).await.expect_error(401, "invalid_passkey");
    phone.flags = 0b101;
    sign_in(&server, &mut phone).await.expect_ok();
    server.stop().await;
}

#[tokio::test]
async fn a_counter_that_goes_back_is_refused_and_recorded() {
    let server = start().await;
    let (_, mut phone, _) = with_passkey(&server).await;
    phone.counter = 7;
    sign_in(&server, &mut phone).await.expect_ok();
    for counter in [7, 3] {
        phone.counter = counter;
        sign_in(&server, &mut phone).await.expect_error(401, "invalid_passkey");
    }
    phone.counter = 8;
    sign_in(&server, &mut phone).await.expect_ok();
    let database = rusqlite::Connection::open(server.project.data().join("data.db")).unwrap();
    let count = |action: &str, outcome: &str| -> i64 {
        database
            .query_row(
                "SELECT count(*) FROM _alyx_audit WHERE action = ? AND outcome = ?",
                [action, outcome],
                |row| row.get(0),
            )
            .unwrap()
    };
    assert_eq!(count("passkey.counter", "denied"), 2);
    assert_eq!(count("passkey.register", "ok"), 1);
    assert!(count("passkey.begin", "ok") >= 1 && count("passkey.ask", "ok") >= 4);
    let details: String = database
        .query_row(
            "SELECT group_concat(details_json, ' ') FROM _alyx_audit WHERE action = 'session.begin'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert!(details.contains("\"passkey\""), "{details}");
    server.stop().await;
}

#[tokio::test]
async fn a_passkey_takes_proof_to_add_and_a_second_factor_to_delete() {
    let server = start().await;
    let ada = server.user("ada").await;
    let path = "/api/auth/passkey/register/begin";
    ada.post(path, json!({})).await.expect_error(422, "validation_failed");
    ada.post(path, json!({ "current_password": "not it" })).await.expect_error(403, "confirmation_failed");
    server
        .anon()
        .post(path, json!({ "current_password": PASSWORD }))
        .await
        .expect_error(401, "unauthenticated");
    let mut phone = Authenticator::new(server.url());
    let asked = begin(&ada, json!({ "current_password": PASSWORD })).await;
    let first = finish(&ada, &asked, &phone.create(&asked)).await.expect_status(201).json();
    // From now on the password is not enough, neither for a passkey nor for an authenticator for codes.
    for path in [path, "/api/auth/mfa/totp/enroll"] {
        ada.post(path, json!({ "current_password": PASSWORD })).await.expect_error(422, "validation_failed");
    }
    let mut key = Authenticator::new(server.url());
    let asked = begin(&ada, json!({ "recovery_code": first["recovery_codes"][0] })).await;
    assert_eq!(asked["public_key"]["excludeCredentials"].as_array().map(Vec::len), Some(1));
    let second = finish(&ada, &asked, &key.create(&asked)).await.expect_status(201).json();
    assert!(second.get("recovery_codes").is_none(), "{second}");

    let list = ada.get_path("/api/auth/passkeys").await.expect_ok();
    let ids: Vec<&str> =
        list["passkeys"].as_array().unwrap().iter().map(|passkey| passkey["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [first["passkey"]["id"].as_str().unwrap(), second["passkey"]["id"].as_str().unwrap()]);
    let one = format!("/api/auth/passkeys/{}", ids[1]);
    let rename = async |client: &Client, name: &str| {
        client.send(Method::PATCH, &one, Some(json!({ "name": name }).to_string())).await
    };
    assert_eq!(rename(&ada, "  Blue key ").await.expect_ok()["name"], "Blue key");
    for name in ["", "  ", "a\u{1b}[31m", &"x".repeat(101)] {
        rename(&ada, name).await.expect_error(422, "validation_failed");
    }
    let bob = server.user("bob").await;
    rename(&bob, "mine").await.expect_error(404, "passkey_not_found");
    let delete =
        async |client: &Client, body: Value| client.send(Method::DELETE, &one, Some(body.to_string())).await;
    delete(&bob, json!({ "current_password": PASSWORD })).await.expect_error(404, "passkey_not_found");
    delete(&ada, json!({ "current_password": PASSWORD })).await.expect_error(422, "validation_failed");
    delete(&ada, json!({ "recovery_code": first["recovery_codes"][1] })).await.expect_status(204);
    delete(&ada, json!({ "recovery_code": first["recovery_codes"][2] }))
        .await
        .expect_error(404, "passkey_not_found");
    sign_in(&server, &mut key).await.expect_error(401, "invalid_passkey");
    sign_in(&server, &mut phone).await.expect_ok();
    server.stop().await;
}

#[tokio::test]
async fn a_disabled_or_deleted_account_has_no_passkey() {
    let server = start().await;
    let (ada, mut phone, _) = with_passkey(&server).await;
    let signed_in = sign_in(&server, &mut phone).await.expect_ok();
    let session = server.anon().with_session(&signed_in);
    let admin = server.admin().await;
    let user = format!("/api/admin/users/{}", ada.id());
    let disable = async |disabled: bool| {
        admin.send(Method::PATCH, &user, Some(json!({ "disabled": disabled }).to_string())).await.expect_ok()
    };
    disable(true).await;
    session.get_path("/api/auth/me").await.expect_error(401, "invalid_token");
    sign_in(&server, &mut phone).await.expect_error(401, "invalid_credentials");
    disable(false).await;
    sign_in(&server, &mut phone).await.expect_ok();
    admin.send(Method::DELETE, &user, None).await.expect_status(204);
    sign_in(&server, &mut phone).await.expect_error(401, "invalid_passkey");
    let database = rusqlite::Connection::open(server.project.data().join("data.db")).unwrap();
    let left: i64 = database.query_row("SELECT count(*) FROM _alyx_passkeys", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
    server.stop().await;
}

/// Somebody makes an account with an address of another and adds a passkey. The reset by the address's
/// owner leaves nothing of theirs.
#[tokio::test]
async fn a_reset_of_an_unverified_account_removes_its_passkeys() {
    let server = start().await;
    let (_, mut squatters, _) = with_passkey(&server).await;
    let folder = server.project.data().join("mail");
    let forgot = json!({ "email": "ada@example.org" });
    server.anon().post("/api/auth/password/forgot", forgot).await.expect_status(202);
    let token = wait_in_folder(&folder, "ada@example.org", "Set a new password").await.token();
    let body = json!({ "token": token, "password": "the owner's own horse" });
    server.anon().post("/api/auth/password/reset", body).await.expect_status(204);
    sign_in(&server, &mut squatters).await.expect_error(401, "invalid_passkey");
    server.anon().login("ada@example.org", "the owner's own horse").await;
    server.stop().await;
}

#[tokio::test]
async fn without_a_domain_there_are_no_passkeys() {
    let project = Project::fixture("lab").with("alyx.yaml", "server: { public_url: 'http://127.0.0.1:9' }\n");
    let server = TestServer::start(project).await;
    let answer = server.anon().post("/api/auth/passkey/login/begin", json!({})).await;
    answer.expect_error(503, "passkeys_not_configured");
    let offered = server.anon().get_path("/api/auth/status").await.expect_ok();
    assert!(!offered["methods"].as_array().unwrap().contains(&json!("passkey")), "{offered}");
    server.stop().await;
}

/// The example of `docs/auth.md`, in a browser with an authenticator of its own.
#[tokio::test]
async fn chromium_registers_signs_in_and_deletes_as_documented() {
    let Some(program) = peers::chromium() else { return };
    let Some(node) = peers::node() else { return };
    let server = start().await;
    let page = std::fs::read_to_string(tree::root().join("docs/auth.md")).unwrap();
    let example = blocks(&page, "js").into_iter().find(|block| block.contains("addPasskey"));
    let script = include_str!("passkeys/browser.mjs");
    let url = server.url().replace("127.0.0.1", "localhost");
    let mut command = tokio::process::Command::from(node);
    command.args(["--input-type=module", "-e", script]);
    command.arg(program).args([&url, &example.expect("an example"), PASSWORD]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let output = tokio::time::timeout(BROWSER_PATIENCE, command.output()).await.expect("it ends in time");
    let output = output.expect("run node");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "the browser's part failed: {text}");
    let seen: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"));
    assert_eq!(seen["recovery_codes"], 10, "{seen}");
    assert_eq!(seen["signed_in"], "ada@example.org");
    assert_eq!(seen["methods"], json!(["passkey", "recovery_code"]));
    assert_eq!(seen["second_factor"], "ada@example.org");
    assert_eq!(seen["by_cookie"], "ada@example.org");
    assert_eq!(seen["twice"], "InvalidStateError");
    assert_eq!(seen["unverified"], "NotAllowedError");
    assert_eq!(seen["deleted"], 204);
    assert_eq!(seen["after"], "invalid_passkey");
    server.stop().await;
}
