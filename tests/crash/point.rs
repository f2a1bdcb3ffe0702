//! Back to any moment: what was acknowledged by then is there, and nothing that was begun after it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alyx_tests::wait::wait_for;
use alyx_tests::{Client, tree};
use futures_util::future::join_all;
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::daemon::{Daemon, Site};
use crate::rounds;

pub const PATIENCE: Duration = Duration::from_secs(120);

/// When a write was begun and, if it was, acknowledged.
#[derive(Clone, Copy)]
struct Written {
    begun: Timestamp,
    told: Option<Timestamp>,
}

#[derive(Clone, Default)]
struct Diary(Arc<Mutex<BTreeMap<String, Written>>>, Arc<AtomicUsize>);

impl Diary {
    fn told(&self) -> usize {
        self.0.lock().unwrap().values().filter(|written| written.told.is_some()).count()
    }

    async fn keep_writing(self, client: Client, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::SeqCst) {
            let number = self.1.fetch_add(1, Ordering::SeqCst);
            let id = format!("e{number}");
            let text = "x".repeat(number * 37 % 3_000);
            self.0.lock().unwrap().insert(id.clone(), Written { begun: Timestamp::now(), told: None });
            let body = json!({ "id": id, "v": 1, "text": text }).to_string();
            let path = "/api/collections/entries";
            match client.try_send(reqwest::Method::POST, path, Some(body)).await {
                Ok(answer) if answer.status.is_success() => {
                    self.0.lock().unwrap().get_mut(&id).unwrap().told = Some(Timestamp::now());
                }
                _ => return,
            }
        }
    }

    fn check(&self, there: &[String], moment: Timestamp, round: &str) {
        for (id, written) in self.0.lock().unwrap().iter() {
            let found = there.contains(id);
            if written.told.is_some_and(|told| told <= moment) {
                assert!(found, "{round}: {id} was acknowledged by {moment} and is not there");
            }
            if written.begun > moment {
                assert!(!found, "{round}: {id} was begun after {moment} and is there");
            }
        }
    }
}

pub async fn restore(site: &Site, name: &str, arguments: &[&str]) -> (bool, String, PathBuf) {
    let data = site.data().parent().unwrap().join(name);
    let output = tokio::process::Command::new(tree::program("alyxd"))
        .arg("restore")
        .args(["--from", site.data().join("backups").to_str().unwrap()])
        .arg("--project")
        .arg(site.data().parent().unwrap().join("project"))
        .args(["--data", data.to_str().unwrap()])
        .args(arguments)
        .output()
        .await
        .expect("run alyxd");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), said, data.join("data.db"))
}

pub fn entries(database: &PathBuf) -> (Vec<String>, u64) {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let check: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    let mut statement = connection.prepare("SELECT id FROM entries").unwrap();
    let ids = statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    let seq: i64 = connection
        .query_row("SELECT coalesce(max(seq), 0) FROM _alyx_changes", [], |row| row.get(0))
        .unwrap();
    (ids, seq.unsigned_abs())
}

pub async fn status(daemon: &Daemon) -> Value {
    daemon.client.get_path("/api/admin/backups/status").await.expect_ok()
}

pub async fn kept_up_to(daemon: &Daemon, seq: u64) {
    wait_for("the segments to be carried", PATIENCE, async || {
        (status(daemon).await["kept_seq"].as_u64()? >= seq).then_some(())
    })
    .await;
}

pub async fn last_seq(daemon: &Daemon) -> u64 {
    let next = daemon.client.get_path("/api/changes").await.expect_ok()["next"].clone();
    next.as_str().unwrap().rsplit('.').next().unwrap().parse().unwrap()
}

pub async fn based(daemon: &Daemon) {
    wait_for("the first backup", PATIENCE, async || {
        let list = daemon.client.get_path("/api/admin/backups").await.expect_ok();
        (!list["backups"].as_array()?.is_empty()).then_some(())
    })
    .await;
}

