//! Requests that are malformed, slow, oversized or come from elsewhere.

use std::time::Duration;

use alyx_protocol::api::Problem;
use alyx_tests::server::PASSWORD;
use alyx_tests::{Project, TestServer, peers};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::lab;

async fn connect(server: &TestServer) -> TcpStream {
    TcpStream::connect(server.url().trim_start_matches("http://")).await.expect("connect")
}

/// Sends bytes and reads until the other side ends the connection.
async fn raw(server: &TestServer, bytes: &[u8]) -> String {
    let mut stream = connect(server).await;
    stream.write_all(bytes).await.expect("send");
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut answer)).await;
    read.expect("the connection ends").expect("read");
    String::from_utf8_lossy(&answer).into_owned()
}

/// How many answers came, and the last one.
fn answers(text: &str) -> (usize, &str) {
    let starts: Vec<usize> = text.match_indices("HTTP/1.1 ").map(|(at, _)| at).collect();
    (starts.len(), starts.last().map_or("", |at| &text[*at..]))
}

/// One answer, a problem, and the end of the connection.
fn expect_refusal(sent: &str, text: &str, status: u16, code: &str) {
    let (count, answer) = answers(text);
    assert_eq!(count, 1, "{sent:?}: {text}");
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{sent:?}: {text}");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let problem: Problem = serde_json::from_str(body).unwrap_or_else(|_| panic!("{sent:?}: {text}"));
    assert_eq!(problem.code, code, "{sent:?}: {text}");
    assert!(head.contains("connection: close"), "{sent:?}: {head}");
    assert!(head.contains("x-content-type-options: nosniff"), "{sent:?}: {head}");
    assert!(problem.request_id.is_some_and(|id| head.contains(&id)), "{sent:?}: {head}");
}

/// What follows a request that two readers may end in two places.
const SMUGGLED: &str = "GET /api/auth/status HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test]
async fn smuggled_requests_are_refused_and_end_the_connection() {
    let server = lab().await;
    let heads = [
        "content-length: 0\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding:\x0bchunked\r\n",
        "transfer-encoding : chunked\r\n",
        " transfer-encoding: chunked\r\n",
        "x: y\r\n transfer-encoding: chunked\r\n",
        "x: y\r\n\tfolded\r\n",
        "x: y\ntransfer-encoding: chunked\r\n",
        "x: y\rtransfer-encoding: chunked\r\n",
        "content-length: 0\r\ncontent-length: 44\r\n",
        "content-length: 0\r\ncontent-length: 0\r\n",
        "content-length: 0, 0\r\n",
        "content-length: +0\r\n",
        "content-length: -1\r\n",
        "content-length: 0x0\r\n",
        "content-length: 0 0\r\n",
        "content-length:\r\n",
        "content-length: 99999999999999999999\r\n",
        "content-length : 0\r\n",
        "content length: 0\r\n",
        ": 0\r\n",
        "no colon\r\n",
        "x: \0\r\n",
    ];
    for head in heads {
        let sent =
            format!("POST /api/auth/logout HTTP/1.1\r\nhost: x\r\n{head}\r\n0\r\n\r\n{SMUGGLED}{SMUGGLED}");
        expect_refusal(&sent, &raw(&server, sent.as_bytes()).await, 400, "invalid_request");
    }
    let lines = [
        "GET /health/live HTTP/1.1\nhost: x\n\n",
        "GET  /health/live HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /health/live HTTP/1.1 \r\nhost: x\r\n\r\n",
        "GET /health/live\r\n\r\n",
        "GET /health/live HTTP/3.0\r\nhost: x\r\n\r\n",
        "GET\t/health/live HTTP/1.1\r\nhost: x\r\n\r\n",
        "CONNECT example.org:80 HTTP/1.1\r\nhost: example.org:80\r\n\r\n",
        "GET http://evil.example/health/live HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET * HTTP/1.1\r\nhost: x\r\n\r\n",
        "G\0T / HTTP/1.1\r\nhost: x\r\n\r\n",
        "ALYX-REFUSED / HTTP/1.1\r\nhost: x\r\n\r\n",
        "PRI * HTTP/2.0\r\n\rSM\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n",
    ];
    for line in lines {
        let sent = format!("{line}{SMUGGLED}");
        expect_refusal(line, &raw(&server, sent.as_bytes()).await, 400, "invalid_request");
    }
    // The same over again where it is harmless.
    let same = "GET http://x/health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert!(raw(&server, same.as_bytes()).await.starts_with("HTTP/1.1 200 "));
    server.anon().get_path("/health/live").await.expect_ok();
    server.stop().await;
}

