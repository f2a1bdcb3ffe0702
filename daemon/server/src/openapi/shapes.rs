//! Table of the shapes of bodies, as JSON Schema 2020-12: long, flat, one entry a shape.

mod api_keys;
pub mod hooks;
pub mod inbound;
pub mod jobs;
pub mod oauth;
pub mod passkeys;
pub mod realtime;
pub mod schedules;
pub mod store;
pub mod webhooks;

use alyx_core::schema::{Collection, DefaultValue, Field, FieldKind, Format, Schema};
use serde_json::{Map, Value, json};

use super::queries;
use super::writes::{self, change};
use crate::documents::USERS;
use crate::functions::{OUTCOMES, TRIGGERS};
use crate::http::COMPONENTS;
use crate::limits::SECRET_MAX_BYTES;

/// A reference to a shape. Those of documents and functions depend on which one.
pub fn reference(shape: &str, of: Option<&str>) -> Value {
    let name = match (shape, of) {
        ("Document", Some(of)) => of.to_owned(),
        ("User", _) => USERS.to_owned(),
        ("NewDocument", Some(of)) => format!("{of}_new"),
        ("DocumentChanges", Some(of)) => format!("{of}_changes"),
        ("DocumentList", Some(of)) => format!("{of}_list"),
        ("DocumentShown", Some(of)) => format!("{of}_shown"),
        ("Aggregates", Some(of)) => format!("{of}_aggregates"),
        ("FunctionInput" | "FunctionOutput", _) => return json!({ "description": "Any JSON value" }),
        ("Object", _) => return json!({ "type": "object" }),
        (fixed, _) => fixed.to_owned(),
    };
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// All shapes that can be referred to.
pub fn all(schema: &Schema) -> Value {
    let mut shapes: Map<String, Value> = tables().into_iter().flatten().collect();
    for (name, collection) in &schema.collections {
        shapes.insert(name.clone(), read_shape(collection));
        shapes.insert(format!("{name}_new"), write_shape(collection, Write::Create));
        shapes.insert(format!("{name}_changes"), write_shape(collection, Write::Update));
        shapes.insert(format!("{name}_shown"), queries::shown(read_shape(collection)));
        shapes.insert(format!("{name}_list"), queries::page(name));
        shapes.insert(format!("{name}_aggregates"), queries::aggregates(&read_shape(collection)));
    }
    if let Some(users) = schema.collections.get(USERS) {
        let password = ("password", json!({ "type": "string", "maxLength": 1024 }));
        let email = ("email", json!({ "type": "string", "format": "email", "maxLength": 254 }));
        shapes
            .insert("Registration".to_owned(), with(write_shape(users, Write::Create), &[&email, &password]));
        let role = ("role", json!({ "type": "string" }));
        let verified = ("verified", json!({ "type": "boolean" }));
        let setup = with(shapes["Registration"].clone(), &[&("token", json!({ "type": "string" }))]);
        shapes.insert("Setup".to_owned(), setup);
        let disabled = ("disabled", json!({ "type": "boolean" }));
        let mut changes = write_shape(users, Write::Update);
        let mut profile = changes.clone();
        let mut new_user = with(write_shape(users, Write::Create), &[&email]);
        for (name, shape) in [email, role, verified, disabled] {
            changes["properties"][name] = shape.clone();
            new_user["properties"][name] = shape;
        }
        new_user["properties"]["password"] = password.1.clone();
        new_user["properties"]["password_hash"] = json!({ "type": "string" });
        profile["properties"]["password"] = password.1;
        for name in ["current_password", "code", "recovery_code"] {
            profile["properties"][name] = json!({ "type": ["string", "null"] });
        }
        profile["properties"]["passkey"] =
            json!({ "oneOf": [{ "$ref": "#/components/schemas/ShownPasskey" }, { "type": "null" }] });
        shapes.insert("NewUser".to_owned(), new_user);
        shapes.insert("UserChanges".to_owned(), changes);
        shapes.insert("ProfileChanges".to_owned(), profile);
    }
    Value::Object(shapes)
}

fn with(mut shape: Value, required: &[&(&str, Value)]) -> Value {
    for (name, property) in required {
        shape["properties"][*name] = property.clone();
        if let Some(names) = shape["required"].as_array_mut() {
            names.push(json!(name));
        }
    }
    shape
}

/// An object with these properties, some of them required.
pub fn object(properties: Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required })
}

