//! What people do with their own accounts, each step with the row that it leaves in the audit log.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use alyx_tests::authenticator::Authenticator;
use alyx_tests::mails::{Mail, in_folder};
use alyx_tests::wait::wait_for;
use alyx_tests::{Answer, Client, PASSWORD, Project, TestServer};
use serde_json::{Value, json};

use crate::second_factor::pyotp;

const SCHEMA: &str = "version: 1
collections:
  users:
    fields:
      name: { type: string, nullable: true }
";

const CONFIG: &str = "auth: { registration: open, anonymous: allowed }";

/// Looked at where there is a provider, and where there is no administrator yet.
const ELSEWHERE: [&str; 4] = [
    "DELETE /api/auth/oauth/{provider}",
    "POST /api/auth/oauth/exchange",
    "POST /api/auth/oauth/{provider}/link",
    "POST /api/auth/setup",
];

/// Another password, which no row may tell.
const NEXT: &str = "canary of a next password";

struct Story {
    server: TestServer,
    anon: Client,
    /// Routes that were taken.
    taken: Mutex<BTreeSet<String>>,
    /// What no row may hold.
    secrets: Mutex<Vec<String>>,
}

impl Story {
    /// Takes a route, with `#` in place of its `{id}`, and expects this action among the rows.
    async fn act(&self, who: &Client, route: &str, id: &str, body: Value, action: &str) -> Answer {
        let (method, path) = route.split_once(' ').expect("a method and a path");
        self.taken.lock().unwrap().insert(route.to_owned());
        let text = (!body.is_null()).then(|| body.to_string());
        let answer = who.send(method.parse().unwrap(), &path.replace("{id}", id), text).await;
        assert!(answer.status.is_success(), "{route}: {answer}");
        let request = answer.header("x-request-id").expect("an id");
        let said = self.server.cli().run(&["audit", "export", "--request-id", request]).await.expect_code(0);
        let rows: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let row = rows.iter().find(|row| row["action"] == action);
        let row = row.unwrap_or_else(|| panic!("{route} leaves no {action}: {rows:#?}"));
        assert_eq!((&row["outcome"], &row["address"]), (&json!("ok"), &json!("127.0.0.1")), "{row}");
        assert!(!row["identity"].as_str().unwrap_or_default().is_empty(), "{row}");
        let mut secrets = self.secrets.lock().unwrap();
        for told in [&body, &answer.body_or_null()] {
            hidden(told, &mut secrets);
        }
        answer
    }

    async fn post(&self, who: &Client, path: &str, body: Value, action: &str) -> Value {
        self.act(who, &format!("POST {path}"), "", body, action).await.body_or_null()
    }

    /// Signs in with the password.
    async fn sign_in(&self, password: &str) -> Client {
        let body = json!({ "email": "ada@example.org", "password": password });
        self.anon.with_session(&self.post(&self.anon, "/api/auth/login", body, "session.begin").await)
    }

    /// The newest mail of so many to an address about something.
    async fn mail(&self, to: &str, subject: &str, count: usize) -> Mail {
        let folder = self.server.project.data().join("mail");
        wait_for(&format!("mail {count} to {to} about {subject}"), Duration::from_secs(60), async || {
            let all = in_folder(&folder).into_iter();
            let mut of = all.filter(|mail| mail.to == [to] && mail.header("subject").contains(subject));
            of.nth(count - 1)
        })
        .await
    }

