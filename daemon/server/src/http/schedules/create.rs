//! `POST /api/schedules`: makes one, 201 with it.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::app::App;
use crate::audit::{Action, Event};
use crate::auth::Client;
use crate::http::{AdminCaller, JsonBody, json};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let event = Event::new(Action::ScheduleCreate, &caller.identity, &client);
    let schedule = app.schedules.create(body.parse()?, event).await?;
    Ok(json(StatusCode::CREATED, schedule.to_string()))
}