/// Shapes that do not depend on the schema; no two have the same name.
pub fn tables() -> Vec<Map<String, Value>> {
    let user = json!({ "$ref": format!("#/components/schemas/{USERS}") });
    let own = [fixed(&user), signing_in(&user), account_shapes(), migration_shapes()];
    let mut tables: Vec<_> = own.into_iter().filter_map(|table| table.as_object().cloned()).collect();
    let writes = writes::fixed().into_iter().map(|(name, shape)| (name.to_owned(), shape)).collect();
    tables.extend([
        api_keys::all(),
        hooks::all(),
        webhooks::all(),
        inbound::all(),
        jobs::all(),
        realtime::all(),
        oauth::all(),
        passkeys::all(),
        schedules::all(),
        store::all(),
        writes,
        super::mail_shapes::shapes(),
    ]);
    tables
}

fn fixed(user: &Value) -> Value {
    let text = || json!({ "type": "string" });
    let whole = || json!({ "type": "integer" });
    let texts = || json!({ "type": "array", "items": text() });
    let state = || json!({ "type": "string", "enum": ["ok", "degraded", "down"] });
    let field =
        object(json!({ "field": text(), "code": text(), "message": text() }), &["field", "code", "message"]);
    json!({
        "Problem": object(
            json!({
                "type": text(), "title": text(), "status": whole(), "detail": text(), "code": text(),
                "hint": text(), "errors": { "type": "array", "items": field }, "details": {},
                "request_id": text(),
            }),
            &["type", "title", "status", "detail", "code", "request_id"],
        ),
        "Credentials": object(json!({ "email": text(), "password": text() }), &["email", "password"]),
        "AuthStatus": object(
            json!({
                "needs_setup": { "type": "boolean" }, "registration": { "enum": ["open", "verified", "closed"] },
                "methods": { "type": "array", "items": text() }, "second_factors": texts(),
                "providers": texts(), "min_password_length": whole(),
            }),
            &[
                "needs_setup", "registration", "methods", "second_factors", "providers",
                "min_password_length",
            ],
        ),
        "RuleQuestion": object(
            json!({ "collection": text(), "operation": text(), "as": text() }),
            &["collection", "operation", "as"],
        ),
        "RuleTests": object(json!({ "file": text(), "text": text() }), &["file", "text"]),
        "UserList": object(
            json!({ "users": { "type": "array", "items": user }, "limit": whole() }),
            &["users", "limit"],
        ),
        "HealthState": object(json!({ "state": state() }), &["state"]),
    })
}

fn signing_in(user: &Value) -> Value {
    let (text, whole) = (|| json!({ "type": "string" }), || json!({ "type": "integer" }));
    json!({
        "SignedIn": { "oneOf": [
            object(
                json!({
                    "access_token": text(), "token_type": { "const": "Bearer" }, "expires_in": whole(),
                    "refresh_token": text(), "user": user,
                }),
                &["access_token", "token_type", "expires_in", "refresh_token", "user"],
            ),
            object(
                json!({
                    "token_type": { "const": "Cookie" }, "expires_in": whole(), "csrf_token": text(),
                    "user": user,
                }),
                &["token_type", "expires_in", "csrf_token", "user"],
            ),
        ] },
        "SecondFactor": object(
            json!({
                "mfa_required": { "const": true }, "mfa_token": text(),
                "methods": { "type": "array", "items": text() },
            }),
            &["mfa_required", "mfa_token", "methods"],
        ),
        "Begun": { "oneOf": [
            { "$ref": "#/components/schemas/SignedIn" }, { "$ref": "#/components/schemas/SecondFactor" },
        ] },
    })
}

