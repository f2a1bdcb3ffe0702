//! How a store is opened.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::limits;

/// How a store is opened. [`Options::new`] gives the defaults.
#[derive(Clone, Debug)]
pub struct Options {
    /// The database file. It is created with mode 0600 if missing; its directory must exist.
    pub path: PathBuf,
    /// When a write counts as done.
    pub synchronous: Synchronous,
    /// Reader threads, brought into [`READERS_MIN`](limits::READERS_MIN)..=[`READERS_MAX`](limits::READERS_MAX).
    pub readers: usize,
    /// Time a read may take when its caller named no deadline, and a group of writes that are committed
    /// together. Changes of the schema are not bounded.
    pub read_timeout: Duration,
    /// Largest size of the database file, in bytes. Writes beyond it answer
    /// [`DiskFull`](crate::Error::DiskFull).
    pub max_bytes: Option<u64>,
    /// Examination of the file before it is used.
    pub check: OpenCheck,
    /// The clock that stamps changes; tests hold it still.
    pub clock: fn() -> Timestamp,
    /// Whether what is deleted is overwritten.
    pub secure_delete: SecureDelete,
    /// Told of commits that made changes.
    pub on_change: OnChange,
    /// Told of commits that may have changed accounts or ended sessions.
    pub on_accounts: OnAccounts,
    /// Told of commits after which there may be jobs or events that were not there before.
    pub on_jobs: OnJobs,
    /// Told of every commit, also of one that failed.
    pub on_commit: OnCommit,
    /// Keeps every commit in segments, for going back to any moment.
    pub shipping: Option<Shipping>,
    /// Told of every statement that the writer begins, with its text. Tests stop the process there.
    pub on_statement: Option<fn(&str)>,
}

/// Bounds of keeping commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shipping {
    /// Bytes of the log that may be without a segment while none can be written. Beyond it they are given
    /// up, which is said, and writing goes on.
    pub log_bytes_max: u64,
    /// Bytes of segments that may wait to be carried away. Beyond it they are given up, which is said.
    pub waiting_bytes_max: u64,
}

/// Called by the writer after each commit that made changes, with the highest sequence number it may
/// have given. A hint: the truth is in the feed. It must return at once.
#[derive(Clone)]
pub struct OnChange(pub Arc<dyn Fn(u64) + Send + Sync>);

impl fmt::Debug for OnChange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("OnChange")
    }
}

impl Default for OnChange {
    /// Nobody is told.
    fn default() -> Self {
        Self(Arc::new(drop))
    }
}

/// Accounts that a commit may have changed, or whose sessions it may have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touched<'a> {
    /// These ids, at least one; some may be there twice.
    Some(&'a [String]),
    /// Any of them: the schema was applied, or the database is another one.
    All,
}

/// Called by the writer after each commit that touched accounts, before anybody is told that it was done.
/// What is kept in memory of them is stale from then on, whoever still waits for the answer. It must
/// return at once.
#[derive(Clone)]
pub struct OnAccounts(pub Arc<dyn Fn(Touched<'_>) + Send + Sync>);

impl fmt::Debug for OnAccounts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("OnAccounts")
    }
}

impl Default for OnAccounts {
    /// Nobody is told.
    fn default() -> Self {
        Self(Arc::new(|_| ()))
    }
}

/// Called by the writer after each commit that may have added jobs or released one. A hint: the truth is
/// in the table. It must return at once.
#[derive(Clone)]
pub struct OnJobs(pub Arc<dyn Fn() + Send + Sync>);

impl fmt::Debug for OnJobs {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("OnJobs")
    }
}

impl Default for OnJobs {
    /// Nobody is told.
    fn default() -> Self {
        Self(Arc::new(|| ()))
    }
}

/// A commit, and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Time until it was on the disk, or failed.
    pub took: Duration,
    /// Whether it succeeded.
    pub succeeded: bool,
}

/// Called by the writer after each commit. It must return at once.
#[derive(Clone)]
pub struct OnCommit(pub Arc<dyn Fn(Committed) + Send + Sync>);

impl fmt::Debug for OnCommit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("OnCommit")
    }
}

impl Default for OnCommit {
    /// Nobody is told.
    fn default() -> Self {
        Self(Arc::new(drop))
    }
}

/// When a write counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// When it is on the disk: survives loss of power.
    #[default]
    Full,
    /// When the kernel has it: survives the death of the process; loss of power may undo the last ones.
    Normal,
}

/// Whether what is deleted is overwritten in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecureDelete {
    /// It stays until its place is used again.
    #[default]
    Off,
    /// It is overwritten where that costs no further write.
    Fast,
    /// It is overwritten.
    On,
}

/// Examination of the file before it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OpenCheck {
    /// Damage is found when it is met.
    #[default]
    None,
    /// `quick_check`: reads the whole file.
    Quick,
}

impl Options {
    /// The defaults for a database at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            synchronous: Synchronous::Full,
            readers: 4,
            read_timeout: limits::READ_TIMEOUT_DEFAULT,
            max_bytes: None,
            check: OpenCheck::None,
            clock: Timestamp::now,
            secure_delete: SecureDelete::default(),
            on_change: OnChange::default(),
            on_accounts: OnAccounts::default(),
            on_jobs: OnJobs::default(),
            on_commit: OnCommit::default(),
            shipping: None,
            on_statement: None,
        }
    }
}
