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
    query: QueryPairs,
    conditions: Conditions,
) -> Result<Response, ApiError> {
    query.only(&[])?;
    let document = app.documents.get(&caller.identity, &caller.facts, &collection, &id).await?;
    conditions.shown(document)
}
