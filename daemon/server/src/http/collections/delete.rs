//! `DELETE /api/collections/{collection}/{id}`: 204. Denied is 404, the same as absent.

use axum::extract::State;
use http::StatusCode;

use crate::app::App;
use crate::http::{Caller, Params, QueryPairs};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    caller: Caller,
    Params((collection, id)): Params<(String, String)>,
    query: QueryPairs,
) -> Result<StatusCode, ApiError> {
    query.only(&[])?;
    app.documents.delete(&caller.identity, &caller.facts, &collection, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
