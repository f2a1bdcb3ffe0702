//! `POST /api/collections/{collection}`: 201 with the document. With `upsert=field` the document that has
//! the same value in that unique field is changed instead: 200.

use axum::extract::State;
use axum::response::Response;

use crate::app::App;
use crate::http::{Caller, Conditions, JsonBody, Params, QueryPairs};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    caller: Caller,
    Params(collection): Params<String>,
    query: QueryPairs,
    conditions: Conditions,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    query.only(&["upsert"])?;
    let once = conditions.once(&caller, &body)?;
    let (who, facts) = (&caller.identity, &caller.facts);
    let written = match query.get("upsert") {
        None => app.documents.create(who, facts, &collection, &body, once).await?,
        Some(field) => app.documents.upsert(who, facts, &collection, field, &body, once).await?,
    };
    Ok(conditions.answer(&collection, written))
}
