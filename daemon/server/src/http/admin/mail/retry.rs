//! `POST /api/admin/mail/{id}/retry`: tries a mail again that was given up, 202.

use alyx_store::Error;
use axum::extract::State;
use http::StatusCode;

use crate::app::App;
use crate::audit::{self, Action, Event};
use crate::auth::Client;
use crate::http::{AdminCaller, Params};
use crate::problem::{ApiError, Code};

pub async fn handle(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
    Params(id): Params<String>,
) -> Result<StatusCode, ApiError> {
    let event = Event::new(Action::MailRetry, &caller.identity, &client).target(format!("mail:{id}"));
    match audit::with(&app.store, event).retry_mail(&id).await {
        Ok(()) => {}
        Err(Error::NotFound) => {
            return Err(ApiError::new(Code::MailNotFound, "There is no such mail that was given up."));
        }
        Err(Error::Stale) => {
            let detail = "What this mail says has expired; its receiver has to ask for another one.";
            return Err(ApiError::new(Code::MailExpired, detail));
        }
        Err(other) => return Err(other.into()),
    }
    Ok(StatusCode::ACCEPTED)
}
