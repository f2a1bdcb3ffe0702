//! The database file and connections to it: permissions, the lock that keeps a second daemon out, and
//! the settings every connection has.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::trace::{TraceEvent, TraceEventCodes};
use rusqlite::{Connection, OpenFlags};

use crate::limits::{
    AUTOCHECKPOINT_PAGES, BUSY_TIMEOUT, CACHE_KIB, JOURNAL_BYTES_MAX, STATEMENT_CACHE, VALUE_BYTES_MAX,
};
use crate::{Error, OpenCheck, Options, SecureDelete, Synchronous, migrations};

/// `Alyx` in ASCII, so that a file of another program is not mistaken for ours.
const APPLICATION_ID: i64 = 0x416c_7978;

/// Only the daemon's own user reads or writes the database.
const MODE: u32 = 0o600;

/// Creates the file if needed and takes the lock, which is held as long as the answer lives. SQLite's
/// own locks do not keep a second daemon out, they only make the two take turns.
///
/// The database itself is opened here only while this process has no connection to it: closing any
/// descriptor of a file drops all POSIX locks a process has on it, those of SQLite among them.
pub(crate) fn prepare_file(path: &Path) -> Result<File, Error> {
    let lock = prepare_lock(path)?;
    open_private(path)?;
    sync_directory(path)?;
    Ok(lock)
}

/// Takes the lock without touching the database.
pub(crate) fn prepare_lock(path: &Path) -> Result<File, Error> {
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    let lock_path = PathBuf::from(lock_path);
    let lock = open_private(&lock_path)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(Error::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => return Err(file_error(&lock_path)(error)),
    }
    Ok(lock)
}

/// SQLite makes the content of its files durable; that there is a file is up to its creator.
pub(crate) fn sync_directory(path: &Path) -> Result<(), Error> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(file_error(directory))
}

pub(crate) fn open_private(path: &Path) -> Result<File, Error> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(MODE)
        .open(path)
        .map_err(file_error(path))?;
    let mode = file.metadata().map_err(file_error(path))?.permissions().mode() & 0o777;
    if mode != MODE {
        file.set_permissions(Permissions::from_mode(MODE)).map_err(file_error(path))?;
    }
    Ok(file)
}

pub(crate) fn file_error(path: &Path) -> impl Fn(io::Error) -> Error {
    move |source| Error::File { path: path.to_owned(), source: Arc::new(source) }
}

/// The writing connection, with the store's own tables up to date.
pub(crate) fn open_writer(options: &Options) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&options.path, flags)?;
    configure(&connection)?;
    // Closing must not empty the log of what is not kept yet, however soon it is.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, options.shipping.is_some())?;
    let autocheckpoint = if options.shipping.is_some() { 0 } else { AUTOCHECKPOINT_PAGES };
    refuse_foreign(&connection, &options.path)?;
    if options.check == OpenCheck::Quick {
        quick_check(&connection)?;
    }
    let synchronous = match options.synchronous {
        Synchronous::Full => "FULL",
        Synchronous::Normal => "NORMAL",
    };
    let secure_delete = match options.secure_delete {
        SecureDelete::Off => "OFF",
        SecureDelete::Fast => "FAST",
        SecureDelete::On => "ON",
    };
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = {synchronous};
         PRAGMA secure_delete = {secure_delete};
         PRAGMA wal_autocheckpoint = {autocheckpoint};
         PRAGMA journal_size_limit = {JOURNAL_BYTES_MAX};"
    ))?;
    if let Some(max_bytes) = options.max_bytes {
        let page_bytes: u64 =
            connection.query_row("PRAGMA page_size", [], |row| row.get::<_, i64>(0))?.unsigned_abs();
        connection.execute_batch(&format!("PRAGMA max_page_count = {}", (max_bytes / page_bytes).max(1)))?;
    }
    if let Some(told) = options.on_statement {
        let tell = move |event: TraceEvent<'_>| {
            if let TraceEvent::Stmt(_, text) = event {
                told(text);
            }
        };
        connection.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(tell))?;
    }
    migrations::apply(&mut connection)?;
    // Only where it is missing: opening must not write, or a full disk would keep us from starting.
    if application_id(&connection)? != APPLICATION_ID {
        connection.execute_batch(&format!("PRAGMA application_id = {APPLICATION_ID}"))?;
    }
    Ok(connection)
}

/// A reading connection. The writing one must exist: it made the files this one maps.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    configure(&connection)?;
    connection.execute_batch("PRAGMA query_only = ON")?;
    Ok(connection)
}

fn configure(connection: &Connection) -> Result<(), Error> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    // A misspelt name in double quotes is an error, not a string; the file's own schema cannot run
    // functions or write to itself behind our back.
    for (setting, value) in [
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true),
    ] {
        connection.set_db_config(setting, value)?;
    }
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX)?;
    connection.execute_batch(&format!("PRAGMA cell_size_check = ON; PRAGMA cache_size = -{CACHE_KIB};"))?;
    Ok(())
}

fn application_id(connection: &Connection) -> Result<i64, Error> {
    Ok(connection.query_row("PRAGMA application_id", [], |row| row.get(0))?)
}

pub(crate) fn refuse_foreign(connection: &Connection, path: &Path) -> Result<(), Error> {
    let application = application_id(connection)?;
    let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    // A crash between the first migration and the stamp leaves our tables without it.
    let ours: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = '_alyx_schema')",
        [],
        |row| row.get(0),
    )?;
    match application {
        APPLICATION_ID => {}
        0 if objects == 0 || ours => {}
        _ => return Err(Error::Foreign { path: path.to_owned() }),
    }
    // Before anything is written: what a newer version made is not ours to touch.
    migrations::applied(connection).map(drop)
}

/// Examines the file; the answer is `ok` or a list of damages.
pub(crate) fn quick_check(connection: &Connection) -> Result<(), Error> {
    report(connection, "PRAGMA quick_check(20)")
}

/// Examines the file and its indexes.
pub(crate) fn integrity_check(connection: &Connection) -> Result<(), Error> {
    report(connection, "PRAGMA integrity_check(20)")
}

fn report(connection: &Connection, pragma: &str) -> Result<(), Error> {
    let mut statement = connection.prepare(pragma)?;
    let lines = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    if lines.iter().all(|line| line == "ok") {
        Ok(())
    } else {
        Err(Error::Corrupt { detail: lines.join("; ") })
    }
}
