//! `DELETE /api/collections/{collection}`: deletes what `where` selects, at most `limit`. 200 with the count.

use axum::Json;
use axum::extract::State;

use crate::app::App;
use crate::documents::BulkOutcome;
use crate::http::{Caller, Params, QueryPairs};
use crate::problem::ApiError;

pub async fn handle(
    State(app): State<App>,
    caller: Caller,
    Params(collection): Params<String>,
    QueryPairs(params): QueryPairs,
) -> Result<Json<BulkOutcome>, ApiError> {
    let (who, facts) = (&caller.identity, &caller.facts);
    app.documents.delete_many(who, facts, &collection, &params).await.map(Json)
}
