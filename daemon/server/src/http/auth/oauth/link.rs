//! `POST /api/auth/oauth/{provider}/link`: 200 with the address to send this browser to. Needs a proof of
//! who asks.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::set_flow;
use crate::app::App;
use crate::auth::{Client, Proof, ShownPasskey};
use crate::http::auth::answer;
use crate::http::{JsonBody, Params, UserCaller};
use crate::problem::{ApiError, Code};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    redirect: String,
    challenge: String,
    current_password: Option<String>,
    code: Option<String>,
    recovery_code: Option<String>,
    passkey: Option<ShownPasskey>,
}

#[derive(Serialize)]
struct Departure<'a> {
    url: &'a str,
}

pub async fn handle(
    State(app): State<App>,
    Params(provider): Params<String>,
    UserCaller(caller): UserCaller,
    client: Client,
    body: JsonBody,
) -> Result<Response, ApiError> {
    if caller.identity.user().is_none() {
        return Err(ApiError::new(Code::Unauthenticated, "Sign in to link an account elsewhere."));
    }
    let Link { redirect, challenge, current_password, code, recovery_code, passkey } = body.parse()?;
    let proof = Proof { current_password, code, recovery_code, passkey };
    let who = &caller.identity;
    let departure = app.auth.oauth_link(&provider, (&redirect, &challenge), who, &proof, &client).await?;
    let mut response = answer(StatusCode::OK, &Departure { url: departure.location.as_str() })?;
    set_flow(&app, &mut response, &departure.cookie);
    Ok(response)
}
