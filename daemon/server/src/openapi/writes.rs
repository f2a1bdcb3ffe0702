//! What the description says of writing documents beyond the route list: parameters, headers, shapes of
//! operators, bulk writes and batches.

use serde_json::{Map, Value, json};

use alyx_core::limits::LIST_LIMIT_MAX;
use alyx_core::schema::{Field, FieldKind};

use super::queries;
use crate::http::routes::Route;
use crate::limits::{BATCH_OPERATIONS_MAX, IDEMPOTENCY_KEY_MAX_BYTES};

/// Query parameters and headers of an operation.
pub fn parameters(route: &Route) -> Vec<Value> {
    let header = |name: &str, what: &str| json!({ "name": name, "in": "header", "description": what, "schema": { "type": "string" } });
    let query = |name: &str, schema: Value| json!({ "name": name, "in": "query", "schema": schema });
    let prefer = || {
        let schema = json!({ "type": "string", "enum": ["return=minimal", "return=representation"] });
        json!({ "name": "Prefer", "in": "header", "description": "Leave the document out of the answer", "schema": schema })
    };
    let matching = || header("If-Match", "Write only if the document is at this version");
    let absent = || header("If-None-Match", "With *: write only if there is no document");
    let once = || {
        json!({
            "name": "Idempotency-Key", "in": "header",
            "description": "Do this once; the same key gives the same answer for a day",
            "schema": {
                "type": "string", "pattern": "^[!-~]+$", "minLength": 1,
                "maxLength": IDEMPOTENCY_KEY_MAX_BYTES,
            },
        })
    };
    let bulk = || {
        let most = json!({ "type": "integer", "minimum": 1, "maximum": LIST_LIMIT_MAX });
        let mut parameters: Vec<Value> =
            queries::conditions().into_iter().map(|(name, schema)| query(name, schema)).collect();
        parameters.extend([
            json!({ "name": "limit", "in": "query", "required": true, "schema": most }),
            query("sort", json!({ "type": "string" })),
            query("dry_run", json!({ "type": "boolean" })),
        ]);
        parameters
    };
    match route.operation {
        "getDocument" => vec![header("If-None-Match", "Answer 304 if the document has this version")],
        "createDocument" => {
            let upsert = query("upsert", json!({ "type": "string", "description": "A unique field" }));
            vec![upsert, once(), prefer()]
        }
        "updateDocument" => vec![matching(), prefer()],
        "replaceDocument" => vec![matching(), absent(), prefer()],
        "deleteDocument" => vec![matching()],
        "updateDocuments" | "deleteDocuments" => bulk(),
        "batch" => vec![once()],
        _ => Vec::new(),
    }
}

/// Answers beside the one of the route list that are no problems.
pub fn further(route: &Route, content: impl Fn(&str) -> Value, responses: &mut Map<String, Value>) {
    let done = |content: Value| json!({ "description": "Done", "content": content });
    let minimal = || json!({ "description": "Done, and Prefer: return=minimal was sent" });
    match route.operation {
        "getDocument" => {
            responses.insert("304".to_owned(), json!({ "description": "If-None-Match names its version" }));
        }
        "createDocument" => {
            responses.insert("200".to_owned(), done(content("Document")));
            responses.insert("204".to_owned(), minimal());
        }
        "updateDocument" => {
            responses.insert("204".to_owned(), minimal());
        }
        "replaceDocument" => {
            responses.insert("201".to_owned(), done(content("Document")));
            responses.insert("204".to_owned(), minimal());
        }
        _ => {}
    }
}

/// Shapes that do not depend on the schema.
pub fn fixed() -> Vec<(&'static str, Value)> {
    let text = || json!({ "type": "string" });
    let reference = json!({
        "type": "object", "properties": { "$ref": text() }, "required": ["$ref"],
        "additionalProperties": false,
    });
    let operation = json!({
        "type": "object",
        "properties": {
            "name": text(),
            "op": { "type": "string", "enum": ["create", "update", "replace", "upsert", "delete"] },
            "collection": text(),
            "id": { "oneOf": [text(), reference] },
            "field": text(),
            "data": { "type": "object" },
            "if_match": text(),
        },
        "required": ["op", "collection"],
        "additionalProperties": false,
    });
    let result = json!({
        "type": "object",
        "properties": {
            "status": { "type": "integer" }, "id": text(), "etag": text(), "doc": { "type": "object" },
        },
        "required": ["status"],
    });
    vec![
        (
            "Batch",
            json!({
                "type": "object",
                "properties": {
                    "operations": {
                        "type": "array", "items": operation, "minItems": 1, "maxItems": BATCH_OPERATIONS_MAX,
                    },
                },
                "required": ["operations"],
                "additionalProperties": false,
            }),
        ),
        (
            "BatchResults",
            json!({
                "type": "object",
                "properties": { "results": { "type": "array", "items": result } },
                "required": ["results"],
            }),
        ),
        (
            "BulkOutcome",
            json!({
                "type": "object",
                "properties": {
                    "count": { "type": "integer" }, "more": { "type": "boolean" },
                    "dry_run": { "type": "boolean" },
                },
                "required": ["count", "more", "dry_run"],
            }),
        ),
    ]
}

/// What an update may say of a field: a value, or what is to be done with the one it has.
pub fn change(field: &Field, value: Value) -> Value {
    let one = |name: &str, operand: Value| {
        json!({
            "type": "object", "properties": { name: operand }, "required": [name],
            "additionalProperties": false,
        })
    };
    let operators = match &field.kind {
        // Any JSON value stands for itself or for an operator.
        FieldKind::Json => return value,
        FieldKind::Int => vec![one("$inc", json!({ "type": "integer", "format": "int64" }))],
        FieldKind::Float => vec![one("$inc", json!({ "type": "number" }))],
        kind if kind.is_json_text() => vec![one("$push", json!({})), one("$pull", json!({}))],
        _ => return value,
    };
    let choices: Vec<Value> = [value].into_iter().chain(operators).collect();
    json!({ "anyOf": choices })
}
