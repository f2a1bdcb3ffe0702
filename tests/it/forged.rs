//! Tokens that somebody else made, through the real daemon. Its secret is known here, so that each is
//! signed as well as a forger could, and wrong in one thing only.

use alyx_tests::server::PASSWORD;
use alyx_tests::{Project, TestServer};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::lab;

/// Of nobody: made for this test.
const SECRET: &str = "k7Qm2vX9pLw4Rt8Zn3Bf6Hd1Js5Gy0Ca";

/// Header and claims of a token.
fn parts(token: &str) -> (Value, Value) {
    let decode = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    let mut parts = token.split('.');
    (decode(parts.next().unwrap()), decode(parts.next().unwrap()))
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// Signed with HMAC by `secret`, with this header word for word.
fn signed(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let message = format!("{}.{}", part(header), part(claims));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, message.as_bytes())))
}

async fn status_of(server: &TestServer, token: &str) -> u16 {
    server.anon().with_token(token).get_path("/api/auth/me").await.status.as_u16()
}

#[tokio::test]
async fn m09_a_token_that_is_wrong_in_one_thing_is_refused() {
    let config = format!("auth: {{ algorithm: hs256, secret: {SECRET} }}\n");
    let server = TestServer::start(Project::fixture("lab").with("alyx.yaml", &config)).await;
    let ada = server.user("ada").await;
    let (header, claims) = parts(ada.token());
    let now = claims["iat"].as_i64().unwrap();
    let with = |value: &Value, name: &str, changed: Value| {
        let mut value = value.clone();
        match changed {
            Value::Null => drop(value.as_object_mut().unwrap().remove(name)),
            changed => value[name] = changed,
        }
        value
    };
    assert_eq!(
        status_of(&server, &signed(&header, &claims, SECRET.as_bytes())).await,
        200,
        "what it is built of"
    );
    let in_claims = [
        ("iss", json!("other")),
        ("iss", json!("alyx.evil.test")),
        ("iss", json!("ALYX")),
        ("iss", Value::Null),
        ("aud", json!("other")),
        ("aud", json!("aly")),
        ("aud", json!(["other", "another"])),
        ("aud", Value::Null),
        ("exp", json!(now - 60)),
        ("exp", json!("never")),
        ("exp", json!(-1)),
        ("exp", Value::Null),
        ("nbf", json!(now + 600)),
        ("iat", json!(now + 600)),
        ("sub", Value::Null),
        ("sub", json!("01900000-0000-7000-8000-000000000000")),
        ("sid", Value::Null),
        ("sid", json!("01900000-0000-7000-8000-000000000000")),
    ];
    for (name, value) in in_claims {
        let token = signed(&header, &with(&claims, name, value.clone()), SECRET.as_bytes());
        assert_eq!(status_of(&server, &token).await, 401, "{name}: {value}");
    }
    let in_header = [
        ("typ", json!("JWT")),
        ("typ", json!("id+jwt")),
        ("typ", Value::Null),
        ("alg", json!("none")),
        ("alg", json!("nOnE")),
        ("alg", json!("HS384")),
        ("alg", json!("EdDSA")),
        ("alg", Value::Null),
        ("crit", json!(["b64"])),
    ];
    for (name, value) in in_header {
        let token = signed(&with(&header, name, value.clone()), &claims, SECRET.as_bytes());
        assert_eq!(status_of(&server, &token).await, 401, "{name}: {value}");
    }
    // A role in a token is no role: it is read from the account.
    let promoted = signed(&header, &with(&claims, "role", json!("admin")), SECRET.as_bytes());
    let answer = server.anon().with_token(&promoted).get_path("/api/admin/users").await;
    assert!([401, 403].contains(&answer.status.as_u16()), "{answer}");
    let token = ada.token();
    for changed in [
        signed(&header, &claims, b""),
        signed(&header, &claims, b"another secret of thirty-two bytes"),
        format!("{token}="),
        format!("{token}."),
        format!("{token}A"),
        token[..token.len() - 1].to_owned(),
        token.replace('.', ".."),
        format!("{}.{}.", token.split('.').next().unwrap(), part(&claims)),
        json!({ "protected": part(&header), "payload": part(&claims), "signature": "AAAA" }).to_string(),
    ] {
        assert_eq!(status_of(&server, &changed).await, 401, "{changed}");
    }
    ada.get_path("/api/auth/me").await.expect_ok();
    server.stop().await;
}

#[tokio::test]
async fn m09_no_key_but_ours_is_looked_for() {
    let server = lab().await;
    let ada = server.user("ada").await;
    let (header, claims) = parts(ada.token());
    let jwks = server.anon().get_path("/.well-known/jwks.json").await.expect_ok();
    let public = jwks["keys"][0]["x"].as_str().expect("a public key");
    // The public key, in every form it is known in, is no secret.
    let raw = URL_SAFE_NO_PAD.decode(public).unwrap();
    for secret in [public.as_bytes(), &raw, jwks["keys"][0].to_string().as_bytes(), b""] {
        for (name, typ) in [("HS256", "at+jwt"), ("HS384", "at+jwt"), ("EdDSA", "at+jwt")] {
            let mut forged = header.clone();
            (forged["alg"], forged["typ"]) = (json!(name), json!(typ));
            assert_eq!(status_of(&server, &signed(&forged, &claims, secret)).await, 401, "{name}");
        }
    }
    // A pair of our own, and every way to point at it.
    let pair = aws_lc_rs::signature::Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new());
    let key = EncodingKey::from_ed_der(pair.unwrap().as_ref());
    let kids = [
        header["kid"].as_str().unwrap(),
        "../../../../dev/null",
        "/dev/null",
        "' UNION SELECT 'x' --",
        "x\0y",
        "http://127.0.0.1:1/key",
        "",
    ];
    for kid in kids.map(str::to_owned).into_iter().chain(["k".repeat(2_000)]) {
        let mut forged = Header::new(Algorithm::EdDSA);
        forged.typ = Some("at+jwt".to_owned());
        forged.kid = Some(kid.clone());
        forged.jku = Some("http://127.0.0.1:1/jwks.json".to_owned());
        forged.x5u = Some("http://127.0.0.1:1/x.pem".to_owned());
        let token = encode(&forged, &claims, &key).unwrap();
        assert_eq!(status_of(&server, &token).await, 401, "{kid:.40}");
    }
    // Nor does it matter how often somebody tries: the owner is not signed out by it.
    ada.get_path("/api/auth/me").await.expect_ok();
    server.anon().login("ada@example.org", PASSWORD).await.get_path("/api/auth/me").await.expect_ok();
    server.stop().await;
}
