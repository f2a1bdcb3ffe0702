//! Secrets of functions. The store never sees one: what it keeps is sealed.

use rusqlite::params;

use crate::readers::Lane;
use crate::writer::{Command, Session};
use crate::{Error, Pending, Store};

/// A secret as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedSecret {
    /// Its name.
    pub name: String,
    /// Its value, sealed for its name.
    pub sealed: Vec<u8>,
    /// When it was first set. RFC 3339.
    pub created_at: String,
    /// When it was last set. RFC 3339.
    pub updated_at: String,
}

/// Input of [`set`].
#[derive(Debug)]
pub(crate) struct Set {
    name: String,
    sealed: Vec<u8>,
}

impl Store {
    /// All secrets, by name.
    pub fn secrets(&self) -> Pending<Vec<SealedSecret>> {
        self.read(Lane::Point, |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT name, sealed, created_at, updated_at FROM _alyx_secrets ORDER BY name",
            )?;
            let secrets = statement.query_map([], |row| {
                Ok(SealedSecret {
                    name: row.get(0)?,
                    sealed: row.get(1)?,
                    created_at: row.get(2)?,
                    updated_at: row.get(3)?,
                })
            })?;
            Ok(secrets.collect::<Result<_, _>>()?)
        })
    }

    /// Keeps a secret, in place of an earlier one of the same name.
    pub fn set_secret(&self, name: String, sealed: Vec<u8>) -> Pending<()> {
        self.write(Command::SetSecret, Set { name, sealed })
    }

    /// Forgets a secret. Fails with [`Error::NotFound`] if there is none of this name.
    pub fn remove_secret(&self, name: String) -> Pending<()> {
        self.write(Command::RemoveSecret, name)
    }
}

pub(crate) fn set(session: &mut Session<'_>, input: Set) -> Result<(), Error> {
    session
        .connection
        .prepare_cached(
            "INSERT INTO _alyx_secrets (name, sealed, created_at, updated_at) VALUES (?1, ?2, ?3, ?3)
             ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed, updated_at = excluded.updated_at",
        )?
        .execute(params![input.name, input.sealed, session.now])?;
    Ok(())
}

pub(crate) fn remove(session: &mut Session<'_>, name: String) -> Result<(), Error> {
    let removed =
        session.connection.prepare_cached("DELETE FROM _alyx_secrets WHERE name = ?")?.execute([name])?;
    if removed == 0 { Err(Error::NotFound) } else { Ok(()) }
}
