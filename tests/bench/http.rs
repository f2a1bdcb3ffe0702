//! A client that costs little: one connection that is kept, one buffer, no parsing beyond what is
//! needed to find the end of an answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(url: &str) -> Self {
        let stream = TcpStream::connect(url.trim_start_matches("http://")).await.expect("connect");
        stream.set_nodelay(true).expect("set an option of a socket");
        Self { stream, buffer: Vec::with_capacity(64 * 1024) }
    }

    /// Sends a whole request and reads a whole answer; panics unless its status starts with 2.
    pub async fn call(&mut self, request: &[u8]) {
        self.exchange(request).await;
        assert_eq!(self.buffer.get(9), Some(&b'2'), "{}", String::from_utf8_lossy(&self.buffer));
    }

    /// Sends a whole request and reads a whole answer, whatever its status; that and its body.
    pub async fn ask(&mut self, request: &[u8]) -> (u16, &[u8]) {
        let body = self.exchange(request).await;
        let status = self.buffer.get(9..12).and_then(|status| str::from_utf8(status).ok()?.parse().ok());
        (status.expect("an answer has a status"), &self.buffer[body..])
    }

    /// Where the body of the answer begins.
    async fn exchange(&mut self, request: &[u8]) -> usize {
        self.stream.write_all(request).await.expect("send");
        self.buffer.clear();
        let (mut end, mut length) = (0, Length::Bytes(0));
        while end == 0 || !length.is_whole(&self.buffer[end..]) {
            let read = self.stream.read_buf(&mut self.buffer).await.expect("receive");
            assert!(read > 0, "the server closed the connection");
            if end == 0
                && let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n")
            {
                end = at + 4;
                length = Length::of(&self.buffer[..end]);
            }
        }
        end
    }
}

/// How the end of an answer is found.
enum Length {
    Bytes(usize),
    Chunked,
}

impl Length {
    fn of(head: &[u8]) -> Self {
        let head = str::from_utf8(head).expect("a head is text").to_ascii_lowercase();
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        match (field("content-length:"), field("transfer-encoding:")) {
            (Some(length), _) => Self::Bytes(length.parse().expect("a length is a number")),
            (None, Some("chunked")) => Self::Chunked,
            _ if head.starts_with("http/1.1 204") => Self::Bytes(0),
            _ => panic!("no length in {head}"),
        }
    }

    fn is_whole(&self, body: &[u8]) -> bool {
        match self {
            Self::Bytes(length) => body.len() >= *length,
            Self::Chunked => body.ends_with(b"\r\n0\r\n\r\n"),
        }
    }
}

/// A request with this body, ready to send.
pub fn request(method: &str, path: &str, token: Option<&str>, body: &str) -> Arc<[u8]> {
    let authorization = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: bench\r\n{authorization}content-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
    .into()
}

/// The same request again and again over one connection.
pub async fn latencies(url: &str, request: &[u8], calls: usize) -> Vec<Duration> {
    let mut connection = Connection::open(url).await;
    for _ in 0..calls / 5 {
        connection.call(request).await;
    }
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls {
        let start = Instant::now();
        connection.call(request).await;
        times.push(start.elapsed());
    }
    times
}

/// Calls a second with this many connections, over `time`, after a quarter of it to warm up.
/// `request` makes the n-th request.
pub async fn throughput(
    url: &str,
    connections: usize,
    time: Duration,
    request: impl Fn(usize) -> Arc<[u8]> + Send + Sync + 'static,
) -> f64 {
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(url).await);
    }
    let request = Arc::new(request);
    let counted = Instant::now() + time / 4;
    let end = counted + time;
    let tasks: Vec<_> = open
        .into_iter()
        .enumerate()
        .map(|(first, mut connection)| {
            let request = request.clone();
            tokio::spawn(async move {
                let mut calls = 0;
                for number in (first..).step_by(connections) {
                    connection.call(&request(number)).await;
                    match Instant::now() {
                        now if now >= end => break,
                        now if now >= counted => calls += 1,
                        _ => {}
                    }
                }
                calls
            })
        })
        .collect();
    let mut calls = 0;
    for task in tasks {
        calls += task.await.expect("every call is answered");
    }
    f64::from(calls) / time.as_secs_f64()
}

/// Sends each request once, over 64 connections.
pub async fn fill(url: &str, requests: Vec<Arc<[u8]>>) {
    const CONNECTIONS: usize = 64;
    let requests = Arc::new(requests);
    let mut tasks = Vec::new();
    for first in 0..CONNECTIONS {
        let (mut connection, requests) = (Connection::open(url).await, Arc::clone(&requests));
        tasks.push(tokio::spawn(async move {
            for request in requests.iter().skip(first).step_by(CONNECTIONS) {
                connection.call(request).await;
            }
        }));
    }
    for task in tasks {
        task.await.expect("every call is answered");
    }
}

/// Reads a second of so many readers while one connection writes as fast as it can, and the time of
/// each write.
pub async fn beside(
    url: &str,
    readers: usize,
    time: Duration,
    reads: Vec<Arc<[u8]>>,
    write: Arc<[u8]>,
) -> (f64, Vec<Duration>) {
    let mut writer = Connection::open(url).await;
    let writing = tokio::spawn(async move {
        // The readers warm up for a quarter of the time.
        tokio::time::sleep(time / 4).await;
        let (end, mut times) = (Instant::now() + time, Vec::new());
        while Instant::now() < end {
            let start = Instant::now();
            writer.call(&write).await;
            times.push(start.elapsed());
        }
        times
    });
    let rate = throughput(url, readers, time, move |number| reads[number % reads.len()].clone()).await;
    (rate, writing.await.expect("every write is answered"))
}
