//! `/api/admin/secrets…`: secrets of functions. They are set and deleted here, and told to nobody.

use std::collections::BTreeSet;

use alyx_core::schema::is_secret_name;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json as value};

use super::carried_through;
use crate::app::App;
use crate::audit::{Action, Event};
use crate::auth::Client;
use crate::http::{AdminCaller, JsonBody, Params, json};
use crate::limits::SECRET_MAX_BYTES;
use crate::problem::{ApiError, Code};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSecret {
    value: String,
}

/// `GET /api/admin/secrets`: 200 with what is set, and what functions, webhooks and inbound paths ask for,
/// by name.
pub async fn list(State(app): State<App>, AdminCaller(_): AdminCaller) -> Result<Response, ApiError> {
    let (kept, catalog) = (app.secrets.all(), app.catalog.load_full());
    let functions = &catalog.schema.functions;
    let asked = functions.values().flat_map(|function| &function.secrets);
    let signing = app.webhooks.names_of_secrets();
    let checking = catalog.schema.inbound.iter().flat_map(|inbound| &inbound.secrets);
    let names: BTreeSet<&String> = kept.keys().chain(asked).chain(&signing).chain(checking).collect();
    let row = |name: &String| {
        let secret = kept.get(name);
        let users = functions.values().filter(|function| function.secrets.contains(name));
        value!({
            "name": name,
            "state": match secret.map(|secret| &secret.value) {
                None => "missing",
                Some(None) => "unreadable",
                Some(Some(_)) => "set",
            },
            "functions": users.map(|function| &function.name).collect::<Vec<_>>(),
            "created_at": secret.map(|secret| &secret.created_at),
            "updated_at": secret.map(|secret| &secret.updated_at),
        })
    };
    let rows: Vec<Value> = names.into_iter().map(row).collect();
    Ok(json(StatusCode::OK, value!({ "secrets": rows }).to_string()))
}

/// `PUT /api/admin/secrets/{name}`: sets a secret, 204. Functions that name it get new workers.
pub async fn set(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
    Params(name): Params<String>,
    body: JsonBody,
) -> Result<StatusCode, ApiError> {
    let NewSecret { value } = body.parse()?;
    let wrong = |detail: String| Err(ApiError::new(Code::ValidationFailed, detail));
    if !is_secret_name(&name) {
        return wrong("Names match ^[A-Za-z_][A-Za-z0-9_]*$ and have at most 63 characters.".to_owned());
    }
    if value.is_empty() || value.len() > SECRET_MAX_BYTES || value.contains('\0') {
        return wrong(format!("A secret has 1 to {SECRET_MAX_BYTES} bytes and no U+0000."));
    }
    let event = Event::new(Action::SecretSet, &caller.identity, &client).target(format!("secret:{name}"));
    carried_through(&app, async move |app| {
        app.secrets.set(&name, &value, event).await?;
        app.renew();
        Ok::<_, alyx_store::Error>(())
    })
    .await??;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /api/admin/secrets/{name}`: forgets a secret, 204. Functions that name it do not load any more.
pub async fn delete(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    client: Client,
    Params(name): Params<String>,
) -> Result<StatusCode, ApiError> {
    let event = Event::new(Action::SecretDelete, &caller.identity, &client).target(format!("secret:{name}"));
    let removed = carried_through(&app, async move |app| {
        app.secrets.remove(&name, event).await?;
        app.renew();
        Ok::<_, alyx_store::Error>(())
    })
    .await?;
    match removed {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(alyx_store::Error::NotFound) => {
            Err(ApiError::new(Code::SecretNotFound, "There is no secret of this name."))
        }
        Err(error) => Err(error.into()),
    }
}
