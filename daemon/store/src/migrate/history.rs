//! What was applied: one row an application of a schema, one row a migration file.

use std::path::PathBuf;

use rusqlite::{OptionalExtension as _, params};

use super::{Migration, Report};
use crate::readers::Lane;
use crate::writer::Session;
use crate::{Error, Pending, Store};

/// A change of the schema that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// Counts them.
    pub number: u64,
    /// When, in the stored form of a timestamp.
    pub at: String,
    /// Schema text before.
    pub before: String,
    /// What changed, for people.
    pub changes: Vec<String>,
    /// The copy that was made before.
    pub backup: Option<PathBuf>,
    /// Whether going back by steps brings back all data.
    pub reversible: bool,
    /// Highest sequence number of the change feed at that time.
    pub seq: u64,
}

/// A migration file that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationRecord {
    /// Its number.
    pub number: u64,
    /// Its name without the ending.
    pub name: String,
    /// Checksum of its text.
    pub checksum: String,
    /// Its text.
    pub text: String,
    /// What became of it.
    pub state: MigrationState,
    /// When, in the stored form of a timestamp.
    pub at: String,
    /// The application it belongs to.
    pub application: Option<u64>,
}

/// What became of a migration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationState {
    /// The database was made after it; it had nothing to do.
    Baseline,
    /// It was applied.
    Applied,
    /// It was applied and taken back.
    TakenBack,
}

impl MigrationState {
    /// Its word in tables and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Applied => "applied",
            Self::TakenBack => "taken_back",
        }
    }
}

impl Store {
    /// Every migration file that was applied, by number.
    pub fn migrations(&self) -> Pending<Vec<MigrationRecord>> {
        self.read(Lane::Point, |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT number, name, checksum, text, state, at, application FROM _alyx_migrations ORDER BY number",
            )?;
            let rows = statement.query_map([], |row| {
                let state: String = row.get(4)?;
                Ok(MigrationRecord {
                    number: row.get::<_, i64>(0)?.unsigned_abs(),
                    name: row.get(1)?,
                    checksum: row.get(2)?,
                    text: row.get(3)?,
                    state: match state.as_str() {
                        "baseline" => MigrationState::Baseline,
                        "applied" => MigrationState::Applied,
                        _ => MigrationState::TakenBack,
                    },
                    at: row.get(5)?,
                    application: row.get::<_, Option<i64>>(6)?.map(i64::unsigned_abs),
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The last change of the schema that was not taken back.
    pub fn last_application(&self) -> Pending<Option<Application>> {
        self.read(Lane::Point, |connection| {
            let row = connection
                .prepare_cached(
                    "SELECT number, at, before, changes_json, backup, reversible, seq
                     FROM _alyx_applications ORDER BY number DESC LIMIT 1",
                )?
                .query_row([], |row| {
                    let changes: String = row.get(3)?;
                    Ok(Application {
                        number: row.get::<_, i64>(0)?.unsigned_abs(),
                        at: row.get(1)?,
                        before: row.get(2)?,
                        changes: serde_json::from_str(&changes).unwrap_or_default(),
                        backup: row.get::<_, Option<String>>(4)?.map(PathBuf::from),
                        reversible: row.get(5)?,
                        seq: row.get::<_, i64>(6)?.unsigned_abs(),
                    })
                })
                .optional()?;
            Ok(row)
        })
    }
}

/// Records an application, or takes the record of one away. The answer is its number.
pub(super) fn record(
    session: &Session<'_>,
    input: &Migration,
    before: &str,
    report: &Report,
    reversible: bool,
) -> Result<Option<i64>, Error> {
    if let Some(undone) = input.undo {
        take_back(session, undone)?;
        return Ok(None);
    }
    let changes: Vec<&str> = report.changes.iter().map(|change| change.description.as_str()).collect();
    session
        .connection
        .prepare_cached(
            "INSERT INTO _alyx_applications (at, before, after, changes_json, backup, reversible, seq)
             VALUES (?, ?, ?, ?, ?, ?,
                 (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = '_alyx_changes'))",
        )?
        .execute(params![
            session.now,
            before,
            input.text,
            serde_json::Value::from(changes).to_string(),
            input.backup.as_ref().map(|path| path.to_string_lossy()),
            reversible,
        ])?;
    Ok(Some(session.connection.last_insert_rowid()))
}

fn take_back(session: &Session<'_>, application: u64) -> Result<(), Error> {
    let number = i64::try_from(application).unwrap_or(i64::MAX);
    session
        .connection
        .prepare_cached("UPDATE _alyx_migrations SET state = 'taken_back', at = ? WHERE application = ?")?
        .execute(params![session.now, number])?;
    session
        .connection
        .prepare_cached("DELETE FROM _alyx_applications WHERE number = ?")?
        .execute([number])?;
    Ok(())
}

/// Records the files; a database that is made now had no need of them.
pub(super) fn record_files(
    session: &Session<'_>,
    input: &Migration,
    fresh: bool,
    application: Option<i64>,
) -> Result<(), Error> {
    if input.undo.is_some() {
        return Ok(());
    }
    for file in &input.files {
        session
            .connection
            .prepare_cached(
                "INSERT OR REPLACE INTO _alyx_migrations (number, name, checksum, text, state, at, application)
                 VALUES (?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                i64::try_from(file.number).unwrap_or(i64::MAX),
                file.name,
                file.checksum,
                file.text,
                if fresh { "baseline" } else { "applied" },
                session.now,
                application,
            ])?;
    }
    Ok(())
}
