//! `GET /api/admin/backups`: 200 with all backups, newest first.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::app::App;
use crate::http::{AdminCaller, QueryPairs};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    AdminCaller(_): AdminCaller,
    query: QueryPairs,
) -> Result<Json<Value>, ApiError> {
    query.only(&[])?;
    Ok(Json(json!({ "backups": app.backups.list().await? })))
}
