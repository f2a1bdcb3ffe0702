//! `POST /api/admin/backups/{id}/verify`: examines a backup, 200 with it if it is sound.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::app::App;
use crate::http::{AdminCaller, Params};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    AdminCaller(_): AdminCaller,
    Params(id): Params<String>,
) -> Result<Json<Value>, ApiError> {
    let backup = app.backups.verify(&id).await?;
    let path = app.backups.path(&backup.id);
    Ok(Json(json!({ "backup": backup, "path": path })))
}
