//! Signing in and refreshing beside PocketBase, and how documents are read while ten thousand passwords
//! are guessed.
//!
//! What a sign-in costs is its password hash, so the two are compared at equal cost: PocketBase hashes
//! with bcrypt, whose cost is a power of two, and is set to the one that takes it nearest to the time of
//! our default, Argon2id with 19 MiB and two passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use alyx_tests::{Client, PASSWORD, Project};
use serde_json::{Value, json};

use crate::http::{self, Connection};
use crate::pocketbase::PocketBase;
use crate::production::{Production, prepare};
use crate::report::{Bar, Report, percentile};

const TIME: Duration = Duration::from_secs(5);
/// Accounts that sign in, in turns.
const ACCOUNTS: usize = 16;
const CONNECTIONS: usize = 16;
/// Guesses at passwords.
const GUESSES: usize = 10_000;
/// Connections that guess.
const GUESSERS: usize = 32;
/// Connections that read meanwhile, and how often each does.
const READERS: usize = 8;
const READ_PERIOD: Duration = Duration::from_millis(20);
/// How many times slower the slowest of a hundred reads may be while passwords are guessed.
const SLOWER_AT_MOST: f64 = 3.0;

const SCHEMA: &str = r#"version: 1
collections:
  notes:
    fields:
      id: { type: id, primary: true, default: auto }
      owner: { type: relation, relation: { collection: users, onDelete: cascade } }
      text: { type: string, maxLength: 1000 }
    rules: { create: "auth.id != null", read: "doc.owner == auth.id" }
"#;

/// What the throttle would refuse, since all comes from one address, and what it lets others guess.
const UNTHROTTLED: [(&str, &str); 4] = [
    ("ALYX_AUTH_LOGIN_PER_MINUTE", "1000000"),
    ("ALYX_AUTH_CHALLENGE_AFTER", "10000"),
    ("ALYX_AUTH_LOCKOUT_AFTER", "1000"),
    ("ALYX_LIMITS_AUTH_PER_MINUTE", "off"),
];

/// Calls a second, and the time of one sign-in alone.
struct Measured {
    login_alone_ms: f64,
    login: f64,
    refresh: f64,
}

pub async fn measure(report: &mut Report) {
    let ours = alyx().await;
    let theirs = pocketbase(ours.login_alone_ms).await;
    if theirs.is_none() {
        eprintln!("not measured: PocketBase, which is not installed (tests/peers/install.sh)");
    }
    let cost = theirs.as_ref().map(|(cost, _)| format!(", beside bcrypt of cost {cost}")).unwrap_or_default();
    let reference = |of: fn(&Measured) -> f64| theirs.as_ref().map(|(_, side)| of(side));
    let alone = format!("sign in, Argon2id 19 MiB t 2{cost}, c 1, p50");
    report.add(&alone, ours.login_alone_ms, "ms", Bar::None, reference(|side| side.login_alone_ms));
    let login = format!("sign in{cost}, c {CONNECTIONS}");
    report.add(&login, ours.login, "1/s", Bar::None, reference(|side| side.login));
    let refresh = format!("refresh, each session its own, durable, c {CONNECTIONS}");
    report.add(&refresh, ours.refresh, "1/s", Bar::None, reference(|side| side.refresh));
    for (name, settings) in [("", &[][..]), (" from everywhere", &UNTHROTTLED[..])] {
        reads_while_guessed(name, settings, report).await;
    }
}

fn emails() -> Vec<String> {
    (0..ACCOUNTS).map(|number| format!("u{number}@example.org")).collect()
}

async fn alyx() -> Measured {
    let server = Production::start_with(prepare(Project::schema(SCHEMA)).await, &UNTHROTTLED).await;
    let admin = server.over_admin_socket();
    for email in emails() {
        let account = json!({ "email": email, "password": PASSWORD });
        admin.post("/api/admin/users", account).await.expect_status(201);
    }
    let login = |email: &String| {
        let body = json!({ "email": email, "password": PASSWORD }).to_string();
        http::request("POST", "/api/auth/login", None, &body)
    };
    let logins: Vec<_> = emails().iter().map(login).collect();
    let (login_alone_ms, login) = logins_of(&server.url, &logins).await;
    let refresh = async |connection: &mut Connection, session: &Value| {
        let body = json!({ "refresh_token": session["refresh_token"] }).to_string();
        let (status, answer) =
            { connection.ask(&http::request("POST", "/api/auth/refresh", None, &body)).await };
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(answer));
        serde_json::from_slice(answer).expect("a session")
    };
    let refresh = refreshes(&server.url, &logins, refresh).await;
    server.stop().await;
    Measured { login_alone_ms, login, refresh }
}

/// The cost of bcrypt that takes as long as ours, nearest, and the figures at that.
async fn pocketbase(ours_ms: f64) -> Option<(u32, Measured)> {
    let path = "/api/collections/users/auth-with-password";
    let login = |email: &String| {
        http::request("POST", path, None, &json!({ "identity": email, "password": PASSWORD }).to_string())
    };
    let mut nearest: Option<(f64, u32)> = None;
    for cost in 7..=12 {
        let server = PocketBase::start().await?;
        server.accounts(&emails()[..1], cost).await;
        let mut times = http::latencies(&server.url, &login(&emails()[0]), 20).await;
        server.stop().await;
        let factor = (percentile(&mut times, 0.5) / ours_ms).ln().abs();
        if nearest.is_none_or(|(best, _)| factor < best) {
            nearest = Some((factor, cost));
        }
    }
    let (_, cost) = nearest?;
    let server = PocketBase::start().await?;
    server.accounts(&emails(), cost).await;
    let logins: Vec<_> = emails().iter().map(login).collect();
    let (login_alone_ms, login) = logins_of(&server.url, &logins).await;
    let refresh = async |connection: &mut Connection, session: &Value| {
        let request =
            http::request("POST", "/api/collections/users/auth-refresh", session["token"].as_str(), "");
        let (status, answer) = connection.ask(&request).await;
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(answer));
        serde_json::from_slice(answer).expect("a session")
    };
    let refresh = refreshes(&server.url, &logins, refresh).await;
    server.stop().await;
    Some((cost, Measured { login_alone_ms, login, refresh }))
}

