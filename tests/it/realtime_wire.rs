//! The two ways realtime messages travel: by the book, within bounds, and with clients of others.

use std::process::{Command, Stdio};
use std::time::Duration;

use alyx_tests::realtime::{Events, Socket};
use alyx_tests::{Client, PASSWORD, Project, TestServer, peers, tree};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::docs::blocks;
use crate::{lab, post};

const PATIENCE: Duration = Duration::from_secs(60);

/// A loaded machine takes its time to start a browser.
const BROWSER_PATIENCE: Duration = Duration::from_secs(300);

#[tokio::test]
async fn events_are_managed_by_requests() {
    let project = Project::fixture("lab").with("alyx.yaml", "realtime: { heartbeat: 1s }\n");
    let server = TestServer::start(project).await;
    let ada = server.user("ada").await;
    let mut told = Events::open(&server.anon(), "").await;
    let connected = told.next().await;
    assert_eq!((&connected["type"], &connected["identity"]), (&json!("connected"), &json!("anonymous")));
    let path = format!("/api/realtime/{}", connected["connection"].as_str().unwrap());
    let anon = server.anon();
    let subscribe = json!({ "type": "subscribe", "id": "p", "collection": "posts" });
    anon.post(&path, subscribe.clone()).await.expect_status(204);
    assert_eq!(told.next().await["docs"], json!([]));
    let hers = post(&ada, "hers", "draft").await;
    anon.post(&path, subscribe).await.expect_error(409, "conflict");
    anon.post(&path, json!({ "type": "sing" })).await.expect_error(422, "validation_failed");
    anon.post(&path, json!({ "type": "auth", "token": "x" })).await.expect_error(401, "invalid_token");
    anon.post(&path, json!({ "type": "auth", "token": ada.token() })).await.expect_status(204);
    assert_eq!(told.next().await["type"], "authenticated");
    assert_eq!(told.next().await["reason"], "rights_changed");
    assert_eq!(told.next().await["docs"], json!([hers.0]));
    ada.post(&path, json!({ "type": "unsubscribe", "id": "p" })).await.expect_status(204);
    assert_eq!(told.next().await["type"], "unsubscribed");
    drop(told);
    // Heartbeats show that nobody is there any more.
    alyx_tests::wait::wait_for("the connection is forgotten", PATIENCE, async || {
        let answer = ada.post(&path, json!({ "type": "ping" })).await;
        (answer.status == 404).then_some(())
    })
    .await;
    // One connection for several subscriptions.
    let both = "?subscribe=%7B%22id%22:%22a%22,%22collection%22:%22posts%22%7D&subscribe=%7B%22id%22:%22b%22,%22collection%22:%22posts%22,%22limit%22:1%7D";
    let mut told = Events::open(&ada, both).await;
    told.next().await;
    let mut begun = [told.next().await, told.next().await];
    begun.sort_by_key(|said| said["id"].to_string());
    assert!(begun.iter().all(|said| said["type"] == "snapshot"), "{begun:?}");
    assert_eq!((&begun[0]["id"], &begun[1]["id"]), (&json!("a"), &json!("b")));
    drop(told);
    let anon = server.anon();
    let bad = "/api/realtime?subscribe=%7B%22id%22%3A%22x%22%2C%22collection%22%3A%22nowhere%22%7D";
    let headers = [("accept", "text/event-stream")];
    let answer = anon.raw(reqwest::Method::GET, bad, &headers, Vec::new()).await;
    answer.expect_error(404, "collection_not_found");
    anon.get_path("/api/realtime").await.expect_error(400, "invalid_request");
    server.stop().await;
}

#[tokio::test]
async fn m33_whoever_reads_slowly_misses_nothing() {
    let project = Project::fixture("lab").with("alyx.yaml", "realtime: { queue: 64kb }\n");
    let server = TestServer::start(project).await;
    let ada = server.user("ada").await;
    let mut told = Socket::open(&ada).await;
    told.subscribe("posts", "posts", json!({ "sort": "title" })).await;
    let ids = [post(&ada, "a", "draft").await, post(&ada, "b", "draft").await];
    // More than any buffer on the way takes.
    let rounds = 80;
    for round in 0..rounds {
        let body = format!("{round} {}", "x".repeat(200_000));
        ada.patch("posts", ids[round % 2].id(), json!({ "body": body })).await.expect_ok();
    }
    ada.delete("posts", ids[0].id()).await.expect_status(204);
    let expected = ada.list("posts", "sort=title").await.expect_docs();
    let view = told.until("posts", |view| view.docs == expected).await;
    assert_eq!(view.snapshots, 1);
    assert!(view.deltas < rounds, "{} were told apart", view.deltas);
    server.stop().await;
}