#[tokio::test]
async fn a_refused_request_does_not_take_back_earlier_answers() {
    let server = lab().await;
    let sent = format!("{SMUGGLED}{SMUGGLED}GET / HTTP/1.1\r\nhost : x\r\n\r\n{SMUGGLED}");
    let text = raw(&server, sent.as_bytes()).await;
    let (count, last) = answers(&text);
    assert_eq!(count, 3, "{text}");
    assert_eq!(text.matches("HTTP/1.1 200 ").count(), 2, "{text}");
    assert!(last.starts_with("HTTP/1.1 400 "), "{text}");
    server.stop().await;
}

#[tokio::test]
async fn chunks_tell_their_length_in_one_way() {
    let server = lab().await;
    const HEAD: &str = "POST /api/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
        transfer-encoding: chunked\r\n\r\n";
    let broken = [
        "g\r\nx\r\n0\r\n\r\n",
        "-1\r\nx\r\n0\r\n\r\n",
        "0x1\r\nx\r\n0\r\n\r\n",
        "1\nx\r\n0\r\n\r\n",
        "1\r\nxy\r\n0\r\n\r\n",
        "1;a\nb\r\nx\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nx\r\n0\r\n\r\n",
        "1 2\r\nx\r\n0\r\n\r\n",
    ];
    for chunks in broken {
        let text = raw(&server, format!("{HEAD}{chunks}{SMUGGLED}").as_bytes()).await;
        expect_refusal(chunks, &text, 400, "invalid_request");
    }
    // Well-formed ones are read, extensions and all, and are the last of their connection.
    let body = json!({ "email": "nobody@example.org", "password": PASSWORD }).to_string();
    let chunks = format!("{:x};a=b\r\n{body}\r\n0\r\n\r\n", body.len());
    let text = raw(&server, format!("{HEAD}{chunks}{SMUGGLED}").as_bytes()).await;
    expect_refusal(&chunks, &text, 401, "invalid_credentials");
    server.stop().await;
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused_with_a_problem() {
    let server = lab().await;
    let line = |length: usize| format!("x: {}\r\n", "a".repeat(length - 5));
    let request =
        |headers: &str| format!("GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
    let room = 64 * 1024 - request("").len();
    for (headers, status) in [
        (line(room), 200),
        (line(room + 1), 431),
        (line(1_000_000), 431),
        ("a: b\r\n".repeat(98), 200),
        ("a: b\r\n".repeat(99), 431),
    ] {
        let text = raw(&server, request(&headers).as_bytes()).await;
        let sent = format!("{} bytes", headers.len());
        if status == 200 {
            assert!(text.starts_with("HTTP/1.1 200 "), "{sent}: {text}");
        } else {
            expect_refusal(&sent, &text, 431, "head_too_large");
        }
    }
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(100_000));
    expect_refusal("a long target", &raw(&server, long.as_bytes()).await, 431, "head_too_large");
    server.stop().await;
}

#[tokio::test]
async fn slow_clients_do_not_hold_a_connection() {
    let project =
        Project::fixture("lab").with("alyx.yaml", "server: { header_timeout: 2s, body_timeout: 2s }");
    let server = TestServer::start(project).await;
    let check = async |begin: &[u8], status: &str| {
        let mut stream = connect(&server).await;
        stream.write_all(begin).await.expect("send");
        let (mut reader, mut writer) = stream.into_split();
        // A byte now and then keeps nothing open.
        let slow = tokio::spawn(async move {
            while writer.write_all(b"a").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        });
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(60), reader.read_to_end(&mut answer)).await;
        drop(read.expect("the connection ends"));
        slow.abort();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(status), "{}: {answer}", begin.escape_ascii());
    };
    let login = b"POST /api/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 60000\r\n\r\n{";
    tokio::join!(
        check(b"GET / HT", ""),
        check(b"GET / HTTP/1.1\r\nhost: x\r\nx: ", ""),
        check(b"PRI * HTTP/2.0\r\n\r\nSM", ""),
        check(login, "HTTP/1.1 408 "),
    );
    server.stop().await;
}

