//! `/api/auth/…`: accounts and sessions of their owners.

pub mod login;
pub mod logout;
pub mod me;
pub mod refresh;
pub mod register;
pub mod status;

use axum::extract::FromRequestParts;
use axum::response::Response;
use http::request::Parts;
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};

use super::answer::RequestId;
use super::caller::{client_ip, meter};
use super::json;
use crate::app::App;
use crate::auth::Client;
use crate::limits::USER_AGENT_MAX_BYTES;
use crate::problem::{ApiError, internal};

/// Body of refresh and logout.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RefreshToken {
    refresh_token: String,
}

impl FromRequestParts<App> for Client {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let agent =
            parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        // `to_str` has let only ASCII through, so any byte is a boundary.
        let user_agent = agent[..agent.len().min(USER_AGENT_MAX_BYTES)].to_owned();
        let request_id = parts.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
        Ok(Self { address: client_ip(parts, app), user_agent, request_id, meter: meter(parts) })
    }
}

fn answer(status: StatusCode, body: &impl Serialize) -> Result<Response, ApiError> {
    let body = serde_json::to_vec(body).map_err(|error| internal("write an answer", &error))?;
    Ok(json(status, body))
}
