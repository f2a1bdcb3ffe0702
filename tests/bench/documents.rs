//! Documents under rules, beside PocketBase with the same collections, rules, data and requests.
//!
//! One server runs at a time. Alyx commits with `synchronous=FULL`, so that an acknowledged write is on
//! disk; PocketBase with its own default, `NORMAL`.

use std::sync::Arc;
use std::time::Duration;

use alyx_tests::{Client, PASSWORD, Project};
use serde_json::{Value, json};

use crate::http;
use crate::pocketbase::PocketBase;
use crate::production::{Production, prepare};
use crate::report::{Bar, Report, percentile};

const TIME: Duration = Duration::from_secs(4);
/// Documents in each collection that is read.
const DOCUMENTS: usize = 100_000;
/// Owners of the notes; each has as many.
const OWNERS: usize = 100;
const READERS: usize = 80;
const MIB: f64 = 1_048_576.0;

const SCHEMA: &str = r#"version: 1
collections:
  users:
    rules: { read: "doc.id == auth.id" }
  rooms:
    fields:
      id: { type: id, primary: true, default: auto }
      name: { type: string }
    rules: { read: "auth.id != null" }
  room_members:
    fields:
      id: { type: id, primary: true, default: auto }
      user: { type: relation, relation: { collection: users, onDelete: cascade } }
      room: { type: relation, relation: { collection: rooms, onDelete: cascade } }
    indexes:
      - { name: idx_members, fields: [user, room], unique: true }
    rules: { read: "doc.user == auth.id" }
  messages:
    fields:
      id: { type: id, primary: true, default: auto }
      owner: { type: relation, relation: { collection: users, onDelete: cascade } }
      room: { type: relation, relation: { collection: rooms, onDelete: cascade } }
      data: { type: string, maxLength: 1000 }
    rules:
      create: "collection('room_members').exists(m, m.user == auth.id && m.room == doc.room)"
      read: "auth.id != null"
  notes:
    fields:
      id: { type: id, primary: true, default: auto }
      owner: { type: relation, relation: { collection: users, onDelete: cascade } }
      text: { type: string, maxLength: 1000 }
      created_at: { type: timestamp, default: now }
    indexes:
      - { name: idx_notes_owner, fields: [owner, created_at], order: desc }
    rules:
      read: "doc.owner == auth.id"
  growing:
    fields:
      id: { type: id, primary: true, default: auto }
      data: { type: string, maxLength: 1000 }
      created_at: { type: timestamp, default: now }
    indexes:
      - { name: idx_growing, fields: [created_at], order: desc }
  articles:
    fields:
      id: { type: id, primary: true, default: auto }
      text: { type: string, maxLength: 1000, search: true }
    rules:
      read: "auth.id != null"
"#;

/// What was measured of one server, in calls a second unless the name says otherwise.
struct Measured {
    create_64: f64,
    create_16: f64,
    memory_mib: f64,
    get: f64,
    list: f64,
    list_count: f64,
    search: f64,
    reads_beside_writer: f64,
    write_beside_readers_p99_ms: f64,
}

/// One server with the data in it, and how it is asked.
struct Side {
    url: String,
    token: String,
    /// Path and body that create a message.
    create: (String, String),
    /// Paths of single notes.
    gets: Vec<String>,
    list: String,
    list_count: String,
    /// Paths that search the articles for a word each.
    searches: Vec<String>,
}

pub async fn measure(report: &mut Report) {
    let ours = alyx(report).await;
    let theirs = pocketbase().await;
    if theirs.is_none() {
        eprintln!("not measured: PocketBase, which is not installed (tests/peers/install.sh)");
    }
    let theirs = theirs.as_ref();
    let mut rate = |figure: &str, of: fn(&Measured) -> f64, times: Option<f64>| {
        let reference = theirs.map(of);
        let bar = match (reference, times) {
            (Some(reference), Some(times)) => Bar::AtLeast(reference * times),
            _ => Bar::None,
        };
        report.add(figure, of(&ours), "1/s", bar, reference);
    };
    rate("create under a membership rule, durable, c 64", |side| side.create_64, Some(10.0));
    rate("create under a membership rule, durable, c 16", |side| side.create_16, None);
    rate("get by id, c 64", |side| side.get, Some(5.0));
    rate("list 20 of 100,000 under an owner rule, c 64", |side| side.list, Some(5.0));
    rate("list 20 of 100,000 with their count, c 64", |side| side.list_count, None);
    rate("search 100,000 for a word, 20 best, c 64", |side| side.search, None);
    rate("reads of 80 readers beside a writer", |side| side.reads_beside_writer, None);
    report.add(
        "create beside 80 readers, p99",
        ours.write_beside_readers_p99_ms,
        "ms",
        Bar::None,
        theirs.map(|side| side.write_beside_readers_p99_ms),
    );
    report.add(
        "memory after inserting 200,000",
        ours.memory_mib,
        "MiB",
        Bar::None,
        theirs.map(|side| side.memory_mib),
    );
}

