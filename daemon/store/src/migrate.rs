//! Schema changes. Steps of migration files, the changes between two schemas, the check of all
//! references and the record of it are one transaction: either the database has the new schema or it is
//! untouched.
//!
//! What a change concerns is counted in that same transaction, right before it is carried out. A plan is
//! the same work, taken back at the end, so it says exactly what would happen; writers wait meanwhile.
//!
//! | module | job |
//! |---|---|
//! | `judge` | counts what a change concerns and decides its class |
//! | `carry_out` | one step |
//! | `guard` | what statements of a migration file may do |
//! | `history` | what was applied |
//! | `drift` | tables that are not what the schema says |
//! | `restore` | back to a copy |

mod carry_out;
mod drift;
pub(crate) mod guard;
mod history;
mod judge;
mod restore;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use alyx_core::migration::{Change, Class, MigrationFile, MigrationStep, Step, advance, diff};
use alyx_core::schema::{self, Schema};
use rusqlite::{Connection, OptionalExtension as _, params};

pub use history::{Application, MigrationRecord, MigrationState};
pub use restore::Restore;
pub(crate) use restore::{clean as clean_restore, prepare as prepare_restore};

use crate::readers::Lane;
use crate::writer::{Command, Session};
use crate::{Error, Pending, Store, changes, tables};

/// A change of the schema.
#[derive(Clone, Debug)]
pub struct Migration {
    /// Text of the wanted schema.
    pub text: String,
    /// The wanted schema.
    pub schema: Arc<Schema>,
    /// Migration files that are not applied yet, in order; or, with `undo`, what takes one back.
    pub files: Vec<MigrationFile>,
    /// What may be done.
    pub consent: Consent,
    /// The copy that was made before, for the record.
    pub backup: Option<PathBuf>,
    /// The application that this takes back.
    pub undo: Option<u64>,
}

/// What a migration may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Nothing: it is tried and taken back.
    Try,
    /// Everything if all of it is safe, else nothing.
    Safe,
    /// Everything that is possible.
    Confirmed,
}

/// What a migration did, or would do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// In order.
    pub changes: Vec<Planned>,
    /// Whether it was done.
    pub applied: bool,
}

/// One change of a [`Report`].
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// By the data there is.
    pub class: Class,
    /// What changes and, where it is not safe, why not.
    pub description: String,
    /// How many documents it concerns, where that was counted.
    pub documents: Option<u64>,
    /// Name of the migration file it comes from.
    pub file: Option<String>,
    /// Whether tables change, as opposed to rules, functions and options.
    pub structural: bool,
}

impl Report {
    /// The worst class in it.
    #[must_use]
    pub fn class(&self) -> Class {
        self.changes.iter().map(|change| change.class).max().unwrap_or(Class::Safe)
    }
}

impl Store {
    /// The text of the schema the database has, `None` before the first.
    pub fn applied_schema(&self) -> Pending<Option<String>> {
        self.read(Lane::Point, stored_text)
    }

    /// Brings the database to another schema, as far as `consent` allows; see [`Report::applied`].
    ///
    /// Fails as any write. Nothing is changed then.
    pub fn migrate(&self, migration: Migration) -> Pending<Report> {
        self.write(Command::Migrate, migration)
    }

    /// What of the tables is not as the applied schema says, one sentence each. Empty: all is.
    pub fn drift(&self) -> Pending<Vec<String>> {
        let schema = self.schema();
        self.read(Lane::Scan, move |connection| {
            let drift = schema.map(|schema| drift::find(connection, &schema)).transpose()?;
            Ok(drift.unwrap_or_default().into_iter().map(|(_, text)| text).collect())
        })
    }
}

pub(crate) fn migrate(session: &mut Session<'_>, input: Migration) -> Result<Report, Error> {
    let before = stored_text(session.connection)?;
    // The same text again writes nothing, so starting is possible while the disk is full.
    let same = before.as_deref() == Some(&*input.text) && input.files.is_empty() && input.undo.is_none();
    if same && !has_old_indexes(session)? {
        session.next_schema = Some(input.schema);
        session.audit = None;
        return Ok(Report { applied: input.consent != Consent::Try, ..Report::default() });
    }
    session.connection.execute_batch("SAVEPOINT attempt")?;
    let mut run = Run::new(session, &input);
    run.go(before.as_deref())?;
    let Run { mut report, .. } = run;
    report.applied = match input.consent {
        Consent::Try => false,
        Consent::Safe => report.class() == Class::Safe,
        Consent::Confirmed => report.class() != Class::Impossible,
    };
    if report.applied {
        session.connection.execute_batch("RELEASE attempt")?;
        session.next_schema = Some(input.schema);
    } else {
        session.connection.execute_batch("ROLLBACK TO attempt; RELEASE attempt")?;
        // Nothing was done that could be told.
        session.audit = None;
    }
    Ok(report)
}

