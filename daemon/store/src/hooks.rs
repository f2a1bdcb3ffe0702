//! Hooks that were made at run time. What a definition means is the caller's business.

use rusqlite::params;

use crate::readers::Lane;
use crate::writer::{Command, Session};
use crate::{Error, Pending, Store};

/// A hook as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookRow {
    /// Its id.
    pub id: String,
    /// In the form of the schema, JSON.
    pub definition: String,
    /// Whether it runs.
    pub enabled: bool,
    /// When it was made. RFC 3339.
    pub created_at: String,
    /// When it was last changed. RFC 3339.
    pub updated_at: String,
}

/// Input of [`set`].
#[derive(Debug)]
pub(crate) struct Set {
    id: String,
    definition: String,
    enabled: bool,
    new: bool,
}

impl Store {
    /// All hooks that were made at run time, by id.
    pub fn hooks(&self) -> Pending<Vec<HookRow>> {
        self.read(Lane::Point, |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, definition, enabled, created_at, updated_at FROM _alyx_hooks ORDER BY id",
            )?;
            let rows = statement.query_map([], |row| {
                Ok(HookRow {
                    id: row.get(0)?,
                    definition: row.get(1)?,
                    enabled: row.get(2)?,
                    created_at: row.get(3)?,
                    updated_at: row.get(4)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Keeps a new hook. Answers false if there is one with this id, and leaves that as it is.
    pub fn add_hook(&self, id: String, definition: String, enabled: bool) -> Pending<bool> {
        self.write(Command::SetHook, Set { id, definition, enabled, new: true })
    }

    /// Changes a hook. Answers false if there is none with this id.
    pub fn change_hook(&self, id: String, definition: String, enabled: bool) -> Pending<bool> {
        self.write(Command::SetHook, Set { id, definition, enabled, new: false })
    }

    /// Forgets a hook. Fails with [`Error::NotFound`] if there is none with this id.
    pub fn remove_hook(&self, id: String) -> Pending<()> {
        self.write(Command::RemoveHook, id)
    }
}

pub(crate) fn set(session: &mut Session<'_>, input: Set) -> Result<bool, Error> {
    let Set { id, definition, enabled, new } = input;
    let statement = if new {
        "INSERT INTO _alyx_hooks (id, definition, enabled, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?4) ON CONFLICT (id) DO NOTHING"
    } else {
        "UPDATE _alyx_hooks SET definition = ?2, enabled = ?3, updated_at = ?4 WHERE id = ?1"
    };
    let changed = session.connection.prepare_cached(statement)?.execute(params![
        id,
        definition,
        enabled,
        session.now
    ])?;
    Ok(changed == 1)
}

pub(crate) fn remove(session: &mut Session<'_>, id: String) -> Result<(), Error> {
    let removed = session.connection.prepare_cached("DELETE FROM _alyx_hooks WHERE id = ?")?.execute([id])?;
    if removed == 0 { Err(Error::NotFound) } else { Ok(()) }
}
