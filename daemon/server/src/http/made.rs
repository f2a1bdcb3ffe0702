//! `/api/hooks` and `/api/webhooks`: those of the schema, and those made at run time, for administrators.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value, json as value};

use super::{AdminCaller, JsonBody, Params, json};
use crate::app::App;
use crate::audit::Event;
use crate::auth::Client;
use crate::made::{Keeper, Shown};
use crate::problem::{ApiError, Code};

/// `GET /api/hooks`: 200 with all.
pub async fn list<K: Keeper>(
    State(app): State<App>,
    AdminCaller(_): AdminCaller,
) -> Result<Response, ApiError> {
    let keeper = K::of(&app);
    let all: Vec<Value> = keeper.registry().list().into_iter().map(|one| shape(keeper, one)).collect();
    Ok(json(StatusCode::OK, value!({ K::PLURAL: all }).to_string()))
}

/// `GET /api/hooks/{id}`: 200 with one.
pub async fn get<K: Keeper>(
    State(app): State<App>,
    AdminCaller(_): AdminCaller,
    Params(id): Params<String>,
) -> Result<Response, ApiError> {
    shown::<K>(StatusCode::OK, &app, &id)
}

/// `POST /api/hooks`: makes one, 201. The body is that of the schema, and `enabled`.
pub async fn create<K: Keeper>(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let (definition, enabled) = read(&body)?;
    let [action, ..] = K::ACTIONS;
    let event = Event::new(action, &caller.identity, &client);
    let id = K::of(&app).registry().create(definition, enabled.unwrap_or(true), event).await?;
    K::of(&app).renew();
    shown::<K>(StatusCode::CREATED, &app, &id)
}

/// `PATCH /api/hooks/{id}`: changes what the body names, 200; `enabled` stops and starts it.
pub async fn update<K: Keeper>(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
    Params(id): Params<String>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let (changes, enabled) = read(&body)?;
    let [_, action, _] = K::ACTIONS;
    let event = Event::new(action, &caller.identity, &client);
    K::of(&app).registry().change(&id, changes, enabled, event).await?;
    K::of(&app).renew();
    shown::<K>(StatusCode::OK, &app, &id)
}

/// `DELETE /api/hooks/{id}`: 204.
pub async fn delete<K: Keeper>(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
    Params(id): Params<String>,
) -> Result<StatusCode, ApiError> {
    let [.., action] = K::ACTIONS;
    let event = Event::new(action, &caller.identity, &client);
    K::of(&app).registry().delete(&id, event).await?;
    K::of(&app).renew();
    Ok(StatusCode::NO_CONTENT)
}

/// A definition, and whether it is to run.
fn read(body: &JsonBody) -> Result<(Map<String, Value>, Option<bool>), ApiError> {
    let mut members: Map<String, Value> = body.parse()?;
    match members.remove("enabled") {
        None => Ok((members, None)),
        Some(Value::Bool(enabled)) => Ok((members, Some(enabled))),
        Some(_) => Err(ApiError::new(Code::ValidationFailed, "enabled is true or false.")),
    }
}

fn shown<K: Keeper>(status: StatusCode, app: &App, id: &str) -> Result<Response, ApiError> {
    let keeper = K::of(app);
    Ok(json(status, shape(keeper, keeper.registry().get(id)?).to_string()))
}

fn shape<K: Keeper>(keeper: &K, one: Shown) -> Value {
    let problem = one.problem.or_else(|| keeper.problem(&one.id));
    value!({
        "id": one.id,
        "definition": one.definition,
        "enabled": one.enabled,
        "source": if one.in_schema { "schema" } else { "api" },
        "problem": problem,
    })
}