#[tokio::test]
async fn bodies_that_are_too_large_are_refused_on_every_route() {
    let server =
        TestServer::start(Project::fixture("lab").with("alyx.yaml", "server: { body_limit: 1kb }")).await;
    let admin = server.admin().await;
    let token = format!("Bearer {}", admin.token());
    let openapi = server.anon().get_path("/api/openapi.json").await.expect_ok();
    let mut tried = 0;
    for (path, methods) in openapi["paths"].as_object().expect("paths") {
        for method in ["post", "put", "patch"] {
            // Pages have a limit of their own.
            if methods[method]["requestBody"].is_null() || !path.starts_with("/api/") {
                continue;
            }
            let path = path.replace(['{', '}'], "");
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
            let kinds = &methods[method.as_str().to_lowercase()]["requestBody"]["content"];
            let kind = kinds.as_object().and_then(|kinds| kinds.keys().next().cloned()).unwrap_or_default();
            let body = format!("{{\"a\":\"{}\"}}", "x".repeat(2_000)).into_bytes();
            let headers = [("content-type", kind.as_str()), ("authorization", token.as_str())];
            let answer = admin.raw(method.clone(), &path, &headers, body).await;
            assert_eq!(answer.status, 413, "{method} {path}: {answer}");
            answer.expect_error(413, "body_too_large");
            tried += 1;
        }
    }
    assert!(tried >= 8, "{tried}");
    server.stop().await;
}

#[tokio::test]
async fn sign_in_takes_small_bodies_only() {
    const MOST: usize = 64 * 1024;
    let server = lab().await;
    let anon = server.anon();
    let body = |bytes: usize| {
        let empty = json!({ "email": "a@example.org", "password": "" }).to_string().len();
        json!({ "email": "a@example.org", "password": "x".repeat(bytes - empty) }).to_string()
    };
    for path in ["/api/auth/login", "/api/auth/register"] {
        let fits = anon.send(Method::POST, path, Some(body(MOST))).await;
        assert_ne!(fits.status, 413, "{path}: {fits}");
        anon.send(Method::POST, path, Some(body(MOST + 1))).await.expect_error(413, "body_too_large");
    }
    // Documents may be larger, as configured.
    let ada = server.user("ada").await;
    let post = json!({ "title": "a", "author": ada.id(), "body": "x".repeat(MOST) });
    ada.create("posts", post).await.expect_created();
    server.stop().await;
}

