//! Threads that read, each with its own connection. Point reads and lists have threads of their own,
//! so that slow lists, however many, never hold up a sign-in or a get.
//!
//! A statement ends when its deadline passes, when its caller went away, or when the store closes.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use rusqlite::Connection;

use crate::limits::{CLOSE_GRACE, COPY_QUEUE_MAX, PROGRESS_STEPS, READ_QUEUE_MAX};
use crate::queue::{Popped, Queue, Refused};
use crate::{Error, Options, connection};

/// Which threads do it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lane {
    /// A bounded number of rows found by a key.
    Point,
    /// Anything that may look at every row.
    Scan,
    /// Copies of the whole database, one at a time.
    Copy,
}

/// One read.
pub(crate) struct ReadJob {
    pub(crate) deadline: Option<Instant>,
    pub(crate) abandoned: Arc<AtomicBool>,
    pub(crate) work: Work,
}

/// Called exactly once; with an error if there is no point in reading.
pub(crate) type Work = Box<dyn FnOnce(Result<Reading<'_>, Error>) + Send>;

/// A connection, and whether its user should give up.
pub(crate) struct Reading<'a> {
    pub(crate) connection: &'a Connection,
    over: &'a Over,
}

pub(crate) type Over = Arc<dyn Fn() -> bool + Send + Sync>;

impl<'a> Reading<'a> {
    pub(crate) const fn new(connection: &'a Connection, over: &'a Over) -> Self {
        Self { connection, over }
    }

    /// Fails once the deadline has passed, the caller went away or the store closes. Statements notice by
    /// themselves; this is for work that is none.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if (self.over)() { Err(Error::Interrupted) } else { Ok(()) }
    }
}

/// Has several statements see the same documents. Within a transaction they do anyway; a failure ends the
/// one begun here, see [`serve`].
pub(crate) fn snapshot<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, Error>,
) -> Result<T, Error> {
    if !connection.is_autocommit() {
        return work(connection);
    }
    connection.execute_batch("BEGIN")?;
    let found = work(connection)?;
    connection.execute_batch("COMMIT")?;
    Ok(found)
}

/// The way to the readers.
#[derive(Debug)]
pub(crate) struct Readers {
    points: Arc<Queue<ReadJob>>,
    scans: Arc<Queue<ReadJob>>,
    copies: Arc<Queue<ReadJob>>,
    stop_at: Arc<OnceLock<Instant>>,
}

impl Readers {
    /// Starts `count` threads, at least one for points and one for scans, and one for copies.
    pub(crate) fn start(options: &Options, count: usize) -> Result<(Self, Vec<JoinHandle<()>>), Error> {
        let readers = Self {
            points: Arc::new(Queue::new(READ_QUEUE_MAX)),
            scans: Arc::new(Queue::new(READ_QUEUE_MAX)),
            copies: Arc::new(Queue::new(COPY_QUEUE_MAX)),
            stop_at: Arc::new(OnceLock::new()),
        };
        let point_count = (count / 4).max(1);
        let mut threads = Vec::with_capacity(count + 1);
        for number in 0..=count {
            let queue = Arc::clone(match number {
                number if number == count => &readers.copies,
                number if number < point_count => &readers.points,
                _ => &readers.scans,
            });
            let stop_at = Arc::clone(&readers.stop_at);
            let connection = connection::open_reader(&options.path)?;
            let thread = thread::Builder::new()
                .name(format!("alyx-read-{number}"))
                .spawn(move || run(connection, &queue, &stop_at))
                .map_err(|error| Error::internal("start a reader", error))?;
            threads.push(thread);
        }
        Ok((readers, threads))
    }

    pub(crate) fn push(&self, lane: Lane, job: ReadJob) -> Result<(), Refused> {
        match lane {
            Lane::Point => self.points.push(job),
            Lane::Scan => self.scans.push(job),
            Lane::Copy => self.copies.push(job),
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.points.len() + self.scans.len()
    }

    /// Accepts nothing more. What was accepted has a grace time to finish.
    pub(crate) fn close(&self) {
        self.stop_at.get_or_init(|| Instant::now() + CLOSE_GRACE);
        self.points.close();
        self.scans.close();
        self.copies.close();
    }
}

impl Drop for Readers {
    /// Ends the threads also when opening fails half-way.
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for ReadJob {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ReadJob").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

fn run(mut connection: Connection, queue: &Queue<ReadJob>, stop_at: &Arc<OnceLock<Instant>>) {
    loop {
        match queue.drain(1, None) {
            Popped::Items(jobs) => jobs.into_iter().for_each(|job| serve(&mut connection, job, stop_at)),
            Popped::Quiet => {}
            Popped::Closed => return,
        }
    }
}

fn serve(connection: &mut Connection, job: ReadJob, stop_at: &Arc<OnceLock<Instant>>) {
    let ReadJob { deadline, abandoned, work } = job;
    let stop_at = Arc::clone(stop_at);
    let over: Over = Arc::new(move || {
        let now = Instant::now();
        abandoned.load(Ordering::Relaxed)
            || deadline.is_some_and(|deadline| now >= deadline)
            || stop_at.get().is_some_and(|stop| now >= *stop)
    });
    if over() {
        return work(Err(Error::Interrupted));
    }
    let handler = Arc::clone(&over);
    if let Err(error) = connection.progress_handler(PROGRESS_STEPS, Some(move || handler())) {
        return work(Err(error.into()));
    }
    work(Ok(Reading { connection, over: &over }));
    // A read that failed between BEGIN and COMMIT must not pin the log.
    if !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        tracing::warn!(error = %error, "a reader could not end its transaction");
    }
}
