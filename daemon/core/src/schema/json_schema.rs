//! The format of `schema.yaml` as a JSON Schema, for editors. Table: one entry a key. It says what an
//! editor can use; the parser stays the judge. A test compares every list of keys and words here with
//! what the parser itself names as accepted.

use serde_json::{Map, Value, json};

use super::field::type_names;
use crate::limits::{
    CATCH_UP_MAX, CHANNELS_MAX, CONCURRENCY_MAX, EVENT_NAME_MAX_BYTES, EVENTS_MAX, HOOKS_MAX, INBOUND_MAX,
    INDEX_FIELDS_MAX, INDEXES_MAX, INSTANCES_MAX, SECRETS_MAX, SELECT_VALUES_MAX, WEBHOOK_HEADERS_MAX,
    WEBHOOK_SECRETS_MAX, WEBHOOKS_MAX,
};

/// Names of collections, fields, indexes and functions.
const NAME: &str = "^(?!_alyx)(?!sqlite_)[a-z][a-z0-9_-]{0,62}$";

/// The JSON Schema (2020-12) of `schema.yaml`.
#[must_use]
pub fn json_schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Alyx schema",
        "description": "Collections, fields, access rules, functions, hooks and channels of a project (schema.yaml)",
        "type": "object",
        "properties": {
            "version": about(json!({ "const": 1 }), "Version of the format"),
            "collections": about(named("collection"), "Collections by name"),
            "functions": about(named("function"), "Functions by name"),
            "hooks": about(
                json!({ "type": "array", "maxItems": HOOKS_MAX, "items": { "$ref": "#/$defs/hook" } }),
                "Functions that are told of what happens to documents and accounts, and of events",
            ),
            "webhooks": about(
                json!({ "type": "array", "maxItems": WEBHOOKS_MAX, "items": { "$ref": "#/$defs/webhook" } }),
                "Who elsewhere is told of what happens to documents and accounts, and of events",
            ),
            "inbound": about(
                json!({ "type": "array", "maxItems": INBOUND_MAX, "items": { "$ref": "#/$defs/inbound" } }),
                "Functions that run for signed requests of others",
            ),
            "events": about(
                json!({
                    "type": ["object", "null"], "maxProperties": EVENTS_MAX,
                    "propertyNames": { "pattern": "^[a-z][a-z0-9_]*([.][a-z][a-z0-9_]*)*$", "maxLength": EVENT_NAME_MAX_BYTES },
                    "additionalProperties": { "$ref": "#/$defs/event" },
                }),
                "Events that the project itself names",
            ),
            "channels": about(channels(), "Where clients talk to each other, by name"),
            "schedules": about(named("schedule"), "Schedules by name"),
        },
        "required": ["version"],
        "additionalProperties": false,
        "$defs": definitions(),
    })
}

fn definitions() -> Value {
    json!({
        "collection": optional(collection()),
        "index": index(),
        "field": field(),
        "richtext": optional(object(json!({ "preset": words(&["basic", "standard", "full"]) }), &[])),
        "select": object(
            json!({
                "values": { "type": "array", "items": { "type": "string", "minLength": 1 }, "minItems": 1, "maxItems": SELECT_VALUES_MAX, "uniqueItems": true },
                "maxSelect": { "type": "integer", "minimum": 1, "maximum": SELECT_VALUES_MAX },
            }),
            &["values"],
        ),
        "relation": object(
            json!({ "collection": { "type": "string" }, "onDelete": { "$ref": "#/$defs/onDelete" } }),
            &["collection"],
        ),
        "onDelete": about(
            words(&["restrict", "cascade", "set_null"]),
            "What happens to this document when the other one is deleted",
        ),
        "validate": optional(validation()),
        "collectionRules": optional(collection_rules()),
        "listRule": list_rule(),
        "fieldRules": optional(rules(&["read", "write"])),
        "functionRules": optional(rules(&["invoke"])),
        "channel": channel(),
        "rule": about(json!({ "type": "string", "minLength": 1 }), "A rule in CEL; absent: administrators only"),
        "function": function(),
        "event": optional(object(json!({ "rules": { "$ref": "#/$defs/eventRules" } }), &[])),
        "eventRules": optional(object(json!({ "publish": { "$ref": "#/$defs/rule" } }), &[])),
        "hook": hook(), "webhook": webhook(), "inbound": inbound(),
        "documentAction": words(&["create", "update", "delete"]),
        "authAction": words(&[
            "register", "login", "logout", "verify", "email_change", "password_change", "update", "delete",
        ]),
        "retry": retry(),
        "schedule": schedule(),
        "limits": optional(object(
            json!({
                "memory": { "$ref": "#/$defs/size" },
                "cpu": { "type": "number", "exclusiveMinimum": 0 },
                "cpu_time": { "$ref": "#/$defs/duration" },
                "processes": { "type": "integer", "minimum": 1 },
                "files": { "type": "integer", "minimum": 1 },
                "tmp": { "$ref": "#/$defs/size" },
                "output": { "$ref": "#/$defs/size" },
                "logs": { "$ref": "#/$defs/size" },
            }),
            &[],
        )),
        "instances": optional(object(
            json!({
                "min": { "type": "integer", "minimum": 0, "maximum": INSTANCES_MAX },
                "max": { "type": "integer", "minimum": 1, "maximum": INSTANCES_MAX },
                "idle": { "$ref": "#/$defs/duration" },
                "recycle_after": { "type": "integer", "minimum": 1 },
            }),
            &[],
        )),
        "size": { "type": "string", "pattern": "^[0-9]+(b|kb|mb|gb)$" },
        "duration": { "type": "string", "pattern": "^[0-9]+(ms|s|m|h)$" },
    })
}