#[tokio::test]
async fn connections_subscriptions_and_messages_are_bounded() {
    let settings = "realtime: { connections_per_address: 5, connections_per_identity: 2, subscriptions: 3, \
                    messages_per_second: 4 }\n";
    let server = TestServer::start(Project::fixture("lab").with("alyx.yaml", settings)).await;
    let (ada, anon) = (server.user("ada").await, server.anon());
    let refused = async |who: &Client| {
        let error = Socket::connect(who.base(), who.try_token()).await.expect_err("too many");
        match *error {
            tokio_tungstenite::tungstenite::Error::Http(answer) => answer.status().as_u16(),
            other => panic!("{other}"),
        }
    };
    let mut hers = [Socket::open(&ada).await, Socket::open(&ada).await];
    assert_eq!(refused(&ada).await, 429);
    let mut others = [Socket::open(&anon).await, Socket::open(&anon).await, Socket::open(&anon).await];
    assert_eq!(refused(&anon).await, 429);
    others[0].say(json!({ "type": "auth", "token": ada.token() })).await;
    assert_eq!(others[0].expect("error").await["problem"]["code"], "too_many_requests");
    for number in 0..3 {
        hers[0].subscribe(&number.to_string(), "posts", json!({})).await;
    }
    hers[0].say(json!({ "type": "subscribe", "id": "more", "collection": "posts" })).await;
    assert_eq!(hers[0].expect("error").await["problem"]["code"], "too_many_requests");
    for _ in 0..200 {
        hers[1].say(json!({ "type": "ping" })).await;
    }
    let (code, messages) = hers[1].end().await;
    assert_eq!(code, Some(1008));
    assert_eq!(messages.last().unwrap()["reason"], "too_many_messages");
    // There is room again when one has gone.
    drop(others);
    alyx_tests::wait::wait_for("room", PATIENCE, async || Socket::connect(anon.base(), None).await.ok())
        .await;
    server.stop().await;
}

/// A frame as a client sends it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length @ 126..=65_535 => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
    frame
}

async fn raw_socket(server: &TestServer) -> TcpStream {
    let host = server.url().trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).await.unwrap();
    let head = format!(
        "GET /api/realtime HTTP/1.1\r\nhost: {host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    let text = String::from_utf8(answer).unwrap().to_lowercase();
    assert!(text.starts_with("http/1.1 101 ") && text.contains("s3pplmbitxaq9kygzzhzrbk+xoo="), "{text}");
    stream
}

/// The next frame: its first byte and its payload.
async fn read_frame(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let first = stream.read_u8().await.ok()?;
    let length = match stream.read_u8().await.ok()? {
        126 => stream.read_u16().await.ok()?.into(),
        127 => stream.read_u64().await.ok()? as usize,
        length => usize::from(length),
    };
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await.ok()?;
    Some((first, payload))
}

