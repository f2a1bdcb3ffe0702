//! Fan-out: documents are created at a steady rate, and many subscribers are told over server-sent events.
//! Measured is the time from before a create is sent until a subscriber has the document, so the commit to
//! the disk is in it.
//!
//! A document is of one of five teams and an account of one or of all: a rule decides whether everybody is
//! told of everything or one in five of each.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use alyx_tests::{Client, PASSWORD, Project};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::http::{self, Connection};
use crate::pocketbase::PocketBase;
use crate::production::{Production, prepare};
use crate::report::{Bar, Report};

/// How long documents are created.
const TIME: Duration = Duration::from_secs(5);

/// After that, how long what is under way may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Accounts of each kind; the subscribers share them.
const ACCOUNTS: usize = 10;
const TEAMS: usize = 5;

/// Subscribers and documents a second. The first is the one with a bar; the others are measured with
/// `ALYX_LONG=1`.
const LOADS: [(usize, usize); 12] = [
    (500, 30),
    (100, 10),
    (100, 30),
    (100, 64),
    (500, 10),
    (500, 64),
    (1_000, 10),
    (1_000, 30),
    (1_000, 64),
    (5_000, 10),
    (5_000, 30),
    (5_000, 64),
];

/// Rounds of the first load, of which the middle one counts.
const ROUNDS: usize = 3;

/// 95th percentile of the first load, one in five.
const BAR_MS: f64 = 20.0;

const SCHEMA: &str = r#"version: 1
collections:
  messages:
    fields:
      id: { type: id, primary: true, default: auto }
      team: { type: string }
      stamp: { type: int, index: true }
      text: { type: string }
    rules:
      read: "auth.role == 'all' || doc.team == auth.role"
"#;

/// One server, with accounts and a collection.
struct Side {
    url: String,
    /// Tokens of accounts that are told of everything, and of those of a team.
    all: Vec<String>,
    teams: Vec<String>,
    /// Where documents are created, and by whom.
    path: &'static str,
    creator: String,
    /// How a subscriber begins.
    theirs: bool,
    start: Instant,
}

/// Milliseconds, and how many of those who were to be told were.
struct Measured {
    p50: f64,
    p95: f64,
    p99: f64,
    told: f64,
}

/// A load, whether one in five is told, and how it went.
type Row = ((usize, usize), bool, Measured);

/// 95th percentile of a server that does not keep up.
const HOPELESS_MS: f64 = 1_000.0;

/// What all subscribers of a load were told.
type Times = Arc<Mutex<Vec<u64>>>;

pub async fn measure(report: &mut Report) {
    // All subscribers come from one address, as from a proxy.
    let settings = [
        ("ALYX_SERVER_TRUSTED_PROXIES", "127.0.0.1"),
        ("ALYX_REALTIME_CONNECTIONS_PER_ADDRESS", "100000"),
        ("ALYX_REALTIME_CONNECTIONS_PER_IDENTITY", "100000"),
    ];
    let server = Production::start_with(prepare(Project::schema(SCHEMA)).await, &settings).await;
    let side = alyx(&server).await;
    let memory = memory_per_connection(&side, || server.memory_bytes()).await;
    let ours = loads(&side).await;
    server.stop().await;
    let (theirs, their_memory) = match PocketBase::start().await {
        Some(server) => {
            let side = pocketbase(&server).await;
            let memory = memory_per_connection(&side, || server.memory_bytes()).await;
            let measured = loads(&side).await;
            server.stop().await;
            (measured, Some(memory))
        }
        None => {
            eprintln!("not measured: PocketBase, which is not installed (tests/peers/install.sh)");
            (Vec::new(), None)
        }
    };
    for (load, one_in_five, ours) in &ours {
        let theirs = theirs.iter().find(|(other, who, _)| (other, who) == (load, one_in_five));
        let theirs = theirs.map(|(_, _, measured)| measured);
        row(report, *load, *one_in_five, ours, theirs);
    }
    report.add("memory per realtime connection", memory, "KiB", Bar::None, their_memory);
}

fn row(
    report: &mut Report,
    (subscribers, rate): (usize, usize),
    one_in_five: bool,
    ours: &Measured,
    theirs: Option<&Measured>,
) {
    let who = if one_in_five { "one in five" } else { "all" };
    let name = format!("realtime, {subscribers} subscribers, {rate}/s, {who}");
    let is_first = (subscribers, rate) == LOADS[0];
    let bar = if is_first && one_in_five { Bar::AtMost(BAR_MS) } else { Bar::None };
    if is_first {
        report.add(&format!("{name}, p50"), ours.p50, "ms", Bar::None, theirs.map(|side| side.p50));
    }
    report.add(&format!("{name}, p95"), ours.p95, "ms", bar, theirs.map(|side| side.p95));
    if is_first {
        report.add(&format!("{name}, p99"), ours.p99, "ms", Bar::None, theirs.map(|side| side.p99));
    }
    if ours.told < 1.0 || theirs.is_some_and(|side| side.told < 1.0) {
        let theirs = theirs.map(|side| side.told * 100.0);
        report.add(&format!("{name}, told in time"), ours.told * 100.0, "%", Bar::None, theirs);
    }
}

