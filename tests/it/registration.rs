//! Registering where addresses are verified first.

use alyx_tests::mails::SmtpSink;
use alyx_tests::server::PASSWORD;
use alyx_tests::{Project, TestServer};
use serde_json::{Value, json};

const SCHEMA: &str = "version: 1
collections:
  users:
    fields:
      nick: { type: string, unique: true, nullable: true }
      mentor: { type: relation, nullable: true, relation: { collection: users } }
";

/// A server that sends mail and chooses nothing else.
async fn start() -> (TestServer, SmtpSink) {
    let sink = SmtpSink::start().await;
    let project = Project::fixture("lab").with("alyx.yaml", &sink.mail_config()).with("schema.yaml", SCHEMA);
    (TestServer::start(project).await, sink)
}

fn account(email: &str, password: &str) -> Value {
    json!({ "email": email, "password": password })
}

async fn register(server: &TestServer, email: &str, password: &str) {
    let answer = server.anon().post("/api/auth/register", account(email, password)).await;
    answer.expect_status(202);
}

async fn refused(server: &TestServer, email: &str, password: &str) {
    let login = account(email, password);
    server.anon().post("/api/auth/login", login).await.expect_error(401, "invalid_credentials");
}

#[tokio::test]
async fn an_account_signs_in_once_its_address_is_verified() {
    let (server, sink) = start().await;
    let status = server.anon().get_path("/api/auth/status").await.expect_ok();
    assert_eq!(status["registration"], "verified");
    assert_eq!(status["second_factors"], json!(["totp", "recovery_code"]));
    for method in ["password", "otp"] {
        assert!(status["methods"].as_array().expect("a list").contains(&json!(method)), "{status}");
    }
    register(&server, "ada@example.org", PASSWORD).await;
    refused(&server, "ada@example.org", PASSWORD).await;
    let mail = sink.wait("ada@example.org", "Confirm your address").await;
    let server = server.restart().await;
    refused(&server, "ada@example.org", PASSWORD).await;
    let link = json!({ "token": mail.token() });
    server.anon().post("/api/auth/verify/confirm", link).await.expect_status(204);
    let ada = server.anon().login("ada@example.org", PASSWORD).await;
    assert_eq!(ada.get_path("/api/auth/me").await.expect_ok()["verified"], true);
    let change = json!({ "password": "another horse entirely", "current_password": PASSWORD }).to_string();
    ada.send(reqwest::Method::PATCH, "/api/auth/me", Some(change)).await.expect_ok();
    refused(&server, "ada@example.org", PASSWORD).await;
    server.anon().login("ada@example.org", "another horse entirely").await;
    // Whom an administrator made is not asked.
    let bob = account("bob@example.org", PASSWORD);
    server.over_admin_socket().post("/api/admin/users", bob).await.expect_status(201);
    server.anon().login("bob@example.org", PASSWORD).await;
    server.stop().await;
}

#[tokio::test]
async fn m13_registering_again_tells_only_the_owner() {
    let (server, sink) = start().await;
    register(&server, "ada@example.org", PASSWORD).await;
    let first = sink.wait("ada@example.org", "Confirm your address").await;
    let link = json!({ "token": first.token() });
    server.anon().post("/api/auth/verify/confirm", link).await.expect_status(204);
    register(&server, "ADA@example.org", "the password of a stranger").await;
    refused(&server, "ada@example.org", "the password of a stranger").await;
    server.anon().login("ada@example.org", PASSWORD).await;
    let told = sink.wait("ada@example.org", "You have an account").await;
    assert!(told.text.contains("https://app.example.org/auth/reset?token="), "{told:?}");
    let denied = server.over_admin_socket().get_path("/api/admin/audit?action=account.register").await;
    let rows = denied.expect_ok();
    let outcomes: Vec<&Value> =
        rows["entries"].as_array().expect("rows").iter().map(|row| &row["outcome"]).collect();
    assert_eq!(outcomes, ["denied", "ok"], "{rows}");
    server.stop().await;
}

#[tokio::test]
async fn who_registered_an_address_first_gains_nothing_from_its_owner() {
    let (server, sink) = start().await;
    register(&server, "ada@example.org", "the password of a stranger").await;
    let of_stranger = sink.wait("ada@example.org", "Confirm your address").await;
    register(&server, "ada@example.org", PASSWORD).await;
    let of_owner = sink.wait("ada@example.org", "You have an account").await;
    // What the stranger had sent verifies nothing any more.
    let confirm = json!({ "token": of_stranger.token() });
    server.anon().post("/api/auth/verify/confirm", confirm).await.expect_error(400, "invalid_link");
    let reset = json!({ "token": of_owner.token(), "password": "another horse entirely" });
    server.anon().post("/api/auth/password/reset", reset).await.expect_status(204);
    refused(&server, "ada@example.org", "the password of a stranger").await;
    let ada = server.anon().login("ada@example.org", "another horse entirely").await;
    assert_eq!(ada.get_path("/api/auth/me").await.expect_ok()["verified"], true);
    server.stop().await;
}

#[tokio::test]
async fn m13_what_else_is_wrong_with_a_registration_is_told_for_every_address() {
    let (server, _sink) = start().await;
    let admin = server.over_admin_socket();
    let mut ada = account("ada@example.org", PASSWORD);
    ada["nick"] = json!("countess");
    admin.post("/api/admin/users", ada).await.expect_status(201);
    for email in ["ada@example.org", "eve@example.org"] {
        for (field, value, status, code) in [
            ("nick", "countess", 409, "unique_violation"),
            ("mentor", "nobody", 422, "reference_not_found"),
            ("role", "admin", 422, "validation_failed"),
            ("nonsense", "x", 422, "validation_failed"),
        ] {
            let mut body = account(email, PASSWORD);
            body[field] = json!(value);
            let problem = server.anon().post("/api/auth/register", body).await.expect_error(status, code);
            let fields: Vec<String> = problem.errors.iter().map(|error| error.field.clone()).collect();
            assert_eq!(fields, [field], "{email}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn who_registers_by_choice_of_the_operator_is_signed_in_at_once() {
    let sink = SmtpSink::start().await;
    let server = TestServer::start(Project::fixture("lab").with("alyx.yaml", &sink.config())).await;
    server.user("ada").await;
    let again = account("ada@example.org", PASSWORD);
    server.anon().post("/api/auth/register", again).await.expect_error(409, "unique_violation");
    assert_eq!(server.anon().get_path("/api/auth/status").await.expect_ok()["registration"], "open");
    server.stop().await;
}
