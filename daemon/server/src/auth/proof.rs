//! Showing again who one is, before something that a stolen session must not be enough for. Every such
//! act takes the same three members in its body and asks [`Auth::confirm`].
//!
//! An account with a password shows it, or its second factor. One without shows its second factor, or
//! comes with a session that began just now.

use alyx_core::identity::Identity;
use alyx_store::Account;
use jiff::Timestamp;
use serde::Deserialize;

use super::Auth;
use super::account::{field, signed_out};
use super::body::AccountBody;
use super::passkeys::ShownPasskey;
use super::passwords::Verdict;
use super::session::Client;
use crate::audit::{self, Action, Event};
use crate::limits::CONFIRMATION_FRESH;
use crate::problem::{ApiError, Code, invalid_fields};

/// What is shown: the password, or a second factor. At most one of them is there.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Proof {
    pub current_password: Option<String>,
    pub code: Option<String>,
    pub recovery_code: Option<String>,
    pub passkey: Option<ShownPasskey>,
}

impl Proof {
    /// Takes it out of a body that holds other things, too.
    pub fn take(body: &mut AccountBody) -> Result<Self, ApiError> {
        let wrong = |error| invalid_fields(vec![error]);
        let mut text = |name| body.take_as::<Option<String>>(name, "It must be text.").map_err(wrong);
        let (current_password, code) = (text("current_password")?.flatten(), text("code")?.flatten());
        let recovery_code = text("recovery_code")?.flatten();
        let rule = "It must be an object of passkey_token and credential.";
        let passkey = body.take_as::<Option<ShownPasskey>>("passkey", rule).map_err(wrong)?.flatten();
        Ok(Self { current_password, code, recovery_code, passkey })
    }

    fn factors(&self) -> usize {
        [self.code.is_some(), self.recovery_code.is_some(), self.passkey.is_some()]
            .into_iter()
            .filter(|is| *is)
            .count()
    }

    fn is_one_factor(&self) -> bool {
        self.current_password.is_none() && self.factors() == 1
    }
}

impl Auth {
    /// Makes sure that it is the account's owner who asks, not somebody who found their session open.
    ///
    /// # Errors
    /// `confirmation_failed` if what is shown is wrong or the session too old, `validation_failed` if
    /// nothing is shown that had to be, `too_many_requests` or `locked_out` for somebody who guesses.
    pub(super) async fn confirm(
        &self,
        account: &Account,
        who: &Identity,
        proof: &Proof,
        client: &Client,
    ) -> Result<(), ApiError> {
        let hash = account.password_hash.clone();
        match (&proof.current_password, proof.factors()) {
            (None, 0) if hash.is_some() => {
                Err(missing("current_password", "The current password or a second factor"))
            }
            (None, 0) => self.confirm_fresh(who).await,
            (Some(password), 0) => {
                let guess = self.guess(&self.facts(account).id, client).await?;
                if self.0.passwords.verify(password.clone(), hash).await? == Verdict::Wrong {
                    return Err(self.confirmation_failed(who, client).await);
                }
                guess.succeeded().await;
                Ok(())
            }
            _ => self.confirm_factor(account, who, proof, client).await,
        }
    }

    /// The same, where only a second factor is enough.
    pub(super) async fn confirm_factor(
        &self,
        account: &Account,
        who: &Identity,
        proof: &Proof,
        client: &Client,
    ) -> Result<(), ApiError> {
        match self.check_factor(account, proof, client).await {
            Err(error) if error.is(Code::InvalidOtp) || error.is(Code::InvalidPasskey) => {
                Err(self.confirmation_failed(who, client).await)
            }
            outcome => outcome,
        }
    }

    /// The same, before an account gets one more second factor: one that has any shows it.
    pub(super) async fn confirm_for_factor(
        &self,
        account: &Account,
        who: &Identity,
        proof: &Proof,
        client: &Client,
    ) -> Result<(), ApiError> {
        if self.0.store.factors(&self.facts(account).id).await?.any() {
            return self.confirm_factor(account, who, proof, client).await;
        }
        self.confirm(account, who, proof, client).await
    }

    /// Checks the second factor of an account.
    ///
    /// # Errors
    /// `invalid_code`, `invalid_passkey`, `totp_not_enabled`; `validation_failed` if none is shown.
    pub(super) async fn check_factor(
        &self,
        account: &Account,
        proof: &Proof,
        client: &Client,
    ) -> Result<(), ApiError> {
        let user_id = self.facts(account).id;
        if !proof.is_one_factor() {
            return Err(missing("code", "Either a code, a recovery code or a passkey, and nothing else,"));
        }
        let guess = self.guess(&user_id, client).await?;
        if let Some(code) = &proof.code {
            self.check_totp(&user_id, code, None).await?;
        } else if let Some(code) = &proof.recovery_code {
            self.check_recovery_code(&user_id, code).await?;
        } else if let Some(passkey) = &proof.passkey {
            self.check_passkey(&user_id, passkey, client).await?;
        }
        guess.succeeded().await;
        Ok(())
    }

    async fn confirm_fresh(&self, who: &Identity) -> Result<(), ApiError> {
        let user = who.user().ok_or_else(signed_out)?;
        let sessions = self.0.store.sessions_of(&user.id).await?;
        let began = sessions.iter().find(|session| session.id == user.session);
        let began: Option<Timestamp> = began.and_then(|session| session.created_at.parse().ok());
        if began.is_some_and(|began| began + CONFIRMATION_FRESH > Timestamp::now()) {
            return Ok(());
        }
        Err(ApiError::new(Code::ConfirmationFailed, "Sign in again; this needs a session that just began."))
    }

    async fn confirmation_failed(&self, who: &Identity, client: &Client) -> ApiError {
        audit::record(&self.0.store, Event::new(Action::Confirm, who, client).denied()).await;
        ApiError::new(Code::ConfirmationFailed, "What was shown to confirm this is wrong.")
    }
}

fn missing(name: &str, what: &str) -> ApiError {
    invalid_fields(vec![field(name, "required", format!("{what} is needed."))])
}

/// Secrets are not printed.
impl std::fmt::Debug for Proof {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Proof")
    }
}
