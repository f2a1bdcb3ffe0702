//! System calls that fail, by strace's injection: the nth sync or write of the process.

use crate::daemon::Site;
use crate::writers::{History, Outcome};
use crate::{have, rounds};

/// Writes while the nth call of a kind fails, once or from then on, and compares.
async fn check(call: &str, error: &str, when: &str) {
    let (site, history) = (Site::new(), History::default());
    // A sound database first: what fails is a write, not the start.
    let daemon = site.start().await;
    for number in 0..5 {
        history.write(&daemon.client, &format!("s{number}"), Some(1), "sound").await;
    }
    daemon.stop().await;

    let case = format!("{error} on {call} number {when}");
    let inject = format!("inject={call}:error={error}:when={when}");
    let trace = format!("trace={call}");
    let wrapper = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-P"];
    let (database, wal) = (site.database(), site.database().with_extension("db-wal"));
    let wal = wal.to_str().unwrap();
    let paths = [database.to_str().unwrap(), "-P", wal, "-e", &trace, "-e", &inject];
    let wrapper: Vec<&str> = wrapper.into_iter().chain(paths).collect();
    let daemon = site.start_under(&wrapper).await;
    let (mut refused, mut last_refused) = (0, false);
    for number in 0..60 {
        let text = "x".repeat(number * 131 % 9_000);
        match history.write(&daemon.client, &format!("e{number}"), Some(1), &text).await {
            Outcome::Acknowledged => last_refused = false,
            Outcome::Refused(503 | 507) => (refused, last_refused) = (refused + 1, true),
            other => panic!("{case}: {other:?}"),
        }
        if number % 10 == 0 {
            daemon.client.get("entries", "s0").await.expect_ok();
        }
    }
    assert!(refused > 0, "{case}: nothing failed");
    assert_eq!(last_refused, when.ends_with('+'), "{case}: {refused} writes were refused");
    history.check(&site.database(), &case);
    daemon.kill().await;
    let daemon = site.start().await;
    history.check(&site.database(), &format!("{case}, after a restart"));
    assert_eq!(history.write(&daemon.client, "after", Some(1), "").await, Outcome::Acknowledged);
    daemon.stop().await;
    history.check(&site.database(), &format!("{case}, after the stop"));
}

#[tokio::test]
async fn m15_a_failed_sync_is_never_an_acknowledgement() {
    if !have("strace") {
        return;
    }
    for number in 0..rounds(2, 12) {
        check("fsync,fdatasync", "EIO", &format!("{}", 3 + number * 5)).await;
    }
    check("fsync,fdatasync", "EIO", "4+").await;
}

#[tokio::test]
async fn m15_a_failed_write_is_never_an_acknowledgement() {
    if !have("strace") {
        return;
    }
    for number in 0..rounds(1, 8) {
        check("pwrite64", "EIO", &format!("{}", 5 + number * 7)).await;
        check("pwrite64", "ENOSPC", &format!("{}", 6 + number * 7)).await;
    }
    check("pwrite64", "ENOSPC", "8+").await;
}