async fn loads(side: &Side) -> Vec<Row> {
    let mut all: Vec<Row> = Vec::new();
    let long = std::env::var("ALYX_LONG").is_ok_and(|value| value == "1");
    let measured = if long { LOADS.len() } else { 1 };
    for load in LOADS.into_iter().take(measured) {
        for one_in_five in [true, false] {
            // Who did not keep up with less will not keep up with more, and takes minutes to say so.
            let is_hopeless = all.iter().any(|(earlier, who, measured): &Row| {
                *who == one_in_five
                    && measured.p95 > HOPELESS_MS
                    && earlier.0 <= load.0
                    && earlier.1 <= load.1
            });
            if !is_hopeless {
                let rounds = if load == LOADS[0] { ROUNDS } else { 1 };
                let mut measured = Vec::new();
                for _ in 0..rounds {
                    measured.push(side.fan_out(load, one_in_five).await);
                }
                all.push((load, one_in_five, middle(measured)));
            }
        }
    }
    all
}

/// The round with the middle 95th percentile: on a host that has other guests, one may be held up.
fn middle(mut rounds: Vec<Measured>) -> Measured {
    rounds.sort_by(|one, other| one.p95.total_cmp(&other.p95));
    let place = rounds.len() / 2;
    rounds.swap_remove(place)
}

async fn memory_per_connection(side: &Side, memory_bytes: impl Fn() -> u64) -> f64 {
    const CONNECTIONS: usize = 1_000;
    let before = memory_bytes();
    let times = Times::default();
    let readers = side.subscribe(CONNECTIONS, true, &times).await;
    let after = memory_bytes();
    drop(readers);
    after.saturating_sub(before) as f64 / CONNECTIONS as f64 / 1_024.0
}

async fn alyx(server: &Production) -> Side {
    let admin = server.over_admin_socket();
    let anon = Client::new(&server.url);
    let account = async |name: String, role: &str| {
        let email = format!("{name}@example.org");
        let body = json!({ "email": email, "password": PASSWORD, "role": role });
        admin.post("/api/admin/users", body).await.expect_status(201);
        anon.login(&email, PASSWORD).await.token().to_owned()
    };
    let (mut all, mut teams) = (Vec::new(), Vec::new());
    for number in 0..ACCOUNTS {
        all.push(account(format!("all{number}"), "all").await);
        teams.push(account(format!("team{number}"), &format!("t{}", number % TEAMS)).await);
    }
    let creator = account("root".to_owned(), "admin").await;
    let path = "/api/collections/messages";
    Side { url: server.url.clone(), all, teams, path, creator, theirs: false, start: Instant::now() }
}

async fn pocketbase(server: &PocketBase) -> Side {
    let text = |name: &str| json!({ "name": name, "type": "text", "max": 1000 });
    let mut users = server.send("GET", "collections/users", &Value::Null).await;
    users["fields"].as_array_mut().expect("a collection has fields").push(text("team"));
    server.send("PATCH", "collections/users", &json!({ "fields": users["fields"] })).await;
    let rule = "@request.auth.team = 'all' || team = @request.auth.team";
    let messages = json!({
        "name": "messages", "type": "base", "createRule": "@request.auth.team = 'root'",
        "fields": [text("team"), { "name": "stamp", "type": "number" }, text("text")],
        "indexes": ["CREATE INDEX idx_messages_stamp ON messages (stamp)"],
        "listRule": rule, "viewRule": rule,
    });
    server.send("POST", "collections", &messages).await;
    let account = async |name: String, team: &str| {
        let email = format!("{name}@example.org");
        let body = json!({ "email": email, "password": PASSWORD, "passwordConfirm": PASSWORD, "team": team });
        server.send("POST", "collections/users/records", &body).await;
        server.sign_in("users", &email).await
    };
    let (mut all, mut teams) = (Vec::new(), Vec::new());
    for number in 0..ACCOUNTS {
        all.push(account(format!("all{number}"), "all").await);
        teams.push(account(format!("team{number}"), &format!("t{}", number % TEAMS)).await);
    }
    let creator = account("root".to_owned(), "root").await;
    let path = "/api/collections/messages/records";
    Side { url: server.url.clone(), all, teams, path, creator, theirs: true, start: Instant::now() }
}

impl Side {
    fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    async fn fan_out(&self, (subscribers, rate): (usize, usize), one_in_five: bool) -> Measured {
        let times = Times::default();
        let readers = self.subscribe(subscribers, one_in_five, &times).await;
        let documents = self.create(rate).await;
        let expected = if one_in_five { documents * subscribers / TEAMS } else { documents * subscribers };
        let until = Instant::now() + PATIENCE;
        let count = || times.lock().expect("nobody panics with it").len();
        while count() < expected && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(readers);
        let mut times = std::mem::take(&mut *times.lock().expect("nobody panics with it"));
        times.sort_unstable();
        let at = |share: f64| {
            let place = (times.len() as f64 * share) as usize;
            times.get(place.min(times.len().saturating_sub(1))).map_or(f64::NAN, |us| *us as f64 / 1_000.0)
        };
        let told = times.len() as f64 / expected as f64;
        Measured { p50: at(0.50), p95: at(0.95), p99: at(0.99), told }
    }

