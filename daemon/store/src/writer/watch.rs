//! Whether writing can work at all: is the file at its path still the one that is open, and does a write
//! succeed again after one failed for a reason that hits every write.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::Error;
use crate::limits::PROBE_BYTES;

/// The database file as it was when it was opened.
#[derive(Clone, Debug)]
pub(crate) struct OpenedFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl OpenedFile {
    pub(crate) fn new(path: &Path) -> Result<Self, Error> {
        let found = fs::metadata(path).map_err(crate::connection::file_error(path))?;
        Ok(Self { path: path.to_owned(), device: found.dev(), inode: found.ino() })
    }

    /// Fails if another file, or none, is at the path. What is written then would be lost.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (self.device, self.inode) => Ok(()),
            Ok(_) => Err(Error::Replaced),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::Replaced),
            // The path is out of reach for another reason; the open file may be fine.
            Err(_) => Ok(()),
        }
    }

    /// Whether there is room for more than a few pages: one write that fits says little.
    fn has_room(&self) -> bool {
        let mut name = self.path.clone().into_os_string();
        name.push(".probe");
        let written = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&name)
            .and_then(|mut file| file.write_all(&vec![0x5a; PROBE_BYTES]).and_then(|()| file.sync_all()));
        // Where it cannot be made it cannot be removed.
        drop(fs::remove_file(&name));
        written.is_ok()
    }
}

/// Tries whether a write succeeds again after `failure`.
pub(super) fn probe(connection: &Connection, file: &OpenedFile, failure: &Error) -> Result<(), Error> {
    file.check()?;
    if matches!(failure, Error::DiskFull) {
        let room = |pragma: &str| connection.query_row(pragma, [], |row| row.get::<_, i64>(0));
        let pages =
            room("PRAGMA max_page_count")? - room("PRAGMA page_count")? + room("PRAGMA freelist_count")?;
        let enough = i64::try_from(PROBE_BYTES).unwrap_or(i64::MAX) / room("PRAGMA page_size")?;
        if pages < enough || !file.has_room() {
            return Err(Error::DiskFull);
        }
    }
    // The same value again, but written, committed and synced like any other.
    let written = connection.execute_batch("BEGIN IMMEDIATE; UPDATE _alyx_schema SET one = one; COMMIT;");
    if written.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    Ok(written?)
}
