//! What supervisor and spawner say to each other: JSON packets over a private socket pair.
//!
//! Order of life: `set_up`, `unshared`, `maps_written`, `ready` or `broken`; then any number of `spawn`,
//! each answered by `cloned` (with a pidfd) and, once its processes are gone or its runtime runs, by
//! `refused` or `running`. `ended` follows every `running`.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use alyx_protocol::control::WorkerLimits;
use alyx_protocol::ids::{Digest, RuntimeName, WorkerId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::limits::SPAWNER_PACKET_MAX_BYTES;
use crate::packet::{self, Descriptors};
use crate::plan::SpawnerPlan;

/// From the supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    /// Build the tree.
    SetUp(Box<SpawnerPlan>),
    /// The id maps are in place.
    MapsWritten,
    /// Start a worker. With three descriptors (link, stdout, stderr) and perhaps a cgroup leaf.
    Spawn(SpawnOrder),
}

/// One worker to start; everything in it was checked.
#[derive(Debug, Serialize, Deserialize)]
pub struct SpawnOrder {
    /// Its id; the slot selects the id range.
    pub worker: WorkerId,
    /// Its runtime.
    pub runtime: RuntimeName,
    /// Its bundle; none for a trial, whose `/fn` is empty.
    pub bundle: Option<CheckedBundle>,
    /// Its limits.
    pub limits: WorkerLimits,
}

/// A bundle that was looked through.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct CheckedBundle {
    /// Its name.
    pub digest: Digest,
    /// Device and inode of its directory.
    pub inode: (u64, u64),
}

/// How far a worker came that never ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reached {
    /// Some step before the last failed.
    Confinement,
    /// Only the program could not be executed.
    Execution,
}

/// From the spawner.
#[derive(Debug, Serialize, Deserialize)]
pub enum Event {
    /// It is in its user namespace and waits for the maps.
    Unshared,
    /// It can spawn.
    Ready,
    /// It cannot work.
    Broken { detail: String },
    /// The init exists. With its pidfd.
    Cloned { worker: WorkerId, pid: i32 },
    /// The runtime's `execve` succeeded.
    Running { worker: WorkerId },
    /// The runtime never ran, and no process of the worker is left.
    Refused { worker: WorkerId, reached: Reached, detail: String },
    /// The runtime ran, and no process of the worker is left.
    Ended { worker: WorkerId, end: End },
}

/// How a worker ended and what it used.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct End {
    /// Exit status of the runtime, where it exited by itself.
    pub code: Option<i32>,
    /// Signal that ended it.
    pub signal: Option<i32>,
    /// Time of all processes, microseconds.
    pub cpu_us: u64,
    /// Largest resident set of one process, bytes.
    pub rss_peak_bytes: u64,
}

/// The link between supervisor and spawner failed.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("use the spawner's link")]
    Io(#[from] io::Error),
    #[error("understand a packet of the spawner's link")]
    Json(#[from] serde_json::Error),
    #[error("expect a message of the spawner's link that came out of turn")]
    Unexpected,
}

/// Sends an order or an event.
pub fn send<T: Serialize>(
    link: BorrowedFd<'_>,
    message: &T,
    fds: &[BorrowedFd<'_>],
) -> Result<(), WireError> {
    Ok(packet::send(link, &serde_json::to_vec(message)?, fds)?)
}

/// Receives an order or an event; `None` once the other side is gone.
pub fn receive<T: DeserializeOwned>(link: BorrowedFd<'_>) -> Result<Option<(T, Vec<OwnedFd>)>, WireError> {
    let packet = packet::receive(link, SPAWNER_PACKET_MAX_BYTES, Descriptors::Accepted)?;
    if packet.bytes.is_empty() {
        return Ok(None);
    }
    Ok(Some((serde_json::from_slice(&packet.bytes)?, packet.fds)))
}
