//! Signing in by a code sent by mail. The code is good with the token that its request was answered
//! with, so somebody who did not ask for it has nothing to type it into; and only together are they
//! hashed, so the database tells no code.

use alyx_store::{NewChallenge, Purpose};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use jiff::Timestamp;
use serde::Serialize;

use alyx_core::identity::Identity;

use super::Auth;
use super::session::{Begun, Client, Method, hash_of, new_token};
use super::totp::normal;
use crate::audit::{self, Action, Event};
use crate::clock;
use crate::limits::{CODE_ATTEMPTS, CODE_TTL};
use crate::mail::{Kind, To};
use crate::problem::{ApiError, Code};

/// The answer to a request for a code, whether or not one was sent.
#[derive(Debug, Serialize)]
pub struct CodeSent {
    otp_token: String,
    expires_in: u64,
}

impl Auth {
    /// Sends a code to `email`, if it is the address of an account.
    pub async fn request_code(&self, email: &str, client: &Client) -> Result<CodeSent, ApiError> {
        let account = self.account_for_mail(email, client).await?;
        let parts = &self.0;
        let (token, hash) = new_token();
        let code = new_code();
        let expires_at = Timestamp::now() + CODE_TTL;
        let user_id = account.as_ref().map(|facts| facts.id.clone()).unwrap_or_default();
        let address = account.as_ref().map(|facts| facts.email.clone()).unwrap_or_default();
        let challenge = NewChallenge {
            hash,
            purpose: Purpose::Code,
            user_id: user_id.clone(),
            email: address.clone(),
            code_hash: Some(hash_of(&format!("{token}:{code}"))),
            attempts: CODE_ATTEMPTS,
            at_most: parts.settings.reset_per_hour,
            expires_at,
            ends: None,
        };
        let values = [("code", code), ("minutes", (CODE_TTL.as_secs() / 60).to_string())];
        let to = To { user_id: &user_id, address: &address, languages: &client.languages };
        let mail = parts.mail.compose(Kind::Code, &to, &values, expires_at);
        let target = account.map(|facts| format!("user:{}", facts.id)).unwrap_or_default();
        let event = Event::new(Action::CodeRequest, &Identity::Anonymous, client).target(target);
        audit::with(&parts.store, event).issue_challenge(challenge, vec![mail]).await?;
        Ok(CodeSent { otp_token: token, expires_in: CODE_TTL.as_secs() })
    }

    /// Signs in by a code.
    ///
    /// # Errors
    /// `invalid_code` for whatever is wrong.
    pub async fn sign_in_by_code(&self, token: &str, code: &str, client: &Client) -> Result<Begun, ApiError> {
        let store = &self.0.store;
        let hash = hash_of(token);
        let guess = self.guess(&format!("otp:{}", clock::hex(&hash)), client).await?;
        let Some(found) = store.attempt_challenge(hash, Purpose::Code).await? else {
            self.refused(None, Method::Code, client).await;
            return Err(invalid_code());
        };
        let given = normal(code).map(|code| hash_of(&format!("{token}:{code}"))).unwrap_or_default();
        let is_right = verify_slices_are_equal(&given, &found.code_hash.unwrap_or([1; 32])).is_ok();
        let account = store.account_by_id(&found.user_id).await?;
        let account = account.filter(|account| self.facts(account).email == found.email);
        match account {
            Some(account) if is_right && store.take_challenge(hash, Purpose::Code).await? => {
                guess.succeeded().await;
                self.begin(&account, Method::Code, client).await
            }
            found => {
                self.refused(found.as_ref(), Method::Code, client).await;
                Err(invalid_code())
            }
        }
    }
}

/// Six digits, each equally likely: what does not divide evenly is drawn again.
fn new_code() -> String {
    const CODES: u32 = 1_000_000;
    loop {
        let number = u32::from_be_bytes(clock::random());
        if number < u32::MAX - u32::MAX % CODES {
            return format!("{:06}", number % CODES);
        }
    }
}

/// Whatever is wrong with a code or the token that goes with it.
pub(super) fn invalid_code() -> ApiError {
    ApiError::new(Code::InvalidOtp, "The code is wrong, was used or has expired.")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::new_code;

    #[test]
    fn codes_have_six_digits_and_differ() {
        let codes: HashSet<String> = (0..1_000).map(|_| new_code()).collect();
        assert!(codes.iter().all(|code| code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit())));
        assert!(codes.len() > 900);
    }
}
