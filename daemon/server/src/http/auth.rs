//! `/api/auth/…`: accounts and sessions of their owners.

pub mod anonymous;
pub mod delete_me;
pub mod email;
pub mod end_session;
pub mod jwks;
pub mod login;
pub mod logout;
pub mod logout_all;
pub mod me;
pub mod mfa;
pub mod oauth;
pub mod otp;
pub mod passkey;
pub mod password;
pub mod refresh;
pub mod register;
pub mod sessions;
pub mod setup;
pub mod status;
pub mod update_me;
pub mod upgrade;
pub mod verify;

use axum::extract::FromRequestParts;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

use super::answer::{DEVICE_COOKIE, IssuedDevice, RequestId};
use super::caller::{client_ip, meter};
use super::{cookies, json};
use crate::app::App;
use crate::auth::{Begun, CHALLENGE, Client, Cookies, Mode, Pass, hash_of};
use crate::limits::USER_AGENT_MAX_BYTES;
use crate::problem::{ApiError, Code, internal};

/// Asks for cookies instead of tokens in the body.
const SESSION_MODE: &str = "x-alyx-session";

/// Body of refresh and logout. Without a token in it the one in the cookie counts.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RefreshToken {
    refresh_token: Option<String>,
}

impl FromRequestParts<App> for Client {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let agent =
            parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        // `to_str` has let only ASCII through, so any byte is a boundary.
        let user_agent = agent[..agent.len().min(USER_AGENT_MAX_BYTES)].to_owned();
        let languages = parts.headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let request_id = parts.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
        let mode = match parts.headers.get(SESSION_MODE).map(HeaderValue::as_bytes) {
            None | Some(b"bearer") => Mode::Bearer,
            Some(b"cookie") => Mode::Cookie,
            Some(_) => {
                let detail = "X-Alyx-Session must be bearer or cookie.";
                return Err(ApiError::new(Code::InvalidRequest, detail));
            }
        };
        Ok(Self {
            address: client_ip(parts, app),
            user_agent,
            request_id,
            mode,
            meter: meter(parts),
            languages: languages.unwrap_or_default().to_owned(),
            pass: pass(parts),
        })
    }
}

fn pass(parts: &Parts) -> Pass {
    let cookies = parts.headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let device = cookies
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == DEVICE_COOKIE);
    Pass {
        device: device.map(|(_, token)| hash_of(token)),
        solution: parts.headers.get(CHALLENGE).and_then(|value| value.to_str().ok()).map(str::to_owned),
        issued: parts.extensions.get::<IssuedDevice>().map(|issued| issued.0.clone()).unwrap_or_default(),
    }
}

fn answer(status: StatusCode, body: &impl Serialize) -> Result<Response, ApiError> {
    let body = serde_json::to_vec(body).map_err(|error| internal("write an answer", &error))?;
    Ok(json(status, body))
}

/// The answer of everything that signs in.
fn begun(status: StatusCode, begun: &Begun) -> Result<Response, ApiError> {
    let status = if matches!(begun, Begun::SignedIn(_)) { status } else { StatusCode::OK };
    with_cookies(answer(status, begun)?, begun.cookies())
}

fn with_cookies(mut response: Response, cookies: Option<&Cookies>) -> Result<Response, ApiError> {
    if let Some(found) = cookies {
        cookies::set(found, &mut response);
    }
    Ok(response)
}

/// The refresh token of a request, from its body or else from its cookie, which then has to show the
/// CSRF token as well. Nothing if there is neither.
async fn presented(
    app: &App,
    headers: &HeaderMap,
    body: RefreshToken,
) -> Result<Option<(String, Mode)>, ApiError> {
    if let Some(token) = body.refresh_token {
        return Ok(Some((token, Mode::Bearer)));
    }
    let Some(token) = cookies::refresh_token(headers)? else { return Ok(None) };
    let shown = cookies::shown_csrf_token(headers)?;
    let session = app.auth.session_of_refresh(token).await?;
    if session.is_some_and(|session| !app.auth.is_csrf_token(&session, shown)) {
        return Err(cookies::rejected("The CSRF token is not that of this session."));
    }
    Ok(Some((token.to_owned(), Mode::Cookie)))
}
