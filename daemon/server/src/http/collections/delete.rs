//! `DELETE /api/collections/{collection}/{id}`: 204. Denied is 404, the same as absent.

use axum::extract::State;
use http::StatusCode;

use crate::app::App;
use crate::http::{Caller, Conditions, Params, QueryPairs};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    caller: Caller,
    Params((collection, id)): Params<(String, String)>,
    query: QueryPairs,
    conditions: Conditions,
) -> Result<StatusCode, ApiError> {
    query.only(&[])?;
    let precondition = conditions.precondition()?;
    app.documents.delete(&caller.identity, &caller.facts, &collection, &id, precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}
