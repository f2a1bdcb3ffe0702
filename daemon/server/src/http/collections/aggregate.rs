//! `GET /api/collections/{collection}/aggregate`: 200 with counts, sums and the like over the documents
//! that the caller may see.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::app::App;
use crate::http::{Caller, Params, QueryPairs, json};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    caller: Caller,
    Params(collection): Params<String>,
    QueryPairs(params): QueryPairs,
) -> Result<Response, ApiError> {
    let page = app.documents.aggregate(&caller.identity, &caller.facts, &collection, &params).await?;
    Ok(json(StatusCode::OK, page))
}
