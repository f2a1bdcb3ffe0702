//! The schema in force. Everybody shares one handle; a new catalog is put in as a whole, after its
//! tables are there, and nothing of the old one stays active.
//!
//! While a change of tables waits for a confirmation, its rules, functions and options do not: they are
//! in force at once, over the tables as they are. See `docs/migrations.md`.
//!
//! | module | job |
//! |---|---|
//! | `load` | a project's files |
//! | `files` | its migration files |
//! | `migrate` | plan, apply and roll back on request |
//! | `watch` | reload after edits |

mod files;
mod load;
mod migrate;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;

use alyx_core::catalog::Catalog;
use alyx_core::migration::{Class, deny_rules, hold_back};
use alyx_core::schema::{self, Diagnostic, Schema};
use alyx_store::{Consent, Migration, Planned, Report, Store, Touched};
use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use crate::audit::{self, Action, Event};
use crate::auth::UserCache;
use crate::config::Mode;
use crate::print;

pub use load::{Loaded, load, load_file};
pub use migrate::{MigrateError, changes};
pub use watch::{WatchError, Watcher};

/// The catalog that requests use.
pub type CatalogHandle = Arc<ArcSwap<Catalog>>;

/// Why there is no catalog to serve.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The diagnostics were printed.
    #[error("the schema has {}", crate::cli::count(.0.len(), "problem"))]
    Invalid(Vec<Diagnostic>),
    #[error("the schema in the database cannot be read by this version")]
    Applied(Vec<Diagnostic>),
    #[error("apply the schema")]
    Store(#[from] alyx_store::Error),
}

/// Brings project, database and catalog together, at start, after every edit and on request. A cheap
/// clone.
#[derive(Clone)]
pub struct Catalogs(Arc<Parts>);

struct Parts {
    project: PathBuf,
    /// Where copies are kept.
    backups: PathBuf,
    /// How many copies are kept.
    backups_kept: usize,
    store: Store,
    users: UserCache,
    handle: CatalogHandle,
    state: ArcSwap<State>,
    /// One at a time reads, compares and applies.
    turn: Mutex<()>,
}

/// What stands between the project and the database.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The plan that waits for a confirmation; empty if nothing does.
    pub waiting: Vec<Planned>,
    /// Tables that are not as the applied schema says.
    pub drift: Vec<String>,
}

/// Where things are kept.
#[derive(Clone, Debug)]
pub struct Places {
    pub project: PathBuf,
    pub backups: PathBuf,
    pub backups_kept: usize,
}

impl Catalogs {
    /// Loads the project's schema and applies its safe changes.
    ///
    /// In development a schema that cannot be read does not stop the start when the database has an
    /// older one: that one is served, and the problems are printed.
    pub async fn start(
        places: Places,
        store: Store,
        users: UserCache,
        mode: Mode,
    ) -> Result<Self, CatalogError> {
        let Places { project, backups, backups_kept } = places;
        let applied = applied(&store).await?;
        let loaded = load(&project);
        let event = Event::of_daemon(Action::SchemaApply);
        let (catalog, waiting) = match bring_in(&store, applied.as_ref(), loaded, event).await {
            Ok(brought) => (brought.catalog, brought.waiting),
            Err(error) => {
                explain(&error);
                match (mode, applied) {
                    (Mode::Development, Some(old)) => {
                        print::words("Serving the schema that the database has until this is solved.");
                        let old = Catalog::build(load::SCHEMA_FILE, old).map_err(CatalogError::Applied)?;
                        (old, Vec::new())
                    }
                    _ => return Err(error),
                }
            }
        };
        let drift = store.drift().await?;
        for text in &drift {
            tracing::warn!("a table was changed by others: {text}");
        }
        Ok(Self(Arc::new(Parts {
            project,
            backups,
            backups_kept,
            store,
            users,
            handle: Arc::new(ArcSwap::from_pointee(catalog)),
            state: ArcSwap::from_pointee(State { waiting, drift }),
            turn: Mutex::new(()),
        })))
    }

    /// The handle to give to others.
    pub fn handle(&self) -> CatalogHandle {
        Arc::clone(&self.0.handle)
    }

    /// What stands between the project and the database.
    pub fn state(&self) -> Arc<State> {
        self.0.state.load_full()
    }

    /// Reads the project again. What cannot be read is printed and changes nothing.
    pub async fn reload(&self) -> Reloaded {
        self.read_again(Event::of_daemon(Action::SchemaApply)).await.unwrap_or_else(|error| {
            explain(&error);
            print::words("The schema in force stays.");
            Reloaded::Refused
        })
    }

    /// The same for somebody who is told what cannot be read.
    pub async fn reload_for(&self, event: Event) -> Result<Reloaded, MigrateError> {
        Ok(self.read_again(event).await?)
    }

