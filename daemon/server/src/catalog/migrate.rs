//! Plan, apply and roll back, on an administrator's request.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use alyx_core::catalog::Catalog;
use alyx_core::migration::{Class, MigrationFile, MigrationStep, parse_migration};
use alyx_core::schema::{self, Diagnostic, Schema};
use alyx_store::{Application, Consent, Migration, MigrationRecord, Report, Restore};
use serde_json::{Value, json};

use super::load::SCHEMA_FILE;
use super::{Brought, CatalogError, Catalogs, State, applied, held, load, migration};
use crate::audit::{self, Event};

/// Prefix of the copies that are made before a change.
const COPY_PREFIX: &str = "before-schema-change-";

/// Why a migration was not done. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error("the project has {}", crate::cli::count(.0.len(), "problem"))]
    Invalid(Vec<Diagnostic>),
    #[error("data may be lost")]
    NeedsConfirmation(Value),
    #[error("a change is impossible")]
    Impossible(Value),
    #[error("there is nothing to roll back")]
    Nothing,
    #[error("use the database")]
    Store(#[from] alyx_store::Error),
}

impl From<CatalogError> for MigrateError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::Invalid(diagnostics) | CatalogError::Applied(diagnostics) => {
                Self::Invalid(diagnostics)
            }
            CatalogError::Store(error) => Self::Store(error),
        }
    }
}

impl Catalogs {
    /// What applying the project's files would do. It is tried and taken back.
    pub async fn plan(&self) -> Result<Value, MigrateError> {
        let _turn = self.0.turn.lock().await;
        let store = &self.0.store;
        let before = applied(store).await?;
        let loaded = load(&self.0.project).map_err(MigrateError::Invalid)?;
        let migration = migration(store, &loaded, before.is_none(), Consent::Try).await?;
        let names: Vec<String> = migration.files.iter().map(|file| file.name.clone()).collect();
        Ok(describe(&store.migrate(migration).await?, &names))
    }

    /// Applies the project's files; what is not safe only if it is confirmed, after a copy.
    pub async fn apply(&self, confirmed: bool, event: Event) -> Result<Value, MigrateError> {
        let _turn = self.0.turn.lock().await;
        let store = &self.0.store;
        let before = applied(store).await?;
        let loaded = load(&self.0.project).map_err(MigrateError::Invalid)?;
        let wanted = migration(store, &loaded, before.is_none(), Consent::Try).await?;
        let names: Vec<String> = wanted.files.iter().map(|file| file.name.clone()).collect();
        let (report, backup) = self.carry_out(wanted, &names, confirmed, event).await?;
        let mut answer = describe(&report, &names);
        answer["backup"] = json!(backup);
        let changes = report.changes.into_iter().map(|change| change.description).collect();
        self.settled(Brought { catalog: loaded.catalog, waiting: Vec::new(), changes }).await?;
        Ok(answer)
    }

    /// Tries, asks, copies, does.
    async fn carry_out(
        &self,
        migration: Migration,
        names: &[String],
        confirmed: bool,
        event: Event,
    ) -> Result<(Report, Option<PathBuf>), MigrateError> {
        let store = &self.0.store;
        let plan = store.migrate(migration.clone()).await?;
        let consent = match plan.class() {
            Class::Safe => Consent::Safe,
            Class::NeedsConfirmation if confirmed => Consent::Confirmed,
            Class::NeedsConfirmation => return Err(MigrateError::NeedsConfirmation(describe(&plan, names))),
            Class::Impossible => return Err(MigrateError::Impossible(describe(&plan, names))),
        };
        let backup = match consent {
            Consent::Confirmed => Some(self.copy().await?),
            Consent::Try | Consent::Safe => None,
        };
        let changes: Vec<&str> = plan.changes.iter().map(|change| change.description.as_str()).collect();
        let event = event.detail("changes", changes);
        let migration = Migration { consent, backup: backup.clone(), ..migration };
        let report = audit::with(store, event).migrate(migration).await?;
        if report.applied {
            return Ok((report, backup));
        }
        // Somebody wrote in between; the copy has no use.
        if let Some(Err(error)) = backup.map(std::fs::remove_file) {
            tracing::warn!(%error, "a copy without use stays: {error}");
        }
        match report.class() {
            Class::Impossible => Err(MigrateError::Impossible(describe(&report, names))),
            _ => Err(MigrateError::NeedsConfirmation(describe(&report, names))),
        }
    }

