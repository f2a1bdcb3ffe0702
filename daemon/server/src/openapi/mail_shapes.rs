//! Table of shapes: what goes by mail, the second factor, and mails.

use serde_json::{Map, Value, json};

use super::shapes::object;

/// The shapes.
pub fn shapes() -> Map<String, Value> {
    let text = || json!({ "type": "string" });
    let whole = || json!({ "type": "integer" });
    let truth = || json!({ "type": "boolean" });
    let texts = || json!({ "type": "array", "items": { "type": "string" } });
    let optional = |kind: &str| json!({ "type": [kind, "null"] });
    let closed = |mut shape: Value| {
        shape["additionalProperties"] = json!(false);
        shape
    };
    let proof = |members: &[&str]| {
        let mut properties: Map<String, Value> =
            members.iter().map(|name| ((*name).to_owned(), optional("string"))).collect();
        let passkey =
            json!({ "oneOf": [{ "$ref": "#/components/schemas/ShownPasskey" }, { "type": "null" }] });
        properties.insert("passkey".to_owned(), passkey);
        closed(object(Value::Object(properties), &[]))
    };
    let mut new_address = proof(&["current_password", "code", "recovery_code"]);
    new_address["properties"]["email"] = json!({ "type": "string", "format": "email", "maxLength": 254 });
    new_address["required"] = json!(["email"]);
    let mut answer = proof(&["code", "recovery_code"]);
    answer["properties"]["mfa_token"] = text();
    answer["required"] = json!(["mfa_token"]);
    let shapes = json!({
        "Address": closed(object(json!({ "email": text() }), &["email"])),
        "LinkToken": closed(object(json!({ "token": text() }), &["token"])),
        "PasswordByLink": closed(object(
            json!({ "token": text(), "password": { "type": "string", "maxLength": 1024 } }),
            &["token", "password"],
        )),
        "NewAddress": new_address,
        "CodeSent": object(
            json!({ "otp_token": text(), "expires_in": whole() }),
            &["otp_token", "expires_in"],
        ),
        "SentCode": closed(object(json!({ "otp_token": text(), "code": text() }), &["otp_token", "code"])),
        "SecondFactorStatus": object(
            json!({ "totp": truth(), "passkeys": whole(), "recovery_codes_left": whole() }),
            &["totp", "passkeys", "recovery_codes_left"],
        ),
        "Proof": proof(&["current_password", "code", "recovery_code"]),
        "FactorProof": proof(&["code", "recovery_code"]),
        "TotpCode": closed(object(json!({ "code": text() }), &["code"])),
        "Enrollment": object(
            json!({
                "secret": text(), "uri": text(), "algorithm": { "const": "SHA1" }, "digits": whole(),
                "period": whole(),
            }),
            &["secret", "uri", "algorithm", "digits", "period"],
        ),
        "RecoveryCodes": object(json!({ "recovery_codes": texts() }), &["recovery_codes"]),
        "SecondFactorAnswer": answer,
        "MailList": mail_list(),
        "PageForm": object(json!({ "token": text(), "password": text() }), &["token"]),
    });
    match shapes {
        Value::Object(shapes) => shapes,
        _ => Map::new(),
    }
}

fn mail_list() -> Value {
    let text = || json!({ "type": "string" });
    let whole = || json!({ "type": "integer" });
    let optional = |kind: &str| json!({ "type": [kind, "null"] });
    let mail = object(
        json!({
            "id": text(), "to": text(), "template": text(),
            "state": { "enum": ["waiting", "sent", "dead"] }, "attempts": whole(), "created_at": text(),
            "due_at": optional("string"), "expires_at": text(), "error": optional("string"),
        }),
        &["id", "to", "template", "state", "attempts", "created_at", "due_at", "expires_at", "error"],
    );
    object(
        json!({
            "mails": { "type": "array", "items": mail }, "limit": whole(), "next_before": optional("integer"),
        }),
        &["mails", "limit", "next_before"],
    )
}
