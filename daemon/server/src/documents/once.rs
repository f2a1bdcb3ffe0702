//! Requests that are done once, however often they come: `Idempotency-Key`.
//!
//! The answer is kept in the transaction of the write and given again for a day. Two requests with one
//! key at once take their turns; the second gets the answer of the first. A request that failed wrote
//! nothing and keeps nothing, so it may be tried again.

use alyx_core::identity::{Identity, RequestFacts};
use alyx_store::{Abort, StoredAnswer};
use aws_lc_rs::digest::{Context, SHA256};

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
        let printable = key.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
        if !printable || !(1..=IDEMPOTENCY_KEY_MAX_BYTES).contains(&key.len()) {
            let detail = format!(
                "Idempotency-Key must be 1 to {IDEMPOTENCY_KEY_MAX_BYTES} printable characters without space."
            );
            return Err(ApiError::new(Code::InvalidRequest, detail));
        }
        let identity = match who {
            Identity::Anonymous => format!("anonymous@{}", facts.ip),
            who => who.label(),
        };
        let mut hash = Context::new(&SHA256);
        for part in [facts.method.as_str(), &facts.path] {
            hash.update(part.as_bytes());
            hash.update(b"\n");
        }
        for (name, value) in &facts.query {
            hash.update(serde_json::json!([name, value]).to_string().as_bytes());
        }
        hash.update(b"\n");
        hash.update(body);
        Ok(Self { identity, key: key.to_owned(), request: hash.finish().as_ref().to_vec() })
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
