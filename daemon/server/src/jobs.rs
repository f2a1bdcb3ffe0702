//! Jobs: what committed transactions owe is carried out here, by a handler for each kind.
//!
//! The table is the truth: a wake-up only says that there may be something. A job runs at least once, with
//! the same id every time. One that fails is tried again after a while that grows, and given up after the
//! last attempt of its policy; then it is kept for somebody to look at and to replay.

mod runner;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use alyx_core::schema::Retry;
use alyx_store::{DueJob, Store};
use tokio::sync::watch;

use crate::clock;
use crate::functions::{Answer, InvokeError};
use crate::metrics::Metrics;
use crate::problem::Code;

pub use self::runner::run;

/// Carries out the jobs of one kind.
pub trait Handler: Send + Sync + 'static {
    /// The kind. No two handlers have the same.
    fn kind(&self) -> &'static str;

    /// Jobs of this kind that run at once, at least 1.
    fn at_once(&self) -> u32;

    /// How a target's jobs are tried again.
    fn policy(&self, target: &str) -> Retry;

    /// Carries out one attempt. It is dropped, and counts as failed, after [`LEASE`](crate::limits::JOB_LEASE).
    fn run(&self, job: DueJob) -> Pin<Box<dyn Future<Output = Attempt> + Send>>;
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The job is done.
    Done,
    /// It failed and may be tried again: after `wait` if whoever refused it said so.
    Failed {
        /// Why.
        error: String,
        /// How long to wait at least.
        wait: Option<Duration>,
    },
    /// This host could not carry it out at the moment. It is tried again, also where that was the last try.
    Setback {
        /// Why.
        error: String,
    },
    /// It failed and will always fail.
    Hopeless {
        /// Why.
        error: String,
    },
}

/// Problems that say nothing about the function.
const SETBACKS: [Code; 3] = [Code::FunctionQueueFull, Code::FunctionsUnavailable, Code::FunctionWorkerLost];

impl Attempt {
    /// What the answer of a function means for the job that it was for.
    pub fn of_function(answer: Result<Answer, InvokeError>) -> Self {
        match answer {
            Ok(answer) if answer.status < 400 => Self::Done,
            Ok(answer) => Self::Failed { error: format!("it answered {}", answer.status), wait: None },
            Err(failed) => {
                let error = failed.summary();
                if SETBACKS.iter().any(|code| code.as_str() == failed.problem.code) {
                    Self::Setback { error }
                } else {
                    Self::Failed { error, wait: None }
                }
            }
        }
    }
}

/// What carries jobs out, before it runs.
pub struct Jobs {
    /// The store.
    pub store: Store,
    /// Changes when there may be jobs that were not there before.
    pub wake: watch::Receiver<u64>,
    /// One for each kind.
    pub handlers: Vec<Arc<dyn Handler>>,
    /// Where attempts are counted.
    pub metrics: Metrics,
}

/// How long to wait after this attempt, counted from 1; none if it was the last. Each wait is shortened by
/// a random part of up to half, so that what failed together does not come back together.
fn wait_after(retry: &Retry, attempt: u32) -> Option<Duration> {
    if attempt >= retry.attempts {
        return None;
    }
    let doubled = retry.first.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
    let part = f64::from(u16::from_le_bytes(clock::random())) / f64::from(u16::MAX);
    Some(doubled.min(retry.longest).mul_f64(1.0 - part / 2.0))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use alyx_core::schema::Retry;

    use super::wait_after;

    #[test]
    fn waits_double_up_to_the_longest_and_end_with_the_last_attempt() {
        let retry = Retry { attempts: 8, first: Duration::from_secs(4), longest: Duration::from_secs(60) };
        for (attempt, whole) in [(1, 4), (2, 8), (3, 16), (4, 32), (5, 60), (7, 60)] {
            for _ in 0..100 {
                let wait = wait_after(&retry, attempt).unwrap();
                assert!(wait <= Duration::from_secs(whole) && wait >= Duration::from_secs(whole) / 2);
            }
        }
        assert_eq!(wait_after(&retry, 8), None);
        assert_eq!(wait_after(&retry, u32::MAX), None);
    }
}
