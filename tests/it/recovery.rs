//! Verified addresses, forgotten passwords, other addresses.

use alyx_tests::mails::{Mail, SmtpSink, in_folder, wait_in_folder};
use alyx_tests::server::PASSWORD;
use alyx_tests::{Client, Project, TestServer};
use serde_json::{Value, json};

const NEW_PASSWORD: &str = "another horse entirely";

async fn start() -> (TestServer, SmtpSink) {
    let sink = SmtpSink::start().await;
    let project = Project::fixture("lab").with("alyx.yaml", &sink.config());
    (TestServer::start(project).await, sink)
}

async fn forgot(server: &TestServer, email: &str) {
    server.anon().post("/api/auth/password/forgot", json!({ "email": email })).await.expect_status(202);
}

async fn reset(server: &TestServer, token: &str, password: &str) -> alyx_tests::client::Answer {
    let body = json!({ "token": token, "password": password });
    server.anon().post("/api/auth/password/reset", body).await
}

#[tokio::test]
async fn an_address_is_verified_by_its_link_once() {
    let (server, sink) = start().await;
    let ada = server.user("ada").await;
    let mail = sink.wait("ada@example.org", "Confirm your address for Blog").await;
    assert!(mail.text.contains("https://app.example.org/auth/verify?token="), "{mail:?}");
    let confirm =
        async |token: &str| server.anon().post("/api/auth/verify/confirm", json!({ "token": token })).await;
    assert_eq!(ada.get_path("/api/auth/me").await.expect_ok()["verified"], false);
    // A link is good for one purpose only.
    reset(&server, &mail.token(), NEW_PASSWORD).await.expect_error(400, "invalid_link");
    confirm(&mail.token()).await.expect_status(204);
    assert_eq!(ada.get_path("/api/auth/me").await.expect_ok()["verified"], true);
    confirm(&mail.token()).await.expect_error(400, "invalid_link");
    confirm("nonsense").await.expect_error(400, "invalid_link");

    // A verified address gets no further link, and the answer does not tell.
    let before = sink.mails().len();
    let request = json!({ "email": "ada@example.org" });
    server.anon().post("/api/auth/verify/request", request).await.expect_status(202);
    forgot(&server, "ada@example.org").await;
    sink.wait("ada@example.org", "new password").await;
    assert_eq!(sink.mails().len(), before + 1);
    server.stop().await;
}

#[tokio::test]
async fn m09_a_reset_ends_all_sessions_and_tells_the_owner() {
    let (server, sink) = start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let phone = server.anon().login("ada@example.org", PASSWORD).await;
    forgot(&server, " ADA@example.org ").await;
    let mail = sink.wait("ada@example.org", "Set a new password").await;
    assert!(mail.text.contains("https://app.example.org/auth/reset?token="), "{mail:?}");

    // A password that is not accepted does not use the link up.
    reset(&server, &mail.token(), "short").await.expect_error(422, "validation_failed");
    reset(&server, &mail.token(), NEW_PASSWORD).await.expect_status(204);
    for client in [&ada, &phone] {
        client.get_path("/api/auth/me").await.expect_error(401, "invalid_token");
        let refresh = json!({ "refresh_token": client.session()["refresh_token"] });
        server.anon().post("/api/auth/refresh", refresh).await.expect_error(401, "invalid_refresh_token");
    }
    bob.get_path("/api/auth/me").await.expect_ok();
    let old = json!({ "email": "ada@example.org", "password": PASSWORD });
    server.anon().post("/api/auth/login", old).await.expect_error(401, "invalid_credentials");
    let again = server.anon().login("ada@example.org", NEW_PASSWORD).await;
    assert_eq!(again.get_path("/api/auth/me").await.expect_ok()["verified"], true);
    reset(&server, &mail.token(), "yet another horse").await.expect_error(400, "invalid_link");
    let told = sink.wait("ada@example.org", "password for Blog was changed").await;
    assert!(told.text.contains("127.0.0.1"), "{told:?}");

    // After a restart the old tokens are still refused.
    let server = server.restart().await;
    let stale = server.anon().with_token(ada.token());
    stale.get_path("/api/auth/me").await.expect_error(401, "invalid_token");
    server.stop().await;
}

