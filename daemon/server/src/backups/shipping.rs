//! Carries segments from beside the database to where backups are kept, and sees to it that there is a copy
//! to begin with.
//!
//! Writers never wait for this. What cannot be carried stays where it is until it can, or until the store
//! gives it up because it has become too much.

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alyx_store::backup::{SegmentName, time_of};
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::watch;

use super::{BackupError, Backups, Manifest, at, blocking};
use crate::clock;
use crate::problem::error_chain;
use crate::serve::told_to_stop;

/// The folder of segments in a target.
pub const SEGMENTS: &str = "wal/";

/// How carrying goes on.
#[derive(Default)]
pub struct Shipping(Mutex<Progress>);

#[derive(Default)]
struct Progress {
    /// The last segment that arrived.
    carried: Option<SegmentName>,
    /// The chain that there is a backup of to begin with.
    based: Option<String>,
    error: Option<String>,
    /// Why backups cannot be made.
    backup_error: Option<String>,
    /// Since when there is an error.
    failing_since: Option<Timestamp>,
    /// When the newest backup was made that is known of.
    last_made: Option<Timestamp>,
}

/// How far the database can be brought back, for people.
#[derive(Debug, Serialize)]
pub struct Status {
    /// `failing` if segments are not carried or scheduled backups not made; else `ok`, or `off` if no
    /// segments are carried.
    pub state: &'static str,
    /// Where backups are kept.
    pub target: String,
    /// The unbroken row of segments that is added to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// Why it began, if another one ended for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken_because: Option<String>,
    /// The last moment that is kept at the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_until: Option<String>,
    /// The last change that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_seq: Option<u64>,
    /// Bytes that are in the log only.
    pub log_bytes: u64,
    /// Bytes and number of the segments that wait to be carried.
    pub waiting_bytes: u64,
    pub waiting_segments: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Shipping {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, error: Option<&BackupError>) {
        let mut progress = self.lock();
        match error {
            Some(error) => {
                if progress.error.is_none() {
                    tracing::error!("what is written is not carried to the backups: {}", error_chain(error));
                    progress.failing_since.get_or_insert_with(Timestamp::now);
                }
                progress.error = Some(error_chain(error).to_string());
            }
            None => {
                if progress.error.take().is_some() {
                    progress.ends_failing();
                    tracing::info!("what is written is carried to the backups again");
                }
            }
        }
    }
}

impl Shipping {
    /// Notes how the last scheduled backup went.
    pub(super) fn note_backup(&self, error: Option<&BackupError>) {
        let mut progress = self.lock();
        match error {
            Some(error) => {
                tracing::error!("backups cannot be made: {}", error_chain(error));
                progress.failing_since.get_or_insert_with(Timestamp::now);
                progress.backup_error = Some(error_chain(error).to_string());
            }
            None => {
                if progress.backup_error.take().is_some() {
                    progress.ends_failing();
                    tracing::info!("backups can be made again");
                }
            }
        }
    }
}

impl Shipping {
    /// Notes a backup that there is.
    pub(super) fn note_made(&self, at: Timestamp) {
        let mut progress = self.lock();
        progress.last_made = progress.last_made.max(Some(at));
    }
}

impl Progress {
    fn ends_failing(&mut self) {
        if self.error.is_none() && self.backup_error.is_none() {
            self.failing_since = None;
        }
    }
}

impl Backups {
    /// When the newest backup was made that is known of: one of this run, or, where they are scheduled, of
    /// an earlier one.
    pub fn last_made(&self) -> Option<Timestamp> {
        self.shipping.lock().last_made
    }

    /// How far the database can be brought back.
    pub async fn status(&self) -> Result<Status, BackupError> {
        let state = self.store.ship_state();
        let waiting = self.waiting().await?;
        let progress = self.shipping.lock();
        let store_error = state.as_ref().and_then(|state| state.error.clone());
        let error = store_error.or_else(|| progress.error.clone().or_else(|| progress.backup_error.clone()));
        Ok(Status {
            state: match (&state, &error) {
                (_, Some(_)) => "failing",
                (None, None) => "off",
                (Some(_), None) => "ok",
            },
            target: self.path("ID"),
            kept_until: progress.carried.as_ref().map(|name| time_of(name.at_us)),
            kept_seq: progress.carried.as_ref().map(|name| name.seq),
            log_bytes: state.as_ref().map_or(0, |state| state.log_bytes),
            waiting_bytes: waiting.iter().map(|(_, _, bytes)| bytes).sum(),
            waiting_segments: waiting.len(),
            failing_since: progress.failing_since.map(clock::text),
            error,
            broken_because: state.as_ref().and_then(|state| state.reason.clone()),
            chain: state.map(|state| state.chain),
        })
    }

