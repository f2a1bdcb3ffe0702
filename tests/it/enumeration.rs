//! Whether an account exists is told neither by answers nor by the time that they take.

use std::time::{Duration, Instant};

use alyx_tests::client::Answer;
use alyx_tests::mails::SmtpSink;
use alyx_tests::server::PASSWORD;
use alyx_tests::{Client, Project, TestServer};
use serde_json::{Value, json};

/// How long the mail server lets us wait, so a mail that is sent before its request is answered shows.
const GREETS_AFTER: Duration = Duration::from_millis(400);

/// Requests of a kind for each of both sorts of addresses.
const ROUNDS: usize = 15;

/// Measurements that may be spoilt by what else the machine does.
const TRIES: usize = 4;

/// A server that sends mail, and so verifies addresses first, with a verified account of Ada and an
/// unverified one of Bob.
async fn start(sink: &SmtpSink) -> TestServer {
    let server = TestServer::start(Project::fixture("lab").with("alyx.yaml", &sink.mail_config())).await;
    let admin = server.over_admin_socket();
    for (name, verified) in [("ada", true), ("bob", false)] {
        let user =
            json!({ "email": format!("{name}@example.org"), "password": PASSWORD, "verified": verified });
        admin.post("/api/admin/users", user).await.expect_status(201);
    }
    server
}

/// The requests that could tell, for this address.
fn requests(email: &str) -> [(&'static str, Value); 5] {
    let address = json!({ "email": email });
    let credentials = json!({ "email": email, "password": "wrong horse battery" });
    [
        ("/api/auth/login", credentials.clone()),
        ("/api/auth/register", credentials),
        ("/api/auth/password/forgot", address.clone()),
        ("/api/auth/verify/request", address.clone()),
        ("/api/auth/otp/request", address),
    ]
}

/// Everything that a client sees of an answer, but for what is new in every one. What is left of limits
/// counts what this client did, and their policy is compared.
fn seen(answer: &Answer) -> (u16, Vec<(String, String)>, Value) {
    let mut headers: Vec<(String, String)> = answer
        .headers
        .iter()
        .filter(|(name, _)| !["date", "x-request-id", "ratelimit"].contains(&name.as_str()))
        .map(|(name, value)| {
            // What is nearest to its limit comes first.
            let mut parts: Vec<&str> = value.to_str().expect("text").split(", ").collect();
            parts.sort_unstable();
            (name.to_string(), parts.join(", "))
        })
        .collect();
    headers.sort();
    let mut body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    for fresh in ["request_id", "otp_token"] {
        if let Some(value) = body.get_mut(fresh) {
            *value = json!(value.as_str().map(str::len));
        }
    }
    (answer.status.as_u16(), headers, body)
}

#[tokio::test]
async fn m13_status_headers_and_body_are_the_same_for_known_and_unknown_addresses() {
    let sink = SmtpSink::start().await;
    let server = start(&sink).await;
    let anon = server.anon();
    let ask = async |email: &str| {
        let mut answers = Vec::new();
        for (path, body) in requests(email) {
            answers.push((path, seen(&anon.post(path, body).await)));
        }
        answers
    };
    let verified = ask("ada@example.org").await;
    let expected = [401, 202, 202, 202, 202];
    assert_eq!(verified.iter().map(|(_, (status, ..))| *status).collect::<Vec<_>>(), expected);
    for email in ["bob@example.org", "eve@example.org"] {
        assert_eq!(ask(email).await, verified, "{email}");
    }
    // An account that is disabled is one of them.
    let users = server.over_admin_socket().get_path("/api/admin/users?search=ada").await.expect_ok();
    let path = format!("/api/admin/users/{}", users["users"][0]["id"].as_str().expect("an id"));
    let body = Some(json!({ "disabled": true }).to_string());
    server.over_admin_socket().send(reqwest::Method::PATCH, &path, body).await.expect_ok();
    assert_eq!(ask("ada@example.org").await, verified);
    server.stop().await;
}

/// Milliseconds of requests for a known and for an unknown address, in turn, so both meet the same load.
async fn measure(mut one: impl AsyncFnMut(bool, usize)) -> [Vec<f64>; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        // Who is first takes turns, too.
        for place in [round % 2, 1 - round % 2] {
            let started = Instant::now();
            one(place == 0, round).await;
            times[place].push(started.elapsed().as_secs_f64() * 1_000.0);
        }
    }
    times
}

fn median(times: &[f64]) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// How probable it is that one of the first took longer than one of the second (Mann and Whitney's U, as a
/// share of all pairs).
fn share_longer(first: &[f64], second: &[f64]) -> f64 {
    let pairs = first.iter().flat_map(|one| second.iter().map(move |other| one > other));
    let (longer, all) = pairs.fold((0u32, 0u32), |(longer, all), is| (longer + u32::from(is), all + 1));
    f64::from(longer) / f64::from(all)
}

/// The bound. Times tell if more than 80 % of pairs are in the same order *and* the medians differ by more
/// than a quarter of the larger one and 5 ms. What is hashed for known accounts only is most of a sign-in; a
/// mail that is sent in line takes [`GREETS_AFTER`].
fn tells([known, unknown]: &[Vec<f64>; 2]) -> bool {
    let share = share_longer(known, unknown);
    let (known, unknown) = (median(known), median(unknown));
    let differ = (known - unknown).abs() > known.max(unknown) / 4.0 + 5.0;
    differ && !(0.2..=0.8).contains(&share)
}

/// Measures until times do not tell; noise that lasts through all tries is no noise.
async fn check(path: &str, client: &Client, body: impl Fn(bool, String) -> Value) {
    let mut measured = Vec::new();
    for attempt in 0..TRIES {
        let times = measure(async |is_known, round| {
            let answer = client.post(path, body(is_known, format!("eve{attempt}x{round}"))).await;
            assert!([202, 401].contains(&answer.status.as_u16()), "{answer}");
        })
        .await;
        if !tells(&times) {
            return;
        }
        measured.push(times);
    }
    panic!("{path}: milliseconds of known and unknown: {measured:.1?}");
}

#[tokio::test]
async fn m13_times_do_not_tell_which_addresses_have_an_account() {
    let sink = SmtpSink::start_slow(GREETS_AFTER).await;
    let server = start(&sink).await;
    for (path, template) in requests("") {
        check(path, &server.anon(), |is_known, stranger| {
            let mut body = template.clone();
            let name = if is_known { "ada" } else { &stranger };
            body["email"] = json!(format!("{name}@example.org"));
            body
        })
        .await;
    }
    server.stop().await;
}

#[test]
fn the_bound_sees_a_hash_that_is_left_out_and_a_mail_that_is_sent_in_line() {
    let around = |middle: f64| (0..15u8).map(|step| middle + f64::from(step)).collect::<Vec<f64>>();
    assert!(!tells(&[around(60.0), around(60.0)]));
    assert!(!tells(&[around(60.0), around(66.0)]));
    assert!(tells(&[around(60.0), around(10.0)]));
    assert!(tells(&[around(10.0), around(60.0)]));
    assert!(tells(&[around(410.0), around(10.0)]));
}
