//! How often somebody may do something, and who pays for whom.

use alyx_tests::server::PASSWORD;
use alyx_tests::{Answer, Client, Project, TestServer};
use reqwest::Method;
use serde_json::json;

/// The lab with a configuration.
async fn lab_with(config: &str) -> TestServer {
    TestServer::start(Project::fixture("lab").with("alyx.yaml", config)).await
}

/// An attempt to sign in with a wrong password, over a new connection.
async fn attempt(server: &TestServer, email: &str, headers: &[(&str, &str)]) -> Answer {
    let body = json!({ "email": email, "password": "wrong horse" }).to_string().into_bytes();
    let headers = [&[("content-type", "application/json")], headers].concat();
    Client::new(server.url()).raw(Method::POST, "/api/auth/login", &headers, body).await
}

#[tokio::test]
async fn m12_the_throttle_is_not_escaped() {
    let server = lab_with("auth: { login_per_minute: 5 }").await;
    let spellings =
        ["ada@example.org", "ADA@example.org", "ada@EXAMPLE.org", " ada@example.org", "aDa@example.org "];
    for (index, email) in spellings.into_iter().enumerate() {
        let answer = attempt(&server, email, &[]).await;
        assert_eq!(answer.status, 401, "{index}: {answer}");
        let limits = answer.header("ratelimit").unwrap_or_default();
        assert!(limits.starts_with(&format!("\"login\";r={};t=", 4 - index)), "{limits}");
        assert!(answer.header("ratelimit-policy").unwrap_or_default().contains("\"login\";q=5;w=60"));
    }
    let forged: [&[(&str, &str)]; 6] = [
        &[],
        &[("x-forwarded-for", "203.0.113.7")],
        &[("forwarded", "for=203.0.113.7")],
        &[("x-real-ip", "203.0.113.7"), ("x-client-ip", "203.0.113.7")],
        &[("x-forwarded-for", "203.0.113.7"), ("x-forwarded-for", "203.0.113.8")],
        &[("cf-connecting-ip", "203.0.113.7"), ("true-client-ip", "203.0.113.7"), ("user-agent", "another")],
    ];
    for headers in forged {
        for email in ["ada@example.org", "AdA@eXample.org"] {
            let answer = attempt(&server, email, headers).await;
            let wait: u64 = answer.header("retry-after").unwrap_or_default().parse().expect("a number");
            assert!((1..=12).contains(&wait), "{wait}");
            assert!(answer.header("ratelimit").unwrap_or_default().starts_with("\"login\";r=0;t="));
            answer.expect_error(429, "too_many_requests");
        }
    }
    // Another account is not concerned, and whether there is one makes no difference.
    attempt(&server, "bob@example.org", &[]).await.expect_error(401, "invalid_credentials");
    server.stop().await;
}

#[tokio::test]
async fn m12_a_trusted_proxy_tells_addresses_apart() {
    let server = lab_with(
        "server: { trusted_proxies: [127.0.0.1] }\nauth: { login_per_minute: 1, register_per_minute: 1 }",
    )
    .await;
    let from = async |address: &str| {
        attempt(&server, "ada@example.org", &[("x-forwarded-for", address)]).await.status.as_u16()
    };
    assert_eq!(from("203.0.113.7").await, 401);
    assert_eq!(from("203.0.113.7").await, 429);
    // What a client wrote itself stands before what the proxy added.
    assert_eq!(from("198.51.100.9, 203.0.113.7").await, 429);
    assert_eq!(from("203.0.113.8").await, 401);
    // One customer's IPv6 block is one address.
    assert_eq!(from("2001:db8::1").await, 401);
    assert_eq!(from("2001:db8::2").await, 429);
    assert_eq!(from("2001:db8:0:1::1").await, 401);
    server.stop().await;
}

#[tokio::test]
async fn registrations_are_limited_by_address() {
    let server = lab_with("auth: { register_per_minute: 3 }").await;
    let register = async |name: &str| {
        let body = json!({ "email": format!("{name}@example.org"), "password": PASSWORD });
        server.anon().post("/api/auth/register", body).await
    };
    for name in ["ada", "bob", "eve"] {
        register(name).await.expect_status(201);
    }
    register("mallory").await.expect_error(429, "too_many_requests");
    // Over the admin socket nothing is limited.
    let admin = server.over_admin_socket();
    for number in 0..5 {
        let body = json!({ "email": format!("user{number}@example.org"), "password": PASSWORD });
        let answer = admin.post("/api/admin/users", body).await.expect_status(201);
        assert_eq!(answer.header("ratelimit"), None);
    }
    server.stop().await;
}

