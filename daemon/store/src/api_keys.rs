//! Keys of programs. The secret is never here: callers hand in its hash.

use jiff::Timestamp;
use rusqlite::{Row, params};

use crate::readers::Lane;
use crate::writer::{Command, Session};
use crate::{Error, Pending, Store, time};

/// A key as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Public part of the key.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it may do, a JSON array of texts.
    pub scopes_json: String,
    /// SHA-256 of its secret.
    pub hash: [u8; 32],
    /// Hash of the secret before, and until when that one is good.
    pub previous: Option<([u8; 32], Timestamp)>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it last got another secret.
    pub rotated_at: Option<Timestamp>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to about a minute.
    pub last_used_at: Option<Timestamp>,
}

/// Input of [`rotate`].
#[derive(Debug)]
pub(crate) struct Rotate {
    id: String,
    hash: [u8; 32],
    keep_until: Option<Timestamp>,
}

/// Input of [`touch`].
#[derive(Debug)]
pub(crate) struct Touch(String);

const COLUMNS: &str =
    "id, name, scopes, hash, previous_hash, previous_until, created_at, created_by, rotated_at,
     expires_at, last_used_at";

impl Store {
    /// All keys, newest first.
    pub fn api_keys(&self) -> Pending<Vec<ApiKey>> {
        self.read(Lane::Scan, |connection| {
            let mut statement = connection
                .prepare_cached(&format!("SELECT {COLUMNS} FROM _alyx_api_keys ORDER BY id DESC"))?;
            let mut rows = statement.query([])?;
            let mut keys = Vec::new();
            while let Some(row) = rows.next()? {
                keys.push(kept(row)?);
            }
            Ok(keys)
        })
    }

    /// The key with this id.
    pub fn api_key(&self, id: &str) -> Pending<Option<ApiKey>> {
        let id = id.to_owned();
        self.read(Lane::Point, move |connection| {
            let mut statement =
                connection.prepare_cached(&format!("SELECT {COLUMNS} FROM _alyx_api_keys WHERE id = ?"))?;
            let mut rows = statement.query([id])?;
            rows.next()?.map(kept).transpose()
        })
    }

    /// Adds a key. Fails with [`Error::UniqueViolation`] if its id exists.
    pub fn add_api_key(&self, key: ApiKey) -> Pending<()> {
        self.write(Command::AddApiKey, key)
    }

    /// Gives a key another secret; the one before is good until `keep_until`, or ends at once. Fails with
    /// [`Error::NotFound`].
    pub fn rotate_api_key(&self, id: &str, hash: [u8; 32], keep_until: Option<Timestamp>) -> Pending<()> {
        self.write(Command::RotateApiKey, Rotate { id: id.to_owned(), hash, keep_until })
    }

    /// Removes a key. Fails with [`Error::NotFound`].
    pub fn remove_api_key(&self, id: &str) -> Pending<()> {
        self.write(Command::RemoveApiKey, id.to_owned())
    }

    /// Notes that a key is used now.
    pub fn touch_api_key(&self, id: &str) -> Pending<()> {
        self.write(Command::TouchApiKey, Touch(id.to_owned()))
    }
}

fn kept(row: &Row<'_>) -> Result<ApiKey, Error> {
    let optional = |index: usize| -> Result<Option<Timestamp>, Error> {
        row.get::<_, Option<String>>(index)?.as_deref().map(time::from_text).transpose()
    };
    let previous: Option<[u8; 32]> = row.get(4)?;
    Ok(ApiKey {
        id: row.get(0)?,
        name: row.get(1)?,
        scopes_json: row.get(2)?,
        hash: row.get(3)?,
        previous: previous.zip(optional(5)?),
        created_at: time::from_text(&row.get::<_, String>(6)?)?,
        created_by: row.get(7)?,
        rotated_at: optional(8)?,
        expires_at: optional(9)?,
        last_used_at: optional(10)?,
    })
}

pub(crate) fn add(session: &mut Session<'_>, key: ApiKey) -> Result<(), Error> {
    session
        .connection
        .prepare_cached(
            "INSERT INTO _alyx_api_keys (id, name, scopes, hash, created_at, created_by, expires_at)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            key.id,
            key.name,
            key.scopes_json,
            key.hash,
            time::to_text(key.created_at),
            key.created_by,
            key.expires_at.map(time::to_text),
        ])?;
    Ok(())
}

pub(crate) fn rotate(session: &mut Session<'_>, input: Rotate) -> Result<(), Error> {
    let Rotate { id, hash, keep_until } = input;
    let rotated = session
        .connection
        .prepare_cached(
            "UPDATE _alyx_api_keys SET previous_hash = CASE WHEN ?3 IS NULL THEN NULL ELSE hash END,
                 previous_until = ?3, hash = ?2, rotated_at = ?4
             WHERE id = ?1",
        )?
        .execute(params![id, hash, keep_until.map(time::to_text), session.now])?;
    session.changes.touch(&id);
    if rotated == 0 { Err(Error::NotFound) } else { Ok(()) }
}

pub(crate) fn remove(session: &mut Session<'_>, id: String) -> Result<(), Error> {
    let removed =
        session.connection.prepare_cached("DELETE FROM _alyx_api_keys WHERE id = ?")?.execute([&id])?;
    session.changes.touch(&id);
    if removed == 0 { Err(Error::NotFound) } else { Ok(()) }
}

pub(crate) fn touch(session: &mut Session<'_>, Touch(id): Touch) -> Result<(), Error> {
    session
        .connection
        .prepare_cached("UPDATE _alyx_api_keys SET last_used_at = ? WHERE id = ?")?
        .execute(params![session.now, id])?;
    Ok(())
}
