//! The OpenAPI 3.1 description, made from the route list and the schema in force.
//!
//! Routes with `{collection}` and `{name}` are written out for each collection and function, with
//! the fields that clients see. It is made when it is asked for and kept until the schema changes.

mod mail_shapes;
mod problems;
mod queries;
mod shapes;
mod writes;

use std::sync::{Arc, Mutex, PoisonError};

use alyx_core::catalog::Catalog;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::catalog::CatalogHandle;
use crate::documents::USERS;
use crate::http::routes::{Access, Body, Route, Success, routes};

/// The description. A cheap clone.
#[derive(Clone)]
pub struct OpenApi {
    catalog: CatalogHandle,
    kept: Arc<Mutex<Option<Kept>>>,
}

/// A description and what it describes.
struct Kept {
    of: Arc<Catalog>,
    document: Bytes,
}

impl OpenApi {
    /// Describes whatever catalog is in force.
    pub fn new(catalog: CatalogHandle) -> Self {
        Self { catalog, kept: Arc::default() }
    }

    /// The description as JSON text.
    pub fn document(&self) -> Bytes {
        let catalog = self.catalog.load_full();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some(kept) if Arc::ptr_eq(&kept.of, &catalog) => kept.document.clone(),
            _ => {
                let document = Bytes::from(build(&catalog).to_string());
                *kept = Some(Kept { of: catalog, document: document.clone() });
                document
            }
        }
    }
}

fn build(catalog: &Catalog) -> Value {
    let mut paths = Map::new();
    for route in routes() {
        for place in places(&route, catalog) {
            let entry = paths.entry(place.path.clone()).or_insert_with(|| json!({}));
            entry[route.method.as_str().to_ascii_lowercase()] = operation(&route, &place);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Alyx",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": shapes::all(&catalog.schema),
            "securitySchemes": { "token": {
                "type": "http", "scheme": "bearer",
                "description": "An access token, or an API key",
            } },
        },
    })
}

/// A route as it is for one collection or function.
struct Place {
    path: String,
    /// The collection or function it was written out for.
    of: Option<String>,
}

fn places(route: &Route, catalog: &Catalog) -> Vec<Place> {
    let for_each = |parameter: &str, names: Vec<&String>| {
        let place =
            |name: &String| Place { path: route.path.replace(parameter, name), of: Some(name.clone()) };
        names.into_iter().map(place).collect()
    };
    if route.path.contains("{collection}") {
        for_each("{collection}", catalog.schema.collections.keys().collect())
    } else if route.path.starts_with("/api/functions/") {
        for_each("{name}", catalog.schema.functions.keys().collect())
    } else {
        // Of several segments.
        vec![Place { path: route.path.replace("{*", "{"), of: None }]
    }
}

