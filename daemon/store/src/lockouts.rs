//! Lockouts that outlive the process, and the devices that accounts know. Of a device only the hash of
//! its token is here.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params};

use crate::limits::{DEVICES_PER_USER_MAX, TRIM_MAX};
use crate::readers::Lane;
use crate::writer::{Command, Session};
use crate::{Error, Pending, Store, time};

/// An account that somebody guessed at too often from one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockoutRow {
    /// The account as clients named it.
    pub account: String,
    /// From where.
    pub place: String,
    /// Wrong guesses.
    pub failures: u32,
    /// When it ends.
    pub until: Timestamp,
}

/// A device on which somebody signed in.
#[derive(Clone, Debug)]
pub struct NewDevice {
    /// Hash of its token.
    pub hash: [u8; 32],
    /// Whose it is.
    pub user_id: String,
    /// When it is forgotten.
    pub expires_at: Timestamp,
}

/// Input of [`clear`]: one account, or all.
pub(crate) struct Clear(Option<String>);

impl Store {
    /// Keeps a lockout, in place of an earlier one of the same account and place.
    pub fn save_lockout(&self, row: LockoutRow) -> Pending<()> {
        self.write(Command::SaveLockout, row)
    }

    /// Forgets the lockouts of an account, or all.
    pub fn clear_lockouts(&self, account: Option<&str>) -> Pending<()> {
        self.write(Command::ClearLockouts, Clear(account.map(str::to_owned)))
    }

    /// Lockouts that end after `now`; at most `limit`, those that last longest.
    pub fn lockouts(&self, now: Timestamp, limit: u32) -> Pending<Vec<LockoutRow>> {
        self.read(Lane::Point, move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT account, place, failures, until FROM _alyx_lockouts WHERE until > ?
                 ORDER BY until DESC LIMIT ?",
            )?;
            let mut rows = statement.query(params![time::to_text(now), limit])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(LockoutRow {
                    account: row.get(0)?,
                    place: row.get(1)?,
                    failures: row.get(2)?,
                    until: time::from_text(&row.get::<_, String>(3)?)?,
                });
            }
            Ok(found)
        })
    }

    /// Adds a device; of one user's the [`DEVICES_PER_USER_MAX`] newest are kept.
    pub fn add_device(&self, device: NewDevice) -> Pending<()> {
        self.write(Command::AddDevice, device)
    }

    /// Whose device this is.
    pub fn device_user(&self, hash: [u8; 32], now: Timestamp) -> Pending<Option<String>> {
        self.read(Lane::Point, move |connection| {
            let user = connection
                .prepare_cached("SELECT user_id FROM _alyx_devices WHERE hash = ? AND expires_at > ?")?
                .query_row(params![hash, time::to_text(now)], |row| row.get(0))
                .optional()?;
            Ok(user)
        })
    }
}

pub(crate) fn save(session: &mut Session<'_>, row: LockoutRow) -> Result<(), Error> {
    let connection = session.connection;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO _alyx_lockouts (account, place, failures, until) VALUES (?, ?, ?, ?)",
        )?
        .execute(params![row.account, row.place, row.failures, time::to_text(row.until)])?;
    connection
        .prepare_cached(
            "DELETE FROM _alyx_lockouts WHERE (account, place) IN (
                 SELECT account, place FROM _alyx_lockouts WHERE until < ? LIMIT ?)",
        )?
        .execute(params![session.now, TRIM_MAX])?;
    Ok(())
}

pub(crate) fn clear(session: &mut Session<'_>, Clear(account): Clear) -> Result<(), Error> {
    session
        .connection
        .prepare_cached("DELETE FROM _alyx_lockouts WHERE ?1 IS NULL OR account = ?1")?
        .execute([account])?;
    Ok(())
}

pub(crate) fn add_device(session: &mut Session<'_>, device: NewDevice) -> Result<(), Error> {
    let connection = session.connection;
    connection
        .prepare_cached("INSERT INTO _alyx_devices (hash, user_id, expires_at) VALUES (?, ?, ?)")?
        .execute(params![device.hash, device.user_id, time::to_text(device.expires_at)])?;
    connection
        .prepare_cached(
            "DELETE FROM _alyx_devices WHERE hash IN (
                 SELECT hash FROM _alyx_devices WHERE user_id = ? ORDER BY expires_at DESC LIMIT -1 OFFSET ?)",
        )?
        .execute(params![device.user_id, DEVICES_PER_USER_MAX])?;
    connection
        .prepare_cached(
            "DELETE FROM _alyx_devices WHERE hash IN (
                 SELECT hash FROM _alyx_devices WHERE expires_at < ? LIMIT ?)",
        )?
        .execute(params![session.now, TRIM_MAX])?;
    Ok(())
}
