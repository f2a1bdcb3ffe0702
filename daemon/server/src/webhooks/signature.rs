//! Signatures of Standard Webhooks (https://www.standardwebhooks.com, specification 1.0.0). Pure: time and
//! secrets come in as values.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Before a secret.
const PREFIX: &str = "whsec_";

/// A secret as bytes. Printing it tells nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Reads a secret: base64 of 24 to 64 bytes, behind `whsec_` or not.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let bytes = STANDARD.decode(text.strip_prefix(PREFIX).unwrap_or(text)).ok()?;
        (24..=64).contains(&bytes.len()).then_some(Self(bytes))
    }

    /// The key.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Secret")
    }
}

/// The value of `webhook-signature`: one signature a secret, the newest first.
pub fn sign(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let one = |secret: &Secret| {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &secret.0));
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    };
    secrets.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{Secret, sign};

    /// The example of the specification.
    #[test]
    fn m36_signatures_are_those_of_the_specification() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", br#"{"test": 2432232314}"#);
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(sign(std::slice::from_ref(&secret), id, 1_614_265_330, body), expected);
        let other = Secret::parse("C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap();
        let both = sign(&[secret, other], id, 1_614_265_330, body);
        assert!(both.starts_with(&format!("{expected} v1,")) && both.len() == 2 * expected.len() + 1);
        for wrong in ["", "whsec_", "whsec_c2hvcnQ=", "not base64!"] {
            assert_eq!(Secret::parse(wrong), None, "{wrong}");
        }
    }
}