fn retry() -> Value {
    let shape = json!({
        "attempts": { "type": "integer", "minimum": 1, "maximum": 100 },
        "first": { "$ref": "#/$defs/duration" },
        "longest": { "$ref": "#/$defs/duration" },
    });
    optional(object(shape, &[]))
}

fn collection() -> Value {
    object(
        json!({
            "fields": about(named("field"), "Fields by name; exactly one is primary"),
            "indexes": { "type": ["array", "null"], "items": { "$ref": "#/$defs/index" }, "maxItems": INDEXES_MAX },
            "rules": about(json!({ "$ref": "#/$defs/collectionRules" }), "Who may do what; a missing rule denies everyone but administrators"),
        }),
        &[],
    )
}

fn index() -> Value {
    object(
        json!({
            "name": { "type": "string", "pattern": NAME },
            "fields": { "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": INDEX_FIELDS_MAX, "uniqueItems": true },
            "unique": { "type": "boolean" },
            "order": words(&["asc", "desc"]),
        }),
        &["name", "fields"],
    )
}

fn field() -> Value {
    let flag = |text: &str| about(json!({ "type": "boolean" }), text);
    let length = |text: &str| about(json!({ "type": "integer", "minimum": 0 }), text);
    let part = |name: &str| json!({ "$ref": format!("#/$defs/{name}") });
    object(
        json!({
            "type": about(words(&type_names()), "Type of the field's values"),
            "select": part("select"),
            "richtext": part("richtext"),
            "relation": part("relation"),
            "references": about(json!({ "type": "string", "pattern": "^[^.]+\\.[^.]+$" }), "Short form of a relation: users.id"),
            "onDelete": part("onDelete"),
            "primary": flag("The document's id"),
            "unique": flag("No two documents have the same value"),
            "nullable": flag("May be null"),
            "index": flag("Has an index"),
            "search": flag("Found by full-text search"),
            "client": flag("Clients may set what the server would set"),
            "internal": flag("Clients can neither see nor set it"),
            "hidden": flag("Clients can set it, but not see it"),
            "onUpdate": about(words(&["now"]), "Set by every update"),
            "minLength": length("Shortest text, in characters"),
            "maxLength": length("Longest text, in characters"),
            "validate": part("validate"),
            "rules": about(part("fieldRules"), "Who may see and set it, beside the rules of the collection"),
            "default": about(json!({}), "What an absent value becomes: a value, auto (id, uuid) or now (timestamp, date)"),
        }),
        &["type"],
    )
}

fn function() -> Value {
    object(
        json!({
            "runtime": words(&["node", "python", "go"]),
            "entrypoint": { "type": "string" },
            "timeout": { "$ref": "#/$defs/duration" },
            "memory": { "$ref": "#/$defs/size" },
            "limits": { "$ref": "#/$defs/limits" },
            "concurrency": { "type": "integer", "minimum": 1, "maximum": CONCURRENCY_MAX },
            "instances": { "$ref": "#/$defs/instances" },
            "env": { "type": ["object", "null"], "additionalProperties": { "type": "string" } },
            "secrets": {
                "type": "array", "maxItems": SECRETS_MAX, "uniqueItems": true,
                "items": { "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,62}$" },
            },
            "record": {
                "type": "array", "maxItems": 2, "uniqueItems": true,
                "description": "What execution records keep of input and output",
                "items": words(&["input", "output"]),
            },
            "rules": { "$ref": "#/$defs/functionRules" },
        }),
        &["runtime"],
    )
}