fn operation(route: &Route, place: &Place) -> Value {
    let mut operation = json!({
        "operationId": place.of.as_ref().map_or_else(
            || route.operation.to_owned(),
            |of| format!("{}_{of}", route.operation),
        ),
        "summary": route.summary,
        "tags": [tag(route, place)],
        "responses": responses(route, place),
    });
    let parameters = parameters(route, place);
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    if let Body::Json(shape) = route.body {
        let required = route.path != "/api/functions/{name}";
        operation["requestBody"] = json!({ "required": required, "content": content(shape, place) });
    }
    if route.body == Body::Any {
        operation["requestBody"] = json!({ "content": { "*/*": { "schema": {} } } });
    }
    if let Body::Form(shape) = route.body {
        let form = json!({ "schema": shapes::reference(shape, None) });
        let content = json!({ "application/x-www-form-urlencoded": form });
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    operation["security"] = match route.access {
        Access::Open => json!([]),
        Access::Rule => json!([{}, { "token": [] }]),
        Access::User | Access::Admin => json!([{ "token": [] }]),
    };
    operation
}

fn tag(route: &Route, place: &Place) -> String {
    match (&place.of, route.path.split('/').nth(2)) {
        (Some(of), _) if route.path.contains("{collection}") => of.clone(),
        (_, Some(section)) if route.path.starts_with("/api/") => section.trim_end_matches(".json").to_owned(),
        _ => "health".to_owned(),
    }
}

fn content(shape: &str, place: &Place) -> Value {
    json!({ "application/json": { "schema": shapes::reference(shape, place.of.as_deref()) } })
}

fn responses(route: &Route, place: &Place) -> Value {
    let mut responses = Map::new();
    let (status, answer) = match route.success {
        Success::Nothing => (204, json!({ "description": "Done" })),
        Success::Accepted => (202, json!({ "description": "It will be done" })),
        Success::Page => {
            let page = json!({ "text/html": { "schema": { "type": "string" } } });
            (200, json!({ "description": "A page", "content": page }))
        }
        Success::Text => {
            let text = json!({ "text/plain": { "schema": { "type": "string" } } });
            (200, json!({ "description": "Text", "content": text }))
        }
        Success::Stream => {
            responses
                .insert("101".to_owned(), json!({ "description": "A WebSocket, subprotocol `alyx.v1`" }));
            let stream = json!({ "text/event-stream": { "schema": { "type": "string" } } });
            (200, json!({ "description": "Server-sent events", "content": stream }))
        }
        Success::Redirect => (303, json!({ "description": "Go on at `Location`" })),
        Success::Json(status, shape) => {
            (status, json!({ "description": "Done", "content": content(shape, place) }))
        }
    };
    if route.operation == "register" {
        let description = "A mail was sent; the same whether or not there is such an account";
        responses.insert("202".to_owned(), json!({ "description": description }));
    }
    // Accounts are made elsewhere; who tries it here is told where.
    if route.operation != "createDocument" || place.of.as_deref() != Some(USERS) {
        responses.insert(status.to_string(), answer);
    }
    if route.operation != "createDocument" || place.of.as_deref() != Some(USERS) {
        writes::further(route, |shape| content(shape, place), &mut responses);
    }
    if route.path.starts_with("/api/functions/") {
        responses.insert("204".to_owned(), json!({ "description": "The function returned nothing" }));
    }
    if route.operation == "receive" {
        let description = "It came before, or what the function answers";
        responses.insert("200".to_owned(), json!({ "description": description }));
    }
    problems::describe(route, &mut responses);
    if route.success == Success::Page {
        // A link that leads nowhere and a form that is not accepted are pages, too.
        for status in ["400", "422"] {
            if let Some(response) = responses.get_mut(status) {
                response["content"]["text/html"] = json!({ "schema": { "type": "string" } });
            }
        }
    }
    Value::Object(responses)
}

fn parameters(route: &Route, place: &Place) -> Vec<Value> {
    let in_path = place.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = in_path
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    let queries: &[(&str, Value)] = &match route.operation {
        "listDocuments" => queries::list(),
        "getDocument" => queries::get(),
        "aggregateDocuments" => queries::aggregate(),
        "listChanges" => shapes::store::change_parameters(),
        "pruneBackups" => shapes::store::prune_parameters(),
        "listUsers" => shapes::page_parameters(),
        "openRealtime" => vec![("subscribe", json!({ "type": "array", "items": { "type": "string" } }))],
        "listJobs" => shapes::jobs::list_parameters(),
        "listEvents" => shapes::hooks::event_parameters(),
        "listDeliveries" => shapes::webhooks::delivery_parameters(),
        "purgeJobs" => shapes::jobs::purge_parameters(),
        "listMails" => shapes::mail_parameters(),
        "showPage" => vec![("token", json!({ "type": "string" }))],
        "listAudit" => shapes::store::audit_parameters(),
        "clearLockouts" => vec![("account", json!({ "type": "string" }))],
        "listExecutions" | "functionLogs" => shapes::execution_parameters(route.operation),
        _ => Vec::new(),
    };
    let in_query =
        queries.iter().map(|(name, schema)| json!({ "name": name, "in": "query", "schema": schema }));
    parameters.extend(in_query);
    parameters.extend(writes::parameters(route));
    parameters
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use alyx_core::catalog::Catalog;
    use alyx_core::schema::parse;
    use serde_json::Value;

    use super::build;
    use crate::http::routes::routes;

    const SCHEMA: &str = "version: 1
collections:
  posts:
    fields:
      id: { type: id, primary: true, default: auto }
      title: { type: string, minLength: 1, maxLength: 20 }
      unseen: { type: string, nullable: true, internal: true }
      pin: { type: string, nullable: true, hidden: true }
      created_at: { type: timestamp, default: now }
functions:
  hello: { runtime: node }
";

    fn document() -> Value {
        build(&Catalog::build("schema.yaml", parse("schema.yaml", SCHEMA).unwrap()).unwrap())
    }

    #[test]
    fn no_shape_is_defined_twice() {
        let mut seen = BTreeSet::new();
        for name in super::shapes::tables().into_iter().flatten().map(|(name, _)| name) {
            assert!(seen.insert(name.clone()), "{name} is there twice, and one of them wins silently");
        }
        assert!(seen.contains("NewPassword") && seen.contains("PasswordByLink"));
    }

    #[test]
    fn the_description_has_every_route_and_no_other() {
        let document = document();
        let described: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, methods)| {
                methods.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone()))
            })
            .collect();
        let mut served = BTreeSet::new();
        for route in routes() {
            let path = route
                .path
                .replace("{*", "{")
                .replace("/functions/{name}", "/functions/hello")
                .replace("admin/functions/hello", "admin/functions/{name}");
            for collection in ["posts", "users"] {
                served.insert((route.method.to_string(), path.replace("{collection}", collection)));
            }
        }
        assert_eq!(described, served);
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn check(value: &Value, document: &Value) {
            match value {
                Value::Object(members) => {
                    if let Some(Value::String(reference)) = members.get("$ref") {
                        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
                    }
                    members.values().for_each(|value| check(value, document));
                }
                Value::Array(items) => items.iter().for_each(|value| check(value, document)),
                _ => {}
            }
        }
        let document = document();
        check(&document, &document);
    }

    #[test]
    fn what_clients_do_not_see_is_not_described() {
        let document = document();
        let fields =
            |shape: &str| document["components"]["schemas"][shape]["properties"].as_object().unwrap().clone();
        assert!(!document.to_string().contains("unseen"));
        assert!(!fields("posts").contains_key("pin"));
        assert!(fields("posts_new").contains_key("pin"));
        assert!(!fields("posts_new").contains_key("id"));
        assert!(!fields("posts_new").contains_key("created_at"));
        assert_eq!(fields("posts")["title"]["maxLength"], 20);
    }
}
