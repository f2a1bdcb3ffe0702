//! The HTTP door: accept loop, what happens to every request and answer, one file per endpoint.
//!
//! The route list is [`routes`]; nothing is served that is not in it.

mod accept;
mod address;
mod admin;
mod answer;
mod auth;
mod batch;
mod body;
mod caller;
mod changes;
mod collections;
mod conditions;
mod cookies;
mod cors;
mod description;
mod events;
mod executions;
mod follow;
mod functions;
mod health;
mod inbound;
mod made;
mod pages;
mod query;
mod realtime;
pub mod routes;
mod schedules;
mod unread;
mod webhooks;

pub use accept::{AdminPeers, Doors, ListenError, Listeners, Passed, UnknownGroup, serve};
pub use admin::metrics::router as metrics_router;
pub use answer::json;
pub use body::{Bodies, JsonBody};
pub use caller::{AdminCaller, Caller, Params, UserCaller};
pub use conditions::Conditions;
pub use health::{COMPONENTS, Health, State as HealthState, health as health_now};
pub use query::QueryPairs;
