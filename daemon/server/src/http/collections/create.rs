//! `POST /api/collections/{collection}`: 201 with the document.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::app::App;
use crate::http::{Caller, JsonBody, Params, json};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    caller: Caller,
    Params(collection): Params<String>,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let document = app.documents.create(&caller.identity, &caller.facts, &collection, &body).await?;
    Ok(json(StatusCode::CREATED, document))
}
