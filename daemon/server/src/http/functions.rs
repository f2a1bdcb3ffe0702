//! Endpoints of functions.

mod invoke;
mod list;
mod logs;

use axum::Router;
use axum::routing::{get, post};

use crate::app::App;

pub use invoke::{failure, success};

/// Their routes.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/api/functions/{name}", post(invoke::invoke))
        .route("/api/admin/functions", get(list::list))
        .route("/api/admin/functions/{name}/logs", get(logs::logs))
}
