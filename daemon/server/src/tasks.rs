//! Tasks that go on without whoever began them: each has an owner that joins it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A set of tasks. A cheap clone.
#[derive(Clone, Debug, Default)]
pub struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl Tasks {
    /// Starts a task.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut set = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Forget those that have ended, so that the set does not grow for ever.
        while set.try_join_next().is_some() {}
        set.spawn(task);
    }

    /// Does the work to its end, also if nobody waits for it any more. `None` if it was ended by
    /// [`Tasks::join`].
    pub async fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (reply, outcome) = oneshot::channel();
        self.spawn(async move { drop(reply.send(work.await)) });
        outcome.await.ok()
    }

    /// Waits for all of them until a moment, then ends the rest.
    pub async fn join(&self, until: Instant) {
        let mut set = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let all = async { while set.join_next().await.is_some() {} };
        if tokio::time::timeout_at(until, all).await.is_err() {
            set.shutdown().await;
        }
    }
}
