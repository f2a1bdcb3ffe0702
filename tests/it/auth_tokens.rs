//! Tokens in the eyes of others, keys that rotate, cookies of pages.

use std::process::Stdio;

use alyx_tests::server::PASSWORD;
use alyx_tests::{Client, Project, TestServer, peers};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::lab;

/// Of nobody: made for this test.
const SECRET: &str = "k7Qm2vX9pLw4Rt8Zn3Bf6Hd1Js5Gy0Ca";

const PYJWT: &str = "
import json, sys, jwt
given = json.load(sys.stdin)
header = jwt.get_unverified_header(given['token'])
assert header['typ'] == 'at+jwt', header
if given['secret']:
    key, algorithm = given['secret'], 'HS256'
else:
    key = next(k for k in jwt.PyJWKSet.from_dict(given['jwks']).keys if k.key_id == header['kid']).key
    algorithm = 'EdDSA'
claims = jwt.decode(given['token'], key, algorithms=[algorithm], audience='alyx', issuer='alyx',
                    options={'require': ['iss', 'aud', 'sub', 'sid', 'iat', 'exp', 'jti', 'role', 'scope']})
print(claims['sub'])
";

const JOSE: &str = "
import { createLocalJWKSet, jwtVerify } from 'jose';
const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const given = JSON.parse(Buffer.concat(chunks));
const key = given.secret ? new TextEncoder().encode(given.secret) : createLocalJWKSet(given.jwks);
const { payload } = await jwtVerify(given.token, key, {
  issuer: 'alyx', audience: 'alyx', typ: 'at+jwt', algorithms: [given.secret ? 'HS256' : 'EdDSA'],
});
console.log(payload.sub);
";

