//! `POST /api/admin/backups`: makes a backup, 201 with what is known of it.

use axum::Json;
use axum::extract::State;
use http::StatusCode;

use crate::app::App;
use crate::audit::{self, Action, Event};
use crate::auth::Client;
use crate::backups::Manifest;
use crate::http::AdminCaller;
use crate::http::admin::carried_through;
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
) -> Result<(StatusCode, Json<Manifest>), ApiError> {
    let event = Event::new(Action::BackupCreate, &caller.identity, &client);
    let made = carried_through(&app, async move |app| {
        let made = app.backups.create().await;
        let event = match &made {
            Ok(made) => event.target(format!("backup:{}", made.id)),
            Err(_) => event.failed(),
        };
        audit::record(&app.store, event).await;
        made
    });
    Ok((StatusCode::CREATED, Json(made.await??)))
}
