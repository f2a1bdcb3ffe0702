//! Names that change what they stand for, in a network of the test's own: with a name server whose answers
//! it chooses, an address of the public internet, and receivers on addresses of the inside.

mod names;

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alyx_tests::namespace::{in_own, run};
use alyx_tests::wait::wait_for;
use alyx_tests::{Project, TestServer, peers};
use serde_json::{Value, json};
use tempfile::TempDir;

use self::names::{Answers, Names};

const PATIENCE: Duration = Duration::from_secs(60);

/// What is said of names, answer by answer.
const NAMES: &[(&str, Answers)] = &[
    ("turn.example", &[&["8.8.4.4"], &["127.0.0.1"]]),
    ("mixed.example", &[&["127.0.0.1", "8.8.4.4", "::1", "10.9.9.9"]]),
    ("closed.example", &[&["8.8.4.4", "127.0.0.1"]]),
    ("inside.example", &[&["10.9.9.9"]]),
    ("six.example", &[&["::1"]]),
    ("mapped.example", &[&["::ffff:127.0.0.1"]]),
];

/// Port 81 is closed at the public address.
fn schema() -> String {
    let one = |name: &str, port: u16| {
        format!(
            "  - {{ id: {name}, on: posts, url: 'http://{name}.example:{port}/{name}', secret: KEY, \
             retry: {{ attempts: 2, first: 10ms }} }}\n"
        )
    };
    let webhooks = ["turn", "mixed", "inside", "six", "mapped"].map(|name| one(name, 80)).concat();
    format!(
        "version: 1
collections:
  posts:
    fields: {{ id: {{ type: id, primary: true, default: auto }} }}
webhooks:
{webhooks}{}",
        one("closed", 81)
    )
}

/// Who was connected to: the address, and the path and the id of the delivery if there were any.
type Hits = Arc<Mutex<Vec<(IpAddr, String, String)>>>;

/// Takes every connection and says yes to it.
fn receive(at: SocketAddr, hits: &Hits) {
    let listener = TcpListener::bind(at).expect("listen for deliveries");
    let hits = Arc::clone(hits);
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let address = connection.local_addr().expect("it has an address").ip().to_canonical();
            let (path, id) = take(connection);
            hits.lock().unwrap().push((address, path, id));
        }
    });
}

