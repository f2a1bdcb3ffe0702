//! A client of `/api/realtime`, which puts together from snapshots and deltas what it is told.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::Client;

/// For whatever is to come: two loaded cores are slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// A WebSocket to the daemon.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Messages that were received while another was waited for.
    passed: VecDeque<Value>,
    /// What is known of each subscription.
    pub views: BTreeMap<String, View>,
}

/// What came within a while.
#[derive(Debug)]
pub enum Heard {
    /// This.
    Message(Value),
    /// Nothing.
    Nothing,
    /// The end of the connection.
    End,
}

/// What a client knows of a subscription.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// Place in the feed.
    pub seq: String,
    /// The documents in order.
    pub docs: Vec<Value>,
    /// How often everything was told anew.
    pub snapshots: usize,
    /// How often a difference was told.
    pub deltas: usize,
}

impl View {
    /// Takes in a snapshot or a delta, as `docs/realtime.md` tells clients to.
    ///
    /// # Panics
    /// If the message is about a document that is not, or is already, there: nothing is told twice.
    pub fn take(&mut self, message: &Value) {
        let list = |name: &str| message[name].as_array().cloned().unwrap_or_default();
        let seq = message["seq"].as_str().expect("it says from where on").to_owned();
        let number =
            |seq: &str| seq.split('.').nth(1).and_then(|seq| seq.parse::<u64>().ok()).expect("a place");
        if message["type"] == "snapshot" {
            self.snapshots += 1;
            self.docs = list("docs");
        } else {
            let is_before = self.seq.is_empty() || number(&self.seq) <= number(&seq);
            assert!(is_before, "from {} back to {seq}", self.seq);
            self.deltas += 1;
            let has = |docs: &[Value], id: &Value| docs.iter().any(|doc| doc["id"] == *id);
            let (inserts, updates, deletes) = (list("inserts"), list("updates"), list("deletes"));
            for doc in &inserts {
                assert!(!has(&self.docs, &doc["id"]), "there already: {doc} {message}");
            }
            for id in updates.iter().map(|doc| &doc["id"]).chain(&deletes) {
                assert!(has(&self.docs, id), "not there: {id} {message}");
            }
            self.docs.retain(|doc| {
                !deletes.contains(&doc["id"]) && updates.iter().all(|new| new["id"] != doc["id"])
            });
            let places = list("at").into_iter().map(|at| at.as_u64().expect("a place") as usize);
            let mut put: Vec<(usize, Value)> = places.zip(inserts.into_iter().chain(updates)).collect();
            put.sort_by_key(|(at, _)| *at);
            put.into_iter().for_each(|(at, doc)| self.docs.insert(at, doc));
        }
        self.seq = seq;
    }

    /// One field of every document, in order.
    #[must_use]
    pub fn each(&self, field: &str) -> Vec<Value> {
        self.docs.iter().map(|doc| doc[field].clone()).collect()
    }
}

impl Socket {
    /// Connects as a client that may hold a token.
    ///
    /// # Panics
    /// If that is refused.
    pub async fn open(who: &Client) -> Self {
        let token = who.try_token().map(str::to_owned);
        let mut socket = Self::connect(who.base(), token.as_deref()).await.expect("a WebSocket opens");
        socket.expect("connected").await;
        socket
    }

