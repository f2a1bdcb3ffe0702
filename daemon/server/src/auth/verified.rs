//! Access tokens whose signature was found right a short while ago. Checking an Ed25519 signature costs
//! more than reading a document; the same token comes with every request of a client, so it is checked
//! once. Only that is remembered: times, keys and sessions are looked at with every request.
//!
//! Two generations bound the memory: when the young one is full it becomes the old one, whose entries
//! are forgotten unless they were asked for meanwhile.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};

use super::tokens::Claims;
use crate::limits::VERIFIED_TOKENS_MAX;

/// SHA-256 of a whole token, signature included.
pub type Print = [u8; 32];

/// What a rightly signed token says.
#[derive(Debug)]
pub struct Verified {
    /// Name of the key that signed it.
    pub kid: String,
    pub claims: Claims,
}

/// The tokens that are remembered.
#[derive(Debug, Default)]
pub struct VerifiedTokens(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Print, Arc<Verified>>,
    old: HashMap<Print, Arc<Verified>>,
}

impl VerifiedTokens {
    /// What a token is remembered by.
    pub fn print(token: &str) -> Print {
        digest(&SHA256, token.as_bytes()).as_ref().try_into().expect("SHA-256 gives 32 bytes")
    }

    /// What the token says, if it is remembered.
    pub fn get(&self, print: &Print) -> Option<Arc<Verified>> {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = generations.young.get(print) {
            return Some(Arc::clone(found));
        }
        let found = generations.old.remove(print)?;
        generations.add(*print, Arc::clone(&found));
        Some(found)
    }

    /// Remembers a token whose signature is right.
    pub fn add(&self, print: Print, verified: Arc<Verified>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(print, verified);
    }
}

impl Generations {
    fn add(&mut self, print: Print, verified: Arc<Verified>) {
        if self.young.len() >= VERIFIED_TOKENS_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(print, verified);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Verified, VerifiedTokens};
    use crate::auth::tokens::Claims;
    use crate::limits::VERIFIED_TOKENS_MAX;

    fn verified(number: usize) -> Arc<Verified> {
        let text = String::new;
        let claims = Claims {
            iss: text(),
            aud: text(),
            sub: number.to_string(),
            sid: text(),
            iat: 0,
            exp: 0,
            nbf: None,
            jti: text(),
            role: text(),
            scope: text(),
        };
        Arc::new(Verified { kid: text(), claims })
    }

    #[test]
    fn what_is_used_stays_and_the_number_is_bounded() {
        let tokens = VerifiedTokens::default();
        let print = |number: usize| VerifiedTokens::print(&number.to_string());
        assert!(tokens.get(&print(0)).is_none());
        for number in 0..VERIFIED_TOKENS_MAX * 3 {
            tokens.add(print(number), verified(number));
            assert_eq!(tokens.get(&print(0)).unwrap().claims.sub, "0");
        }
        let kept = tokens.0.lock().unwrap();
        assert!(kept.young.len() + kept.old.len() <= VERIFIED_TOKENS_MAX);
        assert!(!kept.young.contains_key(&print(1)) && !kept.old.contains_key(&print(1)));
    }
}