#[tokio::test]
async fn a_reset_ends_the_other_links_to_reset() {
    let (server, sink) = start().await;
    server.user("ada").await;
    forgot(&server, "ada@example.org").await;
    forgot(&server, "ada@example.org").await;
    let mails = sink.wait_for_several(2, "ada@example.org", "Set a new password").await;
    reset(&server, &mails[1].token(), NEW_PASSWORD).await.expect_status(204);
    reset(&server, &mails[0].token(), "yet another horse").await.expect_error(400, "invalid_link");
    server.stop().await;
}

#[tokio::test]
async fn another_address_counts_once_it_is_confirmed() {
    let (server, sink) = start().await;
    let (ada, _bob) = (server.user("ada").await, server.user("bob").await);
    let change = async |email: &str, password: &str| {
        ada.post("/api/auth/email/change", json!({ "email": email, "current_password": password })).await
    };
    change("new@example.org", "wrong").await.expect_error(403, "confirmation_failed");
    change("not an address", PASSWORD).await.expect_error(422, "validation_failed");
    ada.post("/api/auth/email/change", json!({ "email": "new@example.org" }))
        .await
        .expect_error(422, "validation_failed");
    server
        .anon()
        .post("/api/auth/email/change", json!({ "email": "new@example.org", "current_password": PASSWORD }))
        .await
        .expect_error(401, "unauthenticated");
    change("new@example.org", PASSWORD).await.expect_status(202);
    let told = sink.wait("ada@example.org", "another address").await;
    assert!(told.text.contains("new@example.org"), "{told:?}");
    let mail = sink.wait("new@example.org", "Confirm your new address").await;
    assert_eq!(ada.get_path("/api/auth/me").await.expect_ok()["email"], "ada@example.org");

    // An address that somebody has is answered alike, and nobody is written to.
    let before = sink.mails().len();
    change("bob@example.org", PASSWORD).await.expect_status(202);

    // A link that was sent to the old address is of no use after the change.
    forgot(&server, "ada@example.org").await;
    let old_link = sink.wait("ada@example.org", "Set a new password").await;
    assert_eq!(sink.mails().len(), before + 1);
    let confirm = json!({ "token": mail.token() });
    server.anon().post("/api/auth/email/confirm", confirm.clone()).await.expect_status(204);
    let me = ada.get_path("/api/auth/me").await.expect_ok();
    assert_eq!((&me["email"], &me["verified"]), (&json!("new@example.org"), &json!(true)));
    server.anon().login("new@example.org", PASSWORD).await;
    server.anon().post("/api/auth/email/confirm", confirm).await.expect_error(400, "invalid_link");
    reset(&server, &old_link.token(), NEW_PASSWORD).await.expect_error(400, "invalid_link");
    server.stop().await;
}

#[tokio::test]
async fn pages_do_without_an_application() {
    let server = TestServer::start(Project::fixture("lab")).await;
    let folder = server.project.data().join("mail");
    server.user("ada").await;
    let mail = wait_in_folder(&folder, "ada@example.org", "Confirm your address").await;
    let path = format!("/auth/verify?token={}", mail.token());
    assert!(mail.text.contains(&format!("{}{path}", server.url())), "{mail:?}");
    let shown = || server.output().contains(&path);
    alyx_tests::wait::wait_until("alyx dev to show the mail", std::time::Duration::from_secs(60), shown)
        .await;

    // Opening a link changes nothing, however often; its button does.
    for _ in 0..2 {
        let page = server.anon().get_path(&path).await.expect_status(200);
        assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")), "{page}");
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert!(!page.text().contains("<script"), "{page}");
    }
    let submit = async |page: &str, form: String| {
        let form_kind = [("content-type", "application/x-www-form-urlencoded")];
        server.anon().raw(reqwest::Method::POST, page, &form_kind, form.into_bytes()).await
    };
    submit("/auth/verify", format!("token={}", mail.token())).await.expect_status(200);
    submit("/auth/verify", format!("token={}", mail.token())).await.expect_status(400);
    for broken in ["/auth/verify", "/auth/verify?token=%22%3E%3Cb%3E", "/auth/reset?token="] {
        let page = server.anon().get_path(broken).await.expect_status(400);
        assert!(!page.text().contains("<b>"), "{page}");
    }
    server.anon().get_path("/auth/nothing?token=x").await.expect_error(404, "not_found");

    forgot(&server, "ada@example.org").await;
    let token = wait_in_folder(&folder, "ada@example.org", "new password").await.token();
    let weak = submit("/auth/reset", format!("token={token}&password=short")).await.expect_status(422);
    assert!(weak.text().contains("at least 8 characters") && weak.text().contains(&token), "{weak}");
    submit("/auth/reset", format!("token={token}&password=another+horse+entirely")).await.expect_status(200);
    server.anon().login("ada@example.org", NEW_PASSWORD).await;
    server.stop().await;
}

