//! Password hashes: Argon2id, in a bounded pool so that they cannot starve requests.
//!
//! Verifying takes the same time whether or not there is an account: a caller without a hash verifies
//! against one that no password has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use tokio::sync::Semaphore;

use crate::clock;
use crate::limits::{HASHES_AT_ONCE, HASHES_WAITING_MAX, PASSWORD_MAX_BYTES};
use crate::problem::{ApiError, Code, internal};

/// One password a line, lower case.
const COMMON: &str = include_str!("common_passwords.txt");

/// Hashes and verifies.
pub struct Passwords {
    slots: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// Hash that no password is known for, for accounts that do not exist.
    nobody: String,
}

/// Why a password is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weak {
    TooShort,
    TooLong,
    Common,
}

impl Passwords {
    /// A service that has hashed nothing yet.
    pub fn new() -> Self {
        let slots = Arc::new(Semaphore::new(HASHES_AT_ONCE));
        Self { slots, waiting: AtomicUsize::new(0), nobody: nobody() }
    }

    /// Hashes a password.
    pub async fn hash(&self, password: String) -> Result<String, ApiError> {
        let hashed = self.run(move || hash_now(&password)).await?;
        hashed.map_err(|error| internal("hash a password", &error).into())
    }

    /// Whether the password belongs to the hash; takes as long without one.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, ApiError> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.nobody.clone());
        let matches =
            self.run(move || argon2().verify_password(password.as_bytes(), hash.as_str()).is_ok()).await?;
        Ok(matches && known)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
        let overloaded = || ApiError::new(Code::Overloaded, "Too many people sign in at once; try again.");
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= HASHES_WAITING_MAX {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(overloaded());
        }
        let _waiting = Waiting(&self.waiting);
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(|_| overloaded())?;
        let worked = tokio::task::spawn_blocking(move || {
            let value = work();
            drop(slot);
            value
        });
        worked.await.map_err(|error| internal("hash a password", &error).into())
    }
}

/// Counts down also when the request is given up.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Checks a new password. Length counts characters below and bytes above.
pub fn check(password: &str, min_length: usize) -> Result<(), Weak> {
    if password.chars().count() < min_length {
        Err(Weak::TooShort)
    } else if password.len() > PASSWORD_MAX_BYTES {
        Err(Weak::TooLong)
    } else if COMMON.lines().any(|common| common == password.to_lowercase()) {
        Err(Weak::Common)
    } else {
        Ok(())
    }
}

/// m = 19 MiB, t = 2, p = 1. Source: OWASP Password Storage Cheat Sheet.
fn argon2() -> Argon2<'static> {
    let params = Params::new(19 * 1024, 2, 1, None).expect("the numbers are within the algorithm's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Random bytes where a hash has its result: computing one would cost its memory at every start.
fn nobody() -> String {
    let params = argon2().params().clone();
    let text = |bytes: &[u8]| STANDARD_NO_PAD.encode(bytes);
    let (salt, result) = (text(&clock::random::<16>()), text(&clock::random::<32>()));
    let (m, t, p) = (params.m_cost(), params.t_cost(), params.p_cost());
    format!("$argon2id$v=19$m={m},t={t},p={p}${salt}${result}")
}

fn hash_now(password: &str) -> Result<String, argon2::password_hash::Error> {
    let salt = clock::random::<16>();
    let hash: argon2::password_hash::phc::PasswordHash =
        argon2().hash_password_with_salt(password.as_bytes(), &salt)?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::{Error, PasswordVerifier};

    use super::{Passwords, Weak, argon2, check, nobody};

    #[test]
    fn weak_passwords_are_refused() {
        let check = |password: &str, expected| assert_eq!(check(password, 8), expected, "{password:.20}");
        check("correct horse", Ok(()));
        check("1234567", Err(Weak::TooShort));
        check("ääääääää", Ok(()));
        check("password", Err(Weak::Common));
        check("PassWord", Err(Weak::Common));
        check("12345678", Err(Weak::Common));
        check(&"x".repeat(1_024), Ok(()));
        check(&"x".repeat(1_025), Err(Weak::TooLong));
    }

    #[tokio::test]
    async fn hashes_belong_to_their_password() {
        let passwords = Passwords::new();
        let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let verify = async |password: &str, hash: Option<&String>| {
            passwords.verify(password.to_owned(), hash.cloned()).await.unwrap()
        };
        assert!(verify("correct horse", Some(&hash)).await);
        assert!(!verify("wrong horse", Some(&hash)).await);
        assert!(!verify("correct horse", None).await);
        assert!(!verify("correct horse", Some(&"garbage".to_owned())).await);
    }

    #[test]
    fn nobody_has_a_hash_that_is_computed_as_any_other() {
        // Text that cannot be read would be refused at once, which tells that there is no account.
        let refused = argon2().verify_password(b"", nobody().as_str());
        assert!(matches!(refused, Err(Error::PasswordInvalid)), "{refused:?}");
    }
}
