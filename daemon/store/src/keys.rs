//! Keys that sign tokens. They live in the database so that tokens survive a restart; the file's mode
//! protects them. They are never logged and never leave through any API.

use std::fmt;

use jiff::Timestamp;
use rusqlite::params;

use crate::readers::Lane;
use crate::writer::{Command, Session};
use crate::{Error, Pending, Store, time};

/// A key that signs tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// Its name in token headers.
    pub kid: String,
    /// Algorithm, such as `EdDSA`.
    pub alg: String,
    /// Secret: the private key, PKCS #8 DER (or the bytes of a shared secret).
    pub pkcs8: Vec<u8>,
    /// When it was made. The newest one signs, the others only verify.
    pub created_at: Timestamp,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SigningKey").field("kid", &self.kid).field("alg", &self.alg).finish_non_exhaustive()
    }
}

impl Store {
    /// All keys, newest first.
    pub fn signing_keys(&self) -> Pending<Vec<SigningKey>> {
        self.read(Lane::Point, |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT kid, alg, pkcs8, created_at FROM _alyx_signing_keys ORDER BY created_at DESC, kid",
            )?;
            let mut rows = statement.query([])?;
            let mut keys = Vec::new();
            while let Some(row) = rows.next()? {
                keys.push(SigningKey {
                    kid: row.get(0)?,
                    alg: row.get(1)?,
                    pkcs8: row.get(2)?,
                    created_at: time::from_text(&row.get::<_, String>(3)?)?,
                });
            }
            Ok(keys)
        })
    }

    /// Adds a key. Fails with [`Error::UniqueViolation`] if `kid` exists.
    pub fn add_signing_key(&self, key: SigningKey) -> Pending<()> {
        self.write(Command::AddSigningKey, key)
    }

    /// Adds a key and removes those with one of the names in `remove`.
    pub fn rotate_signing_key(&self, key: SigningKey, remove: Vec<String>) -> Pending<()> {
        self.write(Command::RotateSigningKey, Rotate { key, remove })
    }
}

/// Input of [`rotate`].
#[derive(Debug)]
pub(crate) struct Rotate {
    key: SigningKey,
    remove: Vec<String>,
}

pub(crate) fn rotate(session: &mut Session<'_>, input: Rotate) -> Result<(), Error> {
    for kid in input.remove {
        session.connection.prepare_cached("DELETE FROM _alyx_signing_keys WHERE kid = ?")?.execute([kid])?;
    }
    add(session, input.key)
}

pub(crate) fn add(session: &mut Session<'_>, key: SigningKey) -> Result<(), Error> {
    session
        .connection
        .prepare_cached("INSERT INTO _alyx_signing_keys (kid, alg, pkcs8, created_at) VALUES (?, ?, ?, ?)")?
        .execute(params![key.kid, key.alg, key.pkcs8, time::to_text(key.created_at)])?;
    Ok(())
}