/// Answers a request and closes the connection, so that the next one has its name resolved again.
fn take(mut connection: TcpStream) -> (String, String) {
    connection.set_read_timeout(Some(PATIENCE)).expect("set a timeout");
    let (mut text, mut part) = (String::new(), [0; 4096]);
    while !text.ends_with('}') {
        match connection.read(&mut part) {
            Ok(0) | Err(_) => break,
            Ok(length) => text.push_str(&String::from_utf8_lossy(&part[..length])),
        }
    }
    // Whoever connected has been noted, whether they listen or not.
    drop(connection.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"));
    let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
    let id = text.lines().find_map(|line| line.strip_prefix("webhook-id: ")).unwrap_or_default().to_owned();
    (path, id)
}

/// The newest job of a webhook, once so many are settled.
async fn newest(server: &TestServer, webhook: &str, count: usize) -> Value {
    wait_for(&format!("{count} deliveries of {webhook}"), PATIENCE, async || {
        let said =
            server.cli().run(&["--json", "jobs", "list", "--target", webhook]).await.expect_ok().json();
        let jobs = said["jobs"].as_array().expect("jobs").clone();
        let over = jobs.iter().all(|job| job["state"] == "done" || job["state"] == "dead");
        (over && jobs.len() == count).then(|| jobs[0].clone())
    })
    .await
}

async fn expect(server: &TestServer, webhook: &str, count: usize, state: &str, error: &str) -> String {
    let job = newest(server, webhook, count).await;
    assert_eq!(job["state"], state, "{webhook}: {job:#}");
    let said = server.cli().run(&["--json", "webhooks", "deliveries", webhook]).await.expect_ok().json();
    let logged = said["deliveries"][0]["error"].as_str().unwrap_or_default();
    assert_eq!((job["error"].as_str().unwrap_or_default(), logged), (error, error), "{webhook}");
    job["id"].as_str().expect("an id").to_owned()
}

/// A network with a public address, addresses of the inside and the name server. The folder holds what is
/// mounted.
fn network() -> (Names, TempDir) {
    let folder = tempfile::tempdir().expect("make a folder");
    run("ip", &["link", "set", "lo", "up"]);
    for address in ["8.8.4.4/32", "10.9.9.9/32"] {
        run("ip", &["addr", "add", address, "dev", "lo"]);
    }
    for (file, text) in [("resolv.conf", "nameserver 127.0.0.1\n"), ("nsswitch.conf", "hosts: dns\n")] {
        let own = folder.path().join(file);
        std::fs::write(&own, text).expect("write a file");
        let system = format!("/etc/{file}");
        // A host without the second one asks the name server anyway.
        if std::path::Path::new(&system).exists() {
            run("mount", &["--bind", own.to_str().expect("a path"), &system]);
        }
    }
    (Names::start("127.0.0.1", NAMES), folder)
}

#[tokio::test]
async fn m36_a_name_that_changes_its_answer_reaches_nothing_inside() {
    const SELF: &str = "rebinding::m36_a_name_that_changes_its_answer_reaches_nothing_inside";
    if !peers::on_path("ip") || !in_own(&["--mount", "--net"], SELF) {
        return;
    }
    let project = Project::schema(&schema());
    let (names, _mounted) = network();
    let hits = Hits::default();
    receive((Ipv6Addr::UNSPECIFIED, 80).into(), &hits);
    for inside in ["127.0.0.1:81", "10.9.9.9:81", "[::1]:81"] {
        receive(inside.parse().expect("an address"), &hits);
    }
    let server = TestServer::start(project).await;
    let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    server.cli().run_with_input(&["secrets", "set", "KEY"], key).await.expect_ok();
    let admin = server.over_admin_socket();
    let refused =
        |name: &str, address: &str| format!("refused: {name}.example has no public address, it is {address}");
    admin.create("posts", json!({})).await.expect_created();
    // Its first answer is public, and of several those that are public are gone to.
    expect(&server, "turn", 1, "done", "").await;
    expect(&server, "mixed", 1, "done", "").await;
    // Where the public one does not answer, the others are no second choice.
    let closed =
        expect(&server, "closed", 1, "dead", "no connection: Connection refused (os error 111)").await;
    let inside = expect(&server, "inside", 1, "dead", &refused("inside", "10.9.9.9")).await;
    expect(&server, "six", 1, "dead", &refused("six", "::1")).await;
    expect(&server, "mapped", 1, "dead", &refused("mapped", "::ffff:127.0.0.1")).await;
    // Its second answer is not.
    admin.create("posts", json!({})).await.expect_created();
    let turned = expect(&server, "turn", 2, "dead", &refused("turn", "127.0.0.1")).await;
    server.cli().run(&["webhooks", "redeliver", "turn", &turned]).await.expect_ok();
    expect(&server, "turn", 2, "dead", &refused("turn", "127.0.0.1")).await;
    expect(&server, "mixed", 2, "done", "").await;
    let public: IpAddr = "8.8.4.4".parse().unwrap();
    {
        let hits = hits.lock().unwrap();
        assert_eq!(hits.len(), 3, "{hits:?}");
        assert!(hits.iter().all(|(address, ..)| *address == public), "{hits:?}");
    }
    // One question for each attempt: there is no second answer that could be another.
    assert_eq!((names.asked("turn.example"), names.asked("mixed.example")), (3, 2));

    // The same deliveries, with the same names, arrive where the operator allows it, and only there.
    let project = server.stop().await;
    project.write("alyx.yaml", "webhooks: { allow: [127.0.0.0/8] }\n");
    let server = TestServer::start(project).await;
    for (webhook, delivery) in [("turn", &turned), ("closed", &closed), ("inside", &inside)] {
        server.cli().run(&["webhooks", "redeliver", webhook, delivery]).await.expect_ok();
    }
    expect(&server, "turn", 2, "done", "").await;
    newest(&server, "closed", 2).await;
    newest(&server, "inside", 2).await;
    let loopback: IpAddr = "127.0.0.1".parse().unwrap();
    let mut hits = hits.lock().unwrap().split_off(3);
    hits.sort();
    let expected = [("/closed", &closed), ("/turn", &turned)];
    assert_eq!(hits, expected.map(|(path, id)| (loopback, path.to_owned(), id.clone())));
    server.stop().await;
}
