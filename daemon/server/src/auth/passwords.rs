//! Password hashes: Argon2id, so many at once and on threads of low priority, so that they cannot starve
//! requests. Hashes of bcrypt that were imported are verified as well, and replaced when their owner
//! signs in.
//!
//! Verifying takes the same time whether or not there is an account: a caller without a hash verifies
//! against one that no password has.

use std::collections::HashSet;
use std::io;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use tokio::sync::{Semaphore, oneshot};

use crate::clock;
use crate::config::{Hashing, PasswordRule};
use crate::limits::{HASHES_AT_ONCE, HASHES_WAITING_MAX, HASHING_NICENESS, PASSWORD_MAX_BYTES};
use crate::problem::{ApiError, Code, internal};

/// One password a line, lower case. Where they come from: `docs/decisions/0009-passwords.md`.
static COMMON: LazyLock<HashSet<&str>> =
    LazyLock::new(|| include_str!("common_passwords.txt").lines().collect());

/// Hashes and verifies.
pub struct Passwords {
    slots: Arc<Semaphore>,
    waiting: AtomicUsize,
    cost: Hashing,
    /// Hash that no password is known for, for accounts that do not exist.
    nobody: String,
}

/// What came out of a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The password does not belong to the hash, or there is none.
    Wrong,
    /// It does.
    Right,
    /// It does, and the hash should be replaced by one of today's cost.
    Outdated,
}

/// Why a password is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weak {
    TooShort,
    TooLong,
    Common,
    Personal,
    Lacks(PasswordRule),
}

impl Passwords {
    /// A service that has hashed nothing yet.
    pub fn new(cost: Hashing) -> Self {
        let slots = Arc::new(Semaphore::new(at_once(std::thread::available_parallelism())));
        Self { slots, waiting: AtomicUsize::new(0), cost, nobody: nobody(cost) }
    }

    /// Hashes a password.
    pub async fn hash(&self, password: String) -> Result<String, ApiError> {
        let cost = self.cost;
        let hashed = self.run(move || hash_now(&password, cost)).await?;
        hashed.map_err(|error| internal("hash a password", &error).into())
    }

    /// Whether the password belongs to the hash; takes as long without one.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<Verdict, ApiError> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.nobody.clone());
        let cost = self.cost;
        let verdict = self.run(move || verify_now(&password, &hash, cost)).await?;
        Ok(if known { verdict } else { Verdict::Wrong })
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
        let overloaded = || ApiError::new(Code::Overloaded, "Too many people sign in at once; try again.");
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= HASHES_WAITING_MAX {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(overloaded());
        }
        let _waiting = Waiting(&self.waiting);
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(|_| overloaded())?;
        let (done, worked) = oneshot::channel();
        let thread = std::thread::Builder::new().name("hash".to_owned()).spawn(move || {
            give_way();
            let value = work();
            drop(slot);
            // Nobody waits for it when the request was given up.
            drop(done.send(value));
        });
        // It ends by itself within one hash; the slot bounds how many there are.
        thread.map_err(|error| internal("start a thread that hashes", &error))?;
        worked.await.map_err(|error| internal("hash a password", &error).into())
    }
}

/// How many passwords are hashed at once on so many processors.
fn at_once(processors: io::Result<NonZero<usize>>) -> usize {
    processors.map_or(1, |processors| (processors.get() - 1).clamp(1, HASHES_AT_ONCE))
}