pub fn shipping() -> Site {
    Site::new().with_config("backup: { ship_every: 1s }\n")
}

#[tokio::test]
async fn m15_every_moment_can_be_gone_back_to_through_kills() {
    let (site, diary) = (shipping(), Diary::default());
    let mut moments: Vec<(Timestamp, u64)> = Vec::new();
    let daemon_rounds = rounds(4, 20);
    for round in 0..daemon_rounds {
        let daemon = site.start().await;
        based(&daemon).await;
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..4)
            .map(|_| tokio::spawn(diary.clone().keep_writing(daemon.client.clone(), Arc::clone(&stop))))
            .collect();
        for step in 0..4 {
            let wanted = diary.told() + 7 + (round * 53 + step * 31) % 97;
            wait_for("some writes", PATIENCE, async || (diary.told() >= wanted).then_some(())).await;
            moments.push((Timestamp::now(), last_seq(&daemon).await));
        }
        if round % 2 == 0 {
            daemon.kill().await;
            join_all(writers).await;
        } else {
            stop.store(true, Ordering::SeqCst);
            join_all(writers).await;
            daemon.stop().await;
        }
    }
    let daemon = site.start().await;
    daemon.client.create("entries", json!({ "id": "last", "v": 1 })).await.expect_status(201);
    kept_up_to(&daemon, last_seq(&daemon).await).await;
    assert_eq!(status(&daemon).await["broken_because"], Value::Null, "the chain was broken");
    daemon.stop().await;

    let mut refused = 0;
    for (number, (moment, seq)) in moments.iter().enumerate() {
        let at = moment.to_string();
        let (done, said, database) = restore(&site, &format!("at{number}"), &["--at", &at]).await;
        // A commit that nobody was told of before the kill may have been made before or after the moment.
        let between = !done && said.contains("ended without order");
        assert!(done || between, "{said}");
        if between {
            refused += 1;
        } else {
            diary.check(&entries(&database).0, *moment, &format!("moment {number}: {said}"));
        }
        let seq_text = seq.to_string();
        let (done, said, database) = restore(&site, &format!("seq{number}"), &["--seq", &seq_text]).await;
        assert!(done, "{said}");
        assert_eq!(entries(&database).1, *seq, "moment {number}: {said}");
    }
    assert!(refused <= daemon_rounds.div_ceil(2), "only the last moment before a kill may be refused");
    let (done, said, database) = restore(&site, "newest", &[]).await;
    assert!(done, "{said}");
    assert!(entries(&database).0.contains(&"last".to_owned()), "{said}");
    let (done, said, _) = restore(&site, "newest", &[]).await;
    assert!(!done && said.contains("--replace"), "{said}");
    let (done, said, _) = restore(&site, "later", &["--at", "2999-01-01T00:00:00Z"]).await;
    assert!(!done && said.contains("the newest moment that is kept"), "{said}");
    let (done, said, _) = restore(&site, "earlier", &["--at", "2001-01-01T00:00:00Z"]).await;
    assert!(!done && said.contains("the oldest moment that is kept"), "{said}");
}