#[tokio::test]
async fn m40_every_route_answers_problems_and_security_headers() {
    let server = lab().await;
    let anon = server.anon();
    let openapi = anon.get_path("/api/openapi.json").await.expect_ok();
    let mut paths: Vec<String> = openapi["paths"]
        .as_object()
        .expect("paths")
        .keys()
        .map(|path| path.replace(['{', '}'], ""))
        .collect();
    paths.extend(["/", "/nowhere", "/api", "/api/", "/api/nowhere", "/%2e%2e/etc/passwd"].map(str::to_owned));
    for path in paths {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FROBNICATE"] {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            let answer = anon.send(method.clone(), &path, None).await;
            let place = format!("{method} {path}");
            for (name, value) in [
                ("x-content-type-options", "nosniff"),
                ("referrer-policy", "no-referrer"),
                ("content-security-policy", "default-src 'none'; frame-ancestors 'none'; sandbox"),
                ("cross-origin-resource-policy", "same-origin"),
                ("cross-origin-opener-policy", "same-origin"),
                ("x-frame-options", "DENY"),
            ] {
                assert_eq!(answer.header(name), Some(value), "{place}: {name}");
            }
            assert!(answer.header("x-request-id").is_some(), "{place}");
            assert_eq!(answer.header("server"), None, "{place} names its software");
            assert_eq!(answer.header("strict-transport-security"), None, "{place} is not TLS");
            let status = answer.status.as_u16();
            if status >= 400 || path.starts_with("/api/auth/") || path.starts_with("/api/admin/") {
                assert_eq!(answer.header("cache-control"), Some("no-store"), "{place}");
            }
            if status >= 400 {
                assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{place}");
                if method != Method::HEAD {
                    let problem: Problem = serde_json::from_slice(&answer.body).expect("a problem");
                    assert_eq!(problem.status, status, "{place}");
                }
            }
            match status {
                405 => assert!(answer.header("allow").is_some_and(|allow| !allow.is_empty()), "{place}"),
                404 if path.contains("nowhere") => {}
                _ => assert!(!["TRACE", "FROBNICATE"].contains(&method.as_str()) || status == 404, "{place}"),
            }
            // What a function of a stranger does is not ours.
            assert!(status < 500 || path.starts_with("/api/functions/"), "{place}: {answer}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn m14_foreign_origins_get_nothing() {
    let project = Project::fixture("lab")
        .with("alyx.yaml", "cors: { allowed_origins: ['https://app.example.com', 'http://localhost:5173'] }");
    let server = TestServer::start(project).await;
    let ask = async |method: Method, origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization, content-type"),
        ];
        server.anon().raw(method, "/api/collections/posts", &headers, Vec::new()).await
    };
    for origin in [
        "https://app.example.com.evil.test",
        "https://evil-app.example.com",
        "https://evil.app.example.com",
        "https://app.example.co",
        "https://app.example.comm",
        "http://app.example.com",
        "https://app.example.com:443",
        "https://app.example.com:8443",
        "https://app.example.com/",
        "https://app.example.com.",
        "https://appXexample.com",
        "https://APP.example.com",
        "https://user@app.example.com",
        "http://localhost",
        "http://localhost:51730",
        "http://127.0.0.1:5173",
        "null",
        "*",
        "file://",
        "https://app.example.com, https://evil.test",
        "https://app.example.com https://evil.test",
    ] {
        for method in [Method::GET, Method::OPTIONS] {
            let answer = ask(method.clone(), origin).await;
            let told: Vec<_> =
                answer.headers.keys().filter(|name| name.as_str().starts_with("access-control-")).collect();
            assert!(told.is_empty(), "{method} {origin}: {told:?}");
            assert!(answer.header("vary").unwrap_or_default().to_lowercase().contains("origin"), "{origin}");
        }
    }
    for origin in ["https://app.example.com", "http://localhost:5173"] {
        let actual = ask(Method::GET, origin).await.expect_status(200);
        assert_eq!(actual.header("access-control-allow-origin"), Some(origin));
        let preflight = ask(Method::OPTIONS, origin).await.expect_status(204);
        assert_eq!(preflight.header("access-control-allow-origin"), Some(origin));
        assert!(preflight.header("access-control-max-age").is_some());
        let methods = preflight.header("access-control-allow-methods").unwrap_or_default();
        assert!(
            methods.contains("POST") && methods.contains("GET") && !methods.contains("TRACE"),
            "{methods}"
        );
        let headers = preflight.header("access-control-allow-headers").unwrap_or_default();
        assert!(headers.contains("authorization") && headers.contains("content-type"), "{headers}");
    }
    server.stop().await;
}

#[tokio::test]
async fn parameters_come_once_and_bodies_are_what_they_say() {
    let server = lab().await;
    let anon = server.anon();
    for query in ["limit=1&limit=2", "sort=title&sort=-title", "count=true&count=false", "nonsense=1"] {
        anon.list("posts", query).await.expect_error(400, "invalid_parameter");
    }
    let login = json!({ "email": "a@example.org", "password": PASSWORD }).to_string().into_bytes();
    // What a form of a foreign page can send without being asked first is no JSON.
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let answer =
            anon.raw(Method::POST, "/api/auth/login", &[("content-type", kind)], login.clone()).await;
        answer.expect_error(415, "unsupported_media_type");
    }
    let twice =
        format!("{{\"email\":\"a@example.org\",\"password\":\"{PASSWORD}\",\"email\":\"b@example.org\"}}");
    let answer = anon.send(Method::POST, "/api/auth/login", Some(twice)).await;
    assert!([400, 422].contains(&answer.status.as_u16()), "{answer}");
    server.stop().await;
}

/// Frames of HTTP/2 as bytes.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a small frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

