//! Shapes of signing in with an account elsewhere.

use serde_json::{Map, Value, json};

use super::object;

/// By name.
pub fn all() -> Map<String, Value> {
    let text = || json!({ "type": "string" });
    let list = |item: Value| json!({ "type": "array", "items": item });
    let provider = object(json!({ "name": text(), "label": text() }), &["name", "label"]);
    let linked = object(json!({ "provider": text(), "linked_at": text() }), &["provider", "linked_at"]);
    let shapes = [
        ("Providers", object(json!({ "providers": list(provider) }), &["providers"])),
        ("LinkedProviders", object(json!({ "linked": list(linked) }), &["linked"])),
        ("OAuthCode", object(json!({ "code": text(), "verifier": text() }), &["code", "verifier"])),
        ("OAuthLink", object(json!({ "redirect": text(), "challenge": text() }), &["redirect", "challenge"])),
        ("OAuthDeparture", object(json!({ "url": text() }), &["url"])),
    ];
    shapes.into_iter().map(|(name, shape)| (name.to_owned(), shape)).collect()
}
