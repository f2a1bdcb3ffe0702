//! How many passkeys there may be, how often one may be tried, and what is left without one.

use alyx_tests::authenticator::Authenticator;
use alyx_tests::client::Answer;
use alyx_tests::mails::wait_in_folder;
use alyx_tests::server::PASSWORD;
use alyx_tests::{Client, Project, TestServer};
use reqwest::Method;
use serde_json::{Value, json};

use super::{ask, begin, finish, sign_in, start, with_passkey};

/// As in `docs/auth.md`.
const MOST: usize = 20;

/// The passkey as proof of who asks.
async fn proof(client: &Client, passkey: &mut Authenticator) -> Value {
    let asked = client.post("/api/auth/passkey/prove/begin", json!({})).await.expect_ok();
    json!({ "passkey": passkey.answer(&asked) })
}

#[tokio::test]
async fn an_account_has_at_most_twenty_passkeys() {
    let server = start().await;
    let (ada, mut phone, _) = with_passkey(&server).await;
    for _ in 2..MOST {
        let shown = proof(&ada, &mut phone).await;
        let asked = begin(&ada, shown).await;
        let mut key = Authenticator::new(server.url());
        finish(&ada, &asked, &key.create(&asked)).await.expect_status(201);
    }
    // Of two that are asked for at once there is room for one.
    let (first, second) = (proof(&ada, &mut phone).await, proof(&ada, &mut phone).await);
    let (first, second) = (begin(&ada, first).await, begin(&ada, second).await);
    let (mut last, mut more) = (Authenticator::new(server.url()), Authenticator::new(server.url()));
    finish(&ada, &first, &last.create(&first)).await.expect_status(201);
    finish(&ada, &second, &more.create(&second)).await.expect_error(409, "passkey_limit");
    let body = proof(&ada, &mut phone).await;
    let refused = ada.post("/api/auth/passkey/register/begin", body).await;
    let problem = refused.expect_error(409, "passkey_limit");
    assert!(problem.detail.contains(&MOST.to_string()), "{problem:?}");
    let list = ada.get_path("/api/auth/passkeys").await.expect_ok();
    assert_eq!(list["passkeys"].as_array().map(Vec::len), Some(MOST));
    sign_in(&server, &mut more).await.expect_error(401, "invalid_passkey");
    // One that goes makes room.
    let id = list["passkeys"][MOST - 1]["id"].as_str().expect("an id");
    let body = proof(&ada, &mut phone).await.to_string();
    ada.send(Method::DELETE, &format!("/api/auth/passkeys/{id}"), Some(body)).await.expect_status(204);
    let shown = proof(&ada, &mut phone).await;
    begin(&ada, shown).await;
    server.stop().await;
}

#[tokio::test]
async fn a_sign_in_notes_the_use_of_its_passkey() {
    let server = start().await;
    let (ada, mut phone, _) = with_passkey(&server).await;
    let used = async || {
        let list = ada.get_path("/api/auth/passkeys").await.expect_ok();
        list["passkeys"][0]["last_used_at"].as_str().map(str::to_owned)
    };
    assert_eq!(used().await, None);
    phone.flags = 0b001;
    sign_in(&server, &mut phone).await.expect_error(401, "invalid_passkey");
    assert_eq!(used().await, None, "it was refused");
    phone.flags = 0b101;
    sign_in(&server, &mut phone).await.expect_ok();
    let first = used().await.expect("it was used");
    sign_in(&server, &mut phone).await.expect_ok();
    assert!(used().await.expect("it was used") > first);
    server.stop().await;
}

#[tokio::test]
async fn the_last_way_to_sign_in_is_not_deleted() {
    let server = start().await;
    let new = json!({ "email": "eve@example.org" });
    server.over_admin_socket().post("/api/admin/users", new.clone()).await.expect_status(201);
    let asked = server.anon().post("/api/auth/otp/request", new).await.expect_status(202).json();
    let folder = server.project.data().join("mail");
    let code = wait_in_folder(&folder, "eve@example.org", "is your code").await.code();
    let body = json!({ "otp_token": asked["otp_token"], "code": code });
    let session = server.anon().post("/api/auth/otp/verify", body).await.expect_ok();
    let eve = server.anon().with_session(&session);
    // A session that just began stands for the password that there is not.
    let asked = begin(&eve, json!({})).await;
    let mut phone = Authenticator::new(server.url());
    let added = finish(&eve, &asked, &phone.create(&asked)).await.expect_status(201).json();
    let path = format!("/api/auth/passkeys/{}", added["passkey"]["id"].as_str().expect("an id"));
    let body = proof(&eve, &mut phone).await.to_string();
    eve.send(Method::DELETE, &path, Some(body)).await.expect_error(409, "last_sign_in");
    sign_in(&server, &mut phone).await.expect_ok();
    server.stop().await;
}

/// Shows a passkey from an address, over a new connection.
async fn show(server: &TestServer, passkey: &mut Authenticator, from: &str) -> Answer {
    let asked = ask(&server.anon(), json!({})).await;
    let headers = [("content-type", "application/json"), ("x-forwarded-for", from)];
    let body = passkey.answer(&asked).to_string().into_bytes();
    Client::new(server.url()).raw(Method::POST, "/api/auth/passkey/login/finish", &headers, body).await
}

#[tokio::test]
async fn m12_wrong_passkeys_are_throttled_and_lock_out_as_wrong_passwords_do() {
    let project = Project::fixture("lab").with(
        "alyx.yaml",
        "server: { trusted_proxies: [127.0.0.1] }\nauth: { login_per_minute: 6, lockout_after: 3 }\n",
    );
    let server = TestServer::start(project).await;
    let (_, mut phone, _) = with_passkey(&server).await;
    phone.flags = 0b001;
    for _ in 0..3 {
        show(&server, &mut phone, "198.51.100.1").await.expect_error(401, "invalid_passkey");
    }
    // What is right waits, too, at that place and nowhere else.
    phone.flags = 0b101;
    let locked = show(&server, &mut phone, "198.51.100.1").await;
    assert!(locked.header("retry-after").is_some(), "{locked}");
    locked.expect_error(429, "locked_out");
    show(&server, &mut phone, "198.51.100.2").await.expect_ok();
    // Nor does the password's door close.
    server
        .anon()
        .post("/api/auth/login", json!({ "email": "ada@example.org", "password": PASSWORD }))
        .await
        .expect_ok();
    // Six a minute, however many are right: guesses of one address at one passkey.
    let mut last = show(&server, &mut phone, "198.51.100.2").await;
    for _ in 0..6 {
        last = show(&server, &mut phone, "198.51.100.2").await;
    }
    assert!(last.header("retry-after").is_some(), "{last}");
    last.expect_error(429, "too_many_requests");
    server.stop().await;
}
