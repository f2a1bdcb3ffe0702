//! `GET /api/auth/oauth/{provider}`: 303 to the provider. A browser is sent here by the app.

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};

use super::set_flow;
use crate::app::App;
use crate::http::{Params, QueryPairs};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    Params(provider): Params<String>,
    query: QueryPairs,
) -> Result<Response, ApiError> {
    query.only(&["redirect", "challenge"])?;
    let value = |name| query.get(name).unwrap_or_default();
    let departure = app.auth.oauth_start(&provider, value("redirect"), value("challenge"), None).await?;
    let mut response = Redirect::to(departure.location.as_str()).into_response();
    set_flow(&app, &mut response, &departure.cookie);
    Ok(response)
}
