//! Shapes of inbound webhooks.

use serde_json::{Map, Value, json};

use super::object;

/// By name.
pub fn all() -> Map<String, Value> {
    let shown = object(
        json!({
            "path": { "type": "string" }, "definition": { "type": "object" },
            "problem": { "type": ["string", "null"] },
        }),
        &["path", "definition", "problem"],
    );
    let shapes = [
        ("InboundList", object(json!({ "inbound": { "type": "array", "items": shown } }), &["inbound"])),
        ("Received", object(json!({ "repeated": { "type": "boolean" } }), &["repeated"])),
    ];
    shapes.into_iter().map(|(name, shape)| (name.to_owned(), shape)).collect()
}