    /// Puts in what is in force now, and looks at the tables again.
    async fn settled(&self, brought: Brought) -> Result<(), MigrateError> {
        self.put_in(brought);
        let waiting = self.state().waiting.clone();
        let drift = self.0.store.drift().await?;
        self.0.state.store(Arc::new(State { waiting, drift }));
        Ok(())
    }

    /// Takes the last change back: by steps where that brings back all data, else by the copy.
    pub async fn roll_back(&self, confirmed: bool, event: Event) -> Result<Value, MigrateError> {
        let _turn = self.0.turn.lock().await;
        let last = self.0.store.last_application().await?.ok_or(MigrateError::Nothing)?;
        let answer = match (last.reversible, &last.backup) {
            (true, _) => self.back_by_steps(&last, confirmed, event).await?,
            (false, Some(copy)) if copy.is_file() => self.back_by_copy(&last, copy, confirmed, event).await?,
            (false, _) => {
                let reason = "it lost data, a step has no down, and the copy made before it is gone";
                return Err(MigrateError::Impossible(json!({ "reason": reason, "changes": last.changes })));
            }
        };
        self.serve_what_is_there().await?;
        Ok(answer)
    }

    async fn back_by_steps(
        &self,
        last: &Application,
        confirmed: bool,
        event: Event,
    ) -> Result<Value, MigrateError> {
        let store = &self.0.store;
        let target = parse(&last.before)?;
        let records = store.migrations().await?;
        let files = inverse(&records, last.number)?;
        let names: Vec<String> = files.iter().map(|file| file.name.clone()).collect();
        let migration = Migration {
            text: last.before.clone(),
            schema: Arc::new(target),
            files,
            consent: Consent::Try,
            backup: None,
            undo: Some(last.number),
        };
        let (report, backup) = self.carry_out(migration, &names, confirmed, event).await?;
        let mut answer = describe(&report, &names);
        answer["method"] = json!("down");
        answer["backup"] = json!(backup);
        Ok(answer)
    }

    async fn back_by_copy(
        &self,
        last: &Application,
        copy: &Path,
        confirmed: bool,
        event: Event,
    ) -> Result<Value, MigrateError> {
        let store = &self.0.store;
        let lost = store.change_count().await?.saturating_sub(last.seq);
        let mut answer =
            json!({ "method": "backup", "from": copy, "writes_lost": lost, "changes": last.changes });
        if !confirmed {
            return Err(MigrateError::NeedsConfirmation(answer));
        }
        // What is lost by this is kept as well.
        let present = self.copy().await?;
        let scratch = present.with_extension("restoring");
        store.restore(Restore { copy: copy.to_owned(), scratch, undo: last.number }).await?;
        // The log that it brings back is older, so it cannot be told in it before.
        audit::record(store, event.detail("writes_lost", lost)).await;
        answer["backup"] = json!(present);
        Ok(answer)
    }

    /// After going back the project's files may be ahead; nothing of them is applied unasked.
    async fn serve_what_is_there(&self) -> Result<(), MigrateError> {
        let store = &self.0.store;
        let Some(there) = applied(store).await? else { return Ok(()) };
        let changes = vec!["the last change was taken back".to_owned()];
        let brought = match load(&self.0.project) {
            Ok(loaded) => {
                let wanted = loaded.catalog.schema.clone();
                let report = store.migrate(migration(store, &loaded, false, Consent::Try).await?).await?;
                match report.changes.is_empty() {
                    true => Brought { catalog: loaded.catalog, waiting: Vec::new(), changes },
                    false => held(&there, &wanted, report)?,
                }
            }
            Err(_) => {
                let catalog = Catalog::build(SCHEMA_FILE, there).map_err(MigrateError::Invalid)?;
                Brought { catalog, waiting: Vec::new(), changes }
            }
        };
        self.settled(brought).await
    }