/// Time of one sign-in alone in milliseconds, and sign-ins a second.
async fn logins_of(url: &str, logins: &[Arc<[u8]>]) -> (f64, f64) {
    let mut alone = http::latencies(url, &logins[0], 50).await;
    let logins = logins.to_vec();
    let rate =
        http::throughput(url, CONNECTIONS, TIME, move |number| logins[number % logins.len()].clone()).await;
    (percentile(&mut alone, 0.5), rate)
}

/// Refreshes a second of sessions that each refresh again with what the last refresh gave.
async fn refreshes(
    url: &str,
    logins: &[Arc<[u8]>],
    refresh: impl AsyncFn(&mut Connection, &Value) -> Value,
) -> f64 {
    let calls = AtomicUsize::new(0);
    let mut sessions = Vec::new();
    for login in logins {
        let mut connection = Connection::open(url).await;
        let (status, answer) = connection.ask(login).await;
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(answer));
        let session: Value = serde_json::from_slice(answer).expect("a session");
        sessions.push((connection, session));
    }
    let end = Instant::now() + TIME;
    let clients = sessions.into_iter().map(async |(mut connection, mut session)| {
        while Instant::now() < end {
            session = refresh(&mut connection, &session).await;
            calls.fetch_add(1, Ordering::Relaxed);
        }
    });
    futures_util::future::join_all(clients).await;
    calls.into_inner() as f64 / TIME.as_secs_f64()
}

/// Reads at a steady pace, first alone and then beside [`GUESSES`] attempts to sign in, each at another
/// account: as installed, where the throttle refuses most of them, and as a botnet of that many addresses
/// would, so that every one costs a hash.
async fn reads_while_guessed(name: &str, settings: &[(&str, &str)], report: &mut Report) {
    let server = Production::start_with(prepare(Project::schema(SCHEMA)).await, settings).await;
    let ada = Client::new(&server.url).register("ada@example.org", PASSWORD).await;
    let note = ada.create("notes", json!({ "owner": ada.id(), "text": "some words" })).await.expect_created();
    let read = http::request("GET", &format!("/api/collections/notes/{}", note.id()), Some(ada.token()), "");

    let quiet = Arc::new(AtomicBool::new(false));
    let ending = Arc::clone(&quiet);
    let pause = tokio::spawn(async move {
        tokio::time::sleep(2 * TIME).await;
        ending.store(true, Ordering::Relaxed);
    });
    let mut alone = steady_reads(&server.url, &read, &quiet).await;
    pause.await.expect("time passes");

    let over = Arc::new(AtomicBool::new(false));
    let (url, ending) = (server.url.clone(), Arc::clone(&over));
    // Whoever guesses is elsewhere: what the readers ask must not wait in line with that.
    let attack = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let hashed = runtime.expect("start tokio").block_on(guess(&url));
        ending.store(true, Ordering::Relaxed);
        hashed
    });
    let mut beside = steady_reads(&server.url, &read, &over).await;
    let hashed = attack.join().expect("every guess is answered");
    server.stop().await;

    let (alone, beside) = (percentile(&mut alone, 0.99), percentile(&mut beside, 0.99));
    report.add(
        &format!("read beside 10,000 guesses{name}, {hashed} hashed, p99"),
        beside,
        "ms",
        Bar::None,
        Some(alone),
    );
    let ratio = beside / alone.max(f64::EPSILON);
    let figure = format!("read beside 10,000 guesses{name}, p99 to the quiet one");
    report.add(&figure, ratio, "times", Bar::AtMost(SLOWER_AT_MOST), None);
}

/// The time of each read of [`READERS`] connections, one each [`READ_PERIOD`], until told to stop.
async fn steady_reads(url: &str, read: &Arc<[u8]>, stop: &Arc<AtomicBool>) -> Vec<Duration> {
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let (mut connection, read, stop) = (Connection::open(url).await, Arc::clone(read), Arc::clone(stop));
        readers.push(tokio::spawn(async move {
            let mut times = Vec::new();
            while !stop.load(Ordering::Relaxed) || times.len() < 100 {
                let start = Instant::now();
                connection.call(&read).await;
                times.push(start.elapsed());
                tokio::time::sleep(READ_PERIOD).await;
            }
            times
        }));
    }
    let mut times = Vec::new();
    for reader in readers {
        times.extend(reader.await.expect("every read is answered"));
    }
    times
}

/// Guesses at as many accounts, and says how many of the guesses cost a hash.
async fn guess(url: &str) -> usize {
    let mut guessers = Vec::new();
    for first in 0..GUESSERS {
        let mut connection = Connection::open(url).await;
        guessers.push(tokio::spawn(async move {
            let mut hashed = 0;
            for number in (first..GUESSES).step_by(GUESSERS) {
                let guess = json!({ "email": format!("u{number}@example.org"), "password": "wrong horse" });
                let guess = http::request("POST", "/api/auth/login", None, &guess.to_string());
                let (status, answer) = connection.ask(&guess).await;
                assert!([401, 429].contains(&status), "{}", String::from_utf8_lossy(answer));
                hashed += usize::from(status == 401);
            }
            hashed
        }));
    }
    let mut hashed = 0;
    for guesser in guessers {
        hashed += guesser.await.expect("every guess is answered");
    }
    hashed
}
