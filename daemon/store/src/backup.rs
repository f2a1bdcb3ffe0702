//! Copies of the database, made while it is in use, and the examination of such a copy.
//!
//! A copy is one moment of the database: everything acknowledged before it began, nothing begun after it
//! ended, no part of a transaction. Writers go on meanwhile. A file of the wanted name exists only when the
//! copy is complete and on the disk. Where copies are kept and for how long is the caller's business.

mod replay;
mod restore;
pub(crate) mod segment;

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

pub use replay::Replay;
pub use restore::{InTheWay, Restored, restore};
pub use segment::{Commit, Header, SegmentName, examine_segment, header as segment_header, time_of};

use crate::connection::{self, file_error, open_private, sync_directory};
use crate::limits::COPY_PAGES;
use crate::readers::{Lane, Reading};
use crate::writer::ship::ShipShared;
use crate::{Error, Mark, Pending, Store};

/// What a copy holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Its size.
    pub bytes: u64,
    /// The highest sequence number of the change feed at its moment.
    pub seq: u64,
    /// Which database it is a copy of.
    pub incarnation: String,
    /// Where it stands among the segments that are kept, if any are.
    pub mark: Option<Mark>,
}

impl Store {
    /// Copies the database into a new file, mode 0600. Writers go on; other copies wait.
    ///
    /// Fails with [`Error::File`] if the file exists or cannot be made, [`Error::DiskFull`],
    /// [`Error::Busy`] if many copies wait already, and [`Error::Interrupted`]; no file is left then.
    pub fn copy_to(&self, path: impl Into<PathBuf>) -> Pending<Copied> {
        let path = path.into();
        let ship = self.ship_shared();
        self.read_until(Lane::Copy, self.deadline(), move |reading| copy(reading, &path, ship.as_deref()))
    }
}

fn copy(reading: &Reading<'_>, path: &Path, ship: Option<&ShipShared>) -> Result<Copied, Error> {
    if path.exists() {
        return Err(file_error(path)(std::io::ErrorKind::AlreadyExists.into()));
    }
    let part = with_suffix(path, ".part");
    let copied = copy_pages(reading, &part, ship).and_then(|copied| {
        fs::rename(&part, path).map_err(file_error(path))?;
        sync_directory(path)?;
        Ok(copied)
    });
    if copied.is_err() {
        for leftover in [part.clone(), with_suffix(&part, "-journal")] {
            // It may never have been made.
            drop(fs::remove_file(leftover));
        }
    }
    copied
}

fn copy_pages(reading: &Reading<'_>, part: &Path, ship: Option<&ShipShared>) -> Result<Copied, Error> {
    let source = reading.connection;
    let file = open_private(part)?;
    file.set_len(0).map_err(file_error(part))?;
    let before = ship.map(ShipShared::mark);
    // The snapshot begins with the first read and is held until the last page is copied.
    source.execute_batch("BEGIN")?;
    let (seq, incarnation) = position(source)?;
    let after = ship.map(ShipShared::mark);
    let mark = before
        .zip(after)
        .filter(|(before, after)| before.chain == after.chain)
        .map(|(before, after)| Mark { commit: after.commit, ..before });
    let mut target = Connection::open(part)?;
    // The file is useless until it is complete, and is synced then.
    target.execute_batch("PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF;")?;
    let backup = Backup::new(source, &mut target)?;
    loop {
        reading.check()?;
        match backup.step(COPY_PAGES)? {
            StepResult::Done => break,
            StepResult::More => {}
            other => return Err(Error::internal("copy the database", format!("{other:?}"))),
        }
    }
    drop(backup);
    target.close().map_err(|(_, error)| error)?;
    source.execute_batch("COMMIT")?;
    file.sync_all().map_err(file_error(part))?;
    let bytes = file.metadata().map_err(file_error(part))?.len();
    Ok(Copied { bytes, seq, incarnation, mark })
}

/// Examines a copy: the whole file with its indexes, and every reference between documents. Blocks.
///
/// # Errors
/// [`Error::Corrupt`] with what is wrong, [`Error::Foreign`], [`Error::File`].
pub fn examine(path: &Path) -> Result<Copied, Error> {
    let bytes = fs::metadata(path).map_err(file_error(path))?.len();
    let connection = open_copy(path)?;
    connection::refuse_foreign(&connection, path)?;
    connection::integrity_check(&connection)?;
    let broken: i64 =
        connection.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))?;
    if broken > 0 {
        return Err(Error::Corrupt { detail: format!("{broken} references lead nowhere") });
    }
    let (seq, incarnation) = position(&connection)?;
    Ok(Copied { bytes, seq, incarnation, mark: None })
}

/// A copy is never written to, so nothing is locked and no log is looked for beside it.
fn open_copy(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let mut name = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                name.push(char::from(*byte))
            }
            byte => name.push_str(&format!("%{byte:02x}")),
        }
    }
    name.push_str("?immutable=1");
    Ok(Connection::open_with_flags(name, flags)?)
}

pub(crate) fn position(connection: &Connection) -> Result<(u64, String), Error> {
    let seq: i64 = connection.query_row(
        "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = '_alyx_changes'",
        [],
        |row| row.get(0),
    )?;
    let incarnation = connection.query_row("SELECT incarnation FROM _alyx_schema", [], |row| row.get(0))?;
    Ok((seq.unsigned_abs(), incarnation))
}

pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