    /// Whoever has a password: registering, sessions, mails.
    async fn sessions_and_mails(&self) {
        let anon = &self.anon;
        let ada = json!({ "email": "ada@example.org", "password": PASSWORD });
        self.post(anon, "/api/auth/register", ada.clone(), "account.register").await;
        let session = self.post(anon, "/api/auth/login", ada, "session.begin").await;
        let token = json!({ "refresh_token": session["refresh_token"] });
        let session = self.post(anon, "/api/auth/refresh", token, "session.refresh").await;
        let token = json!({ "refresh_token": session["refresh_token"] });
        self.post(anon, "/api/auth/logout", token, "session.end").await;
        self.post(&self.sign_in(PASSWORD).await, "/api/auth/logout-all", Value::Null, "session.end_all")
            .await;
        let ada = self.sign_in(PASSWORD).await;
        let sessions = ada.get_path("/api/auth/sessions").await.expect_ok();
        let id = sessions["sessions"][0]["id"].as_str().expect("a session").to_owned();
        self.act(&ada, "DELETE /api/auth/sessions/{id}", &id, Value::Null, "session.end").await;
        let ada = self.sign_in(PASSWORD).await;
        self.act(&ada, "PATCH /api/auth/me", "", json!({ "name": "canary" }), "account.update").await;
        let change = json!({ "password": NEXT, "current_password": PASSWORD });
        self.act(&ada, "PATCH /api/auth/me", "", change, "password.change").await;

        let address = json!({ "email": "ada@example.org" });
        self.post(anon, "/api/auth/verify/request", address.clone(), "verify.request").await;
        let token = self.mail("ada@example.org", "Confirm your address", 2).await.token();
        self.post(anon, "/api/auth/verify/confirm", json!({ "token": token }), "verify.confirm").await;
        self.post(anon, "/api/auth/password/forgot", address.clone(), "password.forgot").await;
        let token = self.mail("ada@example.org", "Set a new password", 1).await.token();
        let reset = json!({ "token": token, "password": PASSWORD });
        self.post(anon, "/api/auth/password/reset", reset, "password.reset").await;
        let ada = self.sign_in(PASSWORD).await;
        let other = json!({ "email": "countess@example.org", "current_password": PASSWORD });
        self.post(&ada, "/api/auth/email/change", other, "email.change").await;
        let token = self.mail("countess@example.org", "Confirm your new address", 1).await.token();
        self.post(anon, "/api/auth/email/confirm", json!({ "token": token }), "email.confirm").await;
        let countess = json!({ "email": "countess@example.org" });
        let asked = self.post(anon, "/api/auth/otp/request", countess, "otp.request").await;
        let code = self.mail("countess@example.org", "is your code", 1).await.code();
        let shown = json!({ "otp_token": asked["otp_token"], "code": code });
        self.post(anon, "/api/auth/otp/verify", shown, "session.begin").await;
    }

    /// One-time passwords; `None` without `pyotp`.
    async fn one_time_passwords(&self) -> Option<()> {
        let eve = self.server.user("eve").await;
        let proof = json!({ "current_password": PASSWORD });
        let totp = self.post(&eve, "/api/auth/mfa/totp/enroll", proof, "totp.enroll").await;
        let codes = pyotp(totp["uri"].as_str().expect("an address")).await?["codes"].clone();
        let code = json!({ "code": codes["0"] });
        let made = self.post(&eve, "/api/auth/mfa/totp/confirm", code, "totp.confirm").await;
        let login = json!({ "email": "eve@example.org", "password": PASSWORD });
        let asked = self.post(&self.anon, "/api/auth/login", login, "session.second_factor").await;
        let shown = json!({ "mfa_token": asked["mfa_token"], "recovery_code": made["recovery_codes"][0] });
        self.post(&self.anon, "/api/auth/mfa/challenge", shown, "session.begin").await;
        let renew = json!({ "recovery_code": made["recovery_codes"][1] });
        let path = "/api/auth/mfa/recovery-codes";
        let made = self.post(&eve, path, renew, "recovery_codes.renew").await;
        let removed = json!({ "recovery_code": made["recovery_codes"][0] });
        self.post(&eve, "/api/auth/mfa/totp/disable", removed, "totp.disable").await;
        Some(())
    }

