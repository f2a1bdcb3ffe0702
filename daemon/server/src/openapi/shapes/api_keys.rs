//! Shapes of API keys.

use serde_json::{Map, Value, json};

use super::object;
use crate::limits::{API_KEY_NAME_MAX_CHARS, API_KEY_OVERLAP_MAX, API_KEY_SCOPES_MAX};

/// By name.
pub fn all() -> Map<String, Value> {
    let text = || json!({ "type": "string" });
    let closed = |mut shape: Value| {
        shape["additionalProperties"] = json!(false);
        shape
    };
    let mut made = key();
    made["properties"]["key"] = text();
    let wanted = json!({
        "name": { "type": "string", "minLength": 1, "maxLength": API_KEY_NAME_MAX_CHARS },
        "scopes": { "type": "array", "items": text(), "minItems": 1, "maxItems": API_KEY_SCOPES_MAX },
        "expires_at": { "type": ["string", "null"], "format": "date-time" },
    });
    let overlap = json!({
        "type": "integer", "minimum": 0, "maximum": API_KEY_OVERLAP_MAX.as_secs(), "default": 0,
    });
    let shapes = [
        ("ApiKey", key()),
        ("ApiKeyList", object(json!({ "api_keys": { "type": "array", "items": key() } }), &["api_keys"])),
        ("NewApiKey", closed(object(wanted, &["name", "scopes"]))),
        ("ApiKeyMade", made),
        ("ApiKeyRotation", closed(object(json!({ "overlap_seconds": overlap }), &[]))),
        ("ApiKeyRotated", object(json!({ "id": text(), "key": text() }), &["id", "key"])),
    ];
    shapes.into_iter().map(|(name, shape)| (name.to_owned(), shape)).collect()
}

fn key() -> Value {
    let text = || json!({ "type": "string" });
    let optional = || json!({ "type": ["string", "null"] });
    object(
        json!({
            "id": text(), "name": text(), "scopes": { "type": "array", "items": text() },
            "created_at": text(), "created_by": text(), "rotated_at": optional(), "expires_at": optional(),
            "last_used_at": optional(),
        }),
        &["id", "name", "scopes", "created_at", "created_by", "rotated_at", "expires_at", "last_used_at"],
    )
}
