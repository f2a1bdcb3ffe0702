//! Backups in a bucket: made, carried, examined and restored, with an object store that is moto's S3 and
//! checks signatures with AWS's own library.

use std::fs;
use std::time::Duration;

use alyx_tests::wait::wait_for;
use alyx_tests::{Project, TestServer, peers, tree};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use tokio::process::Command;

const PATIENCE: Duration = Duration::from_secs(120);
pub const KEY: &str = "AKIDOFTHETEST";
pub const SECRET: &str = "the/secret+of=the-test";
const SCHEMA: &str = "version: 1
collections:
  entries:
    fields:
      id: { type: string, primary: true }
      text: { type: text, nullable: true }
";

/// The object store.
pub struct Bucket(peers::Server);

impl Bucket {
    pub async fn start() -> Option<Self> {
        peers::server("s3.py", &[]).await.map(Self)
    }

    pub fn url(&self) -> &str {
        &self.0.url
    }

    async fn state(&self) -> Value {
        let answer = reqwest::get(format!("{}/-/state", self.0.url)).await.expect("reach the object store");
        answer.json().await.expect("read its state")
    }

    async fn keys(&self) -> Vec<String> {
        let keys = self.state().await["keys"].clone();
        keys.as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect()
    }

    async fn fault(&self, what: &str) {
        let client = reqwest::Client::new();
        let told = client.post(format!("{}/-/fault", self.0.url)).body(what.to_owned()).send().await;
        told.expect("tell the object store");
    }

    fn config(&self, more: &str) -> String {
        format!(
            "backup:\n  s3_endpoint: {}\n  s3_region: eu-central-1\n  s3_bucket: kept\n  s3_prefix: /alyx/one/\n  \
             s3_credentials: keys\n{more}",
            self.0.url
        )
    }

    fn project(&self, more: &str) -> Project {
        Project::schema(SCHEMA)
            .with("keys/s3_access_key", &format!("{KEY}\n"))
            .with("keys/s3_secret_key", &format!("{SECRET}\n"))
            .with("alyx.yaml", &self.config(more))
    }
}

async fn write(server: &TestServer, id: &str) {
    let body = json!({ "id": id, "text": "x" });
    server.over_admin_socket().create("entries", body).await.expect_status(201);
}

async fn status(server: &TestServer) -> Value {
    server.over_admin_socket().get_path("/api/admin/backups/status").await.expect_ok()
}

async fn health(server: &TestServer) -> String {
    let health = server.anon().get_path("/health").await.expect_ok();
    health["components"]["backups"]["state"].as_str().unwrap().to_owned()
}

async fn last_seq(server: &TestServer) -> u64 {
    let next = server.over_admin_socket().get_path("/api/changes").await.expect_ok()["next"].clone();
    next.as_str().unwrap().rsplit('.').next().unwrap().parse().unwrap()
}

async fn kept_up_to(server: &TestServer, seq: u64) {
    wait_for("the segments to be carried", PATIENCE, async || {
        let listed = server.over_admin_socket().get_path("/api/admin/backups").await;
        let based = listed.status == 200 && listed.json()["backups"] != json!([]);
        (based && status(server).await["kept_seq"].as_u64()? >= seq).then_some(())
    })
    .await;
}

