//! The control link: a `SOCK_SEQPACKET` unix socket between daemon and supervisor.
//!
//! One JSON message a packet, at most [`CONTROL_PACKET_MAX_BYTES`] bytes. Both sides send `hello`
//! first. Requests carry an `id` chosen by the daemon and are answered once, by a message with the
//! same `id`. `exited` is the only message that answers nothing. An unknown message or field, a
//! second `hello` or a packet over the bound ends the link.
//!
//! `spawned` carries exactly three descriptors by `SCM_RIGHTS`, in this order: the worker link
//! (stream socket), the read end of the worker's stdout, the read end of its stderr. No other
//! message carries descriptors in either direction.
//!
//! Nothing in a request is a path, argument vector, environment, mount, capability or system call.

use serde::{Deserialize, Serialize};

use crate::ids::{Digest, RuntimeName, WorkerId};
use crate::isolation::{Layer, LayerReport};
use crate::limits::CONTROL_PACKET_MAX_BYTES;

/// From the daemon to the supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ToSupervisor {
    /// First message of the daemon.
    Hello {
        /// [`crate::limits::CONTROL_PROTOCOL`] of the sender.
        protocol: u32,
    },
    /// Start a worker. Answered by `spawned` or `refused`.
    Spawn {
        /// Request id.
        id: u64,
        /// Which runtime of the supervisor's configuration.
        runtime: RuntimeName,
        /// Bundle to bind at `/fn`, resolved below the configured directory.
        bundle: Digest,
        /// Limits; each may only be at or below the configured ceiling.
        limits: WorkerLimits,
        /// The supervisor kills the worker this long from now unless it is renewed. Milliseconds.
        lease_ms: u64,
    },
    /// Close the worker down: SIGTERM now, SIGKILL after `grace_ms`. Answered by `done` or `refused`.
    Stop {
        /// Request id.
        id: u64,
        /// Which worker.
        worker: WorkerId,
        /// Milliseconds, 0..=[`crate::limits::STOP_GRACE_MAX_MS`]; zero kills at once.
        grace_ms: u64,
    },
    /// Kill the worker now; `exited` will carry cause `killed`. Answered by `done` or `refused`.
    Kill {
        /// Request id.
        id: u64,
        /// Which worker.
        worker: WorkerId,
    },
    /// Extend leases. Ids of workers that are gone are ignored. Answered by `done`.
    Renew {
        /// Request id.
        id: u64,
        /// At most [`crate::limits::RENEW_MAX_WORKERS`].
        workers: Vec<WorkerId>,
        /// From now; at most [`crate::limits::LEASE_MAX_MS`]. Milliseconds.
        lease_ms: u64,
    },
    /// What a worker has used so far. Answered by `stats` or `refused`.
    Stats {
        /// Request id.
        id: u64,
        /// Which worker.
        worker: WorkerId,
    },
    /// All workers alive. Answered by `workers`.
    List {
        /// Request id.
        id: u64,
    },
    /// The isolation report. Answered by `capabilities`.
    Capabilities {
        /// Request id.
        id: u64,
    },
}

/// From the supervisor to the daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum FromSupervisor {
    /// First message of the supervisor.
    Hello {
        /// [`crate::limits::CONTROL_PROTOCOL`] of the sender.
        protocol: u32,
    },
    /// The worker runs its shim. Carries three descriptors.
    Spawned {
        /// Request id.
        id: u64,
        /// The new worker.
        worker: WorkerId,
        /// Layers that are not [`crate::isolation::LayerState::Active`] for it.
        lowered: Vec<Layer>,
        /// From the request to the runtime's `execve`. Microseconds.
        setup_us: u64,
    },
    /// The request was not carried out; nothing of it is left behind.
    Refused {
        /// Request id.
        id: u64,
        /// Why, for programs.
        code: RefusalCode,
        /// Why, for people: one sentence without a full stop.
        detail: String,
    },
    /// The request was carried out.
    Done {
        /// Request id.
        id: u64,
    },
    /// Answer to `stats`.
    Stats {
        /// Request id.
        id: u64,
        /// Which worker.
        worker: WorkerId,
        /// So far.
        usage: Usage,
    },
    /// Answer to `list`.
    Workers {
        /// Request id.
        id: u64,
        /// In no particular order.
        workers: Vec<WorkerEntry>,
    },
    /// Answer to `capabilities`.
    Capabilities {
        /// Request id.
        id: u64,
        /// One entry per layer, in set-up order.
        layers: Vec<LayerReport>,
        /// Runtimes that can be spawned, with what the supervisor knows of them.
        runtimes: Vec<RuntimeEntry>,
    },
    /// A worker has ended and all its processes are gone. Sent once per worker.
    Exited {
        /// Which worker.
        worker: WorkerId,
        /// Why it ended.
        cause: ExitCause,
        /// What it used in its life.
        usage: Usage,
    },
}

/// Limits of one worker. Every field is required: there is no worker without a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerLimits {
    /// Memory of all its processes together. Bytes.
    pub memory_max_bytes: u64,
    /// Processes and threads at once.
    pub processes_max: u32,
    /// Open descriptors per process.
    pub files_max: u32,
    /// Size of `/tmp`; `/dev/shm` has the same. Bytes.
    pub tmp_max_bytes: u64,
    /// Processor share in percent of one core, 1..=10_000. Enforced where cgroup v2 has `cpu`.
    pub cpu_percent: u32,
}

