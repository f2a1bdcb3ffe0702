//! One-time codes with which an app fetches the outcome of a sign-in, so that no token is ever part of
//! an address.
//!
//! A code is good once, for a minute, and only for whoever started the sign-in: the app shows the
//! verifier behind the challenge that it began with (as in RFC 7636), so a code that was slipped to
//! somebody else's browser is of no use there.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::clock;

const TTL: Duration = Duration::from_secs(60);

/// Most codes at a time; more sign-ins a minute than this host can hash for.
const CODES_MAX: usize = 10_000;

/// Length of a challenge: 32 bytes in base64url.
const CHALLENGE_CHARS: usize = 43;

/// The codes that are out.
#[derive(Default)]
pub struct Codes(Mutex<HashMap<[u8; 32], Waiting>>);

struct Waiting {
    user: String,
    challenge: String,
    expires_at: Instant,
}

impl Codes {
    /// A code for a user; `None` if there are too many.
    pub fn issue(&self, user: &str, challenge: &str, now: Instant) -> Option<String> {
        let code = URL_SAFE_NO_PAD.encode(clock::random::<32>());
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if codes.len() >= CODES_MAX {
            codes.retain(|_, waiting| waiting.expires_at > now);
        }
        if codes.len() >= CODES_MAX {
            return None;
        }
        let waiting =
            Waiting { user: user.to_owned(), challenge: challenge.to_owned(), expires_at: now + TTL };
        codes.insert(hash(&code), waiting);
        Some(code)
    }

    /// The user of a code. Whatever comes out, the code is used up.
    pub fn redeem(&self, code: &str, verifier: &str, now: Instant) -> Option<String> {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&hash(code))?;
        let shown = URL_SAFE_NO_PAD.encode(hash(verifier));
        let matches = verify_slices_are_equal(shown.as_bytes(), waiting.challenge.as_bytes()).is_ok();
        (matches && waiting.expires_at > now).then_some(waiting.user)
    }
}

/// Whether a text can be a challenge.
pub fn is_challenge(text: &str) -> bool {
    text.len() == CHALLENGE_CHARS && URL_SAFE_NO_PAD.decode(text).is_ok()
}

fn hash(text: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::{CODES_MAX, Codes, hash, is_challenge};

    fn challenge(verifier: &str) -> String {
        URL_SAFE_NO_PAD.encode(hash(verifier))
    }

    #[test]
    fn a_code_is_good_once_soon_and_for_its_app() {
        let (codes, now) = (Codes::default(), Instant::now());
        let issue = || codes.issue("ada", &challenge("v"), now).unwrap();
        let code = issue();
        assert_eq!(codes.redeem(&code, "v", now), Some("ada".to_owned()));
        assert_eq!(codes.redeem(&code, "v", now), None);
        let code = issue();
        assert_eq!(codes.redeem(&code, "w", now), None);
        assert_eq!(codes.redeem(&code, "v", now), None, "a wrong guess uses it up");
        let code = issue();
        assert_eq!(codes.redeem(&code, "v", now + Duration::from_secs(61)), None);
    }

    #[test]
    fn codes_are_bounded_and_come_back() {
        let (codes, now) = (Codes::default(), Instant::now());
        for _ in 0..CODES_MAX {
            assert!(codes.issue("ada", "", now).is_some());
        }
        assert!(codes.issue("ada", "", now).is_none());
        assert!(codes.issue("ada", "", now + Duration::from_secs(61)).is_some());
    }

    #[test]
    fn challenges_have_one_form() {
        assert!(is_challenge(&challenge("v")));
        for wrong in ["", "short", &"=".repeat(43), &"a".repeat(44)] {
            assert!(!is_challenge(wrong), "{wrong}");
        }
    }
}
