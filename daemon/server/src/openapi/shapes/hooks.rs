//! Shapes of hooks and events.

use serde_json::{Map, Value, json};

use super::object;

/// By name.
pub fn all() -> Map<String, Value> {
    let text = || json!({ "type": "string" });
    let shown = || {
        object(
            json!({
                "id": text(), "definition": { "type": "object" }, "enabled": { "type": "boolean" },
                "source": { "enum": ["schema", "api"] }, "problem": { "type": ["string", "null"] },
            }),
            &["id", "definition", "enabled", "source", "problem"],
        )
    };
    let changes = json!({
        "id": text(), "on": text(), "name": text(), "function": text(), "enabled": { "type": "boolean" },
        "actions": { "type": "array", "items": text() }, "when": { "enum": ["before", "after"] },
        "mode": { "enum": ["sync", "async"] }, "retry": { "type": "object" },
    });
    let event = json!({ "id": text(), "name": text(), "at": text(), "identity": text(), "payload": {} });
    let event = object(event, &["id", "name", "at", "identity", "payload"]);
    let published = json!({ "id": text(), "name": text(), "at": text() });
    let shapes = [
        ("HookList", object(json!({ "hooks": { "type": "array", "items": shown() } }), &["hooks"])),
        ("HookShown", shown()),
        ("NewHook", object(changes.clone(), &["on", "function"])),
        ("HookChanges", object(changes, &[])),
        ("EventList", object(json!({ "events": { "type": "array", "items": event } }), &["events"])),
        ("EventPayload", json!({})),
        ("EventPublished", object(published, &["id", "name", "at"])),
    ];
    shapes.into_iter().map(|(name, shape)| (name.to_owned(), shape)).collect()
}

/// Query parameters of the list of events.
pub fn event_parameters() -> Vec<(&'static str, Value)> {
    vec![
        ("name", json!({ "type": "string" })),
        ("before", json!({ "type": "string" })),
        ("limit", json!({ "type": "integer", "minimum": 1, "maximum": 200, "default": 50 })),
    ]
}
