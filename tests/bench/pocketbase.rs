//! PocketBase, the reference for documents: its own binary from PyPI, started on a free port with
//! collections and rules like ours.
//!
//! It commits with `synchronous=NORMAL`, its default, which an acknowledged write may not survive a
//! power cut with; ours is measured with `FULL`. That is in its favour.

use std::process::Stdio;
use std::time::Duration;

use alyx_tests::leftovers::Process;
use alyx_tests::wait::wait_for;
use alyx_tests::{PASSWORD, peers};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

const ADMIN: &str = "root@example.org";

/// A running PocketBase.
pub struct PocketBase {
    pub url: String,
    http: reqwest::Client,
    admin: String,
    process: Child,
    _data: TempDir,
}

impl PocketBase {
    /// Starts it with an empty database; `None` if it is not installed.
    pub async fn start() -> Option<Self> {
        let program = peers::program("pocketbase")?;
        let data = TempDir::new().expect("make a folder");
        let port = free_port();
        let folder = data.path().join("data");
        let command = || {
            let mut command = Command::new(program.get_program());
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
            command
        };
        let made = command().args(["superuser", "upsert", ADMIN, PASSWORD, "--dir"]).arg(&folder).status();
        assert!(made.await.expect("run pocketbase").success(), "the administrator is made");
        let process = command()
            .args(["serve", "--http", &format!("127.0.0.1:{port}"), "--dir"])
            .arg(&folder)
            .spawn()
            .expect("start pocketbase");
        let url = format!("http://127.0.0.1:{port}");
        let http = reqwest::Client::builder().no_proxy().build().expect("set up HTTP");
        let health = format!("{url}/api/health");
        let answers = async || http.get(&health).send().await.ok();
        wait_for("pocketbase to answer", Duration::from_secs(30), answers).await;
        let mut started = Self { url, http, admin: String::new(), process, _data: data };
        started.admin = started.sign_in("_superusers", ADMIN).await;
        let batch = json!({ "batch": { "enabled": true, "maxRequests": 1000, "timeout": 30 } });
        started.send("PATCH", "settings", &batch).await;
        Some(started)
    }

    /// A token for an account.
    pub async fn sign_in(&self, collection: &str, email: &str) -> String {
        let path = format!("collections/{collection}/auth-with-password");
        let answer = self.send("POST", &path, &json!({ "identity": email, "password": PASSWORD })).await;
        answer["token"].as_str().expect("a sign-in gives a token").to_owned()
    }

    /// As the administrator.
    pub async fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        let method = method.parse().expect("a method");
        let request = self.http.request(method, format!("{}/api/{path}", self.url)).json(body);
        let answer = request.header("authorization", &self.admin).send().await.expect("pocketbase answers");
        let (status, text) = (answer.status(), answer.text().await.expect("pocketbase answers"));
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).expect("pocketbase answers JSON")
    }

    /// Makes accounts, each with [`PASSWORD`], whose hashes have this cost of bcrypt, and sends no mails
    /// about where they sign in.
    pub async fn accounts(&self, emails: &[String], cost: u32) {
        let mut users = self.send("GET", "collections/users", &Value::Null).await;
        let fields = users["fields"].as_array_mut().expect("a collection has fields");
        let password = fields.iter_mut().find(|field| field["name"] == "password").expect("a password");
        password["cost"] = json!(cost);
        let change = json!({ "fields": users["fields"], "authAlert": { "enabled": false } });
        self.send("PATCH", "collections/users", &change).await;
        for email in emails {
            let account = json!({ "email": email, "password": PASSWORD, "passwordConfirm": PASSWORD });
            self.send("POST", "collections/users/records", &account).await;
        }
    }

    /// Creates documents, a thousand in a transaction.
    pub async fn fill(&self, collection: &str, documents: impl Iterator<Item = Value>) {
        let url = format!("/api/collections/{collection}/records");
        let mut documents = documents.peekable();
        while documents.peek().is_some() {
            let requests: Vec<Value> = documents
                .by_ref()
                .take(1000)
                .map(|document| json!({ "method": "POST", "url": url, "body": document }))
                .collect();
            self.send("POST", "batch", &json!({ "requests": requests })).await;
        }
    }

    /// Resident memory.
    pub fn memory_bytes(&self) -> u64 {
        let pid = self.process.id().and_then(|pid| i32::try_from(pid).ok()).expect("pocketbase runs");
        Process::of(pid).expect("pocketbase runs").memory_bytes()
    }

    pub async fn stop(mut self) {
        self.process.kill().await.expect("end pocketbase");
        // Nothing of it shall still write while the next one is measured.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn free_port() -> u16 {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("bind a free port");
    socket.local_addr().expect("a bound socket has an address").port()
}
