//! Putting a copy in the place of a database that nobody uses.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{Copied, examine, with_suffix};
use crate::Error;
use crate::connection::{file_error, open_private, prepare_lock, sync_directory};

/// What became of a restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What the database holds now. Its incarnation is a new one.
    pub copied: Copied,
    /// Where the database that was there is now.
    pub replaced: Option<PathBuf>,
}

/// What happens to a database that is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InTheWay {
    /// Nothing is restored.
    Refuse,
    /// It is put aside, with its log, under its name and this suffix.
    PutAside(String),
}

/// Makes `target` a database with the content of the copy `source`. It is complete and examined before it
/// gets its name. Blocks.
///
/// # Errors
/// [`Error::InUse`] while a daemon uses it, [`Error::Corrupt`] and [`Error::Foreign`] if the copy is not
/// sound, [`Error::File`] with the kind `AlreadyExists` if a database is in the way, [`Error::DiskFull`].
/// The database that was there is untouched then.
pub fn restore(source: &Path, target: &Path, in_the_way: &InTheWay) -> Result<Restored, Error> {
    let _lock = prepare_lock(target)?;
    let in_the_way_is_there = target.exists();
    if in_the_way_is_there && *in_the_way == InTheWay::Refuse {
        return Err(file_error(target)(std::io::ErrorKind::AlreadyExists.into()));
    }
    let part = with_suffix(target, ".restoring");
    let prepared = prepare(source, &part);
    let placed = prepared.and_then(|copied| {
        let replaced = match in_the_way {
            InTheWay::PutAside(suffix) if in_the_way_is_there => Some(put_aside(target, suffix)?),
            _ => None,
        };
        fs::rename(&part, target).map_err(file_error(target))?;
        sync_directory(target)?;
        Ok(Restored { copied, replaced })
    });
    if placed.is_err() {
        // It may never have been made.
        drop(fs::remove_file(&part));
    }
    placed
}

/// A copy of the copy that is another database for whoever follows its changes.
fn prepare(source: &Path, part: &Path) -> Result<Copied, Error> {
    examine(source)?;
    let mut from = fs::File::open(source).map_err(file_error(source))?;
    let mut to = open_private(part)?;
    to.set_len(0).map_err(file_error(part))?;
    std::io::copy(&mut from, &mut to).map_err(file_error(part))?;
    let connection = Connection::open(part)?;
    connection.execute_batch(
        "PRAGMA journal_mode = DELETE;
         UPDATE _alyx_schema SET incarnation = lower(hex(randomblob(16)));",
    )?;
    connection.close().map_err(|(_, error)| error)?;
    to.sync_all().map_err(file_error(part))?;
    examine(part)
}

fn put_aside(target: &Path, suffix: &str) -> Result<PathBuf, Error> {
    let aside = with_suffix(target, suffix);
    if aside.exists() {
        return Err(file_error(&aside)(std::io::ErrorKind::AlreadyExists.into()));
    }
    // The log first: a database without its log is older, a log without its database would be taken for
    // the log of the next one.
    let (log, index) = (with_suffix(target, "-wal"), with_suffix(target, "-shm"));
    if log.exists() {
        fs::rename(&log, with_suffix(&aside, "-wal")).map_err(file_error(&log))?;
    }
    // It is made anew from the log.
    drop(fs::remove_file(index));
    fs::rename(target, &aside).map_err(file_error(target))?;
    Ok(aside)
}
