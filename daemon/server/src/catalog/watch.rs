//! Watches a project's schema files and reloads them, for development.
//!
//! Directories are watched, not files: editors replace files. Events are hints; after a short rest
//! the files themselves are read.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use futures_util::StreamExt;
use inotify::{EventStream, Inotify, WatchMask};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::files::FOLDER;
use super::load::{FUNCTION_FILE, SCHEMA_FILE};
use super::{Catalogs, Reloaded};
use crate::limits::{WATCH_DEBOUNCE, WATCH_REST_MAX};
use crate::serve::told_to_stop;

/// Why the project cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("watch {path}", path = path.display())]
pub struct WatchError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Events of a project's directories.
pub struct Watcher {
    project: PathBuf,
    events: EventStream<[u8; 4096]>,
}

impl Watcher {
    /// Starts watching.
    pub fn new(project: &Path) -> Result<Self, WatchError> {
        let failed = |source| WatchError { path: project.to_owned(), source };
        let events =
            Inotify::init().and_then(|inotify| inotify.into_event_stream([0; 4096])).map_err(failed)?;
        let mut watcher = Self { project: project.to_owned(), events };
        watcher.watch_directories().map_err(failed)?;
        Ok(watcher)
    }

    /// Reloads after edits until `stop` becomes true. `live` is called when a new catalog is in force.
    pub async fn run(mut self, catalogs: Catalogs, live: impl Fn(), mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = told_to_stop(&mut stop) => return,
                () = self.edited() => {}
            }
            if let Err(error) = self.watch_directories() {
                tracing::warn!(%error, "cannot watch the project any more: {error}");
                return;
            }
            if catalogs.reload().await == Reloaded::Live {
                live();
            }
        }
    }

    /// Resolves after an edit, when the files have been at rest for a moment. A file that is written
    /// without end does not put it off for ever.
    async fn edited(&mut self) {
        while !self.next_matters().await {}
        let last = Instant::now() + WATCH_REST_MAX;
        loop {
            let rest = (Instant::now() + WATCH_DEBOUNCE).min(last);
            tokio::select! {
                () = sleep_until(rest) => return,
                _ = self.next_matters() => {}
            }
        }
    }

    /// Whether the next event may concern the schema.
    async fn next_matters(&mut self) -> bool {
        match self.events.next().await {
            Some(Ok(event)) => {
                let name = event.name.as_deref();
                name.is_some_and(is_read)
                    || event.mask.contains(inotify::EventMask::ISDIR)
                    || event.mask.contains(inotify::EventMask::Q_OVERFLOW)
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "an event of the project was lost: {error}");
                tokio::time::sleep(WATCH_REST_MAX).await;
                true
            }
            None => std::future::pending().await,
        }
    }

    /// Watches what is there now; watching a directory twice is watching it once.
    fn watch_directories(&mut self) -> io::Result<()> {
        let mask = WatchMask::CLOSE_WRITE
            | WatchMask::MOVED_TO
            | WatchMask::MOVED_FROM
            | WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::ONLYDIR;
        let mut watches = self.events.watches();
        watches.add(&self.project, mask)?;
        match watches.add(self.project.join(FOLDER), mask) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let functions = self.project.join("functions");
        let Ok(entries) = std::fs::read_dir(&functions) else { return Ok(()) };
        let below = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir());
        for directory in below.chain([functions]) {
            match watches.add(&directory, mask) {
                // It was removed in the meantime; its parent tells.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => drop(other?),
            }
        }
        Ok(())
    }
}

/// Whether a file of this name is read by a reload.
fn is_read(name: &OsStr) -> bool {
    name == OsStr::new(SCHEMA_FILE)
        || name == OsStr::new(FUNCTION_FILE)
        || name.to_str().and_then(alyx_core::migration::file_number).is_some()
}
