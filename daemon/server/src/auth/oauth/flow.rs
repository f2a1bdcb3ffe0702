//! A sign-in that is under way at a provider: what must be remembered until the browser comes back.
//!
//! It is kept by the browser itself, in a cookie that only this process can read or make, so a million
//! sign-ins that nobody finishes cost nothing. After a restart they begin again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::clock;

/// Time somebody has at the provider.
pub const FLOW_TTL: Duration = Duration::from_secs(600);

/// What is remembered.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    pub provider: String,
    /// Comes back in the address; ties the answer to this browser.
    pub state: String,
    /// Comes back in the id token; ties that to this flow.
    pub nonce: String,
    /// The secret behind the code challenge, RFC 7636.
    pub verifier: String,
    /// Where the app wants to go on.
    pub redirect: String,
    /// The app's own challenge: who exchanges the code shows what it was made of.
    pub challenge: String,
    /// The user who is to be linked, for one who was signed in.
    pub user: Option<String>,
    /// Seconds since 1970.
    expires_at: u64,
}

/// Makes and reads the cookie.
pub struct Sealer(RandomizedNonceKey);

impl Flow {
    /// A new one, with secrets of its own.
    pub fn new(provider: &str, redirect: String, challenge: String, user: Option<String>) -> Self {
        let secret = || URL_SAFE_NO_PAD.encode(clock::random::<32>());
        Self {
            provider: provider.to_owned(),
            state: secret(),
            nonce: secret(),
            verifier: secret(),
            redirect,
            challenge,
            user,
            expires_at: now() + FLOW_TTL.as_secs(),
        }
    }
}

impl Sealer {
    pub fn new() -> Self {
        let key = RandomizedNonceKey::new(&AES_256_GCM, &clock::random::<32>());
        Self(key.expect("32 bytes are a key of AES-256"))
    }

    /// The cookie's value.
    pub fn seal(&self, flow: &Flow) -> String {
        let mut text = serde_json::to_vec(flow).expect("strings and a number are JSON");
        let nonce = self.0.seal_in_place_append_tag(Aad::empty(), &mut text).expect("a flow is short");
        let mut sealed = nonce.as_ref().to_vec();
        sealed.append(&mut text);
        URL_SAFE_NO_PAD.encode(sealed)
    }

    /// The flow of a cookie of ours that has not expired.
    pub fn open(&self, cookie: &str) -> Option<Flow> {
        let mut sealed = URL_SAFE_NO_PAD.decode(cookie).ok()?;
        let (nonce, text) = sealed.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let opened = self.0.open_in_place(nonce, Aad::empty(), text).ok()?;
        let flow: Flow = serde_json::from_slice(opened).ok()?;
        (flow.expires_at > now()).then_some(flow)
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::{Flow, Sealer};

    #[test]
    fn only_the_process_that_made_it_reads_it() {
        let sealer = Sealer::new();
        let flow = Flow::new("google", "https://app.example/".to_owned(), "c".to_owned(), None);
        let sealed = sealer.seal(&flow);
        assert_eq!(sealer.open(&sealed), Some(flow));
        assert_eq!(Sealer::new().open(&sealed), None);
        let mut changed = sealed.clone().into_bytes();
        changed[20] ^= 1;
        assert_eq!(sealer.open(std::str::from_utf8(&changed).unwrap()), None);
        for garbage in ["", "a", "!", &sealed[..20]] {
            assert_eq!(sealer.open(garbage), None, "{garbage}");
        }
    }

    #[test]
    fn it_expires() {
        let sealer = Sealer::new();
        let mut flow = Flow::new("google", String::new(), String::new(), None);
        flow.expires_at = 1;
        assert_eq!(sealer.open(&sealer.seal(&flow)), None);
    }
}