    /// Files, records and what waits, for people.
    pub async fn status(&self) -> Result<Value, MigrateError> {
        let store = &self.0.store;
        let drift = store.drift().await?;
        let state = self.state();
        self.0.state.store(Arc::new(State { waiting: state.waiting.clone(), drift: drift.clone() }));
        let records = store.migrations().await?;
        let last = store.last_application().await?;
        let (files, problems) = match load(&self.0.project) {
            Ok(loaded) => match super::files::pending(&loaded.files, &records, false) {
                Ok(pending) => (pending, Vec::new()),
                Err(problems) => (Vec::new(), problems),
            },
            Err(problems) => (Vec::new(), problems),
        };
        let migrations: Vec<Value> = records
            .iter()
            .map(|record| {
                json!({ "number": record.number, "name": record.name, "state": record.state.as_str(), "at": record.at })
            })
            .collect();
        Ok(json!({
            "migrations": migrations,
            "pending": files.iter().map(|file| &file.name).collect::<Vec<_>>(),
            "waiting": changes(&state.waiting),
            "problems": problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "drift": drift,
            "last": last.map(|last| json!({
                "at": last.at, "changes": last.changes, "backup": last.backup,
                "rollback": if last.reversible { "down" } else { "backup" },
            })),
        }))
    }

    /// Copies the database and removes copies beyond those that are kept.
    async fn copy(&self) -> Result<PathBuf, MigrateError> {
        let name = format!("{COPY_PREFIX}{}.db", jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S.%6fZ"));
        let path = self.0.backups.join(name);
        self.0.store.copy_to(path.clone()).await?;
        let mut copies: Vec<PathBuf> = std::fs::read_dir(&self.0.backups)
            .map(|entries| entries.flatten().map(|entry| entry.path()).filter(|path| is_copy(path)).collect())
            .unwrap_or_default();
        copies.sort();
        for old in copies.iter().rev().skip(self.0.backups_kept) {
            if let Err(error) = std::fs::remove_file(old) {
                tracing::warn!(%error, "an old copy stays: {error}");
            }
        }
        Ok(path)
    }
}

fn is_copy(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.starts_with(COPY_PREFIX) && name.ends_with(".db")
}

fn parse(text: &str) -> Result<Schema, MigrateError> {
    schema::parse("(the schema before)", text).map_err(MigrateError::Invalid)
}

/// What takes the files of an application back, last step first.
fn inverse(records: &[MigrationRecord], application: u64) -> Result<Vec<MigrationFile>, MigrateError> {
    let mut files = Vec::new();
    for record in records.iter().rev().filter(|record| record.application == Some(application)) {
        let steps = parse_migration(&record.name, &record.text).map_err(MigrateError::Invalid)?;
        files.push(MigrationFile {
            number: record.number,
            name: record.name.clone(),
            text: record.text.clone(),
            checksum: record.checksum.clone(),
            taken_back: false,
            steps: steps.iter().rev().filter_map(MigrationStep::inverse).collect(),
        });
    }
    Ok(files)
}

fn describe(report: &Report, migrations: &[String]) -> Value {
    json!({
        "class": report.class().as_str(),
        "applied": report.applied,
        "changes": changes(&report.changes),
        "migrations": migrations,
    })
}

/// Changes as the API shows them.
pub fn changes(changes: &[alyx_store::Planned]) -> Vec<Value> {
    let change = |change: &alyx_store::Planned| {
        json!({
            "class": change.class.as_str(), "description": change.description,
            "documents": change.documents, "migration": change.file,
        })
    };
    changes.iter().map(change).collect()
}
