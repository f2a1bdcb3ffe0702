//! `GET /api/admin/mail`: 200 with mails, newest first, of one state if `state` says which.

use alyx_store::MailRow;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json as value};

use crate::app::App;
use crate::http::{AdminCaller, QueryPairs, json};
use crate::limits::USERS_PAGE_MAX;
use crate::problem::{ApiError, Code};

/// What `state` may be.
const STATES: [&str; 3] = ["waiting", "sent", "dead"];

pub async fn handle(
    State(app): State<App>,
    AdminCaller(_): AdminCaller,
    query: QueryPairs,
) -> Result<Response, ApiError> {
    query.only(&["state", "before", "limit"])?;
    let wrong = |detail: &str| ApiError::new(Code::InvalidParameter, detail);
    let state = query.get("state").map(str::to_owned);
    if state.as_deref().is_some_and(|state| !STATES.contains(&state)) {
        return Err(wrong("state must be waiting, sent or dead."));
    }
    let before = query.get("before").map(|text| text.parse::<i64>().ok().filter(|number| *number > 0));
    let before =
        before.map(|number| number.ok_or_else(|| wrong("before must be a whole number above zero.")));
    let limit = query.number("limit", 30, USERS_PAGE_MAX)?;
    let mails = app.store.list_mails(state, before.transpose()?, limit).await?;
    // A full page may have a next one, which begins before the last of this.
    let next = mails.last().filter(|_| mails.len() == limit as usize).map(|row| row.seq);
    let mails: Vec<Value> = mails.iter().map(shape).collect();
    Ok(json(StatusCode::OK, value!({ "mails": mails, "limit": limit, "next_before": next }).to_string()))
}

fn shape(row: &MailRow) -> Value {
    value!({
        "id": row.id,
        "to": row.recipient,
        "template": row.template,
        "state": row.state,
        "attempts": row.attempts,
        "created_at": row.created_at,
        "due_at": (row.state == "waiting").then_some(&row.due_at),
        "expires_at": row.expires_at,
        "error": row.error,
    })
}
