//! The way into the store. A [`Store`] is a cheap clone; every call puts a request into a bounded queue
//! and returns at once. Nothing here touches the database itself, so async code may call it freely,
//! except for [`Store::open`] and [`Store::close`], which block.

mod pending;

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use alyx_core::schema::Schema;
use jiff::Timestamp;
use rusqlite::Connection;

pub use pending::Pending;
pub(crate) use pending::Reply;

use crate::jobs::Triggers;
use crate::limits::{READERS_MAX, READERS_MIN};
use crate::queue::{Queue, Refused};
use crate::readers::{Lane, ReadJob, Readers, Reading};
use crate::writer::ship::{self, ShipShared, ShipState};
use crate::writer::{Command, Job, OpenedFile, Queued, Step, Writer, WriterLink};
use crate::{AuditRow, Error, Options, connection};

/// The store. Clones share one database; it closes when [`Store::close`] is called or the last clone
/// is dropped.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
    deadline: Option<Instant>,
    audit: Option<Arc<AuditRow>>,
    depth: u32,
    /// The transaction that all calls through this clone are part of.
    transaction: Option<Arc<Queue<Step>>>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    file: OpenedFile,
    read_timeout: Duration,
    clock: fn() -> Timestamp,
    writer: WriterLink,
    readers: Readers,
    threads: Mutex<Option<Threads>>,
}

#[derive(Debug)]
struct Threads {
    writer: JoinHandle<Result<(), Error>>,
    readers: Vec<JoinHandle<()>>,
    /// Held until nothing of us uses the file any more.
    lock: File,
}

/// How the store does.
#[derive(Clone, Debug)]
pub struct StoreHealth {
    /// Whether writes can succeed.
    pub state: Health,
    /// Commands waiting for the writer.
    pub writes_waiting: usize,
    /// Reads waiting for a reader.
    pub reads_waiting: usize,
    /// Size of the database file, in bytes.
    pub database_bytes: u64,
    /// Size of the write-ahead log, in bytes.
    pub wal_bytes: u64,
}

/// Whether writes can succeed.
#[derive(Clone, Debug)]
pub enum Health {
    /// Nothing speaks against it.
    Ok,
    /// The last writes failed for a reason that hits every write: the disk is full, the file is
    /// read-only or damaged. Reads go on; the next successful write ends this.
    Degraded(Error),
    /// The store is closed.
    Closed,
}

impl Store {
    /// Opens the database, creates it if there is none, and brings its own tables up to date.
    /// Blocks.
    ///
    /// # Errors
    /// [`Error::InUse`] if it is open elsewhere, [`Error::File`], [`Error::Foreign`], [`Error::Newer`],
    /// [`Error::Corrupt`], [`Error::DiskFull`], [`Error::ReadOnly`].
    pub fn open(options: &Options) -> Result<Self, Error> {
        let lock = connection::prepare_file(&options.path)?;
        if options.shipping.is_none() {
            ship::forget(&ship::folder_of(&options.path))?;
        }
        let connection = connection::open_writer(options)?;
        let reader_count = options.readers.clamp(READERS_MIN, READERS_MAX);
        let (readers, reader_threads) = Readers::start(options, reader_count)?;
        let (link, writer_thread) = Writer::start(connection, options)?;
        let threads = Threads { writer: writer_thread, readers: reader_threads, lock };
        Ok(Self {
            shared: Arc::new(Shared {
                path: options.path.clone(),
                file: OpenedFile::new(&options.path)?,
                read_timeout: options.read_timeout,
                clock: options.clock,
                writer: link,
                readers,
                threads: Mutex::new(Some(threads)),
            }),
            deadline: None,
            audit: None,
            depth: 0,
            transaction: None,
        })
    }

    /// The same store, with a deadline for every call made through this clone. A read that is not done
    /// by then, and a write that has not begun, answer [`Error::Interrupted`].
    #[must_use]
    pub fn with_deadline(&self, deadline: Instant) -> Self {
        Self { deadline: Some(deadline), ..self.clone() }
    }

    /// Carries out what was accepted, moves the write-ahead log into the database and ends all threads.
    /// Blocks, a few seconds at most. Later calls through other clones answer [`Error::Closed`].
    ///
    /// # Errors
    /// Those of the last checkpoint. Nothing is lost then; the next opening makes up for it.
    pub fn close(self) -> Result<(), Error> {
        self.shared.close()
    }

    /// How the store does. Does not wait for the database.
    #[must_use]
    pub fn health(&self) -> StoreHealth {
        let size = |suffix: &str| {
            let mut name = self.shared.path.clone().into_os_string();
            name.push(suffix);
            std::fs::metadata(name).map_or(0, |metadata| metadata.len())
        };
        StoreHealth {
            state: match self.shared.writer.health() {
                Health::Ok => self.shared.file.check().map_or_else(Health::Degraded, |()| Health::Ok),
                other => other,
            },
            writes_waiting: self.shared.writer.waiting(),
            reads_waiting: self.shared.readers.waiting(),
            database_bytes: size(""),
            wal_bytes: size("-wal"),
        }
    }

