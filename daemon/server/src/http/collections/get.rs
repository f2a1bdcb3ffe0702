//! `GET /api/collections/{collection}/{id}`: 200 with the document. Denied is 404, the same as absent.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::app::App;
use crate::http::{Caller, Params, QueryPairs, json};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    caller: Caller,
    Params((collection, id)): Params<(String, String)>,
    query: QueryPairs,
) -> Result<Response, ApiError> {
    query.only(&[])?;
    let document = app.documents.get(&caller.identity, &caller.facts, &collection, &id).await?;
    Ok(json(StatusCode::OK, document))
}