    async fn passkeys(&self) {
        let bob = self.server.user("bob").await;
        let mut phone = Authenticator::new(self.server.url());
        let (begin, proof) = ("/api/auth/passkey/register/begin", json!({ "current_password": PASSWORD }));
        let asked = self.post(&bob, begin, proof, "passkey.begin").await;
        let credential = json!({
            "passkey_token": asked["passkey_token"], "credential": phone.create(&asked), "name": "Phone",
        });
        let finish = "/api/auth/passkey/register/finish";
        let made = self.post(&bob, finish, credential, "passkey.register").await;
        let asked = self.post(&self.anon, "/api/auth/passkey/login/begin", json!({}), "passkey.ask").await;
        let finish = "/api/auth/passkey/login/finish";
        self.post(&self.anon, finish, phone.answer(&asked), "session.begin").await;
        let id = made["passkey"]["id"].as_str().expect("an id");
        let rename = "PATCH /api/auth/passkeys/{id}";
        self.act(&bob, rename, id, json!({ "name": "Key" }), "passkey.rename").await;
        let asked = self.post(&bob, "/api/auth/passkey/prove/begin", json!({}), "passkey.ask").await;
        let shown = json!({ "passkey": phone.answer(&asked) });
        self.act(&bob, "DELETE /api/auth/passkeys/{id}", id, shown, "passkey.delete").await;
    }

    async fn guests(&self) {
        let path = "/api/auth/anonymous";
        let guest =
            self.anon.with_session(&self.post(&self.anon, path, Value::Null, "account.anonymous").await);
        let named = json!({ "email": "guest@example.org", "password": PASSWORD });
        let session = self.post(&guest, "/api/auth/upgrade", named, "account.upgrade").await;
        let guest = self.anon.with_session(&session);
        let proof = json!({ "current_password": PASSWORD });
        self.act(&guest, "DELETE /api/auth/me", "", proof, "account.delete").await;
    }
}

/// Gathers what is secret of a body: tokens, codes, passwords, and what people write about themselves.
fn hidden(told: &Value, secrets: &mut Vec<String>) {
    match told {
        Value::Object(members) => {
            for (name, value) in members {
                let is_secret = ["token", "password", "code", "secret", "signature"];
                match value.as_str() {
                    Some(text)
                        if is_secret.iter().any(|part| name.contains(part)) && name != "token_type" =>
                    {
                        secrets.push(text.to_owned());
                    }
                    _ if name == "recovery_codes" => {
                        let codes = value.as_array().into_iter().flatten().filter_map(Value::as_str);
                        secrets.extend(codes.map(str::to_owned));
                    }
                    _ => hidden(value, secrets),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| hidden(value, secrets)),
        _ => {}
    }
}

#[tokio::test]
async fn every_route_of_accounts_leaves_a_row_without_secrets() {
    let project = Project::schema(SCHEMA).with("alyx.yaml", CONFIG);
    let server = TestServer::start(project).await;
    let story = Story { anon: server.anon(), server, taken: Mutex::default(), secrets: Mutex::default() };
    story.sessions_and_mails().await;
    let complete = story.one_time_passwords().await.is_some();
    story.passkeys().await;
    story.guests().await;
    let openapi = story.anon.get_path("/api/openapi.json").await.expect_ok();
    let routes = openapi["paths"].as_object().unwrap().iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().keys().map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    let there: BTreeSet<String> =
        routes.filter(|route| route.contains(" /api/auth/") && !route.starts_with("GET ")).collect();
    let mut known = story.taken.lock().unwrap().clone();
    known.extend(ELSEWHERE.map(str::to_owned));
    if complete {
        assert_eq!(there, known);
    }
    let secrets = story.secrets.into_inner().unwrap();
    let project = story.server.stop().await;
    let text = json!(crate::audit_rows(&project)).to_string();
    assert!(secrets.len() > 40, "{} secrets", secrets.len());
    for secret in secrets.iter().map(String::as_str).chain(["canary", "$argon2", "@example.org"]) {
        // Six digits may be part of an id by chance.
        let quoted = format!("\"{secret}\"");
        let told = if secret.len() < 10 { text.contains(&quoted) } else { text.contains(secret) };
        assert!(!told, "the audit log tells {secret}");
    }
}
