//! Requests that are done once, however often they come: `Idempotency-Key`.
//!
//! The answer is kept in the transaction of the write and given again for a day. Two requests with one
//! key at once take their turns; the second gets the answer of the first. A request that failed wrote
//! nothing and keeps nothing, so it may be tried again.

use alyx_core::identity::{Identity, RequestFacts};
use alyx_store::{Abort, StoredAnswer};
use aws_lc_rs::digest::{SHA256, digest};

use super::writing::{Refusal, Writing};
use crate::limits::IDEMPOTENCY_KEY_MAX_BYTES;
use crate::problem::{ApiError, Code};

/// A key with what it was sent for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    identity: String,
    key: String,
    request: Vec<u8>,
}

impl Once {
    /// Reads a key. Callers do not share keys; those who are not signed in are told apart by address.
    pub fn new(key: &str, who: &Identity, facts: &RequestFacts, body: &[u8]) -> Result<Self, ApiError> {
        Self::check(key)?;
        let mut request = format!("{}\n{}\n", facts.method, facts.path).into_bytes();
        for (name, value) in &facts.query {
            request.extend_from_slice(serde_json::json!([name, value]).to_string().as_bytes());
        }
        request.push(b'\n');
        request.extend_from_slice(body);
        Ok(Self::unchecked(key, who, facts, &request))
    }

    /// The same for a call of a function, where `request` says all that is asked.
    pub fn of_call(key: &str, who: &Identity, facts: &RequestFacts, request: &str) -> Result<Self, ApiError> {
        Self::check(key)?;
        Ok(Self::unchecked(key, who, facts, request.as_bytes()))
    }

    fn check(key: &str) -> Result<(), ApiError> {
        let printable = key.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
        if printable && (1..=IDEMPOTENCY_KEY_MAX_BYTES).contains(&key.len()) {
            return Ok(());
        }
        let detail = format!(
            "Idempotency-Key must be 1 to {IDEMPOTENCY_KEY_MAX_BYTES} printable characters without space."
        );
        Err(ApiError::new(Code::InvalidRequest, detail))
    }

    fn unchecked(key: &str, who: &Identity, facts: &RequestFacts, request: &[u8]) -> Self {
        let identity = match who {
            Identity::Anonymous => format!("anonymous@{}", facts.ip),
            who => match who.effective() {
                Identity::Anonymous => format!("{}@{}", who.label(), facts.ip),
                _ => who.label(),
            },
        };
        Self { identity, key: key.to_owned(), request: digest(&SHA256, request).as_ref().to_vec() }
    }
}

impl Writing<'_, '_, '_> {
    /// Does `work` once: gives the kept answer if there is one, else keeps the new one.
    pub fn once(
        &mut self,
        once: Option<&Once>,
        work: impl FnOnce(&mut Self) -> Result<(u16, Vec<u8>), Refusal>,
    ) -> Result<(u16, Vec<u8>), Refusal> {
        let Some(Once { identity, key, request }) = once else { return work(self) };
        match self.tx.answer(identity, key)? {
            Some(kept) if kept.request == *request => Ok((kept.status, kept.body)),
            Some(_) => {
                let detail = "This Idempotency-Key was used for another request.";
                Err(Abort::Refused(ApiError::new(Code::IdempotencyKeyReused, detail)))
            }
            None => {
                let (status, body) = work(self)?;
                let answer = StoredAnswer { request: request.clone(), status, body };
                self.tx.keep_answer(identity, key, &answer)?;
                Ok((status, answer.body))
            }
        }
    }
}
