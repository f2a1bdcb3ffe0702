//! Table of shapes: passkeys. What browsers give and take is described by Web Authentication Level 3
//! (§5.1.8); here it is as much of it as is read.

use serde_json::{Map, Value, json};

use super::object;

/// The shapes.
pub fn all() -> Map<String, Value> {
    let text = || json!({ "type": "string" });
    let optional = || json!({ "type": ["string", "null"] });
    let texts = || json!({ "type": "array", "items": { "type": "string" } });
    let base64url = || json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]*$" });
    let closed = |mut shape: Value| {
        shape["additionalProperties"] = json!(false);
        shape
    };
    let credential = |response: Value| {
        let kind = json!({ "const": "public-key" });
        object(json!({ "id": base64url(), "type": kind, "response": response }), &["id", "type", "response"])
    };
    let made = object(
        json!({
            "clientDataJSON": base64url(), "attestationObject": base64url(), "transports": texts(),
        }),
        &["clientDataJSON", "attestationObject"],
    );
    let shown = object(
        json!({
            "clientDataJSON": base64url(), "authenticatorData": base64url(), "signature": base64url(),
            "userHandle": { "type": ["string", "null"] },
        }),
        &["clientDataJSON", "authenticatorData", "signature"],
    );
    let passkey = object(
        json!({
            "id": text(), "name": text(), "created_at": text(), "last_used_at": optional(),
            "backed_up": { "type": "boolean" },
        }),
        &["id", "name", "created_at", "last_used_at", "backed_up"],
    );
    let reference = json!({ "$ref": "#/components/schemas/Passkey" });
    let shapes = json!({
        "Passkey": passkey,
        "PasskeyList": object(
            json!({ "passkeys": { "type": "array", "items": reference } }),
            &["passkeys"],
        ),
        "PasskeyName": closed(object(
            json!({ "name": { "type": "string", "minLength": 1, "maxLength": 100 } }),
            &["name"],
        )),
        "PasskeyQuestion": object(
            json!({
                "passkey_token": text(), "expires_in": { "type": "integer" },
                "public_key": { "type": "object" },
            }),
            &["passkey_token", "expires_in", "public_key"],
        ),
        "PasskeyRequest": closed(object(json!({ "mfa_token": optional() }), &[])),
        "NewPasskey": closed(object(
            json!({
                "passkey_token": text(), "credential": credential(made),
                "name": { "type": ["string", "null"], "maxLength": 100 },
            }),
            &["passkey_token", "credential"],
        )),
        "RegisteredPasskey": object(
            json!({ "passkey": reference, "recovery_codes": texts() }),
            &["passkey"],
        ),
        "ShownPasskey": closed(object(
            json!({ "passkey_token": text(), "credential": credential(shown) }),
            &["passkey_token", "credential"],
        )),
    });
    match shapes {
        Value::Object(shapes) => shapes,
        _ => Map::new(),
    }
}
