//! `POST /api/schedules/{name}/pause`: 200 with it.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::app::App;
use crate::audit::{Action, Event};
use crate::auth::Client;
use crate::http::{AdminCaller, Params, json};
use crate::problem::ApiError;
use crate::schedules::Pause;

pub async fn handle(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
    Params(name): Params<String>,
) -> Result<Response, ApiError> {
    let event = Event::new(Action::SchedulePause, &caller.identity, &client);
    let schedule = app.schedules.pause(&name, Pause::Pause, event).await?;
    Ok(json(StatusCode::OK, schedule.to_string()))
}
