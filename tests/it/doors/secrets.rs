//! M08: what signs tokens, and what seals the secrets of accounts, is told by no answer, line or function.

use std::time::Duration;

use alyx_tests::{Client, Project, TestServer};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use reqwest::Method;
use serde_json::{Value, json};

use crate::post;

const SECRET: &str = "k7Qm2vX9pLw4Rt8Zn3Bf6Hd1Js5Gy0Ca-canary";

/// A secret in the forms in which it could be told.
fn forms(secret: &[u8]) -> Vec<String> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut forms =
        vec![hex, STANDARD.encode(secret), STANDARD_NO_PAD.encode(secret), URL_SAFE_NO_PAD.encode(secret)];
    forms.extend(std::str::from_utf8(secret).map(str::to_owned));
    forms
}

/// Every path of the API with something in its braces, and its methods.
async fn paths(anon: &Client, post: &str) -> Vec<(Method, String)> {
    let openapi = anon.get_path("/api/openapi.json").await.expect_ok();
    let mut paths = Vec::new();
    for (template, methods) in openapi["paths"].as_object().unwrap() {
        let mut path = template.replace("{id}", post);
        while let Some((before, after)) = path.split_once('{') {
            let (name, rest) = after.split_once('}').unwrap();
            let value = if name == "name" { "caller" } else { "posts" };
            path = format!("{before}{value}{rest}");
        }
        for method in methods.as_object().unwrap().keys() {
            if let Ok(method) = method.to_uppercase().parse::<Method>() {
                paths.push((method, path.clone()));
            }
        }
    }
    paths
}

#[tokio::test(flavor = "multi_thread")]
async fn m08_what_signs_and_seals_is_told_by_nothing() {
    let config = format!("auth: {{ algorithm: hs256, secret: {SECRET} }}\n");
    let server = TestServer::start(Project::fixture("lab").with("alyx.yaml", &config)).await;
    let (ada, admin) = (server.user("ada").await, server.admin().await);
    let mine = post(&ada, "mine", "published").await;
    let sealing = std::fs::read(server.project.data().join("secret.key")).unwrap();
    let secrets: Vec<String> = [SECRET.as_bytes(), sealing.as_slice()].into_iter().flat_map(forms).collect();
    let check = |place: &str, text: &str| {
        let told = secrets.iter().any(|secret| text.contains(secret));
        assert!(!told, "{place} tells a secret: {text}");
    };
    let paths = paths(&server.anon(), mine.id()).await;
    assert!(paths.len() > 40, "{paths:?}");
    let wrong = server.anon().with_token("e30.e30.e30");
    for (method, path) in &paths {
        for who in [&wrong, &ada, &admin] {
            // Writing as somebody would change the world of the next; a body that is no JSON does not.
            let body = (*method != Method::GET).then(|| "{".to_owned());
            if body.is_some() && (*method == Method::DELETE || path.contains("logout")) {
                continue;
            }
            let answer = who.send(method.clone(), path, body);
            // What follows a stream has no end.
            let Ok(answer) = tokio::time::timeout(Duration::from_secs(60), answer).await else { continue };
            let headers = format!("{:?}", answer.headers);
            check(&format!("{method} {path}"), &(answer.text() + &headers));
        }
    }
    // The requests were made as somebody until the last.
    for who in [&ada, &admin] {
        who.get_path("/api/auth/me").await.expect_ok();
    }
    for function in ["hostile-node", "hostile-python"] {
        let environment = admin.invoke(function, json!({ "mode": "environment" })).await.expect_ok();
        assert!(environment.as_object().is_some_and(|all| !all.is_empty()), "{environment}");
        check(function, &environment.to_string());
    }
    let input = admin.invoke("caller", json!({ "op": "auth" })).await.expect_ok();
    assert_ne!(input, Value::Null);
    check("ctx.auth", &input.to_string());
    let cli = server.cli();
    for arguments in [&["status"][..], &["status", "--json"], &["doctor"], &["rules", "check"]] {
        let said = cli.run(arguments).await;
        check(&arguments.join(" "), &(said.out + &said.err));
    }
    check("the log", &server.output());
    // The same search finds what is told.
    assert!(secrets.iter().any(|secret| config.contains(secret)));
    server.stop().await;
}