#[tokio::test]
async fn floods_over_http2_end_their_connection_and_nothing_else() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let server = lab().await;
    let before = server.daemon().memory_bytes();
    // GET, http, "/", from the static table of RFC 7541, and an authority.
    let headers = [&[0x82, 0x86, 0x84, 0x41, 0x01][..], b"x"].concat();
    let rapid_reset: Vec<u8> = (0..20_000u32)
        .flat_map(|number| {
            let stream = 2 * number + 1;
            [frame(1, 5, stream, &headers), frame(3, 0, stream, &8u32.to_be_bytes())].concat()
        })
        .collect();
    let settings = frame(4, 0, 0, &[0, 3, 0, 0, 0, 100]).repeat(50_000);
    let pings = frame(6, 0, 0, &[0; 8]).repeat(50_000);
    let continuation =
        [frame(1, 1, 1, &headers), frame(9, 0, 1, &[0x40, 1, b'a', 1, b'b'].repeat(1_000)).repeat(200)]
            .concat();
    let empty_data =
        [frame(1, 4, 1, &[&[0x83], &headers[1..]].concat()), frame(0, 0, 1, &[]).repeat(50_000)].concat();
    let floods = [
        ("rapid reset", rapid_reset, true),
        ("settings", settings, false),
        ("pings", pings, false),
        ("continuations", continuation, true),
        ("empty data", empty_data, false),
    ];
    for (name, flood, ends) in floods {
        let mut stream = connect(&server).await;
        let begin = [PREFACE, &frame(4, 0, 0, &[])].concat();
        drop(stream.write_all(&begin).await);
        // Nobody reads what comes back.
        let sent = tokio::time::timeout(Duration::from_secs(20), stream.write_all(&flood)).await;
        if ends {
            let mut rest = Vec::new();
            let read = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut rest)).await;
            assert!(read.is_ok(), "{name}: the connection goes on");
        }
        drop((sent, stream));
        server.anon().list("posts", "").await.expect_ok();
    }
    let grown = server.daemon().memory_bytes().saturating_sub(before) / (1024 * 1024);
    assert!(grown < 100, "floods left {grown} MiB");
    let health: Value = server.anon().get_path("/health").await.expect_ok();
    assert!(health.is_object());
    server.stop().await;
}

/// Runs `slowhttptest` and gives what it says at its end.
async fn slowhttptest(arguments: &[&str], url: &str) -> String {
    let output = tokio::process::Command::new("slowhttptest")
        .args(arguments)
        // All three together have fewer connections than one address may have, else others from here would
        // have none either.
        .args(["-c", "60", "-r", "60", "-v", "1", "-u", url])
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("run slowhttptest");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Slow heads, slow bodies and slow readers at once, in the ways of `slowhttptest`: the first two lose all
/// their connections long before they give up by themselves, and others are served meanwhile.
#[tokio::test]
async fn slowhttptest_does_not_keep_others_out() {
    if !peers::on_path("slowhttptest") {
        return;
    }
    let project =
        Project::fixture("lab").with("alyx.yaml", "server: { header_timeout: 2s, body_timeout: 2s }");
    let server = TestServer::start(project).await;
    let ada = server.user("ada").await;
    let document =
        json!({ "title": "a", "author": ada.id(), "status": "published", "body": "x".repeat(200_000) });
    ada.create("posts", document).await.expect_created();
    let live = format!("{}/health/live", server.url());
    let login = format!("{}/api/auth/login", server.url());
    let list = format!("{}/api/collections/posts", server.url());
    let heads = slowhttptest(&["-H", "-i", "1", "-l", "30"], &live);
    let bodies = slowhttptest(&["-B", "-i", "1", "-l", "30", "-s", "8192", "-f", "application/json"], &login);
    let readers = slowhttptest(&["-X", "-n", "1", "-w", "64", "-y", "128", "-z", "8", "-l", "8"], &list);
    let attacks = async { tokio::join!(heads, bodies, readers) };
    let others = async {
        loop {
            server.anon().get_path("/health/live").await.expect_ok();
            ada.get_path("/api/auth/me").await.expect_ok();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (heads, bodies, readers) = tokio::select! {
        said = attacks => said,
        () = others => unreachable!("others have no end"),
    };
    for (name, said) in [("slow heads", &heads), ("slow bodies", &bodies)] {
        assert!(said.contains("No open connections left"), "{name} are kept: {said}");
    }
    assert!(readers.contains("Exit status"), "{readers}");
    server.anon().get_path("/health/live").await.expect_ok();
    ada.create("posts", json!({ "title": "b", "author": ada.id() })).await.expect_created();
    server.stop().await;
}
