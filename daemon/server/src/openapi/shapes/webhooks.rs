//! Shapes of webhooks.

use serde_json::{Map, Value, json};

use super::object;

/// By name.
pub fn all() -> Map<String, Value> {
    let text = || json!({ "type": "string" });
    let or_null = || json!({ "type": ["string", "null"] });
    let shown = || {
        object(
            json!({
                "id": text(), "definition": { "type": "object" }, "enabled": { "type": "boolean" },
                "source": { "enum": ["schema", "api"] }, "problem": or_null(),
            }),
            &["id", "definition", "enabled", "source", "problem"],
        )
    };
    let changes = json!({
        "id": text(), "on": text(), "name": text(), "enabled": { "type": "boolean" },
        "actions": { "type": "array", "items": text() }, "url": text(), "condition": text(),
        "secret": { "anyOf": [text(), { "type": "array", "items": text() }] },
        "headers": { "type": "object", "additionalProperties": text() },
        "retry": { "type": "object" }, "timeout": text(),
    });
    let delivery = object(
        json!({
            "id": text(), "attempt": { "type": "integer" }, "at": text(), "url": text(), "request": text(),
            "status": { "type": ["integer", "null"] }, "response": or_null(), "error": or_null(),
            "duration_ms": { "type": "integer" },
        }),
        &["id", "attempt", "at", "url", "request", "status", "response", "error", "duration_ms"],
    );
    let deliveries = json!({
        "deliveries": { "type": "array", "items": delivery }, "next_before": { "type": ["integer", "null"] },
    });
    let shapes = [
        ("WebhookList", object(json!({ "webhooks": { "type": "array", "items": shown() } }), &["webhooks"])),
        ("WebhookShown", shown()),
        ("NewWebhook", object(changes.clone(), &["id", "on", "url", "secret"])),
        ("WebhookChanges", object(changes, &[])),
        ("DeliveryList", object(deliveries, &["deliveries", "next_before"])),
    ];
    shapes.into_iter().map(|(name, shape)| (name.to_owned(), shape)).collect()
}

/// Query parameters of the list of deliveries.
pub fn delivery_parameters() -> Vec<(&'static str, Value)> {
    vec![
        ("before", json!({ "type": "integer", "minimum": 1 })),
        ("limit", json!({ "type": "integer", "minimum": 1, "maximum": 200, "default": 30 })),
    ]
}
