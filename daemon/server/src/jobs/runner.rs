//! Takes jobs that are due, has them carried out, and notes what became of them.

use std::sync::Arc;
use std::time::Duration;

use alyx_core::schema::Retry;
use alyx_store::{DueJob, JobOutcome, Store};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Attempt, Handler, Jobs, wait_after};
use crate::limits::{JOB_DEPTH_MAX, JOB_ERROR_MAX_CHARS, JOB_LEASE, JOB_STOP_GRACE};
use crate::metrics::Metrics;
use crate::problem::error_chain;
use crate::serve::told_to_stop;

/// Time after which the table is looked at again, also if it could not be read.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// How much earlier than its lease an attempt ends, so that no second one begins meanwhile.
const LEASE_MARGIN: Duration = Duration::from_secs(10);

/// Carries jobs out until it is told to stop.
pub async fn run(jobs: Jobs, mut stopped: watch::Receiver<bool>) {
    // Nobody else runs any: whatever was taken before the start is free.
    give_back(&jobs.store, Timestamp::MAX).await;
    let mut kinds = JoinSet::new();
    for handler in jobs.handlers {
        let (store, metrics) = (jobs.store.clone(), jobs.metrics.clone());
        let kind = Kind { store, metrics, handler, running: JoinSet::new() };
        kinds.spawn(kind.run(jobs.wake.clone(), stopped.clone()));
    }
    loop {
        tokio::select! {
            () = told_to_stop(&mut stopped) => break,
            () = tokio::time::sleep(LOOK_AGAIN) => give_back(&jobs.store, Timestamp::now()).await,
        }
    }
    while kinds.join_next().await.is_some() {}
}

async fn give_back(store: &Store, before: Timestamp) {
    match store.return_jobs(before).await {
        Ok(0) => {}
        Ok(count) => tracing::info!("{count} jobs were not finished and run again"),
        Err(error) => tracing::warn!("unfinished jobs cannot be given back: {}", error_chain(&error)),
    }
}

/// The jobs of one kind.
struct Kind {
    store: Store,
    metrics: Metrics,
    handler: Arc<dyn Handler>,
    running: JoinSet<()>,
}

impl Kind {
    async fn run(mut self, mut wake: watch::Receiver<u64>, mut stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            wake.mark_unchanged();
            let wait = self.take().await;
            let full = self.running.len() >= self.room();
            tokio::select! {
                () = told_to_stop(&mut stopped) => break,
                // What ends makes room, also for the next job of its key.
                Some(_) = self.running.join_next(), if full => {}
                changed = wake.changed(), if !full => if changed.is_err() { break },
                () = tokio::time::sleep(wait), if !full => {}
            }
        }
        let all = async { while self.running.join_next().await.is_some() {} };
        if tokio::time::timeout(JOB_STOP_GRACE, all).await.is_err() {
            // They run again after the next start.
            self.running.shutdown().await;
        }
    }

    fn room(&self) -> usize {
        self.handler.at_once().max(1) as usize
    }

    /// Takes as many as there is room for. Gives the time until more are due.
    async fn take(&mut self) -> Duration {
        while self.running.try_join_next().is_some() {}
        let kind = self.handler.kind();
        loop {
            let free = self.room() - self.running.len();
            if free == 0 {
                return LOOK_AGAIN;
            }
            let (now, limit) = (Timestamp::now(), u32::try_from(free).unwrap_or(1));
            let taken = match self.store.take_jobs(kind, now, now + JOB_LEASE, limit).await {
                Ok(taken) => taken,
                Err(error) => {
                    tracing::warn!("jobs of the kind {kind} cannot be taken: {}", error_chain(&error));
                    return LOOK_AGAIN;
                }
            };
            if taken.is_empty() {
                return self.until_next().await;
            }
            for job in taken {
                let (store, metrics) = (self.store.clone(), self.metrics.clone());
                self.running.spawn(attempt(store, metrics, Arc::clone(&self.handler), job));
            }
        }
    }

    async fn until_next(&self) -> Duration {
        let due = self.store.next_jobs_due().await.unwrap_or_default();
        let due = due.iter().find(|(kind, _)| kind == self.handler.kind());
        let wait = due.map(|(_, due)| due.duration_since(Timestamp::now()));
        wait.map_or(LOOK_AGAIN, |wait| Duration::try_from(wait).unwrap_or_default().min(LOOK_AGAIN))
    }
}

/// Carries out one attempt and notes what became of it.
async fn attempt(store: Store, metrics: Metrics, handler: Arc<dyn Handler>, job: DueJob) {
    let (kind, id, target, number) = (handler.kind(), job.id.clone(), job.target.clone(), job.attempt);
    let done = if job.depth > JOB_DEPTH_MAX {
        let error = format!("{JOB_DEPTH_MAX} jobs caused each other before this one: it looks like a loop");
        Attempt::Hopeless { error }
    } else {
        let late = || Attempt::Failed { error: "it took too long".to_owned(), wait: None };
        let running = handler.run(job);
        tokio::time::timeout(JOB_LEASE - LEASE_MARGIN, running).await.unwrap_or_else(|_| late())
    };
    let cut = |error: String| error.chars().take(JOB_ERROR_MAX_CHARS).collect::<String>();
    let outcome = match done {
        Attempt::Done => JobOutcome::Done,
        Attempt::Hopeless { error } => JobOutcome::Dead { error: cut(error) },
        Attempt::Setback { error } => match wait_after(&SETBACKS, number) {
            None => JobOutcome::Dead { error: cut(error) },
            Some(wait) => JobOutcome::Retry { run_at: Timestamp::now() + wait, error: cut(error) },
        },
        Attempt::Failed { error, wait } => match wait_after(&handler.policy(&target), number) {
            None => JobOutcome::Dead { error: cut(error) },
            Some(own) => {
                let run_at = Timestamp::now() + own.max(wait.unwrap_or_default()).min(JOB_WAIT_MAX);
                JobOutcome::Retry { run_at, error: cut(error) }
            }
        },
    };
    match &outcome {
        JobOutcome::Dead { error } => {
            metrics.job(kind, "dead");
            tracing::error!(job.id = id, kind, target, "job {id} for {kind} {target} is given up: {error}");
        }
        JobOutcome::Retry { error, .. } => {
            metrics.job(kind, "retry");
            tracing::warn!(job.id = id, kind, target, "job {id} for {kind} {target} is tried again: {error}");
        }
        JobOutcome::Done => metrics.job(kind, "done"),
        JobOutcome::Returned => {}
    }
    // What is not noted runs again when its lease is over.
    if let Err(error) = store.settle_job(&id, outcome).await {
        tracing::warn!("what became of job {id} was not noted: {}", error_chain(&error));
    }
}

/// How what this host could not carry out is tried again: for about four days.
const SETBACKS: Retry =
    Retry { attempts: 100, first: Duration::from_millis(500), longest: Duration::from_secs(3_600) };

/// Longest wait that whoever refused an attempt can ask for.
const JOB_WAIT_MAX: Duration = Duration::from_secs(24 * 3_600);
