//! `GET /api/admin/audit`: rows of the audit log that meet every filter, newest first; after a place in
//! it, oldest first.

use alyx_store::{AuditFilter, AuditOutcome, AuditPage, AuditRecord};
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json as value};

use crate::app::App;
use crate::http::{AdminCaller, QueryPairs, json};
use crate::limits::AUDIT_PAGE_MAX;
use crate::problem::{ApiError, Code};

/// Names of the filters that are text, as they are.
const TEXTS: [&str; 5] = ["identity", "action", "target", "request_id", "address"];

/// All other parameters.
const OTHERS: [&str; 6] = ["outcome", "since", "until", "before", "after", "limit"];

pub async fn handle(
    State(app): State<App>,
    AdminCaller(_): AdminCaller,
    query: QueryPairs,
) -> Result<Response, ApiError> {
    let known: Vec<&str> = TEXTS.into_iter().chain(OTHERS).collect();
    query.only(&known)?;
    let limit = query.number("limit", 30, AUDIT_PAGE_MAX)?;
    let page = page(&query)?;
    let text = |name: &str| query.get(name).map(str::to_owned);
    let account = account(&app, &query, "identity").await?;
    let target = account_target(&app, &query).await?;
    let filter = AuditFilter {
        identity: text("identity").filter(|_| account.is_none()),
        account,
        action: text("action"),
        target,
        outcome: outcome(&query)?,
        request_id: text("request_id"),
        address: text("address"),
        since: time(&query, "since")?,
        until: time(&query, "until")?,
        page,
        limit,
    };
    let rows = app.store.audit_rows(filter).await?;
    // A full page may have a next one, which goes on at the last row of this.
    let last = rows.last().filter(|_| rows.len() == limit as usize).map(|row| row.seq);
    let next = if matches!(page, AuditPage::After(_)) { "next_after" } else { "next_before" };
    let entries: Vec<Value> = rows.iter().map(shape).collect();
    let mut answer = value!({ "entries": entries, "limit": limit });
    answer[next] = last.into();
    Ok(json(StatusCode::OK, answer.to_string()))
}

fn shape(record: &AuditRecord) -> Value {
    let row = &record.row;
    let details = row.details_json.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    value!({
        "seq": record.seq,
        "at": record.at,
        "identity": row.identity,
        "address": row.address,
        "action": row.action,
        "target": row.target,
        "outcome": row.outcome.as_str(),
        "request_id": row.request_id,
        "details": details.unwrap_or_else(|| value!({})),
    })
}

/// The id of the account whose address a parameter holds, if it holds one: rows have ids only.
async fn account(app: &App, query: &QueryPairs, name: &str) -> Result<Option<String>, ApiError> {
    let Some(address) = query.get(name).filter(|text| text.contains('@')) else { return Ok(None) };
    let found = app.auth.id_of_address(address).await?;
    let unknown = || wrong(&format!("{name}: no account has this address now; its id finds its rows."));
    found.map(Some).ok_or_else(unknown)
}

async fn account_target(app: &App, query: &QueryPairs) -> Result<Option<String>, ApiError> {
    let id = account(app, query, "target").await?;
    Ok(id.map(|id| format!("user:{id}")).or_else(|| query.get("target").map(str::to_owned)))
}

fn outcome(query: &QueryPairs) -> Result<Option<AuditOutcome>, ApiError> {
    let Some(text) = query.get("outcome") else { return Ok(None) };
    AuditOutcome::parse(text).map(Some).ok_or_else(|| wrong("outcome must be ok, denied or failed."))
}

fn time(query: &QueryPairs, name: &str) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = query.get(name) else { return Ok(None) };
    let time =
        text.parse().map_err(|_| wrong(&format!("{name} must be a time such as 2026-01-31T12:00:00Z.")))?;
    Ok(Some(time))
}

fn page(query: &QueryPairs) -> Result<AuditPage, ApiError> {
    let number = |name: &str, text: &str| {
        let number = text.parse::<i64>().ok().filter(|number| *number >= 0);
        number.ok_or_else(|| wrong(&format!("{name} must be a whole number, zero or more.")))
    };
    match (query.get("before"), query.get("after")) {
        (None, None) => Ok(AuditPage::Newest),
        (Some(text), None) => Ok(AuditPage::Before(number("before", text)?)),
        (None, Some(text)) => Ok(AuditPage::After(number("after", text)?)),
        (Some(_), Some(_)) => Err(wrong("before and after exclude each other.")),
    }
}

fn wrong(detail: &str) -> ApiError {
    ApiError::new(Code::InvalidParameter, detail)
}
