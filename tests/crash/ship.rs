//! Segments of the log on a bad day: killed in the middle of one, too much waiting, a full disk, old ones
//! removed.

use std::fs;
use std::path::{Path, PathBuf};

use alyx_tests::namespace::run;
use alyx_tests::wait::wait_for;
use serde_json::json;

use crate::daemon::Site;
use crate::in_own_namespace;
use crate::point::{PATIENCE, based, entries, kept_up_to, last_seq, restore, shipping, status};
use crate::writers::{History, Outcome};

fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    found.sort();
    found
}

#[tokio::test]
async fn m15_what_a_kill_left_in_the_middle_of_a_segment_is_done_again() {
    let site = shipping();
    let daemon = site.start().await;
    based(&daemon).await;
    daemon.client.create("entries", json!({ "id": "e0", "v": 1 })).await.expect_status(201);
    kept_up_to(&daemon, last_seq(&daemon).await).await;
    // Segments cannot get out, so the next one stays where it is made.
    let (target, aside) = (site.data().join("backups"), site.data().join("aside"));
    fs::rename(&target, &aside).unwrap();
    fs::write(&target, "in the way").unwrap();
    for number in 1..6 {
        let body = json!({ "id": format!("e{number}"), "v": 1 });
        daemon.client.create("entries", body).await.expect_status(201);
    }
    let waiting = site.data().join("data.db-shipping");
    wait_for("a segment to wait", PATIENCE, async || (!segments(&waiting).is_empty()).then_some(())).await;
    daemon.client.create("entries", json!({ "id": "e6", "v": 1 })).await.expect_status(201);
    daemon.kill().await;
    // As if the kill had come while the next one was written, and while one was carried.
    let half = fs::read(&segments(&waiting)[0]).unwrap();
    fs::write(waiting.join("segment.part"), &half[..half.len() / 2]).unwrap();
    fs::remove_file(&target).unwrap();
    fs::rename(&aside, &target).unwrap();
    let name = segments(&waiting)[0].file_name().unwrap().to_str().unwrap().to_owned();
    fs::write(target.join(format!("wal/{name}.part")), &half[..half.len() / 3]).unwrap();

    let daemon = site.start().await;
    daemon.client.create("entries", json!({ "id": "e7", "v": 1 })).await.expect_status(201);
    kept_up_to(&daemon, last_seq(&daemon).await).await;
    let said = status(&daemon).await;
    assert!(said["broken_because"].is_null() && said["waiting_segments"] == 0, "{said}");
    daemon.stop().await;
    let (done, said, database) = restore(&site, "newest", &[]).await;
    assert!(done, "{said}");
    assert_eq!(entries(&database).0.len(), 8, "{said}");
}

