//! `GET /api/admin/lockouts`: accounts that are locked for somebody now. `DELETE`: forgets them, or those
//! of one `account`.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::json as value;

use crate::app::App;
use crate::audit::{Action, Event};
use crate::auth::Client;
use crate::clock;
use crate::http::{AdminCaller, QueryPairs, json};
use crate::problem::ApiError;

pub async fn list(State(app): State<App>, AdminCaller(_): AdminCaller) -> Result<Response, ApiError> {
    let row = |row: alyx_store::LockoutRow| {
        value!({
            "account": row.account,
            "place": row.place,
            "failures": row.failures,
            "until": clock::text(row.until),
        })
    };
    let lockouts: Vec<_> = app.auth.lockouts().into_iter().map(row).collect();
    Ok(json(StatusCode::OK, value!({ "lockouts": lockouts }).to_string()))
}

pub async fn clear(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
    query: QueryPairs,
) -> Result<StatusCode, ApiError> {
    query.only(&["account"])?;
    let account = query.get("account");
    let mut event = Event::new(Action::LockoutClear, &caller.identity, &client);
    if account.is_none() {
        event = event.detail("all", true);
    }
    app.auth.clear_lockouts(account, event).await?;
    Ok(StatusCode::NO_CONTENT)
}