fn account_shapes() -> Value {
    let text = || json!({ "type": "string" });
    json!({
        "RefreshToken": object(json!({ "refresh_token": text() }), &[]),
        "NewPassword": object(json!({ "password": { "type": "string", "maxLength": 1024 } }), &["password"]),
        "Rotation": object(json!({ "drop_previous": { "type": "boolean", "default": false } }), &[]),
        "Rotated": object(json!({ "kid": text() }), &["kid"]),
        "KeySet": object(
            json!({ "keys": { "type": "array", "items": object(
                json!({
                    "kty": { "const": "OKP" }, "crv": { "const": "Ed25519" }, "alg": { "const": "EdDSA" },
                    "use": { "const": "sig" }, "kid": text(), "x": text(),
                }),
                &["kty", "crv", "alg", "use", "kid", "x"],
            ) } }),
            &["keys"],
        ),
        "NewSecret": object(
            json!({ "value": { "type": "string", "minLength": 1, "maxLength": SECRET_MAX_BYTES } }),
            &["value"],
        ),
        "SecretList": object(
            json!({ "secrets": { "type": "array", "items": object(
                json!({
                    "name": text(), "state": { "enum": ["set", "missing", "unreadable"] },
                    "functions": { "type": "array", "items": text() },
                    "created_at": { "type": ["string", "null"] }, "updated_at": { "type": ["string", "null"] },
                }),
                &["name", "state", "functions", "created_at", "updated_at"],
            ) } }),
            &["secrets"],
        ),
        "LockoutList": object(
            json!({ "lockouts": { "type": "array", "items": object(
                json!({ "account": text(), "place": text(), "failures": { "type": "integer" }, "until": text() }),
                &["account", "place", "failures", "until"],
            ) } }),
            &["lockouts"],
        ),
        "SigningKeyList": object(
            json!({ "keys": { "type": "array", "items": object(
                json!({
                    "kid": text(), "algorithm": { "enum": ["EdDSA", "HS256"] },
                    "state": { "enum": ["signs", "verifies", "retired"] }, "created_at": text(),
                    "retires_at": { "type": ["string", "null"] },
                }),
                &["kid", "algorithm", "state", "created_at", "retires_at"],
            ) } }),
            &["keys"],
        ),
        "SessionList": object(
            json!({ "sessions": { "type": "array", "items": object(
                json!({
                    "id": text(), "current": { "type": "boolean" }, "created_at": text(),
                    "last_used_at": text(), "expires_at": text(), "address": text(), "device": text(),
                    "method": text(),
                }),
                &["id", "current", "created_at", "last_used_at", "expires_at", "address", "device", "method"],
            ) } }),
            &["sessions"],
        ),
    })
}

fn migration_shapes() -> Value {
    json!({
        "Health": health(),
        "MigrationConfirmation": {
            "type": "object", "properties": { "confirm": { "type": "boolean" } }, "additionalProperties": false,
        },
        "MigrationPlan": migration_plan(),
        "Reload": reload(),
    })
}

fn health() -> Value {
    let state = || json!({ "type": "string", "enum": ["ok", "degraded", "down"] });
    let component = object(json!({ "state": state(), "reason": { "type": "string" } }), &["state"]);
    let names = COMPONENTS.map(|(name, _)| name);
    let components: Map<_, _> = names.map(|name| (name.to_owned(), component.clone())).into_iter().collect();
    object(
        json!({ "state": state(), "components": object(components.into(), &names) }),
        &["state", "components"],
    )
}

fn reload() -> Value {
    object(
        json!({ "schema_changed": { "type": "boolean" }, "waiting": planned_changes() }),
        &["schema_changed", "waiting"],
    )
}

fn migration_class() -> Value {
    json!({ "enum": ["safe", "needs-confirmation", "impossible"] })
}

fn planned_changes() -> Value {
    let change = json!({
        "class": migration_class(), "description": { "type": "string" },
        "documents": { "type": ["integer", "null"] }, "migration": { "type": ["string", "null"] },
    });
    json!({ "type": "array", "items": object(change, &["class", "description"]) })
}

fn migration_plan() -> Value {
    object(
        json!({
            "class": migration_class(), "applied": { "type": "boolean" },
            "changes": planned_changes(),
            "migrations": { "type": "array", "items": { "type": "string" } },
            "backup": { "type": ["string", "null"] },
        }),
        &["class", "applied", "changes", "migrations"],
    )
}

/// What is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Write {
    Create,
    Update,
}

fn read_shape(collection: &Collection) -> Value {
    let shown = || collection.fields.iter().filter(|field| !field.internal && !field.hidden);
    let properties: Map<String, Value> =
        shown().map(|field| (field.name.clone(), field_shape(field))).collect();
    let required: Vec<&str> = shown().map(|field| field.name.as_str()).collect();
    object(Value::Object(properties), &required)
}

