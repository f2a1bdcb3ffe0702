//! Codes by mail, one-time passwords by time, recovery codes.

use std::process::Stdio;

use alyx_tests::authenticator::Authenticator;
use alyx_tests::mails::wait_in_folder;
use alyx_tests::server::PASSWORD;
use alyx_tests::{Client, Project, TestServer, peers};
use serde_json::{Value, json};

const CODE: &str = "/api/auth/otp/request";

async fn start() -> TestServer {
    TestServer::start(Project::fixture("lab")).await
}

async fn verify(server: &TestServer, token: &Value, code: &str) -> alyx_tests::client::Answer {
    server.anon().post("/api/auth/otp/verify", json!({ "otp_token": token, "code": code })).await
}

#[tokio::test]
async fn a_code_signs_in_once_and_only_who_asked_for_it() {
    let server = start().await;
    server.user("ada").await;
    let folder = server.project.data().join("mail");
    let ask = async || {
        let answer = server.anon().post(CODE, json!({ "email": "Ada@Example.org" })).await.expect_status(202);
        answer.json()["otp_token"].clone()
    };
    let (mine, other) = (ask().await, ask().await);
    alyx_tests::wait::wait_for("both codes", std::time::Duration::from_secs(60), async || {
        let mails = alyx_tests::mails::in_folder(&folder);
        (mails.iter().filter(|mail| mail.header("subject").contains("is your code")).count() == 2)
            .then_some(())
    })
    .await;
    let code = wait_in_folder(&folder, "ada@example.org", "is your code").await.code();
    let (right, wrong) =
        if verify(&server, &mine, &code).await.status == 200 { (mine, other) } else { (other, mine) };
    // The code of one request is no use with the token of the other, unless chance has made them the same.
    let codes: Vec<String> = alyx_tests::mails::in_folder(&folder)
        .iter()
        .filter(|mail| mail.header("subject").contains("is your code"))
        .map(alyx_tests::mails::Mail::code)
        .collect();
    if codes[0] != codes[1] {
        verify(&server, &wrong, &code).await.expect_error(401, "invalid_code");
    }
    let again = verify(&server, &right, &code).await;
    if again.status == 200 {
        verify(&server, &right, &code).await.expect_error(401, "invalid_code");
    } else {
        again.expect_error(401, "invalid_code");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_code_bears_five_guesses() {
    let server = start().await;
    server.user("ada").await;
    let folder = server.project.data().join("mail");
    let token =
        server.anon().post(CODE, json!({ "email": "ada@example.org" })).await.json()["otp_token"].clone();
    let code = wait_in_folder(&folder, "ada@example.org", "is your code").await.code();
    for guess in ["", "12345", "1234567", "abcdef", if code == "000000" { "000001" } else { "000000" }] {
        verify(&server, &token, guess).await.expect_error(401, "invalid_code");
    }
    verify(&server, &token, &code).await.expect_error(401, "invalid_code");
    // The token is not an access token.
    let anon = server.anon().with_token(token.as_str().unwrap());
    anon.get_path("/api/auth/me").await.expect_error(401, "invalid_token");
    server.stop().await;
}

/// What PyPI's `pyotp` says of a secret: codes of the steps before, now and after, and its reading of the
/// URI. `None` if it is not installed.
pub(crate) async fn pyotp(uri: &str) -> Option<Value> {
    const SCRIPT: &str = "import json, sys, time, pyotp
totp = pyotp.parse_uri(sys.argv[1])
now = int(time.time())
print(json.dumps({'codes': {str(step): totp.at(now + step * 30) for step in range(-3, 4)},
                  'name': totp.name, 'issuer': totp.issuer, 'secret': totp.secret}))";
    let python = peers::python()?;
    let output = tokio::process::Command::from(python)
        .args(["-c", SCRIPT, uri])
        .stderr(Stdio::inherit())
        .output()
        .await
        .expect("run python");
    assert!(output.status.success(), "pyotp failed");
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}

async fn enroll(client: &Client) -> Value {
    client.post("/api/auth/mfa/totp/enroll", json!({ "current_password": PASSWORD })).await.expect_ok()
}

async fn confirm(client: &Client, code: &Value) -> alyx_tests::client::Answer {
    client.post("/api/auth/mfa/totp/confirm", json!({ "code": code })).await
}

/// Signs in with the password and gives the token for the second factor.
async fn first_factor(server: &TestServer) -> Value {
    let body = json!({ "email": "ada@example.org", "password": PASSWORD });
    let answer = server.anon().post("/api/auth/login", body).await.expect_ok();
    assert_eq!(answer["mfa_required"], true, "{answer}");
    assert!(answer.get("access_token").is_none() && answer.get("user").is_none(), "{answer}");
    answer["mfa_token"].clone()
}

async fn challenge(
    server: &TestServer,
    token: &Value,
    member: &str,
    code: &Value,
) -> alyx_tests::client::Answer {
    server.anon().post("/api/auth/mfa/challenge", json!({ "mfa_token": token, member: code })).await
}

#[tokio::test]
async fn one_time_passwords_as_pyotp_makes_them() {
    let server = start().await;
    let ada = server.user("ada").await;
    let secret = enroll(&ada).await;
    let Some(peer) = pyotp(secret["uri"].as_str().unwrap()).await else { return };
    assert_eq!((&peer["secret"], &peer["name"]), (&secret["secret"], &json!("ada@example.org")));

    // Until it is confirmed it is not asked for.
    server.anon().login("ada@example.org", PASSWORD).await;
    confirm(&ada, &peer["codes"]["-3"]).await.expect_error(401, "invalid_code");
    let codes = confirm(&ada, &peer["codes"]["-1"]).await;
    if codes.status != 200 {
        // A step went by between the two processes.
        confirm(&ada, &peer["codes"]["0"]).await.expect_ok();
    }
    let again = ada.post("/api/auth/mfa/totp/enroll", json!({ "current_password": PASSWORD })).await;
    again.expect_error(409, "totp_enabled");

    let token = first_factor(&server).await;
    let anon = server.anon().with_token(token.as_str().unwrap());
    anon.get_path("/api/auth/me").await.expect_error(401, "invalid_token");
    challenge(&server, &token, "code", &peer["codes"]["-3"]).await.expect_error(401, "invalid_code");
    let signed_in = challenge(&server, &token, "code", &peer["codes"]["1"]).await.expect_ok();
    let ada = server.anon().with_token(signed_in["access_token"].as_str().unwrap());
    ada.get_path("/api/auth/me").await.expect_ok();

    // The same code, and any of an earlier step, is refused from then on; so is the used token.
    let token = first_factor(&server).await;
    for step in ["1", "0", "-1"] {
        challenge(&server, &token, "code", &peer["codes"][step]).await.expect_error(401, "invalid_code");
    }
    let server = server.restart().await;
    let token = first_factor(&server).await;
    challenge(&server, &token, "code", &peer["codes"]["1"]).await.expect_error(401, "invalid_code");
    server.stop().await;
}

/// An account with a second factor: its owner, and the recovery codes.
async fn protected(server: &TestServer) -> Option<(Client, Vec<Value>)> {
    let ada = server.user("ada").await;
    let secret = enroll(&ada).await;
    let peer = pyotp(secret["uri"].as_str().unwrap()).await?;
    let mut answer = confirm(&ada, &peer["codes"]["0"]).await;
    if answer.status != 200 {
        answer = confirm(&ada, &peer["codes"]["1"]).await;
    }
    let codes = answer.expect_ok()["recovery_codes"].as_array().unwrap().clone();
    Some((ada, codes))
}

#[tokio::test]
async fn recovery_codes_are_ten_and_good_once() {
    let server = start().await;
    let Some((ada, codes)) = protected(&server).await else { return };
    assert_eq!(codes.len(), 10);
    let status = ada.get_path("/api/auth/mfa").await.expect_ok();
    assert_eq!(status, json!({ "totp": true, "passkeys": 0, "recovery_codes_left": 10 }));
    let token = first_factor(&server).await;
    challenge(&server, &token, "recovery_code", &json!("aaaa-bbbb")).await.expect_error(401, "invalid_code");
    challenge(&server, &token, "recovery_code", &codes[0]).await.expect_ok();
    let token = first_factor(&server).await;
    challenge(&server, &token, "recovery_code", &codes[0]).await.expect_error(401, "invalid_code");
    let typed = json!(codes[1].as_str().unwrap().to_uppercase().replace('-', " "));
    challenge(&server, &token, "recovery_code", &typed).await.expect_ok();
    assert_eq!(ada.get_path("/api/auth/mfa").await.expect_ok()["recovery_codes_left"], 8);

    // New ones for a second factor; the old ones are gone.
    let renew = "/api/auth/mfa/recovery-codes";
    ada.post(renew, json!({ "current_password": PASSWORD })).await.expect_error(422, "validation_failed");
    let fresh = ada.post(renew, json!({ "recovery_code": codes[2] })).await.expect_ok();
    let token = first_factor(&server).await;
    challenge(&server, &token, "recovery_code", &codes[3]).await.expect_error(401, "invalid_code");
    challenge(&server, &token, "recovery_code", &fresh["recovery_codes"][0]).await.expect_ok();
    let database = std::fs::read(server.project.data().join("data.db")).unwrap();
    let wal = std::fs::read(server.project.data().join("data.db-wal")).unwrap_or_default();
    for code in fresh["recovery_codes"].as_array().unwrap() {
        let code = code.as_str().unwrap().as_bytes();
        assert!(![&database, &wal].iter().any(|bytes| bytes.windows(code.len()).any(|part| part == code)));
    }
    server.stop().await;
}

#[tokio::test]
async fn the_second_factor_goes_only_for_another_one() {
    let server = start().await;
    let Some((ada, codes)) = protected(&server).await else { return };
    let folder = server.project.data().join("mail");
    wait_in_folder(&folder, "ada@example.org", "second factor protects").await;
    let disable = async |body: Value| ada.post("/api/auth/mfa/totp/disable", body).await;
    disable(json!({ "current_password": PASSWORD })).await.expect_error(422, "validation_failed");
    disable(json!({ "code": "000" })).await.expect_error(403, "confirmation_failed");
    disable(json!({ "recovery_code": codes[4] })).await.expect_status(204);
    wait_in_folder(&folder, "ada@example.org", "was removed").await;
    server.anon().login("ada@example.org", PASSWORD).await.get_path("/api/auth/me").await.expect_ok();
    let status = ada.get_path("/api/auth/mfa").await.expect_ok();
    assert_eq!(status, json!({ "totp": false, "passkeys": 0, "recovery_codes_left": 0 }));
    disable(json!({ "recovery_code": codes[5] })).await.expect_error(403, "confirmation_failed");
    server.stop().await;
}

#[tokio::test]
async fn guesses_at_the_second_factor_are_bounded() {
    let server = start().await;
    let Some((_, codes)) = protected(&server).await else { return };
    let token = first_factor(&server).await;
    for _ in 0..5 {
        challenge(&server, &token, "code", &json!("1234567")).await.expect_error(401, "invalid_code");
    }
    // The token is used up, also for what would be right.
    challenge(&server, &token, "recovery_code", &codes[0]).await.expect_error(401, "invalid_code");
    let token = first_factor(&server).await;
    for _ in 0..5 {
        challenge(&server, &token, "code", &json!("7654321")).await.expect_error(401, "invalid_code");
    }
    // Ten were wrong: codes rest, recovery codes do not.
    let token = first_factor(&server).await;
    let refused = challenge(&server, &token, "code", &json!("123456")).await;
    assert!(refused.header("retry-after").is_some(), "{refused}");
    refused.expect_error(429, "too_many_requests");
    challenge(&server, &token, "recovery_code", &codes[0]).await.expect_ok();
    server.stop().await;
}

#[tokio::test]
async fn a_reset_does_not_pass_the_second_factor() {
    let server = start().await;
    let folder = server.project.data().join("mail");
    let Some((_, codes)) = protected(&server).await else { return };
    let token = wait_in_folder(&folder, "ada@example.org", "Confirm your address").await.token();
    server.anon().post("/api/auth/verify/confirm", json!({ "token": token })).await.expect_status(204);
    let forgot = json!({ "email": "ada@example.org" });
    server.anon().post("/api/auth/password/forgot", forgot.clone()).await.expect_status(202);
    let token = wait_in_folder(&folder, "ada@example.org", "Set a new password").await.token();
    let body = json!({ "token": token, "password": PASSWORD });
    server.anon().post("/api/auth/password/reset", body).await.expect_status(204);
    let token = first_factor(&server).await;
    challenge(&server, &token, "recovery_code", &codes[0]).await.expect_ok();

    // Nor does a code by mail.
    let asked = server.anon().post(CODE, forgot).await.expect_status(202).json();
    let code = wait_in_folder(&folder, "ada@example.org", "is your code").await.code();
    let answer = verify(&server, &asked["otp_token"], &code).await.expect_ok();
    assert_eq!(answer["mfa_required"], true);
    server.stop().await;
}

/// Somebody makes an account with an address of another and protects it. The reset by the address's owner
/// leaves nothing of theirs.
#[tokio::test]
async fn a_reset_takes_an_unverified_account_over_whole() {
    let server = start().await;
    let folder = server.project.data().join("mail");
    let Some((squatter, codes)) = protected(&server).await else { return };
    let forgot = json!({ "email": "ada@example.org" });
    server.anon().post("/api/auth/password/forgot", forgot).await.expect_status(202);
    let token = wait_in_folder(&folder, "ada@example.org", "Set a new password").await.token();
    let body = json!({ "token": token, "password": "the owner's own horse" });
    server.anon().post("/api/auth/password/reset", body).await.expect_status(204);
    squatter.get_path("/api/auth/me").await.expect_error(401, "invalid_token");
    let owner = server.anon().login("ada@example.org", "the owner's own horse").await;
    let status = owner.get_path("/api/auth/mfa").await.expect_ok();
    assert_eq!(status, json!({ "totp": false, "passkeys": 0, "recovery_codes_left": 0 }), "not {codes:?}");
    server.stop().await;
}

#[tokio::test]
async fn an_administrator_removes_the_second_factors_of_who_lost_them() {
    let server = start().await;
    let Some((ada, codes)) = protected(&server).await else { return };
    let mut phone = Authenticator::new(server.url());
    let proof = json!({ "recovery_code": codes[0] });
    let asked = ada.post("/api/auth/passkey/register/begin", proof).await.expect_ok();
    let body = json!({ "passkey_token": asked["passkey_token"], "credential": phone.create(&asked) });
    ada.post("/api/auth/passkey/register/finish", body).await.expect_status(201);
    let path = format!("/api/admin/users/{}/mfa", ada.id());
    let delete = async |client: &Client| client.send(reqwest::Method::DELETE, &path, None).await;
    delete(&ada).await.expect_error(403, "forbidden");
    delete(&server.anon()).await.expect_error(401, "unauthenticated");
    first_factor(&server).await;

    let cli = server.cli();
    cli.run(&["users", "remove-mfa", "ada@example.org"]).await.expect_ok();
    let folder = server.project.data().join("mail");
    wait_in_folder(&folder, "ada@example.org", "second factors").await;
    let status = ada.get_path("/api/auth/mfa").await.expect_ok();
    assert_eq!(status, json!({ "totp": false, "passkeys": 0, "recovery_codes_left": 0 }));
    server.anon().login("ada@example.org", PASSWORD).await;
    let asked = server.anon().post("/api/auth/passkey/login/begin", json!({})).await.expect_ok();
    let shown = server.anon().post("/api/auth/passkey/login/finish", phone.answer(&asked)).await;
    shown.expect_error(401, "invalid_passkey");

    let admin = server.over_admin_socket();
    delete(&admin).await.expect_error(404, "no_second_factor");
    let nobody = "/api/admin/users/nobody/mfa";
    admin.send(reqwest::Method::DELETE, nobody, None).await.expect_error(404, "document_not_found");
    let rows = admin.get_path("/api/admin/audit?action=user.remove_factors").await.expect_ok();
    let rows = rows["entries"].as_array().expect("rows");
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["target"], format!("user:{}", ada.id()));
    server.stop().await;
}