    /// Connects.
    ///
    /// # Errors
    /// What went wrong, such as the answer of a server that refuses.
    pub async fn connect(base: &str, token: Option<&str>) -> Result<Self, Box<Error>> {
        let url = format!("{}/api/realtime", base.replacen("http", "ws", 1));
        let mut request = url.into_client_request()?;
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("alyx.v1"));
        if let Some(token) = token {
            let value = HeaderValue::from_str(&format!("Bearer {token}")).expect("a token is text");
            request.headers_mut().insert("authorization", value);
        }
        let (stream, _) = connect_async(request).await?;
        Ok(Self { stream, passed: VecDeque::new(), views: BTreeMap::new() })
    }

    /// Says something.
    ///
    /// # Panics
    /// If the connection has ended.
    pub async fn say(&mut self, message: Value) {
        self.stream.send(Message::text(message.to_string())).await.expect("the connection is open");
    }

    /// The same; `false` if the connection has ended.
    pub async fn try_say(&mut self, message: Value) -> bool {
        self.stream.send(Message::text(message.to_string())).await.is_ok()
    }

    /// Subscribes and waits for what there is.
    pub async fn subscribe(&mut self, id: &str, collection: &str, more: Value) -> View {
        let mut message = json!({ "type": "subscribe", "id": id, "collection": collection });
        let members = message.as_object_mut().expect("an object");
        members.extend(more.as_object().cloned().unwrap_or_default());
        self.say(message).await;
        let told = self.expect_about(id).await;
        assert!(told["type"] == "snapshot" || told["type"] == "delta" || told["type"] == "resync", "{told}");
        if told["type"] == "resync" {
            self.expect_about(id).await;
        }
        self.views[id].clone()
    }

    /// The next message, if there is another; views are kept up to date.
    pub async fn next(&mut self) -> Option<Value> {
        if let Some(message) = self.passed.pop_front() {
            return Some(message);
        }
        tokio::time::timeout(PATIENCE, self.receive()).await.expect("something comes in time")
    }

    /// The next message that came within a while.
    pub async fn next_within(&mut self, time: Duration) -> Option<Value> {
        tokio::time::timeout(time, self.receive()).await.ok().flatten()
    }

    /// What comes within a while.
    pub async fn hear_within(&mut self, time: Duration) -> Heard {
        match tokio::time::timeout(time, self.receive()).await {
            Ok(Some(message)) => Heard::Message(message),
            Ok(None) => Heard::End,
            Err(_) => Heard::Nothing,
        }
    }

    async fn receive(&mut self) -> Option<Value> {
        loop {
            let text = match self.stream.next().await? {
                Ok(Message::Text(text)) => text,
                Ok(_) => continue,
                Err(_) => return None,
            };
            let message: Value = serde_json::from_str(&text).expect("messages are JSON");
            if let (Some(id), "snapshot" | "delta") =
                (message["id"].as_str(), message["type"].as_str().unwrap_or_default())
            {
                self.views.entry(id.to_owned()).or_default().take(&message);
            }
            return Some(message);
        }
    }

    /// The next message of a type; others are passed over.
    ///
    /// # Panics
    /// If the connection ends before.
    pub async fn expect(&mut self, kind: &str) -> Value {
        loop {
            let message = self.next().await.unwrap_or_else(|| panic!("ended before {kind}"));
            if message["type"] == kind {
                return message;
            }
        }
    }

    /// The next message about a subscription.
    ///
    /// # Panics
    /// If the connection ends before.
    pub async fn expect_about(&mut self, id: &str) -> Value {
        loop {
            let message = self.next().await.unwrap_or_else(|| panic!("ended before anything about {id}"));
            if message["id"] == id {
                return message;
            }
            assert!(message["type"] != "error", "{message}");
        }
    }

    /// Waits until the documents of a subscription are as they should be.
    ///
    /// # Panics
    /// If they do not become so in time.
    pub async fn until(&mut self, id: &str, good: impl Fn(&View) -> bool) -> View {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !self.views.get(id).is_some_and(&good) {
            let received = tokio::time::timeout_at(deadline, self.receive()).await;
            let message = received.unwrap_or_else(|_| panic!("{id} stays {:?}", self.views.get(id)));
            assert!(message.is_some(), "ended while {id} was {:?}", self.views.get(id));
        }
        self.views[id].clone()
    }

    /// Waits for the end; answers the code of the close frame and all messages before it.
    pub async fn end(&mut self) -> (Option<u16>, Vec<Value>) {
        let mut messages = Vec::new();
        let mut code = None;
        let all = async {
            while let Some(Ok(message)) = self.stream.next().await {
                match message {
                    Message::Text(text) => messages.push(serde_json::from_str(&text).expect("JSON")),
                    Message::Close(Some(frame)) => code = Some(frame.code.into()),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, all).await.expect("it ends in time");
        (code, messages)
    }
}

/// A stream of events.
#[expect(missing_debug_implementations, reason = "a boxed stream has none")]
pub struct Events {
    stream: BoxStream<'static, reqwest::Result<Vec<u8>>>,
    received: Vec<u8>,
}

impl Events {
    /// Opens one as a client that may hold a token; `query` begins with the question mark.
    ///
    /// # Panics
    /// If that is refused.
    pub async fn open(who: &Client, query: &str) -> Self {
        let answer = Self::ask(who, query).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert_eq!(answer.headers()["x-accel-buffering"], "no");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        Self::of(answer)
    }

    /// The same; `None` if that is refused or nobody answers.
    pub async fn try_open(who: &Client, query: &str) -> Option<Self> {
        Self::ask(who, query).await.ok().filter(|answer| answer.status() == 200).map(Self::of)
    }

    async fn ask(who: &Client, query: &str) -> reqwest::Result<reqwest::Response> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let mut request =
            http.get(format!("{}/api/realtime{query}", who.base())).header("accept", "text/event-stream");
        if let Some(token) = who.try_token() {
            request = request.bearer_auth(token);
        }
        request.send().await
    }

    fn of(answer: reqwest::Response) -> Self {
        let stream = answer.bytes_stream().map(|bytes| bytes.map(|bytes| bytes.to_vec())).boxed();
        Self { stream, received: Vec::new() }
    }

    /// The next message.
    ///
    /// # Panics
    /// If the stream ends before.
    pub async fn next(&mut self) -> Value {
        match self.next_within(PATIENCE).await {
            Heard::Message(message) => message,
            other => panic!("{other:?} instead of a message"),
        }
    }

    /// What comes within a while.
    pub async fn next_within(&mut self, time: Duration) -> Heard {
        tokio::time::timeout(time, self.receive()).await.unwrap_or(Heard::Nothing)
    }

    async fn receive(&mut self) -> Heard {
        loop {
            while let Some(end) = self.received.windows(2).position(|pair| pair == b"\n\n") {
                let event: Vec<u8> = self.received.drain(..end + 2).collect();
                let event = String::from_utf8(event).expect("events are UTF-8");
                let event = event.trim_end_matches('\n');
                if let Some(data) = event.strip_prefix("data: ") {
                    return Heard::Message(serde_json::from_str(data).expect("messages are JSON"));
                }
                assert_eq!(event, ":");
            }
            match self.stream.next().await {
                Some(Ok(piece)) => self.received.extend(piece),
                _ => return Heard::End,
            }
        }
    }
}
