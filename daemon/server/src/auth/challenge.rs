//! Work that has to be done before a guess at an account that many have guessed at: find a text that,
//! after `<challenge>:`, has a SHA-256 with so many leading zero bits. It needs no third party, costs a
//! person a moment, and everybody who tries many times a lot.
//!
//! A challenge is good for one account, five minutes and one guess. None is kept before it is solved.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use serde_json::{Value, json};

use crate::clock::{self, hex};
use crate::limits::{CHALLENGE_BITS, CHALLENGE_BITS_MAX, CHALLENGES_USED_MAX};

/// Unit: seconds.
const VALID_FOR: u64 = 300;

/// Makes challenges and checks solutions.
pub struct Challenges {
    /// Of this process; a restart makes open challenges worthless, and new ones are free.
    key: hmac::Key,
    /// Solved ones, until they expire.
    used: Mutex<HashMap<String, u64>>,
}

impl Challenges {
    /// With a new key.
    pub fn new() -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &clock::random::<32>());
        Self { key, used: Mutex::default() }
    }

    /// A challenge for a guess at `account`; harder, the more wrong guesses there were beyond the bound.
    pub fn make(&self, account: &str, over: u32, now: u64) -> Value {
        let bits = (CHALLENGE_BITS + over.checked_ilog2().unwrap_or(0)).min(CHALLENGE_BITS_MAX);
        let head = format!("{}.{bits}.{}", now + VALID_FOR, clock::random_hex::<16>());
        let challenge = format!("{head}.{}", self.seal(&head, account));
        json!({ "challenge": challenge, "algorithm": "sha-256", "bits": bits, "expires_in": VALID_FOR })
    }

    /// Whether `solution`, `<challenge>:<text>`, solves a challenge for this account, for the first time.
    pub fn solved(&self, account: &str, solution: &str, now: u64) -> bool {
        let Some(((head, seal), expires)) = self.read(solution) else { return false };
        let Some(bits) = head.split('.').nth(1).and_then(|bits| bits.parse().ok()) else { return false };
        let sealed = hex_bytes(seal).is_some_and(|seal| {
            hmac::verify(&self.key, format!("{head}|{account}").as_bytes(), &seal).is_ok()
        });
        if !sealed || expires <= now || zero_bits(digest(&SHA256, solution.as_bytes()).as_ref()) < bits {
            return false;
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() >= CHALLENGES_USED_MAX {
            used.retain(|_, expires| *expires > now);
        }
        used.len() < CHALLENGES_USED_MAX && used.insert(head.to_owned(), expires).is_none()
    }

    fn read<'a>(&self, solution: &'a str) -> Option<((&'a str, &'a str), u64)> {
        let (challenge, _) = solution.split_once(':').filter(|_| solution.len() <= 512)?;
        let (head, seal) = challenge.rsplit_once('.')?;
        Some(((head, seal), head.split('.').next()?.parse().ok()?))
    }

    fn seal(&self, head: &str, account: &str) -> String {
        hex(hmac::sign(&self.key, format!("{head}|{account}").as_bytes()).as_ref())
    }
}

fn zero_bits(bytes: &[u8]) -> u32 {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let rest = bytes.get(zeros).map_or(0, |byte| byte.leading_zeros());
    u32::try_from(zeros).unwrap_or(u32::MAX) * 8 + rest
}

fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.as_bytes().chunks(2).map(|pair| Some(digit(*pair.first()?)? * 16 + digit(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::{Challenges, digest, zero_bits};
    use crate::limits::{CHALLENGE_BITS, CHALLENGE_BITS_MAX};

    fn solve(challenge: &str, bits: u32) -> String {
        let solves = |text: &String| {
            zero_bits(digest(&super::SHA256, format!("{challenge}:{text}").as_bytes()).as_ref()) >= bits
        };
        let text = (0_u64..).map(|number| number.to_string()).find(solves).unwrap();
        format!("{challenge}:{text}")
    }

    #[test]
    fn a_solution_is_good_for_one_account_and_once() {
        let challenges = Challenges::new();
        let made = challenges.make("ada", 0, 1_000);
        let challenge = made["challenge"].as_str().unwrap();
        assert_eq!(made["bits"], CHALLENGE_BITS);
        let solution = solve(challenge, CHALLENGE_BITS);
        assert!(!challenges.solved("bob", &solution, 1_001), "another account");
        assert!(!challenges.solved("ada", &solution, 1_300), "too late");
        assert!(!challenges.solved("ada", &format!("{challenge}:"), 1_001), "not solved");
        let easier = challenge.replacen(&format!(".{CHALLENGE_BITS}."), ".1.", 1);
        assert!(!challenges.solved("ada", &solve(&easier, 1), 1_001), "made easier");
        let longer = challenge.replacen("1300.", "9300.", 1);
        assert!(!challenges.solved("ada", &solve(&longer, CHALLENGE_BITS), 1_001), "made longer");
        assert!(!Challenges::new().solved("ada", &solution, 1_001), "of another process");
        for nonsense in ["", ":", "a:b", "a.b.c:d", "1.2.3.4:5"] {
            assert!(!challenges.solved("ada", nonsense, 1_001), "{nonsense}");
        }
        assert!(challenges.solved("ada", &solution, 1_001));
        assert!(!challenges.solved("ada", &solution, 1_001), "a second time");
    }

    #[test]
    fn challenges_get_harder() {
        let challenges = Challenges::new();
        let bits = |over| challenges.make("ada", over, 0)["bits"].as_u64().unwrap();
        assert_eq!(bits(0), u64::from(CHALLENGE_BITS));
        assert!(bits(20) > bits(0));
        assert_eq!(bits(u32::MAX), u64::from(CHALLENGE_BITS_MAX));
    }
}
