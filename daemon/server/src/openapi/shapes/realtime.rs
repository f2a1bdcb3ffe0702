//! Shapes of realtime messages.

use serde_json::{Map, Value, json};

/// By name.
pub fn all() -> Map<String, Value> {
    let id = || json!({ "type": "string", "minLength": 1, "maxLength": 64 });
    let words = || {
        let list = json!({ "type": "array", "items": { "type": "string" } });
        json!({ "anyOf": [{ "type": "string" }, list] })
    };
    let of = |kind: &str, mut properties: Value, required: &[&str]| {
        properties["type"] = json!({ "const": kind });
        let required: Vec<&str> = ["type"].iter().chain(required).copied().collect();
        json!({
            "type": "object", "properties": properties, "required": required, "additionalProperties": false
        })
    };
    let subscribe = json!({
        "id": id(), "collection": { "type": "string" }, "where": { "type": "object" }, "sort": words(),
        "limit": { "type": "integer", "minimum": 1, "maximum": 500 }, "fields": words(), "expand": words(),
        "since": { "type": "string" },
    });
    let name = || json!({ "type": "string", "minLength": 1, "description": "NAME or NAME/KEY" });
    let said = || {
        json!({
            "channel": name(), "event": { "type": "string", "minLength": 1, "maxLength": 64 }, "payload": {},
        })
    };
    let mut broadcast = of("broadcast", said(), &["channel", "event"]);
    broadcast["required"] = json!(["channel", "event"]);
    let message = json!({
        "oneOf": [
            of("auth", json!({ "token": { "type": "string" } }), &["token"]),
            of("subscribe", subscribe, &["id", "collection"]),
            of("subscribe", json!({ "id": id(), "channel": name() }), &["id", "channel"]),
            of("unsubscribe", json!({ "id": id() }), &["id"]),
            of("broadcast", said(), &["channel", "event"]),
            of("presence", json!({ "channel": name(), "state": {} }), &["channel"]),
            { "type": "object", "properties": { "type": { "const": "ping" } }, "required": ["type"] },
        ]
    });
    Map::from_iter([("RealtimeMessage".to_owned(), message), ("RealtimeBroadcast".to_owned(), broadcast)])
}
