//! `/health…`: how the components do, with reasons, for probes and people. No secrets, no versions.

pub mod live;
pub mod overview;
pub mod ready;

use std::borrow::Cow;

use alyx_store::Health as StoreHealth;
use indexmap::IndexMap;
use serde::Serialize;

use crate::app::App;

/// State of the whole or of a part, worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Everything works.
    Ok,
    /// Something does not work; the rest does.
    Degraded,
    /// Nothing can be served.
    Down,
}

/// The whole.
#[derive(Debug, Serialize)]
pub struct Health {
    pub state: State,
    /// By the names of [`COMPONENTS`].
    pub components: IndexMap<&'static str, Component>,
}

/// A part.
#[derive(Debug, Serialize)]
pub struct Component {
    pub state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'static, str>>,
}

/// Looks how a part does.
type Look = fn(&App) -> Component;

/// The parts, and who knows how they do.
pub const COMPONENTS: [(&str, Look); 6] = [
    ("database", database),
    ("schema", schema),
    ("supervisor", supervisor),
    ("functions", functions),
    ("backups", backups),
    ("clock", clock),
];

impl Component {
    const OK: Self = Self { state: State::Ok, reason: None };

    fn degraded(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { state: State::Degraded, reason: Some(reason.into()) }
    }
}

/// How everything does now. Waits for nothing.
pub fn health(app: &App) -> Health {
    let components: IndexMap<_, _> = COMPONENTS.iter().map(|(name, look)| (*name, look(app))).collect();
    let state = components.values().map(|part| part.state).max().unwrap_or(State::Ok);
    Health { state, components }
}

fn database(app: &App) -> Component {
    match app.store.health().state {
        StoreHealth::Ok => Component::OK,
        StoreHealth::Closed => {
            Component { state: State::Down, reason: Some("the database is closed".into()) }
        }
        StoreHealth::Degraded(error) => {
            let reason = match error {
                alyx_store::Error::DiskFull => "there is no space left; writes fail, reads go on",
                alyx_store::Error::ReadOnly => "the database is read-only; writes fail, reads go on",
                alyx_store::Error::Corrupt { .. } => "the database is damaged; restore a backup",
                alyx_store::Error::Io { .. } => "the disk fails; writes fail, reads go on",
                alyx_store::Error::Replaced => {
                    "the database file was deleted or replaced; put it back, or restart to serve what is there"
                }
                _ => "writes fail, reads go on",
            };
            Component::degraded(reason)
        }
    }
}

fn schema(app: &App) -> Component {
    let state = app.catalogs.state();
    if !state.drift.is_empty() {
        return Component::degraded("tables were changed by others; `alyx migrate status` says how");
    }
    if !state.waiting.is_empty() {
        return Component::degraded(
            "a change of the schema waits for a confirmation; see `alyx migrate plan`",
        );
    }
    Component::OK
}

fn supervisor(app: &App) -> Component {
    if app.functions.is_connected() {
        return Component::OK;
    }
    Component::degraded("the supervisor does not answer at its socket; functions cannot be invoked")
}

/// Whether there is a runtime for every function. Without the supervisor nobody knows.
fn functions(app: &App) -> Component {
    let missing: Vec<&str> = app.functions.missing_runtimes().into_iter().collect();
    if missing.is_empty() {
        return Component::OK;
    }
    let missing = missing.join(" and ");
    Component::degraded(format!(
        "there is no {missing} for functions on this host; install it and restart the supervisor"
    ))
}

fn backups(app: &App) -> Component {
    if app.backups.is_failing() {
        return Component::degraded(
            "what is written is not carried to the backups; `alyx backup status` says why",
        );
    }
    if app.backups.cannot_be_made() {
        return Component::degraded("backups cannot be made; `alyx backup status` says why");
    }
    Component::OK
}

fn clock(app: &App) -> Component {
    let Some(by) = app.clock_watch.jumped() else { return Component::OK };
    Component::degraded(format!("the clock was set by {by:#}; tokens, schedules and leases follow it"))
}
