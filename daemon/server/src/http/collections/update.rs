//! `PATCH /api/collections/{collection}/{id}`: 200 with the changed document. Absent fields keep their
//! value, `null` sets null, `{"$inc": 1}` and its like change what is there. Denied is 404, the same as
//! absent.

use axum::extract::State;
use axum::response::Response;

use crate::app::App;
use crate::http::{Caller, Conditions, JsonBody, Params, QueryPairs};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    caller: Caller,
    Params((collection, id)): Params<(String, String)>,
    query: QueryPairs,
    conditions: Conditions,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    query.only(&[])?;
    let precondition = conditions.precondition()?;
    let (who, facts) = (&caller.identity, &caller.facts);
    let written = app.documents.update(who, facts, &collection, &id, &body, precondition).await?;
    Ok(conditions.answer(&collection, written))
}
