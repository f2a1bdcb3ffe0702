//! The schema in force. Everybody shares one handle; a new catalog is put in as a whole, after its
//! tables are there, and nothing of the old one stays active.

mod load;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;

use alyx_core::catalog::Catalog;
use alyx_core::migration::{Change, Class, diff};
use alyx_core::schema::{self, Diagnostic, Schema};
use alyx_store::Store;
use arc_swap::ArcSwap;

use crate::config::Mode;
use crate::print;

pub use load::{Loaded, load, load_file};
pub use watch::{WatchError, Watcher};

/// The catalog that requests use.
pub type CatalogHandle = Arc<ArcSwap<Catalog>>;

/// Why there is no catalog to serve.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The diagnostics were printed.
    #[error("the schema has {}", crate::cli::count(.0.len(), "problem"))]
    Invalid(Vec<Diagnostic>),
    /// The plan was printed.
    #[error("the schema has changes that are not safe; nothing was changed")]
    Unsafe,
    #[error("the schema in the database cannot be read by this version")]
    Applied(Vec<Diagnostic>),
    #[error("apply the schema")]
    Store(#[from] alyx_store::Error),
}

/// Brings project, database and catalog together, at start and again after every edit.
pub struct Catalogs {
    project: PathBuf,
    store: Store,
    handle: CatalogHandle,
}

impl Catalogs {
    /// Loads the project's schema and applies its safe changes.
    ///
    /// In development a schema that cannot be applied does not stop the start when the database has an
    /// older one: that one is served, and the problems are printed.
    pub async fn start(project: PathBuf, store: Store, mode: Mode) -> Result<Self, CatalogError> {
        let applied = applied(&store).await?;
        let loaded = load(&project);
        let catalog = match bring_in(&store, applied.as_ref(), loaded).await {
            Ok((catalog, _)) => catalog,
            Err(error) => {
                explain(&error);
                match (mode, applied) {
                    (Mode::Development, Some(old)) => {
                        print::words("Serving the schema that the database has until this is solved.");
                        Catalog::build(load::SCHEMA_FILE, old).map_err(CatalogError::Applied)?
                    }
                    _ => return Err(error.into()),
                }
            }
        };
        Ok(Self { project, store, handle: Arc::new(ArcSwap::from_pointee(catalog)) })
    }

    /// The handle to give to others.
    pub fn handle(&self) -> CatalogHandle {
        Arc::clone(&self.handle)
    }

    /// Reads the project again. What cannot be applied is printed and changes nothing.
    pub async fn reload(&self) -> Reloaded {
        let applied = match applied(&self.store).await {
            Ok(applied) => applied,
            Err(error) => {
                tracing::error!("the schema was not reloaded: {}", crate::problem::error_chain(&error));
                return Reloaded::Refused;
            }
        };
        match bring_in(&self.store, applied.as_ref(), load(&self.project)).await {
            Ok((catalog, _)) if catalog.schema == self.handle.load().schema => Reloaded::Same,
            Ok((catalog, changes)) => {
                self.handle.store(Arc::new(catalog));
                let list: Vec<&str> = changes.iter().map(|change| change.description.as_str()).collect();
                tracing::info!("the schema is live: {}", list.join("; "));
                Reloaded::Live
            }
            Err(error) => {
                explain(&error);
                print::words("The schema in force stays.");
                Reloaded::Refused
            }
        }
    }
}

/// What became of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// Nothing is different.
    Same,
    /// The new schema is in force.
    Live,
    /// The old one stays.
    Refused,
}

/// Why a schema is not brought in.
enum Refusal {
    Invalid(Vec<Diagnostic>),
    Unsafe(Vec<Change>),
    Store(alyx_store::Error),
}

impl From<Refusal> for CatalogError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(diagnostics) => Self::Invalid(diagnostics),
            Refusal::Unsafe(_) => Self::Unsafe,
            Refusal::Store(error) => Self::Store(error),
        }
    }
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
) -> Result<(Catalog, Vec<Change>), Refusal> {
    let Loaded { text, catalog } = loaded.map_err(Refusal::Invalid)?;
    let changes = diff(applied, &catalog.schema);
    if changes.iter().any(|change| change.class != Class::Safe) {
        return Err(Refusal::Unsafe(changes));
    }
    let applied = store.apply(&text, &catalog.schema, &changes).await;
    applied.map_err(Refusal::Store)?;
    Ok((catalog, changes))
}

fn explain(refusal: &Refusal) {
    match refusal {
        Refusal::Invalid(diagnostics) => print_all(diagnostics),
        Refusal::Unsafe(changes) => print_plan(changes),
        Refusal::Store(error) => {
            tracing::error!("the schema was not applied: {}", crate::problem::error_chain(error));
        }
    }
}

fn print_all(diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        print::words(&format!("error: {diagnostic}"));
    }
}

fn print_plan(changes: &[Change]) {
    print::words("The schema has changes that are not safe. Nothing was changed. The plan:");
    for change in changes {
        let class = match change.class {
            Class::Safe => "safe",
            Class::NeedsConfirmation => "needs confirmation",
            Class::Impossible => "impossible",
        };
        print::words(&format!("  {class}: {}", change.description));
    }
    print::words("  hint: take these changes back, or start with another, empty data directory");
}
