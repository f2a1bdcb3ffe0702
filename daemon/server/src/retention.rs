//! Removes what has been kept long enough: ended sessions, executions with their logs, changes, kept answers,
//! settled jobs, events, deliveries, receipts, rows of the audit log.
//!
//! Each sweep removes a bounded number at a time, so that it never holds the writer for long.

use std::sync::Arc;
use std::time::Duration;

use alyx_store::{Pending, Store};
use jiff::Timestamp;
use tokio::sync::watch;

use crate::config::Config;
use crate::limits;
use crate::problem::error_chain;
use crate::serve::told_to_stop;

/// Sweeps at once and then every [`limits::RETENTION_PERIOD`] until it is told to stop.
pub async fn run(store: Store, config: Arc<Config>, mut stopped: watch::Receiver<bool>) {
    let mut due = tokio::time::interval(limits::RETENTION_PERIOD);
    loop {
        tokio::select! {
            () = told_to_stop(&mut stopped) => return,
            _ = due.tick() => sweep(&store, &config, &stopped).await,
        }
    }
}

async fn sweep(store: &Store, config: &Config, stopped: &watch::Receiver<bool>) {
    let Config { changes, executions, audit, .. } = config;
    let now = Timestamp::now();
    // A day later than needed, so that ended sessions outlive their access tokens.
    let day_ago = now - Duration::from_secs(24 * 3_600);
    trim("sessions", stopped, || store.trim_sessions(day_ago)).await;
    trim("answers", stopped, || store.trim_answers(now - limits::ANSWERS_KEPT_FOR)).await;
    trim("mails and links", stopped, || store.trim_mails()).await;
    let (done, dead) = (now - limits::JOBS_DONE_KEPT_FOR, now - limits::JOBS_DEAD_KEPT_FOR);
    trim("jobs", stopped, || store.trim_jobs(done, dead)).await;
    trim("events", stopped, || store.trim_events(now - limits::EVENTS_KEPT_FOR)).await;
    trim("deliveries", stopped, || store.trim_deliveries(now - limits::DELIVERIES_KEPT_FOR)).await;
    trim("receipts", stopped, || store.trim_receipts(now)).await;
    let oldest = now - executions.keep_for;
    trim("executions", stopped, || store.trim_executions(executions.keep_count, oldest)).await;
    let oldest = now - changes.keep_for;
    trim("changes", stopped, || store.trim_changes(changes.keep_count, oldest)).await;
    trim("rows of the audit log", stopped, || store.trim_audit(now - audit.keep_for)).await;
}

/// Repeats one kind of removal until there is nothing left to remove.
async fn trim(what: &str, stopped: &watch::Receiver<bool>, remove: impl Fn() -> Pending<u64>) {
    while !*stopped.borrow() {
        match remove().await {
            Ok(0) => return,
            Ok(removed) => tracing::debug!("removed {removed} old {what}"),
            Err(error) => {
                tracing::warn!("old {what} were not removed: {}", error_chain(&error));
                return;
            }
        }
    }
}
