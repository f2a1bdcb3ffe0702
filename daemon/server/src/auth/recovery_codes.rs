//! Recovery codes: for who lost their authenticator. Each is good once and has 120 random bits, so a fast
//! hash keeps it (OWASP ASVS 5.0, 6.5.2).

use serde::Serialize;

use super::session::hash_of;
use super::totp::base32;
use crate::clock;
use crate::limits::RECOVERY_CODES;

/// Codes in the clear, shown once.
#[derive(Debug, Serialize)]
pub struct RecoveryCodes {
    recovery_codes: Vec<String>,
}

impl RecoveryCodes {
    /// Fresh ones.
    pub fn new() -> Self {
        let code = |_| {
            let letters = base32(&clock::random::<15>()).to_ascii_lowercase();
            let groups: Vec<&str> =
                (0..6).filter_map(|group| letters.get(group * 4..group * 4 + 4)).collect();
            groups.join("-")
        };
        Self { recovery_codes: (0..RECOVERY_CODES).map(code).collect() }
    }

    /// What is stored.
    pub fn hashes(&self) -> Vec<[u8; 32]> {
        self.recovery_codes.iter().map(|code| hash(code)).collect()
    }
}

/// Hash of a code, however it is typed.
pub fn hash(code: &str) -> [u8; 32] {
    let letters = code.chars().filter(|letter| letter.is_ascii_alphanumeric()).take(64);
    hash_of(&letters.map(|letter| letter.to_ascii_lowercase()).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::{RecoveryCodes, hash};

    #[test]
    fn codes_are_long_and_may_be_typed_in_any_way() {
        let codes = RecoveryCodes::new();
        let first = &codes.recovery_codes[0];
        assert_eq!((codes.recovery_codes.len(), first.len()), (10, 29));
        assert_eq!(codes.hashes()[0], hash(&first.replace('-', " ").to_uppercase()));
        assert_ne!(codes.hashes()[0], codes.hashes()[1]);
    }
}
