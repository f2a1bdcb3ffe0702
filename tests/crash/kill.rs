//! `kill -9` at any moment.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures_util::future::join_all;

use crate::daemon::Site;
use crate::rounds;
use crate::writers::History;

#[tokio::test]
async fn m15_what_was_acknowledged_survives_every_kill() {
    let (site, history) = (Site::new(), History::default());
    for round in 0..rounds(20, 200) {
        let daemon = site.start().await;
        if round > 0 {
            // Recovered by the daemon itself, and still open.
            history.check(&site.database(), &format!("round {round}"));
            history.settle(&site.database());
        }
        let stop = Arc::new(AtomicBool::new(false));
        let before = history.acknowledged();
        let writers: Vec<_> = (0..6)
            .map(|_| {
                let (history, client, stop) = (history.clone(), daemon.client.clone(), Arc::clone(&stop));
                tokio::spawn(async move { history.keep_writing(client, stop).await })
            })
            .collect();
        // Another moment each time, from the first answers on.
        let wanted = before + 1 + round * 53 % 211;
        alyx_tests::wait::wait_for("some writes", Duration::from_secs(60), async || {
            (history.acknowledged() >= wanted).then_some(())
        })
        .await;
        daemon.kill().await;
        for writer in join_all(writers).await {
            writer.expect("a writer ended");
        }
    }
    let daemon = site.start().await;
    history.check(&site.database(), "the end");
    daemon.stop().await;
    history.check(&site.database(), "after an orderly stop");
    assert!(history.acknowledged() > 500, "{}", history.acknowledged());
    assert!(history.whole_batches() > 0, "no batch was acknowledged, so none was tested");
}