#[tokio::test]
async fn every_class_of_requests_has_a_limit() {
    let per_minute = "2";
    let keys = ["reads", "writes", "functions", "auth", "admin"];
    let config: String = keys.map(|key| format!("  {key}_per_minute: {per_minute}\n")).concat();
    let server = lab_with(&format!("limits:\n{config}")).await;
    let cases = [
        (Method::GET, "/api/collections/posts", "read"),
        (Method::POST, "/api/collections/posts", "write"),
        (Method::POST, "/api/functions/hostile-node", "function"),
        (Method::GET, "/api/auth/status", "auth"),
        (Method::GET, "/api/admin/users", "admin"),
    ];
    for (method, path, class) in cases {
        let anon = server.anon();
        // An address may do ten times as much as one identity.
        for left in (0..20).rev() {
            let answer = anon.send(method.clone(), path, Some("{}".to_owned())).await;
            assert_ne!(answer.status, 429, "{method} {path}: {left}");
            let limits = answer.header("ratelimit").unwrap_or_default().to_owned();
            assert!(limits.starts_with(&format!("\"{class}-address\";r={left};t=")), "{class} {limits}");
        }
        let refused = anon.send(method, path, Some("{}".to_owned())).await;
        assert!(refused.header("retry-after").is_some());
        assert_eq!(refused.header("cache-control"), Some("no-store"));
        refused.expect_error(429, "too_many_requests");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_identity_has_its_own_limit() {
    let server = lab_with("limits: { reads_per_minute: 3 }").await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    for left in (0..3).rev() {
        let answer = ada.list("posts", "").await.expect_status(200);
        assert!(answer.header("ratelimit").unwrap_or_default().contains(&format!("\"read\";r={left};")));
    }
    ada.list("posts", "").await.expect_error(429, "too_many_requests");
    // A new session is the same identity; another person is not.
    let again = server.anon().login("ada@example.org", PASSWORD).await;
    again.list("posts", "").await.expect_error(429, "too_many_requests");
    bob.list("posts", "").await.expect_status(200);
    ada.get_path("/api/auth/me").await.expect_status(200);
    server.stop().await;
}

/// Tries to sign in from an address, behind a trusted proxy.
async fn sign_in(
    server: &TestServer,
    email: &str,
    password: &str,
    address: &str,
    more: &[(&str, &str)],
) -> Answer {
    let body = json!({ "email": email, "password": password }).to_string().into_bytes();
    let headers = [&[("content-type", "application/json"), ("x-forwarded-for", address)], more].concat();
    Client::new(server.url()).raw(Method::POST, "/api/auth/login", &headers, body).await
}

/// The device's cookie of an answer, as it is sent back.
fn device(answer: &Answer) -> String {
    let cookie = answer.header("set-cookie").expect("a sign-in makes the device known");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    cookie.split(';').next().expect("a cookie has a value").to_owned()
}

/// Does the work that a challenge asks for.
fn solve(answer: Answer) -> String {
    let problem = answer.expect_error(403, "challenge_required");
    let details = problem.details.expect("a challenge");
    let (challenge, bits) =
        (details["challenge"].as_str().expect("text"), details["bits"].as_u64().expect("a number"));
    let bits = u32::try_from(bits).expect("a small number");
    let solves = |number: &u64| {
        let text = format!("{challenge}:{number}");
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        let start = hash.as_ref()[..8].try_into().expect("eight bytes");
        u64::from_be_bytes(start).leading_zeros() >= bits
    };
    format!("{challenge}:{}", (0..).find(solves).expect("there is a solution"))
}

const LOCKING: &str = "server: { trusted_proxies: [127.0.0.1] }\n\
    auth: { login_per_minute: 1000, lockout_after: 3, challenge_after: 6 }\n";

#[tokio::test]
async fn m12_a_stranger_does_not_lock_a_victim_out() {
    let server = lab_with(LOCKING).await;
    let (ada, wrong) = ("ada@example.org", "wrong horse battery");
    server.user("ada").await;
    let phone = device(&sign_in(&server, ada, PASSWORD, "203.0.113.1", &[]).await.expect_status(200));
    // Three wrong guesses lock the place, in whatever letters, for accounts that exist and others.
    for email in [ada, "nobody@example.org"] {
        for spelling in [email.to_owned(), email.to_uppercase(), format!(" {email}")] {
            let answer = sign_in(&server, &spelling, wrong, "198.51.100.1", &[]).await;
            answer.expect_error(401, "invalid_credentials");
        }
        let locked = sign_in(&server, email, PASSWORD, "198.51.100.1", &[]).await;
        let wait: u64 = locked.header("retry-after").unwrap_or_default().parse().expect("a number");
        assert!((1..=16).contains(&wait), "{wait}");
        locked.expect_error(429, "locked_out");
    }
    // Another place is not locked, until there have been too many from all of them together.
    sign_in(&server, ada, PASSWORD, "203.0.113.2", &[]).await.expect_status(200);
    for number in 2..5 {
        sign_in(&server, ada, wrong, &format!("198.51.100.{number}"), &[]).await.expect_status(401);
    }
    let challenged = sign_in(&server, ada, PASSWORD, "203.0.113.3", &[]).await;
    let solution = solve(challenged);
    let solved = [("x-alyx-challenge", solution.as_str())];
    sign_in(&server, "bob@example.org", wrong, "203.0.113.3", &solved).await.expect_status(401);
    sign_in(&server, ada, PASSWORD, "203.0.113.3", &solved).await.expect_status(200);
    sign_in(&server, ada, PASSWORD, "203.0.113.3", &solved).await.expect_error(403, "challenge_required");
    // A device that the account knows is let in from everywhere, even from where the stranger is.
    for address in ["203.0.113.4", "198.51.100.1"] {
        let answer = sign_in(&server, ada, PASSWORD, address, &[("cookie", &phone)]).await.expect_status(200);
        assert_eq!(answer.header("set-cookie"), None, "it is known already");
    }
    // It is no key to another account, and not to its own for ever.
    let other = [("cookie", phone.as_str())];
    sign_in(&server, "nobody@example.org", wrong, "198.51.100.1", &other)
        .await
        .expect_error(429, "locked_out");
    for _ in 0..3 {
        sign_in(&server, ada, wrong, "203.0.113.5", &other).await.expect_status(401);
    }
    sign_in(&server, ada, wrong, "203.0.113.5", &other).await.expect_error(403, "challenge_required");
    server.stop().await;
}

#[tokio::test]
async fn lockouts_survive_a_restart_and_can_be_cleared() {
    let server = lab_with(LOCKING).await;
    let (ada, wrong) = ("ada@example.org", "wrong horse battery");
    server.user("ada").await;
    let phone = device(&sign_in(&server, ada, PASSWORD, "203.0.113.1", &[]).await.expect_status(200));
    for number in 0..8 {
        sign_in(&server, ada, wrong, &format!("198.51.100.{}", number / 3), &[]).await;
    }
    let server = server.restart().await;
    sign_in(&server, ada, PASSWORD, "203.0.113.9", &[]).await.expect_error(403, "challenge_required");
    sign_in(&server, ada, PASSWORD, "203.0.113.9", &[("cookie", &phone)]).await.expect_status(200);
    let said = server.cli().run(&["lockouts", "list"]).await.expect_code(0);
    assert!(said.out.contains(ada) && said.out.contains("any"), "{said:#?}");
    server.anon().get_path("/api/admin/lockouts").await.expect_error(401, "unauthenticated");
    server.cli().run(&["lockouts", "clear", "Ada@Example.org"]).await.expect_code(0);
    sign_in(&server, ada, PASSWORD, "203.0.113.9", &[]).await.expect_status(200);
    let said = server.cli().run(&["--json", "lockouts", "list"]).await.expect_code(0);
    assert!(!said.out.contains(ada), "{said:#?}");
    server.cli().run(&["lockouts", "clear", "--all"]).await.expect_code(0);
    server.cli().run(&["lockouts", "clear"]).await.expect_code(2);
    server.stop().await;
}
