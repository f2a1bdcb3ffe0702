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
        self.stream.write_all(request).await.expect("send");
        self.buffer.clear();
        let (mut end, mut length) = (0, 0);
        while end == 0 || self.buffer.len() < end + length {
            let read = self.stream.read_buf(&mut self.buffer).await.expect("receive");
            assert!(read > 0, "the server closed the connection");
            if end == 0
                && let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n")
            {
                end = at + 4;
                length = content_length(&self.buffer[..end]);
            }
        }
        assert_eq!(self.buffer.get(9), Some(&b'2'), "{}", String::from_utf8_lossy(&self.buffer));
    }
}

/// Our server writes names in lower case.
fn content_length(head: &[u8]) -> usize {
    let head = str::from_utf8(head).expect("a head is text");
    let line = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    line.and_then(|text| text.trim().parse().ok()).unwrap_or_else(|| panic!("no length in {head}"))
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