    /// Creates documents, those of the teams in turn; answers how many.
    async fn create(&self, rate: usize) -> usize {
        let documents = (rate as f64 * TIME.as_secs_f64()) as usize;
        // Whoever waits for an answer does not hold up the next document.
        let mut idle: Vec<Connection> = Vec::new();
        let mut busy = JoinSet::new();
        let start = tokio::time::Instant::now();
        for number in 0..documents {
            tokio::time::sleep_until(start + TIME.mul_f64(number as f64 / documents as f64)).await;
            while let Some(done) = busy.try_join_next() {
                idle.push(done.expect("the create succeeds"));
            }
            let mut connection = match idle.pop() {
                Some(connection) => connection,
                None => Connection::open(&self.url).await,
            };
            let body = json!({
                "team": format!("t{}", number % TEAMS), "stamp": self.now_us(), "text": "a message of some words",
            });
            let request = http::request("POST", self.path, Some(&self.creator), &body.to_string());
            busy.spawn(async move {
                connection.call(&request).await;
                connection
            });
        }
        while busy.join_next().await.is_some() {}
        documents
    }

    /// Connects subscribers, who note what they are told of from now on until they are dropped.
    async fn subscribe(&self, subscribers: usize, one_in_five: bool, times: &Times) -> JoinSet<()> {
        let from = self.now_us();
        let tokens = if one_in_five { &self.teams } else { &self.all };
        let mut readers = JoinSet::new();
        for number in 0..subscribers {
            let mut reader = Reader::open(&self.url, &tokens[number % tokens.len()], self.theirs).await;
            let (times, start) = (Arc::clone(times), self.start);
            readers.spawn(async move {
                while reader.receive().await {
                    let now = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
                    let new = reader.stamps().into_iter().filter(|stamp| *stamp >= from);
                    times
                        .lock()
                        .expect("nobody panics with it")
                        .extend(new.map(|stamp| now.saturating_sub(stamp)));
                }
            });
        }
        readers
    }
}

/// A subscriber that costs little.
struct Reader {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Reader {
    async fn open(url: &str, token: &str, theirs: bool) -> Self {
        let stream = TcpStream::connect(url.trim_start_matches("http://")).await.expect("connect");
        let mut reader = Self { stream, buffer: Vec::new() };
        let wanted = r#"{"id":"m","collection":"messages","sort":"-stamp","limit":30}"#;
        let wanted: String = wanted.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let query = if theirs { String::new() } else { format!("?subscribe={wanted}") };
        let head = format!(
            "GET /api/realtime{query} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\
             accept: text/event-stream\r\n\r\n"
        );
        reader.stream.write_all(head.as_bytes()).await.expect("send");
        if !theirs {
            reader.until("\"type\":\"snapshot\"").await;
            return reader;
        }
        reader.until("\"clientId\":\"").await;
        let text = String::from_utf8_lossy(&reader.buffer).into_owned();
        let client = text.split("\"clientId\":\"").nth(1).and_then(|rest| rest.split('"').next());
        let body = json!({ "clientId": client, "subscriptions": ["messages/*"] }).to_string();
        let subscribe = http::request("POST", "/api/realtime", Some(token), &body);
        Connection::open(url).await.call(&subscribe).await;
        reader.buffer.clear();
        reader
    }

    async fn until(&mut self, text: &str) {
        while !self.buffer.windows(text.len()).any(|window| window == text.as_bytes()) {
            assert!(self.receive().await, "{}", String::from_utf8_lossy(&self.buffer));
        }
    }

    async fn receive(&mut self) -> bool {
        self.stream.read_buf(&mut self.buffer).await.is_ok_and(|read| read > 0)
    }

    /// The stamps of documents that have come, which are forgotten then.
    fn stamps(&mut self) -> Vec<u64> {
        const MARK: &[u8] = b"\"stamp\":";
        let mut stamps = Vec::new();
        let mut rest = self.buffer.as_slice();
        while let Some(at) = rest.windows(MARK.len()).position(|window| window == MARK) {
            let digits = &rest[at + MARK.len()..];
            let Some(length) = digits.iter().position(|byte| !byte.is_ascii_digit()) else { break };
            stamps
                .extend(str::from_utf8(&digits[..length]).ok().and_then(|digits| digits.parse::<u64>().ok()));
            rest = &digits[length..];
        }
        // A mark may have come by half.
        let keep = rest.iter().rev().take(64).count();
        let from = self.buffer.len() - keep;
        self.buffer.drain(..from);
        stamps
    }
}