    /// Whether what is written does not get where it should.
    pub fn is_failing(&self) -> bool {
        self.shipping.lock().error.is_some()
            || self.store.ship_state().is_some_and(|state| state.error.is_some())
    }

    /// Whether backups cannot be made.
    pub fn cannot_be_made(&self) -> bool {
        self.shipping.lock().backup_error.is_some()
    }

    /// Carries segments until it is told to stop, and what is left then.
    pub async fn ship(self, every: Option<Duration>, mut stopped: watch::Receiver<bool>) {
        let Some(every) = every else { return };
        let mut due = tokio::time::interval(every);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = told_to_stop(&mut stopped) => break,
                _ = due.tick() => {}
            }
            tokio::select! {
                () = told_to_stop(&mut stopped) => break,
                done = self.carry() => self.shipping.note(done.as_ref().err()),
            }
        }
        // The rest waits beside the database if this takes long.
        let last = tokio::time::timeout(crate::limits::SHUTDOWN_GRACE, self.carry()).await;
        if !matches!(last, Ok(Ok(()))) {
            tracing::warn!("the last segments are carried to the backups after the next start");
        }
    }

    /// Carries everything that is committed, and makes a backup where there is none to begin with.
    async fn carry(&self) -> Result<(), BackupError> {
        self.store.ship().await?;
        for (name, path, _) in self.waiting().await? {
            self.target.put(&format!("{SEGMENTS}{name}"), &path).await?;
            // It may have been given up in the meantime.
            drop(fs::remove_file(&path));
            self.shipping.lock().carried = Some(name);
        }
        let Some(state) = self.store.ship_state() else { return Ok(()) };
        let begins = |base: &Manifest| base.mark.as_ref().is_some_and(|mark| mark.chain == state.chain);
        if self.shipping.lock().based.as_ref() == Some(&state.chain) {
            return Ok(());
        }
        if self.list().await?.iter().any(begins)
            || self.create().await?.mark.as_ref().is_some_and(|mark| mark.chain == state.chain)
        {
            self.shipping.lock().based = Some(state.chain);
        }
        Ok(())
    }

    /// Segments beside the database that are complete, in order, with their size.
    async fn waiting(&self) -> Result<Vec<(SegmentName, PathBuf, u64)>, BackupError> {
        let Some(state) = self.store.ship_state() else { return Ok(Vec::new()) };
        blocking(move || {
            let mut found = Vec::new();
            for entry in fs::read_dir(&state.folder).map_err(at(&state.folder))? {
                let path = entry.map_err(at(&state.folder))?.path();
                let name = path.file_name().and_then(|name| name.to_str()).and_then(SegmentName::parse);
                let Some(name) = name else { continue };
                if name.chain != state.chain || name.number < state.next {
                    let bytes = path.metadata().map_or(0, |file| file.len());
                    found.push((name, path, bytes));
                }
            }
            found.sort();
            Ok(found)
        })
        .await
    }

    /// Removes the segments before the oldest backup of their chain.
    pub(super) async fn prune_segments(&self, kept: &[Manifest]) -> Result<(), BackupError> {
        let current = self.store.ship_state().map(|state| state.chain);
        for name in self.target.list(SEGMENTS).await?.iter().filter_map(|name| SegmentName::parse(name)) {
            let marks = kept.iter().filter_map(|base| base.mark.as_ref());
            let first = marks.filter(|mark| mark.chain == name.chain).map(|mark| mark.segment).min();
            let needed = match first {
                Some(first) => name.number >= first,
                None => Some(&name.chain) == current.as_ref(),
            };
            if !needed {
                self.target.remove(&format!("{SEGMENTS}{name}")).await?;
            }
        }
        Ok(())
    }
}
