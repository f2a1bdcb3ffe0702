//! Keeps what is committed beyond SQLite's log, so that the database can be brought back to any moment.
//!
//! After each commit its moment is noted. When asked, and before every checkpoint, the frames that the log
//! got since are copied into a [segment](crate::backup::segment) in a folder beside the database, from where
//! they are carried away by others. Nothing else makes checkpoints, so no frame is overwritten before it is
//! kept. A chain of segments has no gap: where frames were lost, for whatever reason, another chain begins
//! and says why.

mod log;
mod place;

pub(crate) use place::forget;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::backup::SegmentName;
use crate::backup::segment::{Commit, Frame, Header, SegmentWriter};
use crate::connection::{file_error, sync_directory};
use crate::limits::{AUTOCHECKPOINT_PAGES, SHIP_RETRY};
use crate::options::Shipping;
use crate::{Error, Options, backup};
use log::{Log, Position, Salts};
use place::Place;

/// The folder beside a database in which segments wait.
pub(crate) fn folder_of(database: &Path) -> PathBuf {
    backup::with_suffix(database, "-shipping")
}

/// What the frames of a connection's next commits are counted with.
pub(crate) type Hooked = Arc<AtomicU32>;

/// A commit whose frames are in the log only.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Pending {
    salts: Salts,
    frames: u32,
    number: u64,
    at_us: i64,
    seq: u64,
    since_us: Option<i64>,
}

/// How keeping goes on.
#[derive(Clone, Debug, Default)]
pub struct ShipState {
    /// The row of segments that is added to.
    pub chain: String,
    /// Why it began, if another one ended for it.
    pub reason: Option<String>,
    /// Number of its next segment. Those before are complete.
    pub next: u64,
    /// The last commit that is in a segment, if there is one.
    pub kept: Option<Kept>,
    /// Bytes of the log that are in no segment.
    pub log_bytes: u64,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// Where segments wait to be carried away.
    pub folder: PathBuf,
}

/// The last commit that is in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// When it was made, in the stored form.
    pub at: String,
    /// The highest sequence number of the change feed.
    pub seq: u64,
}

/// Where a copy of the database stands in a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The chain.
    pub chain: String,
    /// The first segment that is needed to bring the copy forward.
    pub segment: u64,
    /// The copy holds no commit after this one.
    pub commit: u64,
}

/// What others may know.
#[derive(Debug, Default)]
pub(crate) struct ShipShared {
    /// Number of the last commit that was begun.
    begun: AtomicU64,
    state: Mutex<ShipState>,
}

impl ShipShared {
    pub(crate) fn state(&self) -> MutexGuard<'_, ShipState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a copy stands whose snapshot is taken between two calls of this: the first gives the segment,
    /// the second the commit.
    pub(crate) fn mark(&self) -> Mark {
        let state = self.state();
        let commit = self.begun.load(Ordering::SeqCst);
        Mark { chain: state.chain.clone(), segment: state.next, commit }
    }
}

/// The writer's part.
pub(crate) struct Ship {
    folder: PathBuf,
    log: PathBuf,
    file: File,
    limits: Shipping,
    hooked: Hooked,
    pending: Vec<Pending>,
    /// The pending commits, for whoever comes after this process was killed.
    journal: File,
    place: Place,
    data_version: i64,
    checkpointed_at: u32,
    /// A lost frame that nobody was told of yet.
    lost: Option<String>,
    retry: Option<Instant>,
    shared: Arc<ShipShared>,
}

/// A page of the size that every database of ours has, with its header in the log.
const FRAME_BYTES: u64 = 4_096 + 24;