async fn alyx(report: &mut Report) -> Measured {
    let server = Production::start(prepare(Project::schema(SCHEMA)).await).await;
    let ada = Client::new(&server.url).register("ada@example.org", PASSWORD).await;
    let admin = server.over_admin_socket();
    let room = admin.create("rooms", json!({ "name": "room0" })).await.expect_created();
    let member = json!({ "user": ada.id(), "room": room.id() });
    admin.create("room_members", member).await.expect_created();
    let mut owners = vec![ada.id().to_owned()];
    for number in 1..OWNERS {
        let account = json!({ "email": format!("u{number}@example.org"), "password": PASSWORD });
        let made = admin.post("/api/admin/users", account).await.expect_status(201).json();
        owners.push(made["id"].as_str().expect("an account has an id").to_owned());
    }
    let root = json!({ "email": "root@example.org", "password": PASSWORD, "role": "admin" });
    admin.post("/api/admin/users", root).await.expect_status(201);
    let root = Client::new(&server.url).login("root@example.org", PASSWORD).await;
    let create = |collection: &str, body: Value| {
        let path = format!("/api/collections/{collection}");
        http::request("POST", &path, Some(root.token()), &body.to_string())
    };
    http::fill(&server.url, notes(&owners).map(|body| create("notes", body)).collect()).await;
    http::fill(&server.url, articles().map(|body| create("articles", body)).collect()).await;
    let memory_mib = server.memory_bytes() as f64 / MIB;

    let page = ada.list("notes", "limit=1000&fields=id").await.expect_docs();
    let ids = page.iter().filter_map(|doc| doc["id"].as_str());
    let list = "/api/collections/notes?limit=20&sort=-created_at".to_owned();
    let side = Side {
        url: server.url.clone(),
        token: ada.token().to_owned(),
        create: (
            "/api/collections/messages".to_owned(),
            json!({ "owner": ada.id(), "room": room.id(), "data": "a message of some words" }).to_string(),
        ),
        gets: ids.map(|id| format!("/api/collections/notes/{id}")).collect(),
        list_count: format!("{list}&count=true"),
        list,
        searches: words().map(|word| format!("/api/collections/articles?limit=20&search={word}")).collect(),
    };
    let measured = side.measure(memory_mib).await;
    growth(&server.url, &root, report).await;
    server.stop().await;
    measured
}

async fn pocketbase() -> Option<Measured> {
    let server = PocketBase::start().await?;
    let users = server.send("GET", "collections/users", &Value::Null).await["id"].clone();
    let field = |name: &str| json!({ "name": name, "type": "text", "max": 1000 });
    let relation = |name: &str, to: &Value| json!({ "name": name, "type": "relation", "collectionId": to, "maxSelect": 1, "cascadeDelete": true, "required": true });
    let made = |mut collection: Value| {
        collection["type"] = json!("base");
        let server = &server;
        async move { server.send("POST", "collections", &collection).await["id"].clone() }
    };
    let anybody = "@request.auth.id != ''";
    let rooms = made(json!({ "name": "rooms", "fields": [field("name")] })).await;
    made(json!({
        "name": "room_members",
        "fields": [relation("user", &users), relation("room", &rooms)],
        "indexes": ["CREATE UNIQUE INDEX idx_members ON room_members (user, room)"],
    }))
    .await;
    made(json!({
        "name": "messages",
        "fields": [relation("owner", &users), relation("room", &rooms), field("data")],
        "createRule": "room = @collection.room_members.room && @request.auth.id = @collection.room_members.user",
        "viewRule": anybody,
    }))
    .await;
    made(json!({
        "name": "notes",
        "fields": [relation("owner", &users), field("text"),
            { "name": "created_at", "type": "autodate", "onCreate": true }],
        "indexes": ["CREATE INDEX idx_notes_owner ON notes (owner, created_at DESC)"],
        "listRule": "owner = @request.auth.id",
        "viewRule": "owner = @request.auth.id",
    }))
    .await;
    made(json!({ "name": "articles", "fields": [field("text")], "listRule": anybody })).await;

    let mut owners = Vec::new();
    for number in 0..OWNERS {
        let account = json!({ "email": format!("u{number}@example.org"), "password": PASSWORD, "passwordConfirm": PASSWORD });
        let user = server.send("POST", "collections/users/records", &account).await;
        owners.push(user["id"].as_str().expect("an account has an id").to_owned());
    }
    let room =
        server.send("POST", "collections/rooms/records", &json!({ "name": "room0" })).await["id"].clone();
    let member = json!({ "user": owners[0], "room": room });
    server.send("POST", "collections/room_members/records", &member).await;
    server.fill("notes", notes(&owners)).await;
    server.fill("articles", articles()).await;
    let memory_mib = server.memory_bytes() as f64 / MIB;
    let token = server.sign_in("users", "u0@example.org").await;

    let filter = format!("owner%3D'{}'", owners[0]);
    let page = server
        .send("GET", &format!("collections/notes/records?perPage=1000&filter={filter}"), &Value::Null)
        .await;
    let ids = page["items"].as_array().into_iter().flatten().filter_map(|doc| doc["id"].as_str());
    let list = "/api/collections/notes/records?perPage=20&sort=-created_at";
    let side = Side {
        url: server.url.clone(),
        token,
        create: (
            "/api/collections/messages/records".to_owned(),
            json!({ "owner": owners[0], "room": room, "data": "a message of some words" }).to_string(),
        ),
        gets: ids.map(|id| format!("/api/collections/notes/records/{id}")).collect(),
        list: format!("{list}&skipTotal=1"),
        list_count: list.to_owned(),
        searches: words()
            .map(|word| {
                format!("/api/collections/articles/records?perPage=20&skipTotal=1&filter=text~'{word}'")
            })
            .collect(),
    };
    let measured = side.measure(memory_mib).await;
    server.stop().await;
    Some(measured)
}

