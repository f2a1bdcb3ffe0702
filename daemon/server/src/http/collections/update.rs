//! `PATCH /api/collections/{collection}/{id}`: 200 with the changed document. Absent fields keep their
//! value, `null` sets null. Denied is 404, the same as absent.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::app::App;
use crate::http::{Caller, JsonBody, Params, json};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    caller: Caller,
    Params((collection, id)): Params<(String, String)>,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let document = app.documents.update(&caller.identity, &caller.facts, &collection, &id, &body).await?;
    Ok(json(StatusCode::OK, document))
}
