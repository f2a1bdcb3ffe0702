//! What browsers are told to ask an authenticator for (Web Authentication Level 3 §5.4, §5.5): passkeys
//! that verify their user and that can be found without a name, and no attestation.

use alyx_store::Passkey;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Value, json};

use super::Options;
use super::key::ALGORITHMS;
use super::party::Party;
use crate::limits::PASSKEY_CHALLENGE_TTL;

/// The question, and the token to bring the answer back with.
#[derive(Serialize)]
pub struct Asked {
    passkey_token: String,
    expires_in: u64,
    public_key: Options,
}

impl Asked {
    pub(super) fn new(passkey_token: String, public_key: Options) -> Self {
        Self { passkey_token, expires_in: PASSKEY_CHALLENGE_TTL.as_secs(), public_key }
    }
}

/// The token is nobody's to print.
impl std::fmt::Debug for Asked {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Asked")
    }
}

/// For a new passkey of `(id, name)`, who has these already.
pub fn for_registering(
    party: &Party,
    app: &str,
    (user_id, user_name): (&str, &str),
    challenge: &str,
    have: &[Passkey],
) -> Options {
    let kinds: Vec<Value> =
        ALGORITHMS.iter().map(|number| json!({ "type": "public-key", "alg": number })).collect();
    json!({
        "rp": { "id": party.id(), "name": app },
        "user": {
            "id": URL_SAFE_NO_PAD.encode(user_handle(user_id)),
            "name": user_name,
            "displayName": user_name,
        },
        "challenge": challenge,
        "pubKeyCredParams": kinds,
        "timeout": timeout_ms(),
        "excludeCredentials": descriptors(have),
        "authenticatorSelection": {
            "residentKey": "required",
            "requireResidentKey": true,
            "userVerification": "required",
        },
        "attestation": "none",
    })
}

/// For one of these passkeys, or for any if there are none.
pub fn for_showing(party: &Party, challenge: &str, allowed: &[Passkey]) -> Options {
    json!({
        "challenge": challenge,
        "timeout": timeout_ms(),
        "rpId": party.id(),
        "allowCredentials": descriptors(allowed),
        "userVerification": "required",
    })
}

/// What authenticators know an account by. Nobody learns the account's id or address from it.
pub fn user_handle(user_id: &str) -> [u8; 32] {
    let mut handle = [0; 32];
    handle.copy_from_slice(digest(&SHA256, format!("alyx passkey:{user_id}").as_bytes()).as_ref());
    handle
}

fn descriptors(passkeys: &[Passkey]) -> Vec<Value> {
    let descriptor = |passkey: &Passkey| {
        let transports: Vec<&str> = passkey.transports.split(',').filter(|name| !name.is_empty()).collect();
        let id = URL_SAFE_NO_PAD.encode(&passkey.credential_id);
        json!({ "type": "public-key", "id": id, "transports": transports })
    };
    passkeys.iter().map(descriptor).collect()
}

fn timeout_ms() -> u64 {
    PASSKEY_CHALLENGE_TTL.as_secs() * 1_000
}