fn validation() -> Value {
    object(
        json!({
            "minLength": { "type": "integer", "minimum": 0 },
            "maxLength": { "type": "integer", "minimum": 0 },
            "min": { "type": "number" },
            "max": { "type": "number" },
            "format": words(&["email", "url", "uuid"]),
            "pattern": about(json!({ "type": "string" }), "Regular expression of the Rust crate regex"),
            "enum": { "type": "array", "items": { "type": ["string", "number"] }, "minItems": 1, "maxItems": SELECT_VALUES_MAX },
        }),
        &[],
    )
}

fn hook() -> Value {
    object(
        json!({
            "id": about(json!({ "type": "string", "pattern": NAME }), "Its name, if not that of its function"),
            "on": about(json!({ "type": "string" }), "Name of a collection, auth, or event"),
            "name": about(json!({ "type": "string" }), "Name of the event, with on: event"),
            "actions": {
                "type": "array", "minItems": 1, "uniqueItems": true,
                "items": { "anyOf": [{ "$ref": "#/$defs/documentAction" }, { "$ref": "#/$defs/authAction" }] },
            },
            "when": words(&["before", "after"]),
            "mode": about(words(&["sync", "async"]), "Whether whoever caused it waits for it"),
            "function": about(json!({ "type": "string" }), "Name of a function"),
            "retry": { "$ref": "#/$defs/retry" },
        }),
        &["on", "function"],
    )
}

fn channel() -> Value {
    let events = json!({ "type": "array", "items": { "type": "string" }, "maxItems": EVENTS_MAX, "uniqueItems": true });
    let rules = optional(rules(&["subscribe", "broadcast", "presence"]));
    optional(object(
        json!({ "events": about(events, "Events that are told to those who listen"), "rules": rules }),
        &[],
    ))
}

fn webhook() -> Value {
    let mut members = hook()["properties"].clone();
    if let Some(members) = members.as_object_mut() {
        members.retain(|name, _| !["when", "mode", "function"].contains(&name.as_str()));
        members.extend([
            ("id".to_owned(), about(json!({ "type": "string", "pattern": NAME }), "Its name")),
            ("url".to_owned(), about(json!({ "type": "string", "format": "uri" }), "Where requests go")),
            (
                "condition".to_owned(),
                about(json!({ "type": "string", "minLength": 1 }), "CEL: what of it is told"),
            ),
            (
                "secret".to_owned(),
                about(
                    json!({
                        "type": ["string", "array"], "minItems": 1, "maxItems": WEBHOOK_SECRETS_MAX,
                        "items": { "type": "string" },
                    }),
                    "The secret that signs, or several while they change",
                ),
            ),
            (
                "headers".to_owned(),
                json!({
                    "type": "object", "maxProperties": WEBHOOK_HEADERS_MAX,
                    "additionalProperties": { "type": "string" },
                }),
            ),
            ("timeout".to_owned(), json!({ "$ref": "#/$defs/duration" })),
        ]);
    }
    object(members, &["id", "on", "url", "secret"])
}

fn inbound() -> Value {
    let text = |text: &str| about(json!({ "type": "string" }), text);
    object(
        json!({
            "path": about(
                json!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9_-]*(/[a-z0-9][a-z0-9_-]*)*$" }),
                "What stands behind /hooks/",
            ),
            "verify": about(
                words(&["standard", "github", "stripe", "slack", "hmac-sha256", "hmac-sha1"]),
                "How the sender signs",
            ),
            "secret": about(
                webhook()["properties"]["secret"].clone(),
                "The secret that signs, or several while they change",
            ),
            "function": text("Name of a function"),
            "mode": about(words(&["sync", "async"]), "Whether the sender waits for the function"),
            "retry": { "$ref": "#/$defs/retry" },
            "tolerance": about(
                json!({ "$ref": "#/$defs/duration" }),
                "How far the signed time may be from ours",
            ),
            "window": about(json!({ "$ref": "#/$defs/duration" }), "How long a delivery is known to have come"),
            "header": text("Header with the signature, with verify: hmac-…"),
            "encoding": words(&["hex", "base64"]),
            "prefix": text("What stands before the signature in its header"),
            "id": text("Header with the id of the delivery"),
        }),
        &["path", "verify", "secret", "function"],
    )
}

fn channels() -> Value {
    let mut all = named("channel");
    all["maxProperties"] = json!(CHANNELS_MAX);
    all
}

