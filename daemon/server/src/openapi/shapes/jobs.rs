//! Shapes of jobs.

use serde_json::{Map, Value, json};

use super::object;

/// By name.
pub fn all() -> Map<String, Value> {
    let mut shown = job();
    shown["properties"]["payload"] = json!({});
    let page = json!({
        "jobs": { "type": "array", "items": job() }, "limit": { "type": "integer" },
        "next_before": { "type": ["integer", "null"] },
    });
    let shapes = [
        ("JobList", object(page, &["jobs", "limit", "next_before"])),
        ("JobShown", shown),
        ("Removed", object(json!({ "removed": { "type": "integer" } }), &["removed"])),
    ];
    shapes.into_iter().map(|(name, shape)| (name.to_owned(), shape)).collect()
}

/// Query parameters of the list.
pub fn list_parameters() -> Vec<(&'static str, Value)> {
    vec![
        ("state", json!({ "enum": ["held", "pending", "running", "done", "dead"] })),
        ("kind", json!({ "type": "string" })),
        ("target", json!({ "type": "string" })),
        ("before", json!({ "type": "integer", "minimum": 1, "maximum": i64::MAX })),
        ("limit", json!({ "type": "integer", "minimum": 1, "maximum": 1_000, "default": 30 })),
    ]
}

/// Query parameters of the removal.
pub fn purge_parameters() -> Vec<(&'static str, Value)> {
    vec![
        ("state", json!({ "enum": ["done", "dead"], "default": "dead" })),
        ("kind", json!({ "type": "string" })),
    ]
}

fn job() -> Value {
    let text = || json!({ "type": "string" });
    let optional = || json!({ "type": ["string", "null"] });
    object(
        json!({
            "id": text(), "kind": text(), "target": text(), "key": optional(),
            "state": { "enum": ["held", "pending", "running", "done", "dead"] },
            "attempts": { "type": "integer" }, "depth": { "type": "integer" }, "created_at": text(),
            "run_at": optional(), "settled_at": optional(), "error": optional(),
        }),
        &[
            "id",
            "kind",
            "target",
            "key",
            "state",
            "attempts",
            "depth",
            "created_at",
            "run_at",
            "settled_at",
            "error",
        ],
    )
}