/// Writes some documents, each kept in a segment of its own, and answers where the segments are.
async fn several_segments(site: &Site) -> Vec<PathBuf> {
    let daemon = site.start().await;
    based(&daemon).await;
    for number in 0..4 {
        let body = json!({ "id": format!("e{number}"), "v": 1 });
        daemon.client.create("entries", body).await.expect_status(201);
        kept_up_to(&daemon, last_seq(&daemon).await).await;
    }
    daemon.stop().await;
    let mut segments: Vec<PathBuf> =
        fs::read_dir(site.data().join("backups/wal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.sort();
    segments
}

#[tokio::test]
async fn a_torn_or_missing_segment_is_named_and_what_is_before_it_restored() {
    let site = shipping();
    let segments = several_segments(&site).await;
    let verify = || {
        let output = std::process::Command::new(tree::program("alyxd"))
            .arg("verify")
            .arg(site.data().join("backups"))
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (sound, said) = verify();
    assert!(sound && said.contains("follow each other"), "{said}");
    let victim = &segments[segments.len() - 2];
    let bytes = fs::read(victim).unwrap();
    let check = async |name: &str, what: &str| {
        let (sound, said) = verify();
        assert!(!sound && said.contains(what), "{said}");
        let (done, said, database) = restore(&site, name, &[]).await;
        assert!(!done && said.contains(what) && !database.exists(), "{said}");
        let (done, said, database) = restore(&site, &format!("{name}-before"), &["--seq", "2"]).await;
        assert!(done, "{said}");
        assert_eq!(entries(&database).1, 2);
    };
    fs::write(victim, &bytes[..bytes.len() / 2]).unwrap();
    check("torn", "ends too early").await;
    let mut flipped = bytes.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    fs::write(victim, &flipped).unwrap();
    check("flipped", "checksum").await;
    fs::remove_file(victim).unwrap();
    check("missing", "is missing").await;
}

#[tokio::test]
async fn a_target_that_fails_is_loud_and_stops_no_writer() {
    let site = shipping();
    let daemon = site.start().await;
    based(&daemon).await;
    let (folder, aside) = (site.data().join("backups"), site.data().join("aside"));
    fs::rename(&folder, &aside).unwrap();
    fs::write(&folder, "in the way").unwrap();
    for number in 0..20 {
        let body = json!({ "id": format!("e{number}"), "v": 1 });
        daemon.client.create("entries", body).await.expect_status(201);
    }
    let part = async || {
        let health = daemon.client.get_path("/health").await.expect_ok();
        health["components"]["backups"]["state"].as_str().unwrap().to_owned()
    };
    wait_for("health to say so", PATIENCE, async || (part().await == "degraded").then_some(())).await;
    let said = status(&daemon).await;
    assert_eq!(said["state"], "failing");
    assert!(said["error"].is_string() && said["failing_since"].is_string(), "{said}");
    assert!(site.said().contains("not carried to the backups"), "{}", site.said());
    fs::remove_file(&folder).unwrap();
    fs::rename(&aside, &folder).unwrap();
    wait_for("health to be well", PATIENCE, async || (part().await == "ok").then_some(())).await;
    kept_up_to(&daemon, last_seq(&daemon).await).await;
    daemon.stop().await;
    let (done, said, database) = restore(&site, "after", &[]).await;
    assert!(done, "{said}");
    assert_eq!(entries(&database).0.len(), 20);
}

#[tokio::test]
async fn a_gap_is_named_and_never_papered_over() {
    let site = shipping();
    let daemon = site.start().await;
    based(&daemon).await;
    let write = async |daemon: &Daemon, id: &str| {
        daemon.client.create("entries", json!({ "id": id, "v": 1 })).await.expect_status(201);
        kept_up_to(daemon, last_seq(daemon).await).await;
    };
    write(&daemon, "before").await;
    let first = status(&daemon).await["chain"].clone();
    daemon.stop().await;
    // Another program uses the database, and takes the log with it when it ends.
    let other = Connection::open(site.database()).unwrap();
    other.execute("UPDATE entries SET v = 2", []).unwrap();
    let inside = Timestamp::now();
    drop(other);
    let daemon = site.start().await;
    wait_for("a backup of the new chain", PATIENCE, async || {
        let list = daemon.client.get_path("/api/admin/backups").await.expect_ok();
        (list["backups"].as_array()?.len() == 2).then_some(())
    })
    .await;
    write(&daemon, "after").await;
    let said = status(&daemon).await;
    assert!(said["chain"] != first && said["broken_because"].is_string(), "{said}");
    daemon.stop().await;
    let (done, said, _) = restore(&site, "gap", &["--at", &inside.to_string()]).await;
    assert!(!done && said.contains("nothing is kept between") && said.contains("another program"), "{said}");
    let (done, said, database) = restore(&site, "first", &["--seq", "1"]).await;
    assert!(done, "{said}");
    assert_eq!(entries(&database).0, ["before"]);
}
