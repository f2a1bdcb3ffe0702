//! `POST /api/admin/signing-keys/rotate`: access tokens are signed with a new key, 201 with its name.
//! `{"drop_previous": true}` refuses the tokens of all keys before it at once.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::json as value;

use crate::app::App;
use crate::auth::Client;
use crate::http::{AdminCaller, JsonBody, json};
use crate::problem::ApiError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    #[serde(default)]
    drop_previous: bool,
}

pub async fn handle(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let Rotation { drop_previous } = body.parse()?;
    let kid = app.auth.rotate_keys(drop_previous, &caller.identity, &client).await?;
    Ok(json(StatusCode::CREATED, value!({ "kid": kid }).to_string()))
}