/// Whether there are declared indexes from before the id was put behind their fields.
fn has_old_indexes(session: &Session<'_>) -> Result<bool, Error> {
    for collection in session.schema.iter().flat_map(|schema| schema.collections.values()) {
        if !tables::indexes_without_id(session.connection, collection)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// One attempt.
struct Run<'a, 's> {
    session: &'a Session<'s>,
    input: &'a Migration,
    report: Report,
    /// Names of collections whose table was made anew as the last comparison wants it.
    rebuilt: HashSet<String>,
    /// `collection.field` of fields that this run added.
    added: HashSet<String>,
    drift: Vec<(String, String)>,
    reversible: bool,
    /// Whether documents that were there are others now.
    altered: bool,
}

impl<'a, 's> Run<'a, 's> {
    fn new(session: &'a Session<'s>, input: &'a Migration) -> Self {
        let report = Report::default();
        let (rebuilt, added) = (HashSet::new(), HashSet::new());
        Self { session, input, report, rebuilt, added, drift: Vec::new(), reversible: true, altered: false }
    }

    fn go(&mut self, before: Option<&str>) -> Result<(), Error> {
        let connection = self.session.connection;
        let target = Arc::clone(&self.input.schema);
        if let Some(applied) = self.session.schema {
            self.complete_indexes(applied)?;
            self.drift = drift::find(connection, applied)?;
            tables::release_search_indexes(connection, applied, &target, !self.input.files.is_empty())?;
            let mut schema = applied.clone();
            self.run_files(&mut schema, &target)?;
            self.rebuilt.clear();
            self.run_together(diff(Some(&schema), &target))?;
        } else {
            self.run_together(diff(None, &target))?;
        }
        self.check_references()?;
        if self.report.class() != Class::Impossible {
            tables::search_indexes(connection, &target)?;
        }
        if self.altered {
            changes::break_off(self.session)?;
        }
        let structural = self.report.changes.iter().any(|change| change.structural);
        let application = match before {
            Some(before) if structural || !self.input.files.is_empty() => {
                history::record(self.session, self.input, before, &self.report, self.reversible)?
            }
            _ => None,
        };
        history::record_files(self.session, self.input, before.is_none(), application)?;
        connection
            .prepare_cached("UPDATE _alyx_schema SET text = ?1, applied_at = ?2 WHERE text IS NOT ?1")?
            .execute(params![self.input.text, self.session.now])?;
        Ok(())
    }

    /// Puts the id behind declared indexes that were made without it.
    fn complete_indexes(&mut self, applied: &Schema) -> Result<(), Error> {
        let connection = self.session.connection;
        for collection in applied.collections.values() {
            for index in tables::indexes_without_id(connection, collection)? {
                tables::drop_index(connection, &index.name)?;
                tables::create_index(connection, collection, &index)?;
                self.report.changes.push(Planned {
                    class: Class::Safe,
                    description: format!("make the index {} anew, with the id behind its fields", index.name),
                    documents: None,
                    file: None,
                    structural: false,
                });
            }
        }
        Ok(())
    }

    fn run_files(&mut self, schema: &mut Schema, target: &Schema) -> Result<(), Error> {
        let input = self.input;
        let steps: Vec<(&MigrationFile, &MigrationStep)> =
            input.files.iter().flat_map(|file| file.steps.iter().map(move |step| (file, step))).collect();
        for (place, (file, step)) in steps.iter().enumerate() {
            let later: Vec<&MigrationStep> = steps[place + 1..].iter().map(|(_, step)| *step).collect();
            let changes = advance(schema, step, &later, target)
                .unwrap_or_else(|reason| vec![Change::impossible(describe_step(step), &reason)]);
            // Each is made on its own: the table may be made anew several times.
            self.rebuilt.clear();
            for change in changes {
                let mut planned = self.judge(&change)?;
                if file.taken_back && planned.class == Class::Safe {
                    planned.class = Class::NeedsConfirmation;
                    planned.description.push_str(": it was taken back before");
                }
                planned.file = Some(file.name.clone());
                self.carry_out(&change, planned)?;
            }
        }
        Ok(())
    }

    /// All is counted before anything is done, because the counts are about the tables as they are.
    fn run_together(&mut self, changes: Vec<Change>) -> Result<(), Error> {
        let judged: Vec<Planned> =
            changes.iter().map(|change| self.judge(change)).collect::<Result<_, _>>()?;
        if judged.iter().any(|planned| planned.class == Class::Impossible) {
            self.report.changes.extend(judged);
            return Ok(());
        }
        for (change, planned) in changes.iter().zip(judged) {
            self.carry_out(change, planned)?;
        }
        Ok(())
    }

    fn judge(&self, change: &Change) -> Result<Planned, Error> {
        let mut planned = judge::judge(self.session.connection, change)?;
        let touched = judge::touched(&change.step);
        if let Some((_, text)) = self.drift.iter().find(|(name, _)| touched.contains(&name.as_str())) {
            planned.class = Class::Impossible;
            planned.description = format!(
                "{}: the table was changed by others ({text}); put that right first",
                change.description
            );
        }
        Ok(planned)
    }

    /// Once something is impossible, nothing further is done; the rest is still counted and listed.
    fn carry_out(&mut self, change: &Change, mut planned: Planned) -> Result<(), Error> {
        let possible = planned.class.max(self.report.class()) != Class::Impossible;
        if possible && change.step != Step::None {
            self.altered |= judge::alters(self.session.connection, &change.step)?;
            match self.step(&change.step) {
                Ok(documents) => planned.documents = documents.or(planned.documents),
                Err(error) if !about_the_data(&error) => return Err(error),
                Err(error) => {
                    planned.class = Class::Impossible;
                    planned.description = format!("{}: {}", planned.description, reason(&error));
                }
            }
        }
        self.reversible &= judge::is_reversible(&change.step, &planned, &self.added);
        self.report.changes.push(planned);
        Ok(())
    }

    fn check_references(&mut self) -> Result<(), Error> {
        if self.report.class() == Class::Impossible {
            return Ok(());
        }
        let broken: Option<(String, String, i64)> = self
            .session
            .connection
            .query_row(
                "SELECT \"table\", parent, count(*) FROM pragma_foreign_key_check GROUP BY 1, 2 LIMIT 1",
                [],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .optional()?;
        if let Some((table, parent, count)) = broken {
            self.report.changes.push(Planned {
                class: Class::Impossible,
                description: format!(
                    "documents of {table} would refer to documents of {parent} that do not exist"
                ),
                documents: Some(count.unsigned_abs()),
                file: None,
                structural: true,
            });
        }
        Ok(())
    }
}

fn describe_step(step: &MigrationStep) -> String {
    match step {
        MigrationStep::RenameField { collection, from, to } => {
            format!("rename the field {collection}.{from} to {to}")
        }
        MigrationStep::RenameCollection { from, to } => format!("rename the collection {from} to {to}"),
        MigrationStep::ChangeType { collection, field, .. } => {
            format!("change the type of {collection}.{field}")
        }
        MigrationStep::Backfill { collection, field, .. } => format!("fill {collection}.{field}"),
        MigrationStep::Sql { .. } => "run SQL".to_owned(),
    }
}

/// Whether the data or a statement of the project is the reason, not the database as such.
fn about_the_data(error: &Error) -> bool {
    matches!(
        error,
        Error::UniqueViolation { .. }
            | Error::ForeignKey { .. }
            | Error::Internal { .. }
            | Error::Schema { .. }
    )
}

fn reason(error: &Error) -> String {
    match error {
        Error::Internal { source, .. } => source.to_string(),
        Error::Schema { reason } => reason.clone(),
        other => other.to_string(),
    }
}

fn stored_text(connection: &Connection) -> Result<Option<String>, Error> {
    Ok(connection.prepare_cached("SELECT text FROM _alyx_schema")?.query_row([], |row| row.get(0))?)
}

/// The schema the database has. A text that this version cannot read counts as none until the next
/// [`Store::migrate`]; deletions fail meanwhile, because they need to know who refers to whom.
pub(crate) fn stored_schema(connection: &Connection) -> Result<Option<Arc<Schema>>, Error> {
    let Some(text) = stored_text(connection)? else { return Ok(None) };
    Ok(schema::parse("schema.yaml", &text)
        .inspect_err(|problems| {
            tracing::warn!(problems = problems.len(), "the applied schema cannot be read by this version");
        })
        .ok()
        .map(Arc::new))
}