fn schedule() -> Value {
    let mut shape = object(
        json!({
            "cron": about(json!({ "type": "string" }), "Five or six fields, or @hourly, @daily, @weekly, @monthly, @yearly"),
            "every": { "$ref": "#/$defs/duration" },
            "at": about(json!({ "type": "string" }), "Once: RFC 3339, or date and time in zone"),
            "zone": about(json!({ "type": "string" }), "Name of the IANA database; UTC if absent"),
            "function": { "type": "string", "pattern": NAME },
            "input": about(json!({}), "What the function gets, any JSON"),
            "overlap": about(words(&["skip", "queue", "allow"]), "What a run does while another one is not over"),
            "catch_up": about(
                json!({ "anyOf": [
                    words(&["none", "last"]),
                    object(json!({ "all": { "type": "integer", "minimum": 1, "maximum": CATCH_UP_MAX } }), &["all"]),
                ] }),
                "Which runs are made up for that nobody was there for",
            ),
            "jitter": { "$ref": "#/$defs/duration" },
            "retry": { "$ref": "#/$defs/retry" },
            "enabled": { "type": "boolean" },
        }),
        &["function"],
    );
    shape["oneOf"] = json!([{ "required": ["cron"] }, { "required": ["every"] }, { "required": ["at"] }]);
    shape
}