/// The subject that PyJWT and jose read from a token they verified.
async fn verified_by_others(token: &str, jwks: &Value, secret: Option<&str>) -> Vec<String> {
    let given = json!({ "token": token, "jwks": jwks, "secret": secret }).to_string();
    let mut subjects = Vec::new();
    let programs = [
        peers::python().map(|mut python| {
            python.args(["-c", PYJWT]);
            python
        }),
        peers::node().map(|mut node| {
            node.args(["--input-type=module", "-e", JOSE]);
            node
        }),
    ];
    for program in programs.into_iter().flatten() {
        let mut child = tokio::process::Command::from(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start a peer");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(given.as_bytes()).await.expect("give it the token");
        drop(stdin);
        let output = child.wait_with_output().await.expect("wait for a peer");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        subjects.push(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    subjects
}

#[tokio::test]
async fn others_verify_our_tokens_and_a_rotation_signs_nobody_out() {
    let server = lab().await;
    let ada = server.user("ada").await;
    let jwks = server.anon().get_path("/.well-known/jwks.json").await.expect_ok();
    for subject in verified_by_others(ada.token(), &jwks, None).await {
        assert_eq!(subject, ada.id());
    }
    server.cli().run(&["keys", "rotate"]).await.expect_ok();
    ada.get_path("/api/auth/me").await.expect_ok();
    let bob = server.user("bob").await;
    let jwks = server.anon().get_path("/.well-known/jwks.json").await.expect_ok();
    assert_eq!(jwks["keys"].as_array().unwrap().len(), 2);
    assert!(!jwks.to_string().contains("\"d\""), "a private key: {jwks}");
    for who in [&ada, &bob] {
        for subject in verified_by_others(who.token(), &jwks, None).await {
            assert_eq!(subject, who.id());
        }
    }
    let server = server.restart().await;
    for who in [&ada, &bob] {
        server.anon().with_session(who.session()).get_path("/api/auth/me").await.expect_ok();
    }
    // Dropping the keys refuses their tokens; the sessions go on.
    let admin = server.over_admin_socket();
    let drop_all = json!({ "drop_previous": true });
    admin.post("/api/admin/signing-keys/rotate", drop_all).await.expect_status(201);
    let ada_again = server.anon().with_session(ada.session());
    ada_again.get_path("/api/auth/me").await.expect_error(401, "invalid_token");
    let refresh = json!({ "refresh_token": ada.session()["refresh_token"] });
    server.anon().post("/api/auth/refresh", refresh).await.expect_ok();
    server.stop().await;
}

#[tokio::test]
async fn a_shared_secret_signs_on_request() {
    let project = Project::fixture("lab");
    let project = project.with("alyx.yaml", &format!("auth: {{ algorithm: hs256, secret: {SECRET} }}\n"));
    let server = TestServer::start(project).await;
    let ada = server.user("ada").await;
    ada.get_path("/api/auth/me").await.expect_ok();
    let jwks = server.anon().get_path("/.well-known/jwks.json").await.expect_ok();
    assert_eq!(jwks, json!({ "keys": [] }));
    for subject in verified_by_others(ada.token(), &jwks, Some(SECRET)).await {
        assert_eq!(subject, ada.id());
    }
    let rotate = server.over_admin_socket().post("/api/admin/signing-keys/rotate", json!({})).await;
    rotate.expect_error(409, "conflict");
    assert!(!server.output().contains(SECRET));
    server.stop().await;
}

/// A page: cookies in, cookies out.
struct Page {
    anon: Client,
    cookies: String,
    csrf: String,
}

impl Page {
    async fn sign_in(server: &TestServer) -> Self {
        let body = json!({ "email": "ada@example.org", "password": PASSWORD }).to_string();
        let headers = [("content-type", "application/json"), ("x-alyx-session", "cookie")];
        let answer = server.anon().raw(Method::POST, "/api/auth/login", &headers, body.into_bytes()).await;
        let set: Vec<String> = answer
            .headers
            .get_all("set-cookie")
            .iter()
            .map(|value| value.to_str().unwrap().to_owned())
            // That this device was there before is no credential.
            .filter(|cookie| !cookie.starts_with("alyx_device="))
            .collect();
        let body = answer.expect_ok();
        assert!(body.get("access_token").is_none() && body.get("refresh_token").is_none(), "{body}");
        assert_eq!(set.len(), 3, "{set:?}");
        for cookie in &set {
            assert!(cookie.contains("; Secure; SameSite=Lax") && !cookie.contains("Domain"), "{cookie}");
            assert!(cookie.contains("; HttpOnly") != cookie.starts_with("__Host-alyx-csrf"), "{cookie}");
            assert!(cookie.len() < 4_096);
        }
        let pairs: Vec<&str> = set.iter().filter_map(|cookie| cookie.split(';').next()).collect();
        let csrf = body["csrf_token"].as_str().unwrap().to_owned();
        Self { anon: server.anon(), cookies: pairs.join("; "), csrf }
    }

    async fn send(&self, method: Method, path: &str, extra: &[(&str, &str)]) -> alyx_tests::Answer {
        let mut headers = vec![("content-type", "application/json"), ("cookie", self.cookies.as_str())];
        headers.extend_from_slice(extra);
        self.anon.raw(method, path, &headers, b"{\"title\":\"x\"}".to_vec()).await
    }
}

#[tokio::test]
async fn m14_a_cookie_changes_nothing_from_another_origin() {
    let server = lab().await;
    server.user("ada").await;
    let page = Page::sign_in(&server).await;
    page.send(Method::GET, "/api/auth/me", &[]).await.expect_ok();
    let own = server.url().to_owned();
    let csrf = ("x-csrf-token", page.csrf.as_str());
    let change = "/api/auth/logout-all";
    let refused: &[&[(&str, &str)]] = &[
        &[],
        &[("origin", &own)],
        &[("x-csrf-token", "AAAA")],
        &[csrf, ("origin", "https://evil.test")],
        &[csrf, ("origin", "null")],
        &[csrf, ("sec-fetch-site", "cross-site")],
        &[csrf, ("sec-fetch-site", "same-site")],
    ];
    for extra in refused {
        page.send(Method::POST, change, extra).await.expect_error(403, "csrf_rejected");
        page.send(Method::POST, "/api/collections/posts", extra).await.expect_error(403, "csrf_rejected");
    }
    // The token of another session of the same user is no better than none.
    let other = Page::sign_in(&server).await;
    let swapped = page.cookies.replace(&page.csrf, &other.csrf);
    let swapped = Page { anon: server.anon(), cookies: swapped, csrf: other.csrf.clone() };
    let shown = [("x-csrf-token", swapped.csrf.as_str()), ("origin", own.as_str())];
    swapped.send(Method::POST, change, &shown).await.expect_error(403, "csrf_rejected");
    let foreign =
        server.anon().raw(Method::GET, "/api/auth/me", &[("origin", "https://evil.test")], Vec::new()).await;
    assert!(foreign.header("access-control-allow-origin").is_none());
    assert!(foreign.header("access-control-allow-credentials").is_none());

    let good = [csrf, ("origin", own.as_str())];
    let headers = [("content-type", "application/json"), ("cookie", page.cookies.as_str()), csrf];
    let refreshed = server.anon().raw(Method::POST, "/api/auth/refresh", &headers, b"{}".to_vec()).await;
    assert_eq!(refreshed.headers.get_all("set-cookie").iter().count(), 3);
    refreshed.expect_ok();
    page.send(Method::POST, change, &good).await.expect_status(204);
    page.send(Method::GET, "/api/auth/me", &[]).await.expect_error(401, "invalid_token");
    server.stop().await;
}
