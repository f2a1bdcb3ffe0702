//! Every bound of the store, in one place. A bound that is hit is an [`Error`](crate::Error), never a
//! wait without end.

use std::time::Duration;

/// Commands committed together. More would lengthen the wait of the first for little gain: the price
/// of a commit is already shared by this many.
pub const BATCH_MAX: usize = 256;

/// Commands waiting for the writer. At 5,000 commits a second this is less than a second of work;
/// beyond it callers are better told [`Error::Busy`](crate::Error::Busy).
pub const WRITE_QUEUE_MAX: usize = 4_096;

/// How long a write may wait for its turn, others' interactive transactions included.
pub const WRITE_WAIT_MAX: Duration = Duration::from_secs(10);

/// Steps of an interactive transaction that may be on their way at once.
pub const STEPS_MAX: usize = 64;

/// Reads waiting for a reader, per lane.
pub const READ_QUEUE_MAX: usize = 4_096;

/// Copies of the database waiting for the one that is being made.
pub const COPY_QUEUE_MAX: usize = 8;

/// Pages copied between two looks at whether the copy is still wanted.
pub const COPY_PAGES: i32 = 2_000;

/// Reader threads: one is kept for point reads, so at least one more is needed for lists.
pub const READERS_MIN: usize = 2;

/// Reader threads at most; each has a connection and a page cache.
pub const READERS_MAX: usize = 64;

/// Time a read may take when its caller named no deadline.
pub const READ_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// Time reads in flight get when the store closes.
pub const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// Virtual machine steps between two looks at the deadline, some ten microseconds.
pub const PROGRESS_STEPS: i32 = 2_000;

/// Documents one deletion may take along. They are logged one by one in the same transaction.
pub const CASCADE_MAX: usize = 100_000;

/// A page of a list ends early once it holds this many bytes of JSON; the cursor goes on from there.
pub const LIST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Rows per page of accounts and executions.
pub const PAGE_MAX: u32 = 1_000;

/// Documents that a list reads for one answer where its rule is a post filter.
pub const POST_FILTER_MAX: usize = 10_000;

/// Rows removed by one call of a trim, so that the writer is never held for long.
pub const TRIM_MAX: u32 = 5_000;

/// A page of changes ends with the transaction in which it came to hold this many bytes of JSON.
pub const CHANGES_PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Rows that one page of changes looks at, those of other collections included, before it ends with the
/// transaction it is in.
pub const CHANGES_SCAN_MAX: usize = 10_000;

/// Executions recorded by one call.
pub const EXECUTIONS_MAX: usize = 1_000;

/// Time in which a just used refresh token is accepted again: two parallel refreshes of one client.
pub const REFRESH_GRACE: Duration = Duration::from_secs(10);

/// How long the writer waits for another process that holds the file, such as a backup tool.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Pages in the write-ahead log after which a commit also checkpoints. Normally the writer does it
/// earlier, when it is idle; this holds under constant load.
pub const AUTOCHECKPOINT_PAGES: u32 = 4_000;

/// Pause after a segment could not be written.
pub const SHIP_RETRY: Duration = Duration::from_secs(1);

/// Largest header of a segment: some hundred thousand commits. Unit: bytes.
pub const SEGMENT_HEADER_MAX: u32 = 64 * 1024 * 1024;

/// Size to which the write-ahead log is cut back after a checkpoint.
pub const JOURNAL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Quiet time after which the writer checkpoints what it has committed.
pub const IDLE_CHECKPOINT: Duration = Duration::from_secs(1);

/// How often it is tried whether writes succeed again, while they do not.
pub const PROBE_PERIOD: Duration = Duration::from_secs(1);

/// Room that must be there before a disk that was full counts as usable again. Unit: bytes.
pub const PROBE_BYTES: usize = 256 * 1024;

/// Largest value or row, in bytes.
pub const VALUE_BYTES_MAX: i32 = 64 * 1024 * 1024;

/// Prepared statements kept per connection.
pub const STATEMENT_CACHE: usize = 256;

/// Page cache of the writer and of a reader, in KiB.
pub const CACHE_KIB: u32 = 16 * 1024;

/// Time over which the challenges handed out to an account are counted.
pub const CHALLENGE_WINDOW: Duration = Duration::from_secs(3_600);

/// Wrong one-time passwords of an account within [`TOTP_FAILURES_WINDOW`]. Three of a million are right
/// at any time: whoever knows the password and guesses for a year without a pause has a chance of 4 %.
pub const TOTP_FAILURES_MAX: u32 = 10;

/// After this the count of wrong one-time passwords starts anew.
pub const TOTP_FAILURES_WINDOW: Duration = Duration::from_secs(6 * 3_600);
/// Devices that are kept of one user.
pub const DEVICES_PER_USER_MAX: u32 = 20;

/// Related documents looked up by one statement. A page of the largest size needs two.
pub const EXPAND_KEYS: usize = 512;

/// Words of a snippet, the matching ones included. SQLite takes up to 64.
pub const SNIPPET_WORDS: usize = 16;
