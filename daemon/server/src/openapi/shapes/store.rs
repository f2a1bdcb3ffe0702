//! Shapes and parameters of the change feed and of backups.

use serde_json::{Map, Value, json};

use super::object;
use crate::limits::{
    AUDIT_PAGE_MAX, BACKUPS_MAX, CHANGES_PAGE_DEFAULT, CHANGES_PAGE_MAX, CHANGES_WAIT_MAX_S,
};

pub fn all() -> Map<String, Value> {
    let text = || json!({ "type": "string" });
    let whole = || json!({ "type": "integer" });
    let backup = object(
        json!({
            "id": text(), "created_at": text(), "seq": whole(), "incarnation": text(), "bytes": whole(),
            "sha256": text(), "version": text(), "key": text(),
            "mark": object(
                json!({ "chain": text(), "segment": whole(), "commit": whole() }),
                &["chain", "segment", "commit"],
            ),
        }),
        &["id", "created_at", "seq", "incarnation", "bytes", "sha256", "version"],
    );
    let shapes = json!({
        "Changes": object(
            json!({
                "changes": { "type": "array", "items": object(
                    json!({
                        "seq": whole(), "tx": whole(), "at": text(), "collection": text(), "id": text(),
                        "op": { "type": "string", "enum": ["create", "update", "delete"] },
                        "identity": text(), "before": { "type": "object" }, "after": { "type": "object" },
                    }),
                    &["seq", "tx", "at", "collection", "id", "op"],
                ) },
                "next": text(), "at_end": { "type": "boolean" },
            }),
            &["changes", "next", "at_end"],
        ),
        "AuditLog": audit_log(),
        "Backup": backup,
        "BackupList": object(json!({ "backups": { "type": "array", "items": backup } }), &["backups"]),
        "RemovedBackups": object(json!({ "removed": { "type": "array", "items": backup } }), &["removed"]),
        "BackupStatus": object(
            json!({
                "state": { "type": "string", "enum": ["off", "ok", "failing"] },
                "target": text(), "chain": text(), "broken_because": text(), "kept_until": text(),
                "kept_seq": whole(), "log_bytes": whole(), "waiting_bytes": whole(),
                "waiting_segments": whole(), "failing_since": text(), "error": text(),
            }),
            &["state", "target", "log_bytes", "waiting_bytes", "waiting_segments"],
        ),
        "VerifiedBackup": object(json!({ "backup": backup, "path": text() }), &["backup", "path"]),
    });
    match shapes {
        Value::Object(shapes) => shapes,
        _ => Map::new(),
    }
}

fn audit_log() -> Value {
    let text = || json!({ "type": "string" });
    let row = object(
        json!({
            "seq": { "type": "integer" }, "at": text(), "identity": text(), "address": text(), "action": text(),
            "target": text(), "outcome": { "enum": ["ok", "denied", "failed"] }, "request_id": text(),
            "details": { "type": "object" },
        }),
        &["seq", "at", "identity", "address", "action", "target", "outcome", "request_id", "details"],
    );
    let place = json!({ "type": ["integer", "null"] });
    object(
        json!({
            "entries": { "type": "array", "items": row }, "limit": { "type": "integer" },
            "next_before": place, "next_after": place,
        }),
        &["entries", "limit"],
    )
}

/// Query parameters of the audit log.
pub fn audit_parameters() -> Vec<(&'static str, Value)> {
    let texts = ["identity", "action", "target", "request_id", "address"];
    let mut parameters: Vec<_> = texts.into_iter().map(|name| (name, json!({ "type": "string" }))).collect();
    parameters.push(("outcome", json!({ "type": "string", "enum": ["ok", "denied", "failed"] })));
    parameters
        .extend(["since", "until"].map(|name| (name, json!({ "type": "string", "format": "date-time" }))));
    parameters.extend(["before", "after"].map(|name| (name, json!({ "type": "integer", "minimum": 0 }))));
    parameters.push((
        "limit",
        json!({ "type": "integer", "minimum": 1, "maximum": AUDIT_PAGE_MAX, "default": 30 }),
    ));
    parameters
}

/// Query parameters of the change feed.
pub fn change_parameters() -> Vec<(&'static str, Value)> {
    vec![
        ("since", json!({ "type": "string", "description": "`next` of an earlier answer, or `start`" })),
        ("collections", json!({ "type": "string", "description": "Collections by comma" })),
        (
            "limit",
            json!({ "type": "integer", "minimum": 1, "maximum": CHANGES_PAGE_MAX, "default": CHANGES_PAGE_DEFAULT }),
        ),
        (
            "wait",
            json!({
                "type": "integer", "minimum": 1, "maximum": CHANGES_WAIT_MAX_S,
                "description": "Seconds that the answer may wait for a change",
            }),
        ),
    ]
}

/// Query parameters of the removal of backups.
pub fn prune_parameters() -> Vec<(&'static str, Value)> {
    vec![("keep", json!({ "type": "integer", "minimum": 1, "maximum": BACKUPS_MAX }))]
}
