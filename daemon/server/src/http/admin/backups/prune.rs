//! `POST /api/admin/backups/prune`: removes all but the newest backups, 200 with the removed.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::app::App;
use crate::audit::{self, Action, Event};
use crate::auth::Client;
use crate::http::admin::carried_through;
use crate::http::{AdminCaller, QueryPairs};
use crate::limits::BACKUPS_MAX;
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
    query: QueryPairs,
) -> Result<Json<Value>, ApiError> {
    query.only(&["keep"])?;
    let keep = query.get("keep").map(|_| query.number("keep", 1, BACKUPS_MAX)).transpose()?;
    let event = Event::new(Action::BackupPrune, &caller.identity, &client);
    let removed = carried_through(&app, async move |app| {
        let removed = app.backups.prune(keep.map(|keep| keep as usize)).await;
        let event = match &removed {
            Ok(removed) => {
                let ids: Vec<&str> = removed.iter().map(|backup| backup.id.as_str()).collect();
                event.detail("removed", ids)
            }
            Err(_) => event.failed(),
        };
        audit::record(&app.store, event).await;
        removed
    });
    Ok(Json(json!({ "removed": removed.await?? })))
}