/// Lowers the priority of this thread alone, which Linux keeps for each thread: whoever only reads is
/// served first, however many guess at passwords.
fn give_way() {
    if let Err(error) = rustix::process::nice(HASHING_NICENESS) {
        tracing::debug!(%error, "passwords are hashed at the priority of everything else");
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
pub fn check(password: &str, min_length: usize, policy: &[PasswordRule], email: &str) -> Result<(), Weak> {
    if password.chars().count() < min_length {
        return Err(Weak::TooShort);
    }
    if password.len() > PASSWORD_MAX_BYTES {
        return Err(Weak::TooLong);
    }
    policy.iter().try_for_each(|rule| check_rule(password, *rule, email))
}

fn check_rule(password: &str, rule: PasswordRule, email: &str) -> Result<(), Weak> {
    let lower = password.to_lowercase();
    let has = |is: fn(char) -> bool| password.chars().any(is);
    let (fine, weak) = match rule {
        PasswordRule::Common => (!COMMON.contains(lower.as_str()), Weak::Common),
        PasswordRule::Personal => {
            let email = email.trim().to_lowercase();
            let name = email.split('@').next().unwrap_or_default();
            // A short name is in many good passwords by chance.
            (name.chars().count() < 4 || !lower.contains(name), Weak::Personal)
        }
        PasswordRule::Lower => (has(char::is_lowercase), Weak::Lacks(rule)),
        PasswordRule::Upper => (has(char::is_uppercase), Weak::Lacks(rule)),
        PasswordRule::Digit => (has(char::is_numeric), Weak::Lacks(rule)),
        PasswordRule::Symbol => (has(|letter| !letter.is_alphanumeric()), Weak::Lacks(rule)),
    };
    if fine { Ok(()) } else { Err(weak) }
}

/// What a password of this policy must have, in words.
pub const fn name_of(rule: PasswordRule) -> &'static str {
    match rule {
        PasswordRule::Common => "nothing common",
        PasswordRule::Personal => "nothing personal",
        PasswordRule::Lower => "a lower-case letter",
        PasswordRule::Upper => "an upper-case letter",
        PasswordRule::Digit => "a digit",
        PasswordRule::Symbol => "a character that is neither letter nor digit",
    }
}

/// Whether a hash made elsewhere can be verified here at a bearable cost.
pub fn is_importable(hash: &str) -> bool {
    if let Some(cost) = bcrypt_cost(hash) {
        return (4..=15).contains(&cost);
    }
    let params = PasswordHash::new(hash).ok().and_then(|parsed| {
        let known = matches!(parsed.algorithm.as_str(), "argon2id" | "argon2i" | "argon2d");
        Params::try_from(&parsed).ok().filter(|_| known && parsed.hash.is_some())
    });
    params.is_some_and(|params| params.m_cost() <= 1 << 20 && params.t_cost() <= 20 && params.p_cost() <= 16)
}

/// The cost of a hash of bcrypt: `$2b$12$`, then 53 letters of salt and result.
fn bcrypt_cost(hash: &str) -> Option<u32> {
    let rest = ["$2a$", "$2b$", "$2x$", "$2y$"].iter().find_map(|version| hash.strip_prefix(version))?;
    let (cost, rest) = rest.split_once('$')?;
    let letters = rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/'));
    (rest.len() == 53 && letters).then(|| cost.parse().ok())?
}

fn verify_now(password: &str, hash: &str, cost: Hashing) -> Verdict {
    if bcrypt_cost(hash).is_some() {
        let right = bcrypt::verify(password, hash).unwrap_or(false);
        return if right { Verdict::Outdated } else { Verdict::Wrong };
    }
    if argon2(cost).verify_password(password.as_bytes(), hash).is_err() {
        return Verdict::Wrong;
    }
    if hash.starts_with(&prefix(cost)) { Verdict::Right } else { Verdict::Outdated }
}

fn argon2(cost: Hashing) -> Argon2<'static> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, None)
        .expect("the configuration keeps the numbers within the algorithm's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// How every hash of this cost begins.
fn prefix(cost: Hashing) -> String {
    format!("$argon2id$v=19$m={},t={},p={}$", cost.memory_kib, cost.passes, cost.lanes)
}

/// Random bytes where a hash has its result: computing one would cost its memory at every start.
fn nobody(cost: Hashing) -> String {
    let text = |bytes: &[u8]| STANDARD_NO_PAD.encode(bytes);
    format!("{}{}${}", prefix(cost), text(&clock::random::<16>()), text(&clock::random::<32>()))
}

fn hash_now(password: &str, cost: Hashing) -> Result<String, argon2::password_hash::Error> {
    let salt = clock::random::<16>();
    let hash: PasswordHash = argon2(cost).hash_password_with_salt(password.as_bytes(), &salt)?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::num::NonZero;

    use argon2::password_hash::{Error, PasswordVerifier};

    use super::{Passwords, Verdict, Weak, argon2, at_once, check, is_importable, nobody};
    use crate::config::{Hashing, PasswordRule};

    const COST: Hashing = Hashing { memory_kib: 19 * 1024, passes: 2, lanes: 1 };
    const CHEAP: Hashing = Hashing { memory_kib: 8 * 1024, passes: 1, lanes: 1 };

    /// Of "correct horse", made by PyPI's bcrypt.
    const BCRYPT: &str = "$2b$04$KmjIGIAq2wvRA/q9TaGHSuNavFyqMnsHHJ239dJAYUMV3uf3dX25q";

    #[test]
    fn weak_passwords_are_refused() {
        let policy = [PasswordRule::Common, PasswordRule::Personal];
        let check = |password: &str, expected| {
            assert_eq!(check(password, 8, &policy, "Lovelace@example.org"), expected, "{password:.20}");
        };
        check("correct horse", Ok(()));
        check("1234567", Err(Weak::TooShort));
        check("ääääääää", Ok(()));
        check("password", Err(Weak::Common));
        check("PassWord", Err(Weak::Common));
        check("12345678", Err(Weak::Common));
        check("iloveyou1", Err(Weak::Common));
        check("ada lovelace 1815", Err(Weak::Personal));
        check("null\0null\0x", Ok(()));
        check(&"x".repeat(1_024), Ok(()));
        check(&"x".repeat(1_025), Err(Weak::TooLong));
    }

    #[test]
    fn a_policy_asks_for_what_it_names() {
        let check = |password: &str, rule, fine: bool| {
            let expected = if fine { Ok(()) } else { Err(Weak::Lacks(rule)) };
            assert_eq!(check(password, 8, &[rule], ""), expected, "{password}");
        };
        check("CORRECT HORSE", PasswordRule::Lower, false);
        check("correct horse", PasswordRule::Lower, true);
        check("correct horse", PasswordRule::Upper, false);
        check("Correct horse", PasswordRule::Upper, true);
        check("correct horse", PasswordRule::Digit, false);
        check("correct horse 4", PasswordRule::Digit, true);
        check("correcthorse", PasswordRule::Symbol, false);
        check("correct-horse", PasswordRule::Symbol, true);
    }

    #[test]
    fn the_common_ones_are_more_than_three_thousand() {
        assert!(super::COMMON.len() >= 3_000);
        assert!(super::COMMON.iter().all(|password| *password == password.to_lowercase()));
    }

    #[tokio::test]
    async fn hashes_belong_to_their_password() {
        let passwords = Passwords::new(COST);
        let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let check = async |password: &str, hash: Option<&str>, expected: Verdict| {
            let verdict = passwords.verify(password.to_owned(), hash.map(str::to_owned)).await.unwrap();
            assert_eq!(verdict, expected, "{password} {hash:?}");
        };
        check("correct horse", Some(&hash), Verdict::Right).await;
        check("wrong horse", Some(&hash), Verdict::Wrong).await;
        check("correct horse", None, Verdict::Wrong).await;
        check("correct horse", Some("garbage"), Verdict::Wrong).await;
        check("correct horse", Some(BCRYPT), Verdict::Outdated).await;
        check("wrong horse", Some(BCRYPT), Verdict::Wrong).await;
        let cheap = Passwords::new(CHEAP).hash("correct horse".to_owned()).await.unwrap();
        check("correct horse", Some(&cheap), Verdict::Outdated).await;
    }

    #[test]
    fn a_processor_is_left_to_everything_else() {
        let check = |processors: usize, expected: usize| {
            let processors = NonZero::new(processors).ok_or_else(|| io::Error::other("unknown"));
            assert_eq!(at_once(processors), expected);
        };
        check(0, 1);
        check(1, 1);
        check(2, 1);
        check(3, 2);
        check(5, 4);
        check(64, 4);
    }

    #[test]
    fn nobody_has_a_hash_that_is_computed_as_any_other() {
        // Text that cannot be read would be refused at once, which tells that there is no account.
        let refused = argon2(COST).verify_password(b"", nobody(COST).as_str());
        assert!(matches!(refused, Err(Error::PasswordInvalid)), "{refused:?}");
    }

    #[test]
    fn hashes_from_elsewhere_are_bounded() {
        let check = |hash: &str, fine: bool| assert_eq!(is_importable(hash), fine, "{hash}");
        let argon2 = |params: &str| {
            format!("$argon2id$v=19${params}$c29tZXNhbHRzb21lc2FsdA$YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4")
        };
        check(BCRYPT, true);
        check(&BCRYPT.replace("$04$", "$31$"), false);
        check(&BCRYPT[..BCRYPT.len() - 1], false);
        check(&argon2("m=65536,t=3,p=4"), true);
        check(&argon2("m=4194304,t=3,p=4"), false);
        check(&argon2("m=65536,t=1000,p=4"), false);
        check("correct horse", false);
        check("", false);
    }
}
