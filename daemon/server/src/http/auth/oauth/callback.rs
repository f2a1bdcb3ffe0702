//! `GET /api/auth/oauth/{provider}/callback`: 303 to the app with `code`, `linked` or `error`. The
//! provider sends browsers here; what it adds beyond the known parameters is ignored (RFC 6749 §4.1.2).

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use http::HeaderMap;

use super::{clear_flow, flow_cookie};
use crate::app::App;
use crate::auth::{Client, OAuthAnswer};
use crate::http::{Params, QueryPairs};
use crate::problem::{ApiError, Code};

pub async fn handle(
    State(app): State<App>,
    Params(provider): Params<String>,
    query: QueryPairs,
    client: Client,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let text = |name: &str| {
        let mut values = query.0.iter().filter(|(found, _)| found == name).map(|(_, value)| value.clone());
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err(ApiError::new(Code::InvalidParameter, format!("{name} may be given once."))),
        }
    };
    let answer = OAuthAnswer {
        code: text("code")?,
        state: text("state")?,
        issuer: text("iss")?,
        error: text("error")?,
    };
    let arrived = app.auth.oauth_callback(&provider, answer, flow_cookie(&headers), &client).await;
    let mut response = match arrived {
        Ok(address) => Redirect::to(address.as_str()).into_response(),
        Err(error) => error.into_response(),
    };
    // Whatever became of it, the flow is over.
    clear_flow(&app, &mut response);
    Ok(response)
}