async fn alyxd(project: &Project, arguments: &[&str], data: &str) -> (bool, String) {
    let data = project.root().join(data);
    fs::create_dir_all(&data).unwrap();
    let output = Command::new(tree::program("alyxd"))
        .args(arguments)
        .arg("--project")
        .arg(project.folder())
        .arg("--data")
        .arg(data)
        .output()
        .await
        .expect("run alyxd");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn entries(project: &Project, data: &str) -> Vec<String> {
    let path = project.root().join(data).join("data.db");
    let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut statement = database.prepare("SELECT id FROM entries ORDER BY id").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn a_bucket_keeps_backups_and_every_moment() {
    let Some(bucket) = Bucket::start().await else { return };
    let server = TestServer::start(bucket.project("  ship_every: 1s\n  every: 1h\n")).await;
    write(&server, "a").await;
    kept_up_to(&server, last_seq(&server).await).await;
    let made = server.cli().run(&["backup", "create", "--json"]).await.expect_ok().json();
    let id = made["id"].as_str().unwrap();
    write(&server, "b").await;
    let second = last_seq(&server).await;
    kept_up_to(&server, second).await;
    write(&server, "c").await;
    kept_up_to(&server, last_seq(&server).await).await;
    server.cli().run(&["backup", "verify", id]).await.expect_ok();
    let said = server.cli().run(&["backup", "restore", id]).await.expect_ok();
    assert_eq!(said.out.trim(), format!("alyxd restore --replace --backup '{id}'"));
    let said = status(&server).await;
    assert!(said["state"] == "ok" && said["target"] == "s3://kept/alyx/one/ID.db", "{said}");
    let keys = bucket.keys().await;
    assert!(keys.contains(&format!("alyx/one/{id}.db")) && keys.contains(&format!("alyx/one/{id}.json")));
    assert!(keys.iter().any(|key| key.starts_with("alyx/one/wal/")), "{keys:?}");
    server.cli().run(&["backup", "prune", "--keep", "1", "--yes"]).await.expect_ok();
    let left = server.cli().run(&["backup", "list", "--json"]).await.expect_ok().json();
    assert!(left["backups"].as_array().unwrap().len() == 1 && left["backups"][0]["id"] == id, "{left}");
    assert_eq!(bucket.keys().await.iter().filter(|key| key.ends_with(".db")).count(), 1);
    assert!(!server.output().contains(SECRET) && !server.output().contains("X-Amz-"), "{}", server.output());
    let project = server.stop().await;
    assert_eq!(fs::read_dir(project.data().join("backups")).unwrap().count(), 0, "nothing is kept here");

    let (sound, said) = alyxd(&project, &["verify"], "examined").await;
    assert!(sound && said.contains("is sound") && said.contains("follow each other"), "{said}");
    let (done, said) = alyxd(&project, &["restore"], "newest").await;
    assert!(done, "{said}");
    assert_eq!(entries(&project, "newest"), ["a", "b", "c"]);
    let (done, said) = alyxd(&project, &["restore", "--seq", &second.to_string()], "second").await;
    assert!(done, "{said}");
    assert_eq!(entries(&project, "second"), ["a", "b"]);
    let (done, said) = alyxd(&project, &["restore", "--backup", id], "backup").await;
    assert!(done, "{said}");
    assert_eq!(entries(&project, "backup"), ["a"]);
    let (done, said) = alyxd(&project, &["restore", "--backup", "none"], "none").await;
    assert!(!done && said.contains("no such backup"), "{said}");
}

#[tokio::test]
async fn m15_a_bucket_that_is_down_is_named_and_loses_nothing() {
    let Some(bucket) = Bucket::start().await else { return };
    let server = TestServer::start(bucket.project("  ship_every: 1s\n")).await;
    write(&server, "a").await;
    kept_up_to(&server, last_seq(&server).await).await;
    for (number, fault) in ["drop", "busy"].into_iter().enumerate() {
        bucket.fault(fault).await;
        write(&server, &format!("b{number}")).await;
        wait_for("health to say so", PATIENCE, async || (health(&server).await == "degraded").then_some(()))
            .await;
        let said = status(&server).await;
        assert!(said["state"] == "failing" && said["failing_since"].is_string(), "{said}");
        assert!(said["error"].as_str().unwrap().contains(bucket.url()), "{said}");
        let problem = server.over_admin_socket().post("/api/admin/backups", json!(null)).await;
        problem.expect_error(503, "backup_target_failing");
        write(&server, &format!("c{number}")).await;
        bucket.fault("none").await;
        kept_up_to(&server, last_seq(&server).await).await;
        wait_for("health to be well", PATIENCE, async || (health(&server).await == "ok").then_some(())).await;
    }
    assert_eq!(status(&server).await["broken_because"], Value::Null);
    let project = server.stop().await;
    let (done, said) = alyxd(&project, &["restore"], "newest").await;
    assert!(done, "{said}");
    assert_eq!(entries(&project, "newest"), ["a", "b0", "b1", "c0", "c1"]);
}

#[tokio::test]
async fn m08_a_bucket_that_is_refused_or_missing_is_named_without_secrets() {
    let Some(bucket) = Bucket::start().await else { return };
    let check = async |project: Project, expected: &str| {
        let server = TestServer::start(project).await;
        write(&server, "a").await;
        let made = server.cli().run(&["backup", "create"]).await.expect_code(1);
        assert!(made.err.contains("backup_target_failing") && made.err.contains(expected), "{made:?}");
        server.cli().run(&["backup", "list"]).await.expect_code(1);
        wait_for("health to say so", PATIENCE, async || (health(&server).await == "degraded").then_some(()))
            .await;
        let said = status(&server).await.to_string();
        assert!(said.contains(expected), "{said}");
        let told = format!("{made:?}{said}{}", server.output());
        assert!(
            !told.contains("wrong-secret") && !told.contains(SECRET) && !told.contains("X-Amz-"),
            "{told}"
        );
        let project = server.stop().await;
        let (done, said) = alyxd(&project, &["restore"], "none").await;
        assert!(!done && said.contains(expected) && !said.contains("X-Amz-"), "{said}");
        assert!(!project.root().join("none/data.db").exists());
    };
    let wrong = bucket.project("").with("keys/s3_secret_key", "wrong-secret");
    check(wrong, "SignatureDoesNotMatch").await;
    let missing = bucket.project("");
    let config = bucket.config("").replace("s3_bucket: kept", "s3_bucket: elsewhere");
    check(missing.with("alyx.yaml", &config), "no bucket elsewhere").await;
    assert_eq!(bucket.keys().await, Vec::<String>::new());
}

#[tokio::test]
async fn m15_an_interrupted_upload_is_no_backup() {
    let Some(bucket) = Bucket::start().await else { return };
    let server = TestServer::start(bucket.project("")).await;
    let text = "0123456789abcdef".repeat(4_096);
    for batch in 0..20 {
        let operations: Vec<Value> = (0..10)
            .map(|number| {
                let id = format!("{batch}-{number}");
                json!({ "op": "create", "collection": "entries", "data": { "id": id, "text": text } })
            })
            .collect();
        let answer = server.over_admin_socket().post("/api/batch", json!({ "operations": operations })).await;
        answer.expect_status(200);
    }
    bucket.fault("hold").await;
    let socket = server.over_admin_socket();
    let making = tokio::spawn(async move {
        socket
            .try_send(reqwest::Method::POST, "/api/admin/backups", None)
            .await
            .is_ok_and(|made| made.status == 201)
    });
    wait_for("a part to be held", PATIENCE, async || (bucket.state().await["uploads"] == 1).then_some(()))
        .await;
    let project = server.kill().await;
    assert!(!making.await.unwrap());
    assert_eq!(bucket.keys().await, Vec::<String>::new());

    bucket.fault("none").await;
    let server = TestServer::start(project).await;
    wait_for("the upload to be ended", PATIENCE, async || {
        (bucket.state().await["uploads"] == 0).then_some(())
    })
    .await;
    let list = server.over_admin_socket().get_path("/api/admin/backups").await.expect_ok();
    assert_eq!(list["backups"], json!([]));
    let made = server.cli().run(&["backup", "create", "--json"]).await.expect_ok().json();
    assert!(made["bytes"].as_u64().unwrap() > 2 * (8 << 20), "it takes several parts: {made}");
    server.cli().run(&["backup", "verify", made["id"].as_str().unwrap()]).await.expect_ok();
    let left: Vec<_> = fs::read_dir(server.project.data().join("cache"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("backup-") || name.starts_with("s3-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_bucket_needs_all_of_its_settings() {
    let check = async |config: &str, expected: &[&str]| {
        let project = Project::schema(SCHEMA).with("alyx.yaml", config);
        let output = Command::new(tree::program("alyxd"))
            .arg("check-config")
            .arg("--config")
            .arg(project.folder().join("alyx.yaml"))
            .env_remove("CREDENTIALS_DIRECTORY")
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.success(), expected.is_empty(), "{said}");
        for part in expected {
            assert!(said.contains(part), "{part}: {said}");
        }
    };
    let keys = "s3_access_key: a, s3_secret_key: b";
    check(&format!("backup: {{ s3_bucket: kept, {keys} }}"), &[]).await;
    check("backup: { s3_bucket: kept }", &["backup.s3_access_key", "backup.s3_secret_key", "is missing"])
        .await;
    check("backup: { s3_bucket: kept, s3_credentials: nowhere }", &["cannot be read", "nowhere"]).await;
    check(&format!("backup: {{ {keys} }}"), &["no backup.s3_bucket"]).await;
    check(&format!("backup: {{ s3_bucket: kept, directory: here, {keys} }}"), &["backup.directory"]).await;
    check(&format!("backup: {{ s3_bucket: Kept_, {keys} }}"), &["backup.s3_bucket", "not accepted"]).await;
    check(&format!("backup: {{ s3_bucket: kept, s3_prefix: a//b, {keys} }}"), &["backup.s3_prefix"]).await;
    let open = format!("backup: {{ s3_bucket: kept, s3_endpoint: \"http://s3.example.com\", {keys} }}");
    check(&open, &["backup.s3_endpoint", "an https URL"]).await;
    let style = "s3_endpoint: \"https://192.0.2.1\", s3_path_style: \"false\"";
    check(&format!("backup: {{ s3_bucket: kept, {style}, {keys} }}"), &["takes no name of a bucket"]).await;
}