/// What a worker used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// User and system time of all its processes. Microseconds.
    pub cpu_us: u64,
    /// Largest memory seen. Bytes. Sampled where there is no cgroup v2 memory controller.
    pub memory_peak_bytes: u64,
    /// Memory at the moment of the report; zero once it has exited. Bytes.
    pub memory_bytes: u64,
    /// Processes at the moment of the report; zero once it has exited.
    pub processes: u32,
}

/// One line of `list`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerEntry {
    /// Which worker.
    pub worker: WorkerId,
    /// Its runtime.
    pub runtime: RuntimeName,
    /// Its bundle.
    pub bundle: Digest,
    /// Since its spawn. Milliseconds.
    pub age_ms: u64,
    /// Until its lease ends. Milliseconds.
    pub lease_ms: u64,
}

/// One runtime of the supervisor's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeEntry {
    /// Its name.
    pub name: RuntimeName,
    /// Why it cannot be spawned, where it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Why a worker ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ExitCause {
    /// It exited by itself with this status.
    Exited {
        /// As given to `exit`.
        code: i32,
    },
    /// A signal that none of ours sent ended it.
    Signalled {
        /// Signal number.
        signal: i32,
    },
    /// It made a system call that no program needs (SIGSYS from the filter).
    Seccomp,
    /// It used more memory than its limit.
    OutOfMemory {
        /// The limit. Bytes.
        limit_bytes: u64,
        /// What was seen. Bytes.
        seen_bytes: u64,
    },
    /// It was told to stop, and it did or was killed after the grace.
    Stopped,
    /// The daemon asked for the kill.
    Killed,
    /// Nobody renewed its lease.
    LeaseExpired,
    /// The daemon's link went away and the grace for running invocations is over.
    DaemonGone,
    /// The supervisor itself is stopping.
    Shutdown,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// No such runtime, or it cannot be used on this host.
    RuntimeUnavailable,
    /// No bundle of that digest below the configured directory.
    BundleNotFound,
    /// The bundle holds something that a bundle must not hold.
    BundleRejected,
    /// A limit is above its ceiling, or zero.
    LimitOutOfRange,
    /// All worker slots are taken.
    TooManyWorkers,
    /// Too many spawns in a short time; try again later.
    RateLimited,
    /// A step of the confinement failed; the worker never ran.
    SetupFailed,
    /// No worker of that id is alive.
    WorkerGone,
    /// The supervisor is stopping.
    ShuttingDown,
}

/// A packet that is not a message.
#[derive(Debug, thiserror::Error)]
pub enum PacketError {
    /// Larger than [`CONTROL_PACKET_MAX_BYTES`].
    #[error("packet of {0} bytes is over the bound of {CONTROL_PACKET_MAX_BYTES}")]
    TooLarge(usize),
    /// Not JSON, or not a message of this protocol.
    #[error("packet is not a control message")]
    Malformed(#[source] serde_json::Error),
}

/// Turns a message into a packet.
///
/// # Errors
/// [`PacketError::TooLarge`] where the text is over the bound.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, PacketError> {
    let packet = serde_json::to_vec(message).map_err(PacketError::Malformed)?;
    if packet.len() > CONTROL_PACKET_MAX_BYTES {
        return Err(PacketError::TooLarge(packet.len()));
    }
    Ok(packet)
}

/// Turns a packet into a message.
///
/// # Errors
/// [`PacketError::TooLarge`] over the bound, [`PacketError::Malformed`] for anything else that is
/// not exactly one message.
pub fn decode<'a, T: Deserialize<'a>>(packet: &'a [u8]) -> Result<T, PacketError> {
    if packet.len() > CONTROL_PACKET_MAX_BYTES {
        return Err(PacketError::TooLarge(packet.len()));
    }
    serde_json::from_slice(packet).map_err(PacketError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::{FromSupervisor, ToSupervisor, decode, encode};

    #[test]
    fn unknown_messages_and_fields_are_refused() {
        let check = |text: &str, valid: bool| {
            assert_eq!(decode::<ToSupervisor>(text.as_bytes()).is_ok(), valid, "{text}");
        };
        check(r#"{"type":"hello","protocol":1}"#, true);
        check(r#"{"type":"hello","protocol":1,"path":"/"}"#, false);
        check(r#"{"type":"exec","id":1}"#, false);
        check(r#"{"type":"list","id":1}"#, true);
        check(r#"{"type":"list","id":-1}"#, false);
        check(r#"{"type":"list","id":1}{}"#, false);
        check(r#"{"type":"kill","id":1,"worker":"w1-1"}"#, true);
        check(r#"{"type":"kill","id":1,"worker":"../w1"}"#, false);
        check("", false);
    }

    #[test]
    fn a_packet_over_the_bound_is_refused() {
        let text = format!(r#"{{"type":"hello","protocol":{}1}}"#, " ".repeat(64 * 1024));
        assert!(decode::<ToSupervisor>(text.as_bytes()).is_err());
    }

    #[test]
    fn messages_survive_the_round_trip() {
        let message = FromSupervisor::Exited {
            worker: "w3-7".parse().unwrap(),
            cause: super::ExitCause::OutOfMemory { limit_bytes: 1, seen_bytes: 2 },
            usage: super::Usage::default(),
        };
        assert_eq!(decode::<FromSupervisor>(&encode(&message).unwrap()).unwrap(), message);
    }
}
