//! Table of every bound of the supervisor that is not part of the control protocol.

use std::time::Duration;

/// Largest configuration file. Unit: bytes.
pub const CONFIG_MAX_BYTES: u64 = 1024 * 1024;

/// Host ids of one worker slot; a user namespace of its own has this many.
pub const IDS_PER_SLOT: u32 = 65_536;

/// The user and group that a worker's runtime has inside its namespace.
pub const WORKER_ID: u32 = 1_000;

/// Most worker slots that a configuration may ask for; a list of all fits one packet.
pub const WORKERS_MAX: u16 = 256;

/// Largest message between supervisor and spawner. Unit: bytes.
pub const SPAWNER_PACKET_MAX_BYTES: usize = 256 * 1024;

/// Time from the spawn order to the runtime's `execve` before the worker is given up.
pub const SETUP_TIMEOUT: Duration = Duration::from_secs(10);

/// Time the spawner gets to build its tree at start.
pub const SPAWNER_START_TIMEOUT: Duration = Duration::from_secs(15);

/// Spawns that may happen at once after a quiet time.
pub const SPAWN_BURST: u32 = 100;

/// Spawns a second after the burst is used up.
pub const SPAWNS_PER_SECOND: u32 = 50;

/// Time running workers get after the daemon's link went away.
pub const DAEMON_GONE_GRACE: Duration = Duration::from_secs(2);

/// Time for which requests are answered before the other events have their turn.
pub const LINK_TURN: Duration = Duration::from_millis(5);

/// Packets waiting for a daemon that does not read; one more ends the link.
pub const SEND_QUEUE_MAX: usize = 4_096;

/// Time between two looks at the memory of workers that have no cgroup of their own.
pub const SAMPLE_INTERVAL: Duration = Duration::from_millis(50);

/// The same for a worker that uses more than half of its memory.
pub const SAMPLE_INTERVAL_NEAR_LIMIT: Duration = Duration::from_millis(10);

/// Processes of one worker that a sample looks at; RLIMIT_NPROC keeps real trees far below.
pub const SAMPLE_PROCESSES_MAX: usize = 4_096;

/// Files and directories in one bundle.
pub const BUNDLE_ENTRIES_MAX: usize = 100_000;

/// Directories inside each other in one bundle.
pub const BUNDLE_DEPTH_MAX: usize = 64;

/// Time a stopping supervisor waits for its workers' processes to be gone.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
