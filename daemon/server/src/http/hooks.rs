//! `/api/hooks…`: hooks of the schema, and those made at run time, for administrators.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value, json as value};

use super::{AdminCaller, JsonBody, Params, json};
use crate::app::App;
use crate::audit::{Action, Event};
use crate::auth::Client;
use crate::hooks::{Declared, NewHook};
use crate::problem::{ApiError, Code};

/// `GET /api/hooks`: 200 with all hooks.
pub async fn list(State(app): State<App>, AdminCaller(_): AdminCaller) -> Result<Response, ApiError> {
    let hooks: Vec<Value> = app.hooks.list().into_iter().map(shown).collect();
    Ok(json(StatusCode::OK, value!({ "hooks": hooks }).to_string()))
}

/// `GET /api/hooks/{id}`: 200 with one.
pub async fn get(
    State(app): State<App>,
    AdminCaller(_): AdminCaller,
    Params(id): Params<String>,
) -> Result<Response, ApiError> {
    Ok(json(StatusCode::OK, shown(app.hooks.get(&id)?).to_string()))
}

/// `POST /api/hooks`: makes a hook, 201. The body is that of the schema, and `enabled`.
pub async fn create(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let (definition, enabled) = read(&body)?;
    let event = Event::new(Action::HookCreate, &caller.identity, &client);
    let new = NewHook { definition, enabled: enabled.unwrap_or(true) };
    let id = app.hooks.create(new, event).await?;
    Ok(json(StatusCode::CREATED, shown(app.hooks.get(&id)?).to_string()))
}

/// `PATCH /api/hooks/{id}`: changes what the body names, 200; `enabled` stops and starts it.
pub async fn update(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
    Params(id): Params<String>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let (changes, enabled) = read(&body)?;
    let event = Event::new(Action::HookUpdate, &caller.identity, &client);
    app.hooks.change(&id, changes, enabled, event).await?;
    Ok(json(StatusCode::OK, shown(app.hooks.get(&id)?).to_string()))
}

/// `DELETE /api/hooks/{id}`: 204.
pub async fn delete(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
    Params(id): Params<String>,
) -> Result<StatusCode, ApiError> {
    let event = Event::new(Action::HookDelete, &caller.identity, &client);
    app.hooks.delete(&id, event).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A definition, and whether it is to run.
pub(super) fn read(body: &JsonBody) -> Result<(Map<String, Value>, Option<bool>), ApiError> {
    let mut members: Map<String, Value> = body.parse()?;
    match members.remove("enabled") {
        None => Ok((members, None)),
        Some(Value::Bool(enabled)) => Ok((members, Some(enabled))),
        Some(_) => Err(ApiError::new(Code::ValidationFailed, "enabled is true or false.")),
    }
}

/// As it is shown.
pub(super) fn shown(hook: Declared) -> Value {
    value!({
        "id": hook.id,
        "definition": hook.definition,
        "enabled": hook.enabled,
        "source": if hook.in_schema { "schema" } else { "api" },
        "problem": hook.problem,
    })
}
