//! `GET /api/admin/backups/status`: 200 with how far the database can be brought back.

use axum::Json;
use axum::extract::State;

use crate::app::App;
use crate::backups::Status;
use crate::http::{AdminCaller, QueryPairs};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    AdminCaller(_): AdminCaller,
    query: QueryPairs,
) -> Result<Json<Status>, ApiError> {
    query.only(&[])?;
    Ok(Json(app.backups.status().await?))
}
