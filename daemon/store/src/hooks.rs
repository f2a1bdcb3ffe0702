//! Hooks and webhooks that were made at run time. What a definition means is the caller's business.

use rusqlite::params;

use crate::readers::Lane;
use crate::writer::{Command, Session};
use crate::{Error, Pending, Store};

/// A hook or a webhook as it is kept.
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

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// Hooks.
    Hook,
    /// Webhooks.
    Webhook,
}

impl Made {
    const fn table(self) -> &'static str {
        match self {
            Self::Hook => "_alyx_hooks",
            Self::Webhook => "_alyx_webhooks",
        }
    }
}

/// Input of [`set`].
#[derive(Debug)]
pub(crate) struct Set {
    made: Made,
    id: String,
    definition: String,
    enabled: bool,
    new: bool,
}

impl Store {
    /// All of them that were made at run time, by id.
    pub fn made(&self, made: Made) -> Pending<Vec<HookRow>> {
        self.read(Lane::Point, move |connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT id, definition, enabled, created_at, updated_at FROM {} ORDER BY id",
                made.table()
            ))?;
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

    /// Keeps a new one. Answers false if there is one with this id, and leaves that as it is.
    pub fn add_made(&self, made: Made, id: String, definition: String, enabled: bool) -> Pending<bool> {
        self.write(Command::SetHook, Set { made, id, definition, enabled, new: true })
    }

    /// Changes one. Answers false if there is none with this id.
    pub fn change_made(&self, made: Made, id: String, definition: String, enabled: bool) -> Pending<bool> {
        self.write(Command::SetHook, Set { made, id, definition, enabled, new: false })
    }

    /// Forgets one. Fails with [`Error::NotFound`] if there is none with this id.
    pub fn remove_made(&self, made: Made, id: String) -> Pending<()> {
        self.write(Command::RemoveHook, (made, id))
    }
}

pub(crate) fn set(session: &mut Session<'_>, input: Set) -> Result<bool, Error> {
    let Set { made, id, definition, enabled, new } = input;
    let table = made.table();
    let statement = if new {
        format!(
            "INSERT INTO {table} (id, definition, enabled, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?4) ON CONFLICT (id) DO NOTHING"
        )
    } else {
        format!("UPDATE {table} SET definition = ?2, enabled = ?3, updated_at = ?4 WHERE id = ?1")
    };
    let changed = session.connection.prepare_cached(&statement)?.execute(params![
        id,
        definition,
        enabled,
        session.now
    ])?;
    Ok(changed == 1)
}

pub(crate) fn remove(session: &mut Session<'_>, (made, id): (Made, String)) -> Result<(), Error> {
    let statement = format!("DELETE FROM {} WHERE id = ?", made.table());
    let removed = session.connection.prepare_cached(&statement)?.execute([id])?;
    if removed == 0 { Err(Error::NotFound) } else { Ok(()) }
}
