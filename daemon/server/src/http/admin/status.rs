//! `GET /api/admin/status`: how the daemon does.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::json as value;

use crate::app::App;
use crate::config::Mode;
use crate::http::health::health;
use crate::http::{AdminCaller, json};
use crate::problem::ApiError;

pub async fn handle(State(app): State<App>, AdminCaller(_): AdminCaller) -> Result<Response, ApiError> {
    let database = app.store.health();
    let catalog = app.catalog.load();
    let body = value!({
        "version": env!("CARGO_PKG_VERSION"),
        "mode": match app.mode { Mode::Development => "development", Mode::Production => "production" },
        "listen": app.listen.to_string(),
        "tls_listen": app.tls_listen.map(|address| address.to_string()),
        "metrics_listen": app.metrics_listen.map(|address| address.to_string()),
        "process_id": std::process::id(),
        "uptime_seconds": app.started.elapsed().as_secs(),
        "health": health(&app),
        "database": {
            "bytes": database.database_bytes,
            "wal_bytes": database.wal_bytes,
            "writes_waiting": database.writes_waiting,
            "reads_waiting": database.reads_waiting,
        },
        "collections": catalog.schema.collections.keys().collect::<Vec<_>>(),
                "schema": {
            "waiting": app.catalogs.state().waiting.len(),
            "drift": app.catalogs.state().drift,
        },
        "functions": app.functions.status(),
    });
    Ok(json(StatusCode::OK, body.to_string()))
}