    async fn read_again(&self, event: Event) -> Result<Reloaded, CatalogError> {
        let _turn = self.0.turn.lock().await;
        let applied = applied(&self.0.store).await?;
        let brought = bring_in(&self.0.store, applied.as_ref(), load(&self.0.project), event).await?;
        Ok(self.put_in(brought))
    }

    fn put_in(&self, brought: Brought) -> Reloaded {
        let parts = &self.0;
        let Brought { catalog, waiting, changes } = brought;
        let state = parts.state.load_full();
        parts.state.store(Arc::new(State { waiting, drift: state.drift.clone() }));
        if catalog.schema == parts.handle.load().schema {
            return Reloaded::Same;
        }
        parts.handle.store(Arc::new(catalog));
        // An account may be another document now.
        parts.users.forget(Touched::All);
        let changes = if changes.is_empty() { String::new() } else { format!(": {}", changes.join("; ")) };
        tracing::info!("the schema is live{changes}");
        Reloaded::Live
    }
}

/// What became of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// Nothing is different.
    Same,
    /// Something new is in force.
    Live,
    /// The old one stays.
    Refused,
}

/// A catalog that may be served now.
struct Brought {
    catalog: Catalog,
    /// What waits for a confirmation.
    waiting: Vec<Planned>,
    /// What is new, for the log.
    changes: Vec<String>,
}

async fn applied(store: &Store) -> Result<Option<Schema>, CatalogError> {
    let Some(text) = store.applied_schema().await? else { return Ok(None) };
    schema::parse("(the schema in the database)", &text).map(Some).map_err(|diagnostics| {
        print_all(&diagnostics);
        CatalogError::Applied(diagnostics)
    })
}

/// Rules compile first, tables change second, so a schema with a bad rule changes nothing.
async fn bring_in(
    store: &Store,
    applied: Option<&Schema>,
    loaded: Result<Loaded, Vec<Diagnostic>>,
    event: Event,
) -> Result<Brought, CatalogError> {
    let loaded = loaded.map_err(CatalogError::Invalid)?;
    let migration = migration(store, &loaded, applied.is_none(), Consent::Safe).await?;
    let report = audit::with(store, event).migrate(migration).await?;
    match applied {
        Some(applied) if !report.applied => {
            print_plan(&report);
            held(applied, &loaded.catalog.schema, report)
        }
        _ => {
            let changes = report.changes.into_iter().map(|change| change.description).collect();
            Ok(Brought { catalog: loaded.catalog, waiting: Vec::new(), changes })
        }
    }
}

/// What leads from the database to the project's files.
async fn migration(
    store: &Store,
    loaded: &Loaded,
    fresh: bool,
    consent: Consent,
) -> Result<Migration, CatalogError> {
    let records = store.migrations().await?;
    let files = files::pending(&loaded.files, &records, fresh).map_err(CatalogError::Invalid)?;
    Ok(Migration {
        text: loaded.text.clone(),
        schema: Arc::new(loaded.catalog.schema.clone()),
        files,
        consent,
        backup: None,
        undo: None,
    })
}

/// The tables as they are under the rules as they are wanted. A rule that does not fit the tables denies.
fn held(applied: &Schema, wanted: &Schema, report: Report) -> Result<Brought, CatalogError> {
    let schema = hold_back(applied, wanted);
    let catalog = match Catalog::build(load::SCHEMA_FILE, schema.clone()) {
        Ok(catalog) => catalog,
        Err(diagnostics) => {
            for diagnostic in &diagnostics {
                tracing::warn!(
                    "{} denies until the tables are changed: {}",
                    diagnostic.path,
                    diagnostic.message
                );
            }
            Catalog::build(load::SCHEMA_FILE, deny_rules(schema, &diagnostics))
                .map_err(CatalogError::Applied)?
        }
    };
    let changes = vec!["rules, functions and options; tables wait for `alyx migrate apply`".to_owned()];
    Ok(Brought { catalog, waiting: report.changes, changes })
}

fn explain(error: &CatalogError) {
    match error {
        CatalogError::Invalid(diagnostics) => print_all(diagnostics),
        CatalogError::Applied(_) => {}
        CatalogError::Store(error) => {
            tracing::error!("the schema was not applied: {}", crate::problem::error_chain(error));
        }
    }
}

fn print_all(diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        print::words(&format!("error: {diagnostic}"));
    }
}

fn print_plan(report: &Report) {
    print::words("The schema has changes that are not safe. No table was changed. The plan:");
    for change in &report.changes {
        let documents = change.documents.filter(|number| *number > 0);
        let documents = documents.map_or(String::new(), |number| format!(" ({number} documents)"));
        print::words(&format!("  {}: {}{documents}", change.class.as_str(), change.description));
    }
    print::words("Rules, functions and options are in force already.");
    print::words(match report.class() {
        Class::Impossible => "  hint: change what is impossible, or write a migration: docs/migrations.md",
        _ => "  hint: `alyx migrate apply --yes` carries it out, after a backup",
    });
}