    /// Puts everything that is committed into a segment, if segments are kept.
    ///
    /// Fails as writes do if the segment cannot be written; it is tried again before the log is emptied.
    pub fn ship(&self) -> Pending<()> {
        self.write(Command::Ship, ())
    }

    /// How keeping segments goes on; `None` if none are kept. Does not wait.
    #[must_use]
    pub fn ship_state(&self) -> Option<ShipState> {
        self.ship_shared().map(|shared| shared.state().clone())
    }

    pub(crate) fn ship_shared(&self) -> Option<Arc<ShipShared>> {
        self.shared.writer.ship()
    }

    /// Examines the whole file, indexes included. Takes long; give it a deadline.
    ///
    /// Fails with [`Error::Corrupt`].
    pub fn integrity_check(&self) -> Pending<()> {
        self.read(Lane::Scan, connection::integrity_check)
    }

    /// The same store, whose every successful write adds this row in its transaction. For one write.
    #[must_use]
    pub fn audited(&self, row: AuditRow) -> Self {
        Self { audit: Some(Arc::new(row)), ..self.clone() }
    }

    /// The same store, whose writes were caused by so many jobs that caused each other. What they cause in
    /// turn carries this number plus one.
    #[must_use]
    pub fn caused_by(&self, jobs: u32) -> Self {
        Self { depth: jobs, ..self.clone() }
    }

    /// From now on changes cause these jobs.
    pub fn set_triggers(&self, triggers: Triggers) {
        self.shared.writer.set_triggers(triggers);
    }

    /// The same store, whose calls are steps of one transaction.
    pub(crate) fn borrowing(&self, steps: Arc<Queue<Step>>) -> Self {
        Self { transaction: Some(steps), ..self.clone() }
    }

    /// The applied schema.
    pub(crate) fn schema(&self) -> Option<Arc<Schema>> {
        self.shared.writer.schema()
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.shared.clock)()
    }

    /// Puts a command into the writer's queue.
    pub(crate) fn write<I, O>(&self, command: fn(Job<I, O>) -> Command, input: I) -> Pending<O> {
        let (reply, pending, _) = Pending::new();
        let audit = self.audit.clone();
        let queued = Queued {
            deadline: self.deadline,
            audit,
            depth: self.depth,
            ..Queued::new(command(Job { input, reply }))
        };
        let pushed = match &self.transaction {
            Some(steps) => steps.push(Step::Write(Box::new(queued))).map_err(ended),
            None => self.shared.writer.push(queued).map_err(Error::from),
        };
        pushed.map_or_else(Pending::failed, |()| pending)
    }

    /// Has `work` done by a reader.
    pub(crate) fn read<O, F>(&self, lane: Lane, work: F) -> Pending<O>
    where
        O: Send + 'static,
        F: FnOnce(&Connection) -> Result<O, Error> + Send + 'static,
    {
        let deadline = self.deadline.or_else(|| Instant::now().checked_add(self.shared.read_timeout));
        self.read_until(lane, deadline, move |reading| work(reading.connection))
    }

    /// Has `work` done by a reader, with no other deadline than the one given.
    pub(crate) fn read_until<O, F>(&self, lane: Lane, deadline: Option<Instant>, work: F) -> Pending<O>
    where
        O: Send + 'static,
        F: FnOnce(&Reading<'_>) -> Result<O, Error> + Send + 'static,
    {
        let (reply, pending, abandoned) = Pending::new();
        let work = move |reading: Result<Reading<'_>, Error>| {
            let answer = reading.and_then(|reading| {
                catch_unwind(AssertUnwindSafe(|| work(&reading)))
                    .unwrap_or_else(|_| Err(Error::internal("read", "a reader panicked")))
            });
            reply.send(answer);
        };
        let pushed = match &self.transaction {
            Some(steps) => steps.push(Step::Read(Box::new(work))).map_err(ended),
            None => {
                let job = ReadJob { deadline, abandoned, work: Box::new(work) };
                self.shared.readers.push(lane, job).map_err(Error::from)
            }
        };
        pushed.map_or_else(Pending::failed, |()| pending)
    }

    /// The deadline of this clone, if it has one.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

impl Shared {
    fn close(&self) -> Result<(), Error> {
        let Some(threads) = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Ok(());
        };
        // Readers go first: the last connection to close is the one that removes the log.
        self.readers.close();
        for thread in threads.readers {
            drop(thread.join()); // Its panic, if any, was answered and logged where it happened.
        }
        self.writer.close();
        let outcome =
            threads.writer.join().unwrap_or_else(|_| Err(Error::internal("write", "the writer panicked")));
        // Closing would not do: a child process between fork and exec has a copy of the descriptor.
        threads.lock.unlock().map_err(|error| Error::internal("unlock the database", error))?;
        outcome
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(error = %error, "the last checkpoint failed; the next opening makes up for it");
        }
    }
}

fn ended(refused: Refused) -> Error {
    match refused {
        Refused::Full => Error::Busy,
        Refused::Closed => Error::TransactionEnded,
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full => Self::Busy,
            Refused::Closed => Self::Closed,
        }
    }
}
