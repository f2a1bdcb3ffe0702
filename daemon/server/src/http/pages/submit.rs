//! `POST /auth/{page}`: the form of a link's page: does what the link is for, 200 with a page.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::fields::Fields;
use super::{dead, form, is_token, link, page};
use crate::app::App;
use crate::auth::{Client, Link};
use crate::http::Params;
use crate::problem::{ApiError, Code};

pub async fn handle(
    State(app): State<App>,
    Params(name): Params<String>,
    client: Client,
    fields: Fields,
) -> Result<Response, ApiError> {
    let link = link(&name).ok_or_else(|| ApiError::new(Code::NotFound, "There is no such page."))?;
    let token = fields.get("token");
    if !is_token(token) {
        return Ok(dead());
    }
    let done = match link {
        Link::Verify => app.auth.confirm_verification(token, &client).await,
        Link::Email => app.auth.confirm_email(token, &client).await,
        Link::Reset | Link::Registered => {
            let password = fields.get("password").to_owned();
            app.auth.reset_password(token, password, &client).await
        }
    };
    let thanks = match link {
        Link::Verify => "Your address is confirmed",
        Link::Email => "Your new address is confirmed",
        Link::Reset | Link::Registered => "Your password is set",
    };
    match done {
        Ok(()) => Ok(page(StatusCode::OK, thanks, "<p>You can close this page.</p>")),
        Err(error) if error.is(Code::InvalidLink) => Ok(dead()),
        // The texts of field errors are our own; nothing of the request is in them.
        Err(error) if error.is(Code::ValidationFailed) => {
            let problem = error.into_problem();
            let text = problem.errors.first().map_or("It is not accepted.", |error| error.message.as_str());
            Ok(form(link, token, text))
        }
        Err(error) => Err(error),
    }
}
