//! Parameters and answers of the operations that read documents. Table: long, flat, one entry a shape.

use alyx_core::limits::{LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX, LIST_OFFSET_MAX, SEARCH_MAX_BYTES};
use serde_json::{Map, Value, json};

use super::shapes::object;

type Parameter = (&'static str, Value);

/// Query parameters of a list.
pub fn list() -> Vec<Parameter> {
    let mut parameters = conditions();
    parameters.extend([
        ("sort", json!({ "type": "string", "description": "Fields and paths by comma, descending with -" })),
        ("cursor", json!({ "type": "string", "description": "The next_cursor of the page before" })),
        ("count", json!({ "type": "boolean", "description": "Adds total" })),
    ]);
    parameters.extend(pages());
    parameters.extend(get());
    parameters
}

/// Query parameters of a get.
pub fn get() -> Vec<Parameter> {
    let expand = "Relations by comma, such as author or comments(by post).author";
    vec![
        ("fields", json!({ "type": "string", "description": "Fields by comma" })),
        ("expand", json!({ "type": "string", "description": expand })),
    ]
}

/// Query parameters of an aggregate.
pub fn aggregate() -> Vec<Parameter> {
    let fields = |what: &str| json!({ "type": "string", "description": what });
    let mut parameters = conditions();
    parameters.extend([
        (
            "count",
            json!({ "type": "boolean", "description": "How many there are; what is given without others" }),
        ),
        ("sum", fields("Numbers by comma")),
        ("avg", fields("Numbers by comma")),
        ("min", fields("Fields by comma")),
        ("max", fields("Fields by comma")),
        ("group", fields("Fields by comma; the documents with the same values make a group")),
    ]);
    parameters.extend(pages());
    parameters
}

/// Which documents a list, an aggregate or a bulk write is about.
pub fn conditions() -> Vec<Parameter> {
    let filter = json!({
        "type": "array", "items": { "type": "string" }, "description": "field:op:value; all must hold",
    });
    vec![
        ("filter", filter),
        ("where", json!({ "type": "string", "description": "Conditions as a JSON object" })),
        (
            "search",
            json!({ "type": "string", "maxLength": SEARCH_MAX_BYTES, "description": "Words to look for" }),
        ),
    ]
}

fn pages() -> Vec<Parameter> {
    let limit = json!({
        "type": "integer", "minimum": 1, "maximum": LIST_LIMIT_MAX, "default": LIST_LIMIT_DEFAULT,
    });
    vec![
        ("limit", limit),
        ("offset", json!({ "type": "integer", "minimum": 0, "maximum": LIST_OFFSET_MAX })),
        ("page", json!({ "type": "integer", "minimum": 1, "description": "From 1; instead of offset" })),
    ]
}

/// A document as a list or a get shows it: of some fields where `fields` says so or a field's rule
/// withholds one, and with what is related to it.
pub fn shown(document: Value) -> Value {
    let mut shape = document;
    shape["required"] = json!([]);
    if shape["properties"].get("expand").is_none() {
        shape["properties"]["expand"] = json!({ "type": "object", "description": "Related documents" });
    }
    shape
}

/// A page of documents of a collection.
pub fn page(collection: &str) -> Value {
    let items = json!({ "$ref": format!("#/components/schemas/{collection}_shown") });
    let snippet = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    object(
        json!({
            "docs": { "type": "array", "items": items },
            "snippets": { "type": "array", "items": snippet },
            "limit": { "type": "integer" }, "next_cursor": { "type": "string" },
            "total": { "type": "integer" },
        }),
        &["docs", "limit"],
    )
}

/// Groups of documents of a collection, whose shape is given.
pub fn aggregates(document: &Value) -> Value {
    let optional = |shape: &Value| json!({ "anyOf": [shape, { "type": "null" }] });
    let properties: Map<String, Value> = document["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, shape)| (name.clone(), optional(shape)))
        .collect();
    let fields = json!({ "type": "object", "properties": properties });
    let numbers = json!({ "type": "object", "additionalProperties": { "type": ["number", "null"] } });
    let group = object(
        json!({
            "group": fields, "count": { "type": "integer" }, "sum": numbers, "avg": numbers,
            "min": fields, "max": fields,
        }),
        &["group"],
    );
    object(
        json!({
            "groups": { "type": "array", "items": group }, "limit": { "type": "integer" },
            "more": { "type": "boolean" },
        }),
        &["groups", "limit", "more"],
    )
}