impl Side {
    async fn measure(&self, memory_mib: f64) -> Measured {
        let create_64 = self.rate(64, vec![self.create()]).await;
        let create_16 = self.rate(16, vec![self.create()]).await;
        let gets: Vec<_> = self.gets.iter().map(|path| self.get(path)).collect();
        let (reads_beside_writer, mut writes) =
            http::beside(&self.url, READERS, TIME, gets.clone(), self.create()).await;
        Measured {
            create_64,
            create_16,
            memory_mib,
            get: self.rate(64, gets).await,
            list: self.rate(64, vec![self.get(&self.list)]).await,
            list_count: self.rate(64, vec![self.get(&self.list_count)]).await,
            search: self.rate(64, self.searches.iter().map(|path| self.get(path)).collect()).await,
            reads_beside_writer,
            write_beside_readers_p99_ms: percentile(&mut writes, 0.99),
        }
    }

    fn create(&self) -> Arc<[u8]> {
        http::request("POST", &self.create.0, Some(&self.token), &self.create.1)
    }

    fn get(&self, path: &str) -> Arc<[u8]> {
        http::request("GET", path, Some(&self.token), "")
    }

    async fn rate(&self, connections: usize, requests: Vec<Arc<[u8]>>) -> f64 {
        http::throughput(&self.url, connections, TIME, move |number| {
            requests[number % requests.len()].clone()
        })
        .await
    }
}

/// How latencies grow with the number of documents, at one connection.
async fn growth(url: &str, admin: &Client, report: &mut Report) {
    let token = Some(admin.token());
    let count = async || {
        let page = admin.list("growing", "limit=1&count=true").await.expect_ok();
        page["total"].as_u64().expect("a total was asked for")
    };
    for (documents, name) in [(10_000, "10,000"), (100_000, "100,000"), (1_000_000, "1,000,000")] {
        let missing = documents - count().await;
        let body = json!({ "data": "a message of some words" }).to_string();
        let create = http::request("POST", "/api/collections/growing", token, &body);
        http::fill(url, vec![create.clone(); usize::try_from(missing).unwrap_or(0)]).await;
        let page = admin.list("growing", "limit=1&sort=-id").await.expect_docs();
        let id = page[0]["id"].as_str().expect("a document has an id").to_owned();
        let get = http::request("GET", &format!("/api/collections/growing/{id}"), token, "");
        let list = http::request("GET", "/api/collections/growing?limit=20&sort=-created_at", token, "");
        for (what, request) in [("get by id", get), ("list 20", list), ("create", create)] {
            let mut times = http::latencies(url, &request, 1000).await;
            report.add(
                &format!("{what} among {name}, c 1, p50"),
                percentile(&mut times, 0.5),
                "ms",
                Bar::None,
                None,
            );
        }
    }
}

fn notes(owners: &[String]) -> impl Iterator<Item = Value> {
    let owners = owners.to_vec();
    (0..DOCUMENTS).map(move |number| {
        json!({ "owner": owners[number % owners.len()], "text": format!("note {number} of some words") })
    })
}

/// Thirty words each, of a vocabulary in which every word is about as frequent.
fn articles() -> impl Iterator<Item = Value> {
    (0..DOCUMENTS).map(|number| {
        let words = (0..30).map(|place| word(number * 31 + place * place * 7 + number / 97 * place));
        json!({ "text": words.collect::<Vec<_>>().join(" ") })
    })
}

/// Words to search for.
fn words() -> impl Iterator<Item = String> {
    (0..50).map(|number| word(number * 37))
}

/// One of 5,000 made-up words.
fn word(number: usize) -> String {
    const PARTS: [&str; 10] = ["ba", "ce", "di", "fo", "gu", "ka", "le", "mi", "no", "pu"];
    let number = number.wrapping_mul(2_654_435_761) % 5_000;
    [number % 10, number / 10 % 10, number / 100 % 10, number / 1000].map(|digit| PARTS[digit]).concat()
}
