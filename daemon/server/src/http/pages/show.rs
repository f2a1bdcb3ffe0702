//! `GET /auth/{page}?token=…`: the page of a link, 200, or 400 if it cannot be one of ours.

use axum::response::Response;

use super::{dead, form, is_token, link};
use crate::http::{Params, QueryPairs};
use crate::problem::{ApiError, Code};

pub async fn handle(Params(page): Params<String>, query: QueryPairs) -> Result<Response, ApiError> {
    let link = link(&page).ok_or_else(|| ApiError::new(Code::NotFound, "There is no such page."))?;
    Ok(match query.get("token").filter(|token| is_token(token)) {
        Some(token) => form(link, token, ""),
        None => dead(),
    })
}
