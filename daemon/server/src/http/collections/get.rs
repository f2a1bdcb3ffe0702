//! `GET /api/collections/{collection}/{id}`: 200 with the document, 304 to whom has it. Denied is 404, the same as absent.

use axum::extract::State;
use axum::response::Response;

use crate::app::App;
use crate::http::{Caller, Conditions, Params, QueryPairs};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    caller: Caller,
    Params((collection, id)): Params<(String, String)>,
    QueryPairs(params): QueryPairs,
    conditions: Conditions,
) -> Result<Response, ApiError> {
    let document = app.documents.get(&caller.identity, &caller.facts, &collection, &id, &params).await?;
    conditions.shown(document)
}