/// Why there is no segment.
enum Trouble {
    /// Frames are lost, or will be.
    Gap(String),
    /// It is tried again.
    Failed(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

fn data_version(connection: &Connection) -> Result<i64, Error> {
    Ok(connection.query_row("PRAGMA data_version", [], |row| row.get(0))?)
}

impl Ship {
    /// Goes on where the process before ended, with what it left in the log.
    pub(crate) fn open(
        connection: &mut Connection,
        options: &Options,
        limits: Shipping,
    ) -> Result<Self, Error> {
        let hooked = Hooked::default();
        let frames = Arc::clone(&hooked);
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
            frames.store(pages.unsigned_abs(), Ordering::SeqCst);
            Ok(())
        }))?;
        let folder = folder_of(&options.path);
        place::prepare(&folder)?;
        let log = backup::with_suffix(&options.path, "-wal");
        let now_us = (options.clock)().as_microsecond();
        let found = place::resume(&folder, &log, connection, now_us)?;
        let journal_path = folder.join(place::JOURNAL);
        let mut ship = Self {
            file: File::open(&log).map_err(file_error(&log))?,
            journal: place::open_journal(&journal_path)?,
            data_version: data_version(connection)?,
            place: found.place,
            pending: found.pending,
            folder,
            log,
            limits,
            hooked,
            checkpointed_at: 0,
            lost: None,
            retry: None,
            shared: Arc::default(),
        };
        if let Some(reason) = &ship.place.reason
            && ship.place.next == 0
        {
            tracing::warn!("a new row of segments begins: {reason}");
        }
        if let Err(error) = ship.place.save(&ship.folder) {
            // On a full disk reads go on. The place is the one that was found, or is found to be broken
            // again, and is written with the next segment.
            tracing::error!(error = %error, "how far commits are kept cannot be written down: {error}");
        }
        let last = ship.pending.last().map_or(ship.place.commit, |last| last.number);
        ship.shared.begun.store(last, Ordering::SeqCst);
        ship.publish(None);
        let now = (options.clock)();
        // Its failure is in the state and is tried again.
        let _kept = ship.ship(connection, now);
        Ok(ship)
    }

    pub(crate) fn shared(&self) -> Arc<ShipShared> {
        Arc::clone(&self.shared)
    }

    /// Before the commit is made.
    pub(crate) fn begin_commit(&self) {
        self.shared.begun.fetch_add(1, Ordering::SeqCst);
    }

    /// After it was made, or not.
    pub(crate) fn end_commit(&mut self, now: Timestamp, seq: Option<u64>) {
        if !self.note(now, seq) {
            self.shared.begun.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Remembers the moment of what was committed since the last call; false if there is nothing.
    fn note(&mut self, now: Timestamp, seq: Option<u64>) -> bool {
        let frames = self.hooked.swap(0, Ordering::SeqCst);
        if frames == 0 {
            return false;
        }
        let (before_at, before_seq) =
            self.pending.last().map_or((self.place.at_us, self.place.seq), |last| (last.at_us, last.seq));
        let salts = match log::salts(&self.file) {
            Ok(salts) => salts,
            Err(error) => {
                self.lost = Some(format!("the log could not be read: {error}"));
                return true;
            }
        };
        let pending = Pending {
            salts,
            frames,
            number: self.shared.begun.load(Ordering::SeqCst),
            at_us: now.as_microsecond().max(before_at),
            seq: seq.unwrap_or(before_seq).max(before_seq),
            since_us: None,
        };
        if let Err(error) = place::append(&mut self.journal, &pending) {
            tracing::debug!(error = %error, "a moment was not written down; it is known while we run");
        }
        self.pending.push(pending);
        true
    }

    /// Frames after which a commit asks for a checkpoint.
    pub(crate) fn is_long(&mut self) -> bool {
        let Some(last) = self.pending.last() else { return false };
        if last.frames < self.checkpointed_at {
            self.checkpointed_at = 0;
        }
        last.frames - self.checkpointed_at >= AUTOCHECKPOINT_PAGES
            && self.retry.is_none_or(|retry| Instant::now() >= retry)
    }

    /// Whether a checkpoint would save the next opening some work.
    pub(crate) fn is_worth_a_checkpoint(&self) -> bool {
        self.place.position.as_ref().is_some_and(|position| {
            position.frames < self.checkpointed_at
                || position.frames - self.checkpointed_at >= AUTOCHECKPOINT_PAGES / 4
        })
    }

    pub(crate) fn checkpointed(&mut self) {
        self.checkpointed_at = self.place.position.as_ref().map_or(0, |position| position.frames);
    }

    /// Puts all pending commits into a segment. If it answers `Ok`, a checkpoint loses nothing, or nothing
    /// that is not said.
    pub(crate) fn ship(&mut self, connection: &Connection, now: Timestamp) -> Result<(), Error> {
        if self.hooked.load(Ordering::SeqCst) != 0 {
            // A write outside of a transaction of ours, such as the probe of a disk that was full.
            self.begin_commit();
            self.end_commit(now, None);
        }
        let outcome = match self.lost.clone() {
            Some(reason) => Err(Trouble::Gap(reason)),
            None => self.try_ship(connection),
        };
        let outcome = match outcome {
            Err(Trouble::Failed(error)) if self.log_bytes() > self.limits.log_bytes_max => {
                let held = self.limits.log_bytes_max >> 20;
                Err(Trouble::Gap(format!("more than {held} MiB could not be kept: {error}")))
            }
            other => other,
        };
        let outcome = match outcome {
            Ok(()) => Ok(()),
            Err(Trouble::Failed(error)) => Err(error),
            Err(Trouble::Gap(reason)) => self.begin_chain(connection, reason),
        };
        self.retry = outcome.is_err().then(|| Instant::now() + SHIP_RETRY);
        self.publish(outcome.as_ref().err());
        outcome
    }

    /// What follows cannot be joined to what was kept.
    pub(crate) fn begin_chain(&mut self, connection: &Connection, reason: String) -> Result<(), Error> {
        tracing::error!("a new row of segments begins: {reason}");
        let log = Log::new(File::open(&self.log).map_err(file_error(&self.log))?);
        let frames = self.pending.last().map_or(0, |last| last.frames);
        let end = log.ok().flatten().and_then(|log| {
            let sums = log.sums_after(frames).ok().flatten()?;
            Some(Position { salts: log.salts, frames, sums })
        });
        let last = self.shared.begun.load(Ordering::SeqCst);
        let mut place = Place::fresh(connection, Some(reason))?;
        place.position = end;
        place.commit = last;
        place.at_us = self.pending.last().map_or(self.place.at_us, |pending| pending.at_us);
        place.save(&self.folder)?;
        self.place = place;
        self.clear()?;
        self.data_version = data_version(connection)?;
        self.lost = None;
        self.publish(None);
        Ok(())
    }

    /// After everything was replaced.
    pub(crate) fn restored(&mut self, connection: &Connection, now: Timestamp) -> Result<(), Error> {
        self.begin_commit();
        self.end_commit(now, None);
        self.begin_chain(connection, "the database went back to a copy".to_owned())
    }

    fn clear(&mut self) -> Result<(), Error> {
        self.pending.clear();
        self.journal.set_len(0).map_err(file_error(&self.folder))
    }

    fn log_bytes(&self) -> u64 {
        let Some(last) = self.pending.last() else { return 0 };
        let kept = self.place.position.as_ref().filter(|position| position.salts == last.salts);
        u64::from(last.frames - kept.map_or(0, |position| position.frames).min(last.frames)) * FRAME_BYTES
    }

    fn publish(&self, error: Option<&Error>) {
        let mut state = self.shared.state();
        let failed = state.error.is_some();
        state.chain.clone_from(&self.place.chain);
        state.reason.clone_from(&self.place.reason);
        state.next = self.place.next;
        state.folder.clone_from(&self.folder);
        state.log_bytes = self.log_bytes();
        state.kept = (self.place.next > 0)
            .then(|| Kept { at: backup::time_of(self.place.at_us), seq: self.place.seq });
        state.error = error.map(|error| crate::error::chain(error));
        match (error, failed) {
            (Some(error), false) => tracing::error!(error = %error, "commits cannot be kept: {error}"),
            (None, true) => tracing::info!("commits are kept again"),
            _ => {}
        }
    }

    fn try_ship(&mut self, connection: &Connection) -> Result<(), Trouble> {
        if self.pending.is_empty() {
            return Ok(());
        }
        place::drop_overdue(&self.folder, self.limits.waiting_bytes_max)?;
        let file = File::open(&self.log).map_err(file_error(&self.log))?;
        let log =
            Log::new(file.try_clone().map_err(file_error(&self.log))?).map_err(file_error(&self.log))?;
        let log = log.ok_or_else(|| Trouble::Gap("the log is gone".to_owned()))?;
        let version = data_version(connection)?;
        let start = self.start_in(&log, version)?;
        let part = self.folder.join("segment.part");
        let header = self.header(&start, log.page_bytes);
        let (end, digest) = self.write(&log, start, &part, &header)?;
        let last = self.pending.last().expect("there is one, as was looked for above");
        let name = SegmentName {
            chain: self.place.chain.clone(),
            number: self.place.next,
            at_us: last.at_us,
            seq: last.seq,
        };
        let path = self.folder.join(name.to_string());
        fs::rename(&part, &path).map_err(file_error(&path))?;
        sync_directory(&path)?;
        let place = Place {
            next: self.place.next + 1,
            previous: digest,
            position: Some(end),
            commit: last.number,
            at_us: last.at_us,
            seq: last.seq,
            ..self.place.clone()
        };
        // Only what is written down there may be overwritten in the log.
        place.save(&self.folder)?;
        self.place = place;
        self.file = file;
        self.data_version = version;
        Ok(self.clear()?)
    }

    /// Where the first pending commit begins.
    fn start_in(&self, log: &Log, data_version: i64) -> Result<Position, Trouble> {
        let gap = |reason: &str| Err(Trouble::Gap(reason.to_owned()));
        if self.pending.iter().any(|pending| pending.salts != log.salts) {
            return gap("another program emptied the log before it was kept");
        }
        let start = match &self.place.position {
            Some(position) if position.salts == log.salts => position.clone(),
            Some(position) if log.salts.0 != position.salts.0.wrapping_add(1) => {
                return gap("another program emptied the log");
            }
            Some(_) if data_version != self.data_version => return gap("another program wrote"),
            Some(_) | None => log.start(),
        };
        let mut before = start.frames;
        for pending in &self.pending {
            if pending.frames <= before {
                return gap("the log became shorter");
            }
            before = pending.frames;
        }
        Ok(start)
    }

    fn header(&self, start: &Position, page_bytes: u32) -> Header {
        let commit = |pending: &Pending| Commit {
            number: pending.number,
            at_us: pending.at_us,
            since_us: pending.since_us,
            seq: pending.seq,
            frames: pending.frames - start.frames,
        };
        let commits: Vec<Commit> = self.pending.iter().map(commit).collect();
        Header {
            chain: self.place.chain.clone(),
            number: self.place.next,
            previous: self.place.previous.clone(),
            reason: self.place.reason.clone(),
            incarnation: self.place.incarnation.clone(),
            page_bytes,
            frames: commits.last().map_or(0, |last| last.frames),
            commits,
        }
    }

    fn write(
        &self,
        log: &Log,
        start: Position,
        part: &Path,
        header: &Header,
    ) -> Result<(Position, String), Trouble> {
        let mut segment = SegmentWriter::create(part, header)?;
        let (mut place, mut content) = (start, vec![0; log.page_bytes as usize]);
        let mut ends = header.commits.iter().map(|commit| commit.frames).peekable();
        for number in 1..=header.frames {
            let frame = log.next(&mut place, &mut content).map_err(file_error(&self.log))?;
            let Some(frame) = frame else {
                return Err(Trouble::Gap("the log does not hold what was committed".to_owned()));
            };
            if ends.next_if_eq(&number).is_some() && frame.pages_after == 0 {
                return Err(Trouble::Gap("the log does not end where a commit did".to_owned()));
            }
            let frame = Frame { page: frame.page, pages_after: frame.pages_after };
            segment.frame(&frame, &content).map_err(file_error(part))?;
        }
        let digest = segment.finish().map_err(file_error(part))?;
        Ok((place, digest))
    }
}