fn write_shape(collection: &Collection, write: Write) -> Value {
    let settable = |field: &&Field| {
        let by_server =
            matches!(field.default, Some(DefaultValue::Auto | DefaultValue::Now)) && !field.client;
        let fixed = write == Write::Update && field.primary;
        !(field.internal || field.system || by_server || fixed)
    };
    let fields: Vec<&Field> = collection.fields.iter().filter(settable).collect();
    let needed = |field: &&&Field| write == Write::Create && !field.nullable && field.default.is_none();
    let required: Vec<&str> = fields.iter().filter(needed).map(|field| field.name.as_str()).collect();
    let shape = |field: &Field| match write {
        Write::Create => field_shape(field),
        Write::Update => change(field, field_shape(field)),
    };
    let properties = fields.iter().map(|field| (field.name.clone(), shape(field))).collect();
    let mut shape = object(Value::Object(properties), &required);
    shape["additionalProperties"] = json!(false);
    shape
}

fn field_shape(field: &Field) -> Value {
    let mut shape = match &field.kind {
        FieldKind::Id | FieldKind::String | FieldKind::Text | FieldKind::Relation { .. } => {
            json!({ "type": "string" })
        }
        FieldKind::RichText(_) => json!({ "type": "string", "contentMediaType": "text/html" }),
        FieldKind::Uuid => json!({ "type": "string", "format": "uuid" }),
        FieldKind::Int => json!({ "type": "integer", "format": "int64" }),
        FieldKind::Float => json!({ "type": "number" }),
        FieldKind::Bool => json!({ "type": "boolean" }),
        FieldKind::Timestamp => json!({ "type": "string", "format": "date-time" }),
        FieldKind::Date => json!({ "type": "string", "format": "date" }),
        FieldKind::Json => return json!({ "description": "Any JSON value" }),
        FieldKind::Blob => json!({ "type": "string", "contentEncoding": "base64" }),
        FieldKind::Email => json!({ "type": "string", "format": "email" }),
        FieldKind::Url => json!({ "type": "string", "format": "uri" }),
        FieldKind::Select(options) if options.max_select == 1 => {
            json!({ "type": "string", "enum": options.values })
        }
        FieldKind::Select(options) => json!({
            "type": "array", "maxItems": options.max_select, "uniqueItems": true,
            "items": { "type": "string", "enum": options.values },
        }),
    };
    let validation = &field.validation;
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            shape[key] = value;
        }
    };
    set("minLength", validation.min_length.map(Value::from));
    set("maxLength", validation.max_length.map(Value::from));
    set("minimum", validation.min.map(Value::from));
    set("maximum", validation.max.map(Value::from));
    set("enum", validation.one_of.clone().map(Value::Array));
    let format = validation.format.map(|format| match format {
        Format::Email => "email",
        Format::Url => "uri",
        Format::Uuid => "uuid",
    });
    set("format", format.map(Value::from));
    if field.nullable {
        let kind = shape["type"].take();
        shape["type"] = json!([kind, "null"]);
        if let Some(values) = shape.get_mut("enum").and_then(Value::as_array_mut) {
            values.push(Value::Null);
        }
    }
    shape
}

/// Query parameters of the list of mails.
pub fn mail_parameters() -> Vec<(&'static str, Value)> {
    vec![
        ("state", json!({ "type": "string", "enum": ["waiting", "sent", "dead"] })),
        ("before", json!({ "type": "integer", "minimum": 1 })),
        ("limit", json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 30 })),
    ]
}

/// Query parameters of a list of accounts.
pub fn page_parameters() -> Vec<(&'static str, Value)> {
    vec![
        ("search", json!({ "type": "string", "description": "Part of the address, or the id" })),
        ("limit", json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 30 })),
        ("offset", json!({ "type": "integer", "minimum": 0 })),
    ]
}

/// Query parameters of the lists of executions and log lines.
pub fn execution_parameters(operation: &str) -> Vec<(&'static str, Value)> {
    let mut parameters = vec![("limit", json!({ "type": "integer", "minimum": 1, "maximum": 1000 }))];
    if operation == "listExecutions" {
        for name in ["function", "request_id", "before"] {
            parameters.push((name, json!({ "type": "string" })));
        }
        parameters.push(("outcome", json!({ "enum": OUTCOMES })));
        parameters.push(("trigger", json!({ "enum": TRIGGERS })));
    }
    parameters
        .push(("follow", json!({ "type": "boolean", "description": "Answers one JSON object a line" })));
    parameters
}
