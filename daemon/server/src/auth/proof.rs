//! Showing again who one is, before something that a stolen session must not be enough for.

use alyx_core::identity::Identity;
use alyx_store::Account;
use serde::Deserialize;

use super::Auth;
use super::passkeys::ShownPasskey;
use super::passwords::Verdict;
use super::session::{Client, invalid_credentials};
use crate::problem::{ApiError, Code};

/// What is shown: the password, or a second factor.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Proof {
    pub password: Option<String>,
    pub code: Option<String>,
    pub recovery_code: Option<String>,
    pub passkey: Option<ShownPasskey>,
}

impl Auth {
    /// Checks the password or the second factor of an account.
    ///
    /// # Errors
    /// `invalid_credentials`, `invalid_code`; `validation_failed` if nothing is shown.
    pub(super) async fn prove(
        &self,
        account: &Account,
        proof: &Proof,
        client: &Client,
    ) -> Result<(), ApiError> {
        let Some(password) = &proof.password else {
            return self.prove_factor(account, proof, client).await;
        };
        let guess = self.guess(&self.facts(account).email, client).await?;
        if self.0.passwords.verify(password.clone(), account.password_hash.clone()).await? != Verdict::Wrong {
            guess.succeeded().await;
            Ok(())
        } else {
            Err(invalid_credentials())
        }
    }

    /// Checks what has to be shown before an account gets one more second factor: one that it has, else
    /// its password, else that the session began just now.
    pub(super) async fn prove_for_factor(
        &self,
        account: &Account,
        who: &Identity,
        proof: &Proof,
        client: &Client,
    ) -> Result<(), ApiError> {
        let factors = self.0.store.factors(&self.facts(account).id).await?;
        if factors.any() {
            self.prove_factor(account, proof, client).await
        } else if account.password_hash.is_some() {
            self.prove(account, proof, client).await
        } else {
            self.confirm_fresh(who).await
        }
    }

    /// Checks the second factor of an account.
    pub(super) async fn prove_factor(
        &self,
        account: &Account,
        proof: &Proof,
        client: &Client,
    ) -> Result<(), ApiError> {
        let user_id = self.facts(account).id;
        let guess = self.guess(&user_id, client).await?;
        match (&proof.code, &proof.recovery_code, &proof.passkey) {
            (Some(code), None, None) => self.check_totp(&user_id, code, None).await?,
            (None, Some(code), None) => self.check_recovery_code(&user_id, code).await?,
            (None, None, Some(passkey)) => self.check_passkey(&user_id, passkey, client).await?,
            _ => {
                let detail =
                    "Show either a code, a recovery code, a passkey or, where it is accepted, the password.";
                return Err(ApiError::new(Code::ValidationFailed, detail));
            }
        }
        guess.succeeded().await;
        Ok(())
    }
}

/// Secrets are not printed.
impl std::fmt::Debug for Proof {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Proof")
    }
}