#[tokio::test]
async fn frames_that_break_the_protocol_end_the_connection() {
    let server = lab().await;
    let ping = br#"{"type":"ping"}"#;
    let mut unmasked = frame(0x81, ping);
    unmasked[1] &= 0x7f;
    unmasked.drain(2..6);
    let large = vec![b'x'; 70_000];
    let mut pieces = frame(0x01, &large[..60_000]);
    pieces.extend(frame(0x80, &large[..60_000]));
    let cases: [(&str, Vec<u8>, u16); 16] = [
        ("unmasked", unmasked, 1002),
        ("reserved bit", frame(0xc1, ping), 1002),
        ("unknown opcode", frame(0x83, ping), 1002),
        ("unknown control opcode", frame(0x8b, b""), 1002),
        ("continues nothing", frame(0x80, ping), 1002),
        ("begins within another", [frame(0x01, b"{"), frame(0x81, b"}")].concat(), 1002),
        ("control in pieces", frame(0x09, b"x"), 1002),
        ("control too long", frame(0x89, &large[..126]), 1002),
        ("not UTF-8", frame(0x81, b"\xff\xfe"), 1007),
        ("not UTF-8 over pieces", [frame(0x01, b"\xc3"), frame(0x80, b"\x28")].concat(), 1007),
        ("too large", frame(0x81, &large), 1009),
        ("too large in pieces", pieces, 1009),
        ("says it is enormous", [&[0x81, 0xff], &[0x7f; 8][..], &[0; 4]].concat(), 1009),
        ("binary", frame(0x82, ping), 1003),
        ("close code that may not be sent", frame(0x88, &1005_u16.to_be_bytes()), 1002),
        ("close reason that is not UTF-8", frame(0x88, b"\x03\xe8\xff"), 1007),
    ];
    for (what, sent, code) in cases {
        let mut stream = raw_socket(&server).await;
        stream.write_all(&sent).await.unwrap();
        let mut closed = None;
        let all = async {
            while let Some((first, payload)) = read_frame(&mut stream).await {
                if first == 0x88 {
                    closed = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                    // Answered as a client should, so that nobody waits.
                    drop(stream.write_all(&frame(0x88, &payload[..2])).await);
                }
            }
        };
        tokio::time::timeout(PATIENCE, all).await.unwrap_or_else(|_| panic!("{what} does not end"));
        assert_eq!(closed, Some(code), "{what}");
    }
    server.stop().await;
}

