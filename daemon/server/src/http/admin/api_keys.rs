//! `/api/admin/api-keys…`: keys of programs. People manage them; a key opens none of these routes.

use std::time::Duration;

use alyx_store::ApiKey;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json as value};

use crate::app::App;
use crate::auth::{Client, NewApiKey};
use crate::clock;
use crate::http::{AdminCaller, JsonBody, Params, json};
use crate::limits::API_KEY_OVERLAP_MAX;
use crate::problem::{ApiError, Code};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: String,
    scopes: Vec<String>,
    #[serde(default)]
    expires_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    #[serde(default)]
    overlap_seconds: u64,
}

/// `GET /api/admin/api-keys`: 200 with all keys, newest first.
pub async fn list(State(app): State<App>, AdminCaller(_): AdminCaller) -> Result<Response, ApiError> {
    let keys: Vec<Value> = app.auth.api_keys().await?.iter().map(shape).collect();
    Ok(json(StatusCode::OK, value!({ "api_keys": keys }).to_string()))
}

/// `GET /api/admin/api-keys/{id}`: 200 with one.
pub async fn show(
    State(app): State<App>,
    AdminCaller(_): AdminCaller,
    Params(id): Params<String>,
) -> Result<Response, ApiError> {
    Ok(json(StatusCode::OK, shape(&app.auth.api_key(&id).await?).to_string()))
}

/// `POST /api/admin/api-keys`: makes a key, 201 with it and its whole text, `key`.
pub async fn create(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let Wanted { name, scopes, expires_at } = body.parse()?;
    let expires_at = expires_at.map(|text| text.parse::<Timestamp>()).transpose().map_err(|_| {
        ApiError::new(Code::ValidationFailed, "expires_at must be a time such as 2030-01-31T00:00:00Z.")
    })?;
    let wanted = NewApiKey { name, scopes, expires_at };
    let (made, key) = app.auth.create_api_key(wanted, &caller.identity, &client).await?;
    let mut answer = shape(&made);
    answer["key"] = key.into();
    Ok(json(StatusCode::CREATED, answer.to_string()))
}

/// `POST /api/admin/api-keys/{id}/rotate`: gives a key another secret, 200 with the whole text.
pub async fn rotate(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
    Params(id): Params<String>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let Rotation { overlap_seconds } = body.parse()?;
    let overlap = Duration::from_secs(overlap_seconds);
    if overlap > API_KEY_OVERLAP_MAX {
        let detail = format!("overlap_seconds is at most {}.", API_KEY_OVERLAP_MAX.as_secs());
        return Err(ApiError::new(Code::ValidationFailed, detail));
    }
    let key = app.auth.rotate_api_key(&id, overlap, &caller.identity, &client).await?;
    Ok(json(StatusCode::OK, value!({ "id": id, "key": key }).to_string()))
}

/// `DELETE /api/admin/api-keys/{id}`: ends a key, 204.
pub async fn revoke(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
    Params(id): Params<String>,
) -> Result<StatusCode, ApiError> {
    app.auth.revoke_api_key(&id, &caller.identity, &client).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn shape(key: &ApiKey) -> Value {
    let scopes: Value = serde_json::from_str(&key.scopes_json).unwrap_or_default();
    let time = |time: &Option<Timestamp>| time.map(clock::text);
    value!({
        "id": key.id,
        "name": key.name,
        "scopes": scopes,
        "created_at": clock::text(key.created_at),
        "created_by": key.created_by,
        "rotated_at": time(&key.rotated_at),
        "expires_at": time(&key.expires_at),
        "last_used_at": time(&key.last_used_at),
    })
}
