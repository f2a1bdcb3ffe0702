//! Table of shapes: schedules.

use serde_json::{Map, Value, json};

use super::object;

/// The shapes.
pub fn all() -> Map<String, Value> {
    let text = || json!({ "type": "string" });
    let optional = |kind: &str| json!({ "type": [kind, "null"] });
    let mut kept = definition();
    for (name, shape) in [
        ("name", text()),
        ("source", json!({ "enum": ["schema", "api"] })),
        ("paused", json!({ "type": "boolean" })),
        ("next_at", optional("string")),
        ("next_runs", json!({ "type": "array", "items": text() })),
        ("last_at", optional("string")),
        ("created_at", text()),
        ("updated_at", text()),
    ] {
        kept.insert(name.to_owned(), shape);
    }
    let mut wanted = definition();
    wanted.insert("name".to_owned(), json!({ "type": "string", "pattern": "^[a-z][a-z0-9_-]{0,62}$" }));
    let mut wanted = object(Value::Object(wanted), &["name", "function"]);
    wanted["additionalProperties"] = json!(false);
    let shapes = json!({
        "Schedule": object(
            Value::Object(kept),
            &["name", "source", "paused", "next_at", "next_runs", "last_at", "created_at", "updated_at"],
        ),
        "ScheduleList": object(
            json!({ "schedules": { "type": "array", "items": { "$ref": "#/components/schemas/Schedule" } } }),
            &["schedules"],
        ),
        "NewSchedule": wanted,
        "StartedJob": object(json!({ "job": text() }), &["job"]),
    });
    shapes.as_object().cloned().unwrap_or_default()
}

/// What `schedules:` of a schema takes.
fn definition() -> Map<String, Value> {
    let text = || json!({ "type": "string" });
    let most = object(json!({ "all": { "type": "integer", "minimum": 1, "maximum": 100 } }), &["all"]);
    let definition = json!({
        "cron": text(), "every": text(), "at": text(), "zone": text(), "function": text(), "input": {},
        "overlap": { "enum": ["skip", "queue", "allow"] },
        "catch_up": { "anyOf": [{ "enum": ["none", "last"] }, most] },
        "jitter": text(), "retry": { "type": "object" },
        "enabled": { "type": "boolean" },
    });
    definition.as_object().cloned().unwrap_or_default()
}
