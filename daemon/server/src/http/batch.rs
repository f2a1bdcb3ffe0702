//! `POST /api/batch`: 200 with the result of every operation. All are done, or none.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::app::App;
use crate::documents::Batch;
use crate::http::{Caller, Conditions, JsonBody, QueryPairs, json};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    caller: Caller,
    query: QueryPairs,
    conditions: Conditions,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    query.only(&[])?;
    let batch = Batch::parse(&body)?;
    let once = conditions.once(&caller, &body)?;
    let results = app.documents.batch(&caller.identity, &caller.facts, batch, once).await?;
    Ok(json(StatusCode::OK, results))
}
