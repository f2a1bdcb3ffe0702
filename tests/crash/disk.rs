//! A disk that is full, and a database file that is taken away.

use std::fs;
use std::time::Duration;

use alyx_tests::namespace::run;
use alyx_tests::wait::wait_for;
use serde_json::json;

use crate::daemon::{Daemon, Site};
use crate::in_own_namespace;
use crate::writers::{History, Outcome};

async fn database_state(daemon: &Daemon) -> String {
    let health = daemon.client.get_path("/health").await.expect_ok();
    health["components"]["database"]["state"].as_str().unwrap_or_default().to_owned()
}

async fn expect_state(daemon: &Daemon, state: &str) {
    wait_for(&format!("the database to be {state}"), Duration::from_secs(60), async || {
        (database_state(daemon).await == state).then_some(())
    })
    .await;
}

#[tokio::test]
async fn m15_a_full_disk_loses_nothing_and_is_got_over() {
    if !in_own_namespace("disk::m15_a_full_disk_loses_nothing_and_is_got_over") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    run("mount", &["-t", "tmpfs", "-o", "size=10m", "alyx-crash", folder.path().to_str().unwrap()]);
    let (site, history) = (Site::at(folder.path()), History::default());
    let daemon = site.start().await;
    let ballast = folder.path().join("ballast");
    fs::write(&ballast, vec![0; 6 << 20]).unwrap();
    let text = "x".repeat(20_000);
    let mut refused = 0;
    for number in 0..1_000 {
        match history.write(&daemon.client, &format!("e{number}"), Some(1), &text).await {
            Outcome::Acknowledged => {}
            outcome => {
                assert_eq!(outcome, Outcome::Refused(507), "after {number}");
                refused += 1;
            }
        }
        if refused == 5 {
            break;
        }
    }
    assert_eq!(refused, 5, "this disk is not small");
    let body = json!({ "id": "again", "v": 1, "text": text });
    daemon.client.create("entries", body).await.expect_error(507, "database_full");
    assert_eq!(database_state(&daemon).await, "degraded");
    daemon.client.get("entries", "e0").await.expect_ok();
    let ids: Vec<String> = (0..200).map(|part| format!("b-{part}")).collect();
    history.write_batch(&daemon.client, &ids).await;
    history.check(&site.database(), "full");
    // A daemon that dies now starts again on the full disk and still reads.
    daemon.kill().await;
    let daemon = site.start().await;
    history.check(&site.database(), "full, after a kill");
    daemon.client.get("entries", "e0").await.expect_ok();
    // A look at the disk between the two questions may find room for something smaller.
    wait_for("a refused write to be seen in health", Duration::from_secs(30), async || {
        let body = json!({ "id": "again", "v": 1, "text": text });
        daemon.client.create("entries", body).await.expect_status(507);
        (database_state(&daemon).await == "degraded").then_some(())
    })
    .await;
    // Space comes back, and nobody has to do anything.
    fs::remove_file(&ballast).unwrap();
    expect_state(&daemon, "ok").await;
    assert_eq!(history.write(&daemon.client, "after", Some(1), &text).await, Outcome::Acknowledged);
    history.check(&site.database(), "with space again");
    daemon.stop().await;
    history.check(&site.database(), "after the stop");
    run("umount", &[folder.path().to_str().unwrap()]);
}

#[tokio::test]
async fn a_database_file_that_was_taken_away_is_noticed() {
    let (site, history) = (Site::new(), History::default());
    let daemon = site.start().await;
    assert_eq!(history.write(&daemon.client, "e0", Some(1), "").await, Outcome::Acknowledged);
    let aside = site.data().join("aside.db");
    for replace in [false, true] {
        fs::rename(site.database(), &aside).unwrap();
        if replace {
            fs::write(site.database(), "").unwrap();
        }
        let body = json!({ "id": "lost", "v": 1 });
        daemon.client.create("entries", body).await.expect_error(503, "database_replaced");
        assert_eq!(database_state(&daemon).await, "degraded");
        daemon.client.get("entries", "e0").await.expect_ok();
        fs::rename(&aside, site.database()).unwrap();
        expect_state(&daemon, "ok").await;
        assert_eq!(
            history.write(&daemon.client, &format!("e-{replace}"), Some(1), "").await,
            Outcome::Acknowledged
        );
    }
    daemon.stop().await;
    history.check(&site.database(), "after the stop");
}
