//! `POST /api/schedules/{name}/trigger`: runs it now, 202 with the id of the run.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::app::App;
use crate::audit::{Action, Event};
use crate::auth::Client;
use crate::http::{AdminCaller, Params, json};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
    Params(name): Params<String>,
) -> Result<Response, ApiError> {
    let event = Event::new(Action::ScheduleTrigger, &caller.identity, &client);
    let started = app.schedules.trigger(&name, event).await?;
    Ok(json(StatusCode::ACCEPTED, started.to_string()))
}
