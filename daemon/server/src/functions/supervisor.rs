//! The daemon's end of the control link: a handle that any task may use, and the one task that owns
//! the socket.
//!
//! A missing supervisor is a degraded state, never a reason to stop: requests made meanwhile fail at
//! once with [`CallError::Unavailable`], and the task keeps trying to connect. Nothing here reads
//! what a worker wrote.

mod link;
mod session;

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use alyx_protocol::control::{ExitCause, RefusalCode, RuntimeEntry, Usage, WorkerLimits};
use alyx_protocol::ids::{Digest, RuntimeName, WorkerId};
use alyx_protocol::isolation::{Layer, LayerReport};
use tokio::sync::{mpsc, oneshot, watch};

use super::limits::{CONTROL_QUEUE_MAX, REQUEST_TIMEOUT};

/// A handle on the supervisor.
#[derive(Clone, Debug)]
pub struct Supervisor {
    requests: mpsc::Sender<Request>,
    state: watch::Receiver<Arc<SupervisorState>>,
}

/// What is known of the supervisor.
#[derive(Clone, Debug, Default)]
pub struct SupervisorState {
    /// Whether the link is up.
    pub connected: bool,
    /// Why it is not.
    pub problem: Option<String>,
    /// The isolation report of the last connection.
    pub layers: Vec<LayerReport>,
    /// The runtimes of the last connection.
    pub runtimes: Vec<RuntimeEntry>,
}

/// What to spawn.
#[derive(Clone, Debug)]
pub struct SpawnOrder {
    /// Which runtime.
    pub runtime: RuntimeName,
    /// Which sealed bundle.
    pub bundle: Digest,
    /// With which limits.
    pub limits: WorkerLimits,
}

/// A worker that has been started, with our ends of its descriptors.
#[derive(Debug)]
pub struct Spawned {
    /// Its id.
    pub worker: WorkerId,
    /// Layers that are not active for it.
    pub lowered: Vec<Layer>,
    /// The worker link.
    pub link: OwnedFd,
    /// Its standard output.
    pub stdout: OwnedFd,
    /// Its standard error.
    pub stderr: OwnedFd,
    /// Why it ended, once it has. Closed without a value where the supervisor went away.
    pub exited: oneshot::Receiver<Exit>,
}

/// The end of a worker.
#[derive(Clone, Debug)]
pub struct Exit {
    /// Why.
    pub cause: ExitCause,
    /// What it used in its life.
    pub usage: Usage,
}

/// Why a request was not carried out.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// No link, or it broke before the answer.
    #[error("the supervisor is not reachable")]
    Unavailable,
    /// The supervisor said no.
    #[error("the supervisor refused: {detail}")]
    Refused {
        /// Why, for programs.
        code: RefusalCode,
        /// Why, for people.
        detail: String,
    },
}

/// A request on its way to the task that owns the link.
#[derive(Debug)]
enum Request {
    Spawn(SpawnOrder, oneshot::Sender<Result<Spawned, CallError>>),
    Stop(WorkerId, Duration),
    Kill(WorkerId),
    Stats(WorkerId, oneshot::Sender<Usage>),
}

impl Supervisor {
    /// A handle and the task to run. The task ends when all handles are gone.
    pub fn new(socket: PathBuf) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (requests, queue) = mpsc::channel(CONTROL_QUEUE_MAX);
        let (publish, state) = watch::channel(Arc::default());
        (Self { requests, state }, session::run(socket, queue, publish))
    }

    /// What is known of the supervisor now.
    pub fn state(&self) -> Arc<SupervisorState> {
        Arc::clone(&self.state.borrow())
    }

    /// Starts a worker. If this future is dropped, a worker that comes nevertheless is killed.
    pub async fn spawn(&self, order: SpawnOrder) -> Result<Spawned, CallError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Spawn(order, reply)).await.map_err(|_| CallError::Unavailable)?;
        match tokio::time::timeout(REQUEST_TIMEOUT, answer).await {
            Ok(Ok(result)) => result,
            _ => Err(CallError::Unavailable),
        }
    }

    /// Asks for an orderly end of a worker.
    pub fn stop(&self, worker: WorkerId, grace: Duration) {
        self.post(Request::Stop(worker, grace));
    }

    /// Kills a worker.
    pub fn kill(&self, worker: WorkerId) {
        self.post(Request::Kill(worker));
    }

    /// What a worker has used so far, if it is alive and the supervisor answers.
    pub async fn stats(&self, worker: WorkerId) -> Option<Usage> {
        let (reply, answer) = oneshot::channel();
        self.requests.try_send(Request::Stats(worker, reply)).ok()?;
        tokio::time::timeout(REQUEST_TIMEOUT, answer).await.ok()?.ok()
    }

    fn post(&self, request: Request) {
        if let Err(error) = self.requests.try_send(request) {
            // The worker's lease ends it where this request could not.
            tracing::warn!("a request to the supervisor was not sent: {error}");
        }
    }
}