#[tokio::test]
async fn frames_in_pieces_with_pings_between_are_one_message() {
    let server = lab().await;
    let mut stream = raw_socket(&server).await;
    assert_eq!(read_frame(&mut stream).await.unwrap().0, 0x81, "connected");
    for piece in [&b"{\"type\""[..], b":", b"\"pi"] {
        let first = if piece[0] == b'{' { 0x01 } else { 0x00 };
        stream.write_all(&frame(first, piece)).await.unwrap();
        stream.write_all(&frame(0x89, b"there?")).await.unwrap();
        assert_eq!(read_frame(&mut stream).await, Some((0x8a, b"there?".to_vec())));
    }
    stream.write_all(&frame(0x80, b"ng\"}")).await.unwrap();
    let (_, pong) = read_frame(&mut stream).await.unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&pong).unwrap()["type"], "pong");
    // Pings are answered, but not any number of them.
    let flood: Vec<u8> = (0..2_000).flat_map(|_| frame(0x89, b"x")).collect();
    drop(stream.write_all(&flood).await);
    let mut said = Vec::new();
    let all = async {
        while let Some((first, payload)) = read_frame(&mut stream).await {
            if first == 0x81 {
                said.push(String::from_utf8(payload).unwrap());
            }
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("it ends");
    assert!(said.last().is_some_and(|last| last.contains("too_many_messages")), "{said:?}");
    server.stop().await;
}

/// What the scripts below print: the titles that they know, whenever they are told of something.
async fn check_peer(server: &TestServer, ada: &Client, mut command: Command) {
    command.env("URL", server.url()).env("TOKEN", ada.token());
    let mut command = tokio::process::Command::from(command);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("it starts");
    let output = tokio::io::BufReader::new(child.stdout.take().unwrap());
    let mut lines = tokio::io::AsyncBufReadExt::lines(output);
    let mut next = async || {
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("it says something");
        line.unwrap().expect("it goes on")
    };
    assert_eq!(next().await, "snapshot");
    let one = post(ada, "Grüße 🦊", "draft").await;
    assert_eq!(next().await, "insert Grüße 🦊");
    ada.patch("posts", one.id(), json!({ "title": "x".repeat(200) })).await.expect_ok();
    assert_eq!(next().await, format!("update {}", "x".repeat(200)));
    ada.delete("posts", one.id()).await.expect_status(204);
    assert_eq!(next().await, "delete");
    child.kill().await.unwrap();
}

const TELL: &str = r#"
const tell = (m) => {
  if (m.type === "snapshot") console.log("snapshot");
  if (m.type === "error") console.log(JSON.stringify(m));
  if (m.type !== "delta") return;
  for (const d of m.inserts) console.log("insert " + d.title);
  for (const d of m.updates) console.log("update " + d.title);
  for (const d of m.deletes) console.log("delete");
};
"#;

#[tokio::test]
async fn npm_ws_is_told() {
    let Some(mut node) = peers::node() else { return };
    let server = lab().await;
    let ada = server.user("ada").await;
    let script = format!(
        r#"{TELL}
import {{ WebSocket }} from "ws";
const url = process.env.URL.replace("http", "ws") + "/api/realtime";
const socket = new WebSocket(url, "alyx.v1");
socket.on("open", () => {{
  socket.send(JSON.stringify({{ type: "auth", token: process.env.TOKEN }}));
  socket.send(JSON.stringify({{ type: "subscribe", id: "p", collection: "posts" }}));
}});
socket.on("message", (data) => tell(JSON.parse(data)));
"#
    );
    node.args(["--input-type=module", "-e", &script]);
    check_peer(&server, &ada, node).await;
    server.stop().await;
}

#[tokio::test]
async fn npm_eventsource_is_told() {
    let Some(mut node) = peers::node() else { return };
    let server = lab().await;
    let ada = server.user("ada").await;
    let script = format!(
        r#"{TELL}
import {{ EventSource }} from "eventsource";
const wanted = encodeURIComponent(JSON.stringify({{ id: "p", collection: "posts" }}));
const source = new EventSource(process.env.URL + "/api/realtime?subscribe=" + wanted, {{
  fetch: (input, init) =>
    fetch(input, {{ ...init, headers: {{ ...init.headers, Authorization: "Bearer " + process.env.TOKEN }} }}),
}});
source.onmessage = (event) => tell(JSON.parse(event.data));
"#
    );
    node.args(["--input-type=module", "-e", &script]);
    check_peer(&server, &ada, node).await;
    server.stop().await;
}

#[tokio::test]
async fn pypi_websockets_is_told() {
    let Some(mut python) = peers::python() else { return };
    let server = lab().await;
    let ada = server.user("ada").await;
    let script = r#"
import json, os
from websockets.sync.client import connect

url = os.environ["URL"].replace("http", "ws") + "/api/realtime"
headers = {"Authorization": "Bearer " + os.environ["TOKEN"]}
with connect(url, subprotocols=["alyx.v1"], additional_headers=headers) as socket:
    assert socket.subprotocol == "alyx.v1"
    socket.send(json.dumps({"type": "subscribe", "id": "p", "collection": "posts"}))
    for text in socket:
        message = json.loads(text)
        if message["type"] in ("snapshot", "error"):
            print(message["type"], flush=True)
        if message["type"] == "delta":
            for kind in ("insert", "update"):
                for doc in message[kind + "s"]:
                    print(kind, doc["title"], flush=True)
            for _ in message["deletes"]:
                print("delete", flush=True)
"#;
    python.args(["-c", script]).env("PYTHONIOENCODING", "utf-8");
    check_peer(&server, &ada, python).await;
    server.stop().await;
}

#[tokio::test]
async fn the_examples_for_browsers_work_in_chromium() {
    let Some(mut node) = peers::node() else { return };
    let Some(program) = peers::chromium() else { return };
    let server = TestServer::start(Project::example("basic")).await;
    let page = std::fs::read_to_string(tree::root().join("docs/realtime.md")).unwrap();
    let [socket, events] = <[String; 2]>::try_from(blocks(&page, "js")).expect("two examples");
    let socket = socket.replace("wss://api.example.com", &server.url().replace("http", "ws"));
    node.args(["--input-type=module", "-e", include_str!("realtime_wire/browser.mjs")]);
    node.arg(program)
        .args([server.url(), &socket, &events, PASSWORD])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let mut command = tokio::process::Command::from(node);
    let output = tokio::time::timeout(BROWSER_PATIENCE, command.kill_on_drop(true).output()).await;
    let output = output.expect("it ends in time").expect("run node");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "the browser's part failed: {text}");
    let seen: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"));
    let steps = json!(["", "one", "Grüße 🦊 one", "Grüße 🦊 eins", "Grüße 🦊"]);
    assert_eq!((&seen["steps"], &seen["protocol"]), (&steps, &json!("alyx.v1")));
    server.stop().await;
}
