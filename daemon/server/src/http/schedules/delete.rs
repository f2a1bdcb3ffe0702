//! `DELETE /api/schedules/{name}`: 204. One of the schema cannot be deleted here.

use axum::extract::State;
use http::StatusCode;

use crate::app::App;
use crate::audit::{Action, Event};
use crate::auth::Client;
use crate::http::{AdminCaller, Params};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
    Params(name): Params<String>,
) -> Result<StatusCode, ApiError> {
    let event = Event::new(Action::ScheduleDelete, &caller.identity, &client);
    app.schedules.delete(&name, event).await?;
    Ok(StatusCode::NO_CONTENT)
}
