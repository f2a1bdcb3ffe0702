//! Endpoints of execution records, for administrators.

mod get;
mod list;
mod shape;

use axum::Router;
use axum::routing;

use crate::app::App;

/// Their routes.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/api/admin/executions", routing::get(list::list))
        .route("/api/admin/executions/{id}", routing::get(get::get))
}