fn object(properties: Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// A section that may be left empty: `rules:` alone is nothing.
fn optional(mut object: Value) -> Value {
    object["type"] = json!(["object", "null"]);
    object
}

fn named(definition: &str) -> Value {
    json!({
        "type": ["object", "null"],
        "propertyNames": { "pattern": NAME },
        "additionalProperties": { "$ref": format!("#/$defs/{definition}") },
    })
}

fn rules(names: &[&str]) -> Value {
    let rule = |name: &&str| ((*name).to_owned(), json!({ "$ref": "#/$defs/rule" }));
    object(Value::Object(names.iter().map(rule).collect::<Map<_, _>>()), &[])
}

fn collection_rules() -> Value {
    let mut all = rules(&["create", "get", "subscribe", "update", "delete"]);
    all["properties"]["read"] = json!({ "$ref": "#/$defs/listRule" });
    all["properties"]["list"] = json!({ "$ref": "#/$defs/listRule" });
    all
}

/// A rule that lists use.
fn list_rule() -> Value {
    let filter = object(
        json!({
            "rule": { "$ref": "#/$defs/rule" },
            "post_filter": about(json!({ "type": "boolean" }), "Check documents one by one where the rule has no SQL form"),
        }),
        &["rule"],
    );
    json!({ "anyOf": [{ "$ref": "#/$defs/rule" }, filter] })
}

fn words(words: &[&str]) -> Value {
    json!({ "enum": words })
}

fn about(mut shape: Value, text: &str) -> Value {
    shape["description"] = json!(text);
    shape
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::json_schema;
    use crate::schema::parse;

    /// What the parser says it accepts where this file has the word `zzz`.
    fn accepted(text: &str) -> Vec<String> {
        let problems = parse("s.yaml", text).expect_err("zzz is unknown");
        let hints = problems.iter().filter(|problem| problem.message.contains("\"zzz\""));
        let hint = hints.filter_map(|problem| problem.hint.as_deref()).next();
        let (_, list) =
            hint.unwrap_or_else(|| panic!("{problems:#?}")).split_once("ccepted: ").expect("a list");
        let mut words: Vec<String> = list.split(", ").map(str::to_owned).collect();
        words.sort();
        words
    }

    fn field(options: &str) -> String {
        format!("version: 1\ncollections: {{ c: {{ fields: {{ f: {{ {options} }} }} }} }}\n")
    }

    #[test]
    fn keys_are_those_of_the_parser() {
        let schema = json_schema();
        // The editor is not offered what the parser only knows to refuse.
        let refused = ["buckets"];
        let check = |pointer: &str, text: &str| {
            let properties = schema.pointer(&format!("{pointer}/properties")).and_then(Value::as_object);
            let mut keys: Vec<&String> = properties.unwrap_or_else(|| panic!("{pointer}")).keys().collect();
            keys.sort();
            let mut expected = accepted(text);
            expected.retain(|key| !refused.contains(&key.as_str()));
            assert_eq!(keys, expected.iter().collect::<Vec<_>>(), "{pointer}");
        };
        check("", "version: 1\nzzz: 1\n");
        check("/$defs/collection", "version: 1\ncollections: { c: { zzz: 1 } }\n");
        check("/$defs/index", "version: 1\ncollections: { c: { indexes: [{ zzz: 1 }] } }\n");
        check("/$defs/collectionRules", "version: 1\ncollections: { c: { rules: { zzz: x } } }\n");
        check("/$defs/listRule/anyOf/1", "version: 1\ncollections: { c: { rules: { read: { zzz: x } } } }\n");
        check("/$defs/fieldRules", &field("type: int, rules: { zzz: x }"));
        check("/$defs/field", &field("type: int, zzz: 1"));
        check("/$defs/select", &field("type: select, select: { zzz: 1 }"));
        check("/$defs/richtext", &field("type: richtext, richtext: { zzz: 1 }"));
        check("/$defs/relation", &field("type: relation, relation: { zzz: 1 }"));
        check("/$defs/validate", &field("type: int, validate: { zzz: 1 }"));
        check("/$defs/function", "version: 1\nfunctions: { f: { zzz: 1 } }\n");
        check("/$defs/functionRules", "version: 1\nfunctions: { f: { rules: { zzz: x } } }\n");
        check("/$defs/channel", "version: 1\nchannels: { c: { zzz: 1 } }\n");
        check("/$defs/channel/properties/rules", "version: 1\nchannels: { c: { rules: { zzz: x } } }\n");
        check("/$defs/schedule", "version: 1\nschedules: { s: { zzz: 1 } }\n");
        check(
            "/$defs/schedule/properties/catch_up/anyOf/1",
            "version: 1\nschedules: { s: { catch_up: { zzz: 1 } } }\n",
        );
        check("/$defs/limits", "version: 1\nfunctions: { f: { limits: { zzz: 1 } } }\n");
        check("/$defs/hook", "version: 1\nhooks: [{ zzz: 1 }]\n");
        check("/$defs/webhook", "version: 1\nwebhooks: [{ zzz: 1 }]\n");
        check("/$defs/inbound", "version: 1\ninbound: [{ zzz: 1 }]\n");
        check("/$defs/retry", "version: 1\nhooks: [{ retry: { zzz: 1 } }]\n");
        check("/$defs/event", "version: 1\nevents: { e: { zzz: 1 } }\n");
        check("/$defs/eventRules", "version: 1\nevents: { e: { rules: { zzz: 1 } } }\n");
        check("/$defs/instances", "version: 1\nfunctions: { f: { instances: { zzz: 1 } } }\n");
    }

    #[test]
    fn words_are_those_of_the_parser() {
        let schema = json_schema();
        let check = |pointer: &str, text: &str| {
            let words = schema.pointer(&format!("{pointer}/enum")).and_then(Value::as_array);
            let mut words: Vec<&str> =
                words.unwrap_or_else(|| panic!("{pointer}")).iter().filter_map(Value::as_str).collect();
            words.sort_unstable();
            assert_eq!(words, accepted(text), "{pointer}");
        };
        check("/$defs/field/properties/type", &field("type: zzz"));
        check("/$defs/field/properties/onUpdate", &field("type: timestamp, onUpdate: zzz"));
        check("/$defs/richtext/properties/preset", &field("type: richtext, richtext: { preset: zzz }"));
        check("/$defs/onDelete", &field("type: relation, relation: { collection: c, onDelete: zzz }"));
        check("/$defs/validate/properties/format", &field("type: string, validate: { format: zzz }"));
        check(
            "/$defs/index/properties/order",
            "version: 1\ncollections: { c: { indexes: [{ order: zzz }] } }\n",
        );
        check("/$defs/documentAction", "version: 1\nhooks: [{ on: users, actions: [zzz] }]\n");
        check("/$defs/authAction", "version: 1\nhooks: [{ on: auth, actions: [zzz] }]\n");
        check("/$defs/hook/properties/when", "version: 1\nhooks: [{ when: zzz }]\n");
        check("/$defs/hook/properties/mode", "version: 1\nhooks: [{ mode: zzz }]\n");
        check("/$defs/inbound/properties/verify", "version: 1\ninbound: [{ verify: zzz }]\n");
        check("/$defs/inbound/properties/mode", "version: 1\ninbound: [{ mode: zzz }]\n");
        check(
            "/$defs/inbound/properties/encoding",
            "version: 1\ninbound: [{ verify: hmac-sha1, encoding: zzz }]\n",
        );
        check("/$defs/schedule/properties/overlap", "version: 1\nschedules: { s: { overlap: zzz } }\n");
        check("/$defs/function/properties/runtime", "version: 1\nfunctions: { f: { runtime: zzz } }\n");
    }

    /// `UPDATE=1` writes the published copy anew.
    #[test]
    fn the_published_copy_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schema.json");
        let text = format!("{:#}\n", json_schema());
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &text).expect("write docs/schema.json");
        }
        let published = std::fs::read_to_string(path).unwrap_or_default();
        assert!(published == text, "docs/schema.json is not current; run with UPDATE=1");
    }
}
