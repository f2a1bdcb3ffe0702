//! Back to a copy that was made before a change, while the store is open. The copy is prepared beside the
//! database first and then moves in as one transaction, so a crash leaves the one or the other.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use crate::connection::file_error;
use crate::writer::Command;
use crate::{Error, Pending, Store, backup, migrations};

/// A copy to go back to.
#[derive(Clone, Debug)]
pub struct Restore {
    /// The copy. It stays as it is.
    pub copy: PathBuf,
    /// A file that does not exist, on the same disk; it is removed again.
    pub scratch: PathBuf,
    /// The application that this takes back.
    pub undo: u64,
}

impl Store {
    /// Replaces everything by a copy. Everything written since is gone; the database becomes another
    /// incarnation, so that no position in the change feed of the old one is taken for one of it.
    ///
    /// Fails with [`Error::File`], [`Error::Corrupt`], [`Error::Foreign`] and as any write; nothing is
    /// changed then.
    pub fn restore(&self, restore: Restore) -> Pending<()> {
        self.write(Command::Restore, restore)
    }
}

/// Makes the scratch file what the database is to be.
pub(crate) fn prepare(live: &Connection, input: &Restore, now: &str) -> Result<Connection, Error> {
    backup::examine(&input.copy)?;
    fs::copy(&input.copy, &input.scratch).map_err(file_error(&input.scratch))?;
    let mut copy = Connection::open(&input.scratch)?;
    migrations::apply(&mut copy)?;
    copy.execute("UPDATE _alyx_schema SET incarnation = lower(hex(randomblob(16)))", [])?;
    // What is taken back is known afterwards, else it would be applied again at once.
    let mut taken =
        live.prepare("SELECT number, name, checksum, text FROM _alyx_migrations WHERE application = ?")?;
    let mut rows = taken.query([i64::try_from(input.undo).unwrap_or(i64::MAX)])?;
    while let Some(row) = rows.next()? {
        copy.execute(
            "INSERT OR REPLACE INTO _alyx_migrations (number, name, checksum, text, state, at)
             VALUES (?, ?, ?, ?, 'taken_back', ?)",
            params![
                row.get::<_, i64>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, String>(2)?,
                row.get::<_, String>(3)?,
                now
            ],
        )?;
    }
    Ok(copy)
}

/// Removes what [`prepare`] made.
pub(crate) fn clean(scratch: &Path) {
    for suffix in ["", "-journal", "-wal", "-shm"] {
        let mut name = scratch.as_os_str().to_owned();
        name.push(suffix);
        // Most of them never were.
        drop(fs::remove_file(PathBuf::from(name)));
    }
}