#[tokio::test]
async fn what_waits_is_bounded_and_given_up_aloud() {
    let site = Site::new().with_config("backup: { ship_every: 1s, ship_limit: 1mb }\n");
    let daemon = site.start().await;
    based(&daemon).await;
    daemon.client.create("entries", json!({ "id": "first", "v": 1 })).await.expect_status(201);
    kept_up_to(&daemon, last_seq(&daemon).await).await;
    let chain = status(&daemon).await["chain"].clone();
    let (target, aside) = (site.data().join("backups"), site.data().join("aside"));
    fs::rename(&target, &aside).unwrap();
    fs::write(&target, "in the way").unwrap();
    let text = "x".repeat(60_000);
    let (mut number, mut given_up) = (0, false);
    while !given_up {
        assert!(number < 1_000, "it is never given up: {}", status(&daemon).await);
        for _ in 0..10 {
            let body = json!({ "id": format!("e{number}"), "v": 1, "text": text });
            daemon.client.create("entries", body).await.expect_status(201);
            number += 1;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        given_up = status(&daemon).await["chain"] != chain;
    }
    let said = status(&daemon).await;
    assert!(said["broken_because"].as_str().unwrap().contains("given up"), "{said}");
    assert_eq!(said["state"], "failing");
    fs::remove_file(&target).unwrap();
    fs::rename(&aside, &target).unwrap();
    // Another backup begins the new row, so nothing that was acknowledged is out of reach.
    wait_for("a backup of the new row", PATIENCE, async || {
        let list = daemon.client.get_path("/api/admin/backups").await.expect_ok();
        (list["backups"].as_array()?.len() == 2).then_some(())
    })
    .await;
    daemon.client.create("entries", json!({ "id": "last", "v": 1 })).await.expect_status(201);
    kept_up_to(&daemon, last_seq(&daemon).await).await;
    daemon.stop().await;
    let (done, said, database) = restore(&site, "newest", &[]).await;
    assert!(done, "{said}");
    assert_eq!(entries(&database).0.len(), number + 2, "{said}");
}

#[tokio::test]
async fn m15_a_full_disk_with_segments_loses_nothing() {
    if !in_own_namespace("ship::m15_a_full_disk_with_segments_loses_nothing") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let kept = tempfile::tempdir().unwrap();
    run("mount", &["-t", "tmpfs", "-o", "size=20m", "alyx-crash", folder.path().to_str().unwrap()]);
    let config = format!("backup: {{ ship_every: 1s, directory: \"{}\" }}\n", kept.path().display());
    let (site, history) = (Site::at(folder.path()).with_config(&config), History::default());
    let daemon = site.start().await;
    based(&daemon).await;
    let ballast = folder.path().join("ballast");
    fs::write(&ballast, vec![0; 14 << 20]).unwrap();
    let text = "x".repeat(20_000);
    let mut refused = 0;
    for number in 0..2_000 {
        match history.write(&daemon.client, &format!("e{number}"), Some(1), &text).await {
            Outcome::Acknowledged => {}
            outcome => {
                assert_eq!(outcome, Outcome::Refused(507), "after {number}");
                refused += 1;
            }
        }
        if refused == 3 {
            break;
        }
    }
    assert_eq!(refused, 3, "this disk is not small");
    history.check(&site.database(), "full");
    daemon.kill().await;
    let daemon = site.start().await;
    history.check(&site.database(), "full, after a kill");
    fs::remove_file(&ballast).unwrap();
    // The log, its segment and the database want room at once, until the segment is carried away.
    for number in 0.. {
        match history.write(&daemon.client, &format!("after{number}"), Some(1), &text).await {
            Outcome::Acknowledged => break,
            outcome => assert!(outcome == Outcome::Refused(507) && number < 600, "{outcome:?}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    kept_up_to(&daemon, last_seq(&daemon).await).await;
    wait_for("segments to be carried again", PATIENCE, async || {
        (status(&daemon).await["state"] == "ok").then_some(())
    })
    .await;
    let seq = last_seq(&daemon).await;
    daemon.stop().await;
    // What was kept is the same database.
    let elsewhere = tempfile::tempdir().unwrap();
    let output = tokio::process::Command::new(alyx_tests::tree::program("alyxd"))
        .arg("restore")
        .arg("--from")
        .arg(kept.path())
        .arg("--project")
        .arg(folder.path().join("project"))
        .arg("--data")
        .arg(elsewhere.path())
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(entries(&elsewhere.path().join("data.db")).1, seq);
    history.check(&elsewhere.path().join("data.db"), "restored");
    run("umount", &[folder.path().to_str().unwrap()]);
}

#[tokio::test]
async fn segments_that_no_backup_needs_go_with_old_backups() {
    let site = shipping();
    let daemon = site.start().await;
    based(&daemon).await;
    for number in 0..3 {
        let body = json!({ "id": format!("e{number}"), "v": 1 });
        daemon.client.create("entries", body).await.expect_status(201);
        kept_up_to(&daemon, last_seq(&daemon).await).await;
    }
    let folder = site.data().join("backups/wal");
    let before = segments(&folder);
    daemon.client.post("/api/admin/backups", json!(null)).await.expect_status(201);
    daemon.client.create("entries", json!({ "id": "e3", "v": 1 })).await.expect_status(201);
    kept_up_to(&daemon, last_seq(&daemon).await).await;
    daemon.client.post("/api/admin/backups/prune?keep=1", json!(null)).await.expect_status(200);
    let after = segments(&folder);
    assert!(before.iter().all(|old| !after.contains(old)) && !after.is_empty(), "{before:?} {after:?}");
    daemon.stop().await;
    let (done, said, database) = restore(&site, "newest", &[]).await;
    assert!(done, "{said}");
    assert_eq!(entries(&database).0.len(), 4);
    let (done, said, _) = restore(&site, "first", &["--seq", "1"]).await;
    assert!(!done && said.contains("the oldest moment that is kept"), "{said}");
}

#[tokio::test]
async fn a_restore_warns_of_a_missing_or_another_secret_key() {
    let site = Site::new();
    let daemon = site.start().await;
    daemon.client.post("/api/admin/backups", json!(null)).await.expect_status(201);
    daemon.stop().await;
    let warned = async |name: &str, key: Option<&[u8]>| {
        let data = site.data().parent().unwrap().join(name);
        fs::create_dir_all(&data).unwrap();
        if let Some(key) = key {
            fs::write(data.join("secret.key"), key).unwrap();
        }
        let list = fs::read_dir(site.data().join("backups")).unwrap();
        let id =
            list.map(|entry| entry.unwrap().path()).find(|path| path.extension().unwrap() == "db").unwrap();
        let output = tokio::process::Command::new(alyx_tests::tree::program("alyxd"))
            .arg("restore")
            .arg(id)
            .arg("--project")
            .arg(site.data().parent().unwrap().join("project"))
            .arg("--data")
            .arg(&data)
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let own = fs::read(site.data().join("secret.key")).unwrap();
    assert!(warned("without", None).await.contains("warning: "));
    assert!(!warned("with", Some(&own)).await.contains("warning: "));
    let other = Site::new();
    other.start().await.stop().await;
    let another = fs::read(other.data().join("secret.key")).unwrap();
    assert!(warned("another", Some(&another)).await.contains("holds another key"));
    // No copy of the key is among the backups.
    let key = String::from_utf8_lossy(&own).trim().to_owned();
    for entry in fs::read_dir(site.data().join("backups")).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        let found = bytes.windows(own.len().max(1)).any(|window| window == own);
        assert!(!found && (key.len() < 16 || !String::from_utf8_lossy(&bytes).contains(&key)));
    }
}
