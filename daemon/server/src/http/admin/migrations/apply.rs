//! `POST /api/admin/migrations/apply`: applies the project's files, 200 with what was done. What is not
//! safe needs `confirm: true`, else 409 with the plan.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::Confirmation;
use crate::app::App;
use crate::audit::{Action, Event};
use crate::auth::Client;
use crate::catalog::MigrateError;
use crate::http::admin::carried_through;
use crate::http::{AdminCaller, JsonBody, json};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let Confirmation { confirm } = body.parse()?;
    let event = Event::new(Action::SchemaApply, &caller.identity, &client);
    let answer = carried_through(&app, async move |app| {
        let answer = app.catalogs.apply(confirm, event).await?;
        app.renew();
        Ok::<_, MigrateError>(answer)
    })
    .await??;
    Ok(json(StatusCode::OK, answer.to_string()))
}
