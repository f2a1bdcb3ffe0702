//! `POST /api/admin/backups/prune`: removes all but the newest backups, 200 with the removed.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::app::App;
use crate::http::{AdminCaller, QueryPairs};
use crate::limits::BACKUPS_MAX;
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    AdminCaller(_): AdminCaller,
    query: QueryPairs,
) -> Result<Json<Value>, ApiError> {
    query.only(&["keep"])?;
    let keep = query.get("keep").map(|_| query.number("keep", 1, BACKUPS_MAX)).transpose()?;
    Ok(Json(json!({ "removed": app.backups.prune(keep.map(|keep| keep as usize)).await? })))
}