/// What three requests of each kind are answered for this address: status, body, headers that could tell.
async fn answers(client: &Client, email: &str) -> Vec<(u16, Value)> {
    let mut found = Vec::new();
    for path in ["/api/auth/password/forgot", "/api/auth/verify/request", "/api/auth/otp/request"] {
        let answer = client.post(path, json!({ "email": email })).await;
        let mut body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if let Some(token) = body.get_mut("otp_token") {
            *token = json!(token.as_str().map(str::len));
        }
        found.push((answer.status.as_u16(), body));
    }
    found
}

#[tokio::test]
async fn m13_answers_do_not_tell_whether_there_is_an_account() {
    let (server, sink) = start().await;
    server.user("ada").await;
    let known = answers(&server.anon(), "ada@example.org").await;
    assert_eq!(known, answers(&server.anon(), "nobody@example.org").await);
    assert_eq!(known, answers(&server.anon(), "not an address").await);
    // A code that was never sent is refused like a wrong one, as often.
    let token = async |email: &str| {
        let answer = server.anon().post("/api/auth/otp/request", json!({ "email": email })).await;
        answer.expect_status(202).json()["otp_token"].as_str().unwrap().to_owned()
    };
    for email in ["ada@example.org", "nobody@example.org"] {
        let token = token(email).await;
        for _ in 0..7 {
            let guess = json!({ "otp_token": token, "code": "000000" });
            server.anon().post("/api/auth/otp/verify", guess).await.expect_error(401, "invalid_code");
        }
    }
    sink.wait("ada@example.org", "Set a new password").await;
    assert!(sink.mails().iter().all(|mail| mail.to == ["ada@example.org"]), "{:?}", sink.mails());
    let list = server.over_admin_socket().get_path("/api/admin/mail").await.expect_ok();
    assert!(!list.to_string().contains("nobody"), "{list}");
    server.stop().await;
}

#[tokio::test]
async fn m12_mails_to_an_account_are_limited_wherever_they_are_asked_for() {
    let sink = SmtpSink::start().await;
    let config = format!("{}auth: {{ reset_per_hour: 3, registration: open }}\n", sink.mail_config());
    let server = TestServer::start(Project::fixture("lab").with("alyx.yaml", &config)).await;
    server.user("ada").await;
    for email in ["ada@example.org", "Ada@Example.org", "ada@example.org "] {
        forgot(&server, email).await;
    }
    let refused =
        server.anon().post("/api/auth/password/forgot", json!({ "email": "ada@example.org" })).await;
    assert!(refused.header("retry-after").is_some(), "{refused}");
    refused.expect_error(429, "too_many_requests");
    // From elsewhere, where the throttle of addresses does not count, the account has had enough too.
    let body = json!({ "email": "ada@example.org" });
    server.over_admin_socket().post("/api/auth/password/forgot", body).await.expect_status(202);
    forgot(&server, "bob@example.org").await;
    sink.wait_for_several(3, "ada@example.org", "Set a new password").await;
    let admin = server.over_admin_socket();
    alyx_tests::wait::wait_for("no mail to wait", std::time::Duration::from_secs(60), async || {
        let list = admin.get_path("/api/admin/mail?state=waiting").await.expect_ok();
        (list["mails"] == json!([])).then_some(())
    })
    .await;
    assert_eq!(sink.mails().iter().filter(|mail| mail.header("subject").contains("Set")).count(), 3);
    server.stop().await;
}

#[tokio::test]
async fn without_mail_what_needs_it_says_so() {
    let project = Project::fixture("lab").with("alyx.yaml", "mail: { transport: none }\n");
    let server = TestServer::start(project).await;
    let ada = server.user("ada").await;
    for (path, body) in [
        ("/api/auth/password/forgot", json!({ "email": "ada@example.org" })),
        ("/api/auth/verify/request", json!({ "email": "ada@example.org" })),
        ("/api/auth/otp/request", json!({ "email": "ada@example.org" })),
        ("/api/auth/email/change", json!({ "email": "b@example.org", "current_password": PASSWORD })),
    ] {
        ada.post(path, body).await.expect_error(503, "mail_not_configured");
    }
    let mails: Vec<Mail> = in_folder(&server.project.data().join("mail"));
    assert!(mails.is_empty(), "{mails:?}");
    server.stop().await;
}
