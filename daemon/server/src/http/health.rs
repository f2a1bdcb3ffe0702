//! `/health…`: how the components do, with reasons, for probes and people. No secrets, no versions.

pub mod live;
pub mod overview;
pub mod ready;

use alyx_store::Health as StoreHealth;
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
    pub components: Components,
}

/// The parts.
#[derive(Debug, Serialize)]
pub struct Components {
    pub database: Component,
    pub schema: Component,
    pub supervisor: Component,
    pub backups: Component,
}

/// A part.
#[derive(Debug, Serialize)]
pub struct Component {
    pub state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

/// How everything does now. Waits for nothing.
pub fn health(app: &App) -> Health {
    let components = Components {
        database: database(app),
        schema: schema(app),
        supervisor: supervisor(app),
        backups: backups(app),
    };
    let parts = [&components.database, &components.schema, &components.supervisor, &components.backups];
    let state = parts.map(|part| part.state).into_iter().max().unwrap_or(State::Ok);
    Health { state, components }
}

fn database(app: &App) -> Component {
    match app.store.health().state {
        StoreHealth::Ok => Component { state: State::Ok, reason: None },
        StoreHealth::Closed => Component { state: State::Down, reason: Some("the database is closed") },
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
            Component { state: State::Degraded, reason: Some(reason) }
        }
    }
}

fn schema(app: &App) -> Component {
    let state = app.catalogs.state();
    let reason = if !state.drift.is_empty() {
        Some("tables were changed by others; `alyx migrate status` says how")
    } else if !state.waiting.is_empty() {
        Some("a change of the schema waits for a confirmation; see `alyx migrate plan`")
    } else {
        None
    };
    Component { state: if reason.is_none() { State::Ok } else { State::Degraded }, reason }
}

fn backups(app: &App) -> Component {
    if app.backups.is_failing() {
        let reason = "what is written is not carried to the backups; `alyx backup status` says why";
        return Component { state: State::Degraded, reason: Some(reason) };
    }
    if app.backups.cannot_be_made() {
        let reason = "backups cannot be made; `alyx backup status` says why";
        return Component { state: State::Degraded, reason: Some(reason) };
    }
    Component { state: State::Ok, reason: None }
}

fn supervisor(app: &App) -> Component {
    if app.functions.is_connected() {
        Component { state: State::Ok, reason: None }
    } else {
        let reason = "the supervisor does not answer at its socket; functions cannot be invoked";
        Component { state: State::Degraded, reason: Some(reason) }
    }
}
