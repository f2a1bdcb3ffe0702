//! `GET /api/admin/users`: 200 with a page of accounts, oldest first; with `search` those whose
//! address contains it or whose id it is.

use alyx_core::document::Access;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::app::App;
use crate::documents::to_json;
use crate::http::{AdminCaller, QueryPairs, json};
use crate::limits::USERS_PAGE_MAX;
use crate::problem::{ApiError, Code};

pub async fn handle(
    State(app): State<App>,
    AdminCaller(_): AdminCaller,
    query: QueryPairs,
) -> Result<Response, ApiError> {
    query.only(&["limit", "offset", "search"])?;
    let limit = query.number("limit", 30, USERS_PAGE_MAX)?;
    let offset = match query.get("offset").map(str::parse::<u32>) {
        None => 0,
        Some(Ok(offset)) => offset,
        Some(Err(_)) => return Err(ApiError::new(Code::InvalidParameter, "offset must be a whole number.")),
    };
    let accounts =
        app.store.list_accounts(query.get("search").unwrap_or_default(), limit, u64::from(offset)).await?;
    let mut body = b"{\"users\":[".to_vec();
    for (index, account) in accounts.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&to_json(&account.users, &account.document, &Access::Admin.into()));
    }
    body.extend_from_slice(format!("],\"limit\":{limit}}}").as_bytes());
    Ok(json(StatusCode::OK, body))
}
