//! `POST /api/admin/reload`: reads the project's files again, 200 with what that changed. What cannot be
//! read changes nothing, and is told.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::json as value;

use crate::app::App;
use crate::audit::{self, Action, Event};
use crate::auth::Client;
use crate::catalog::{self, Reloaded};
use crate::http::admin::carried_through;
use crate::http::{AdminCaller, json};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
) -> Result<Response, ApiError> {
    let event = |action| Event::new(action, &caller.identity, &client);
    let (reload, apply) = (event(Action::ProjectReload), event(Action::SchemaApply));
    let reloaded = carried_through(&app, async move |app| {
        let reloaded = app.catalogs.reload_for(apply).await;
        if reloaded.is_ok() {
            app.read_again();
        }
        let reload = if reloaded.is_ok() { reload } else { reload.failed() };
        audit::record(&app.store, reload).await;
        reloaded
    })
    .await??;
    let answer = value!({
        "schema_changed": reloaded == Reloaded::Live,
        "waiting": catalog::changes(&app.catalogs.state().waiting),
    });
    Ok(json(StatusCode::OK, answer.to_string()))
}
