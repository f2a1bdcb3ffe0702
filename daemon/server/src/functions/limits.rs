//! Every bound of the function service that is neither configuration nor shared with another process.

use std::time::Duration;

/// Spawns under way at once. More only compete for the same processors.
pub const SPAWNS_AT_ONCE: usize = 4;

/// Time from the end of an invocation's deadline, or from its cancellation, until its worker is killed.
pub const CANCEL_GRACE: Duration = Duration::from_millis(500);

/// Time that loading the user's code may take.
pub const INIT_TIMEOUT: Duration = Duration::from_secs(30);

/// Time that the rest of a frame may take once its first byte is here.
pub const PARTIAL_FRAME_TIMEOUT: Duration = Duration::from_secs(5);

/// Time that a worker may leave its link unread while we have something to say.
pub const STALLED_WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes that may wait to be written to one worker.
pub const OUTBOUND_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Read from a link or a pipe at once. Buffers grow by this, never by what a worker announces.
pub const READ_CHUNK_BYTES: usize = 64 * 1024;

/// Read from the log pipes of a worker when an invocation ends; what is beyond goes to the worker.
pub const LOG_DRAIN_MAX_BYTES: usize = 1024 * 1024;

/// Wait for the supervisor's word on why a worker ended after its link broke.
pub const EXIT_CAUSE_WAIT: Duration = Duration::from_secs(1);

/// Grace of an orderly stop of a worker.
pub const STOP_GRACE: Duration = Duration::from_secs(2);

/// Lease of a worker.
pub const LEASE: Duration = Duration::from_secs(40);

/// How often leases are renewed.
pub const RENEW_EVERY: Duration = Duration::from_secs(10);

/// Wait for an answer of the supervisor. A spawn takes milliseconds; a second means trouble.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// First and longest pause between attempts to reach the supervisor.
pub const RECONNECT_FIRST: Duration = Duration::from_millis(50);
/// See [`RECONNECT_FIRST`].
pub const RECONNECT_MAX: Duration = Duration::from_secs(2);

/// Requests that may wait for the supervisor link.
pub const CONTROL_QUEUE_MAX: usize = 1_024;

/// An invocation that runs longer than this has its processor time watched.
pub const CPU_WATCH_AFTER: Duration = Duration::from_millis(200);

/// How often processor time is asked for.
pub const CPU_WATCH_EVERY: Duration = Duration::from_millis(100);

/// First pause after workers failed to load, doubled each time.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(200);
/// Longest pause after failures.
pub const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// Workers in a row that die without having answered anything before the pool backs off.
pub const CRASHES_BEFORE_BACKOFF: u32 = 5;

/// Wait before a refused spawn is tried again where the refusal is about room.
pub const SPAWN_RETRY: Duration = Duration::from_millis(250);

/// Largest input of an invocation. Unit: bytes.
pub const INPUT_MAX_BYTES: usize = 6 * 1024 * 1024;

/// Most arguments text of one call. Unit: bytes.
pub const CALL_ARGS_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Execution rows that wait to be written before further ones are dropped and counted.
pub const RECORD_QUEUE_MAX: usize = 8_192;

/// Longest wait of an execution row before it is written.
pub const RECORD_EVERY: Duration = Duration::from_millis(200);

/// Rows written in one command.
pub const RECORD_BATCH_MAX: usize = 256;

/// Rows that a follower may be behind before it misses some.
pub const FOLLOW_BEHIND_MAX: usize = 1_024;

/// Log lines kept in memory per function.
pub const RECENT_LINES_MAX: usize = 1_000;

/// Text of those lines. Unit: bytes.
pub const RECENT_LINES_MAX_BYTES: usize = 512 * 1024;

/// Entries of a bundle.
pub const BUNDLE_ENTRIES_MAX: usize = 100_000;

/// Content of a bundle. Unit: bytes.
pub const BUNDLE_MAX_BYTES: u64 = 512 * 1024 * 1024;

/// Depth of directories in a bundle.
pub const BUNDLE_DEPTH_MAX: usize = 64;

/// Entries looked at to tell whether a source tree has changed. Dependencies are not among them.
pub const FINGERPRINT_ENTRIES_MAX: usize = 5_000;

/// A sealed bundle that nobody uses is removed at start once it is this old.
pub const BUNDLE_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Time that a build may take.
pub const BUILD_TIMEOUT: Duration = Duration::from_secs(300);

/// Compiler text kept. Unit: bytes.
pub const BUILD_OUTPUT_MAX_BYTES: usize = 32 * 1024;

/// Lines of one invocation, so that empty ones have a bound as well.
pub const LINES_PER_INVOCATION_MAX: usize = 10_000;

/// Shortest wait for a free worker that a caller is granted, whatever the function's timeout is: a
/// cold start takes longer than a fast function.
pub const QUEUE_WAIT_MIN: Duration = Duration::from_secs(15);

/// Of an input or an output, what a record keeps, where it does. Bytes.
pub const RECORD_TEXT_MAX_BYTES: usize = 4 << 10;
