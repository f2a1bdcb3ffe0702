//! An authenticator in software, with passkeys of P-256, for tests that need more of them than a browser
//! gives, or need them to misbehave.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// One passkey and what its browser says.
#[derive(Debug)]
pub struct Authenticator {
    key: EcdsaKeyPair,
    /// Id of the credential.
    pub id: Vec<u8>,
    /// What the account is called, once there is one.
    pub user_handle: String,
    /// Origin of the page.
    pub origin: String,
    /// How often it signed.
    pub counter: u32,
    /// The flags: somebody is there, and is known.
    pub flags: u8,
}

impl Authenticator {
    /// A new one, used on pages of the server at this URL, under its name.
    #[must_use]
    pub fn new(url: &str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("make a key");
        let id = digest(&SHA256, key.public_key().as_ref()).as_ref().to_vec();
        let origin = url.replace("127.0.0.1", "localhost");
        Self { key, id, user_handle: String::new(), origin, counter: 0, flags: 0b101 }
    }

    /// Makes a passkey as `public_key` of an answer asks.
    pub fn create(&mut self, asked: &Value) -> Value {
        let options = &asked["public_key"];
        self.user_handle = options["user"]["id"].as_str().expect("a handle").to_owned();
        let point = self.key.public_key().as_ref();
        let length = u16::try_from(self.id.len()).expect("a short id").to_be_bytes();
        let key = [
            &[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32][..],
            &point[1..33],
            &[0x22, 0x58, 32],
            &point[33..],
        ];
        let attested = [&[0; 16][..], &length, &self.id, &key.concat()].concat();
        let data = [self.head(options["rp"]["id"].as_str(), 0b100_0000), attested].concat();
        let length = u8::try_from(data.len()).expect("short data");
        let object =
            [b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58".as_slice(), &[length], &data].concat();
        json!({
            "id": base64url(&self.id), "rawId": base64url(&self.id), "type": "public-key",
            "response": {
                "clientDataJSON": base64url(&self.client_data("webauthn.create", options)),
                "attestationObject": base64url(&object), "transports": ["internal"],
            },
            "clientExtensionResults": {}, "authenticatorAttachment": "platform",
        })
    }

    /// Shows the passkey as `public_key` of an answer asks.
    pub fn show(&mut self, asked: &Value) -> Value {
        let options = &asked["public_key"];
        self.counter += 1;
        let data = self.head(options["rpId"].as_str(), 0);
        let client_data = self.client_data("webauthn.get", options);
        let message = [&data[..], digest(&SHA256, &client_data).as_ref()].concat();
        let signature = self.key.sign(&SystemRandom::new(), &message).expect("sign");
        json!({
            "id": base64url(&self.id), "rawId": base64url(&self.id), "type": "public-key",
            "response": {
                "clientDataJSON": base64url(&client_data), "authenticatorData": base64url(&data),
                "signature": base64url(signature.as_ref()), "userHandle": self.user_handle,
            },
            "clientExtensionResults": {},
        })
    }

    /// The same, with the token of the question: the body of a request.
    pub fn answer(&mut self, asked: &Value) -> Value {
        json!({ "passkey_token": asked["passkey_token"], "credential": self.show(asked) })
    }

    fn head(&self, domain: Option<&str>, flags: u8) -> Vec<u8> {
        let domain = digest(&SHA256, domain.expect("a domain").as_bytes());
        [domain.as_ref(), &[self.flags | flags], &self.counter.to_be_bytes()].concat()
    }

    fn client_data(&self, kind: &str, options: &Value) -> Vec<u8> {
        let client_data = json!({
            "type": kind, "challenge": options["challenge"], "origin": self.origin, "crossOrigin": false,
        });
        client_data.to_string().into_bytes()
    }
}

fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
