//! The second factor: a one-time password by time, a passkey, or a recovery code. Here it is set up, asked for after
//! the first factor and before there is a session, and removed.
//!
//! Its secret is sealed with the key of the data directory, so the database alone cannot make codes.

use alyx_core::identity::Identity;
use alyx_store::{Account, Confirm, NewChallenge, Purpose, TotpAttempt};
use jiff::Timestamp;
use serde::Serialize;

use super::Auth;
use super::codes::invalid_code;
use super::proof::Proof;
use super::recovery_codes::{RecoveryCodes, hash};
use super::session::{Begun, Client, Method, hash_of, new_token};
use super::totp::{self, DIGITS, PERIOD_S};
use crate::audit::{self, Action, Event};
use crate::clock;
use crate::limits::{CODE_ATTEMPTS, SECOND_FACTOR_QUESTIONS_MAX, SECOND_FACTOR_TTL};
use crate::mail::Kind;
use crate::problem::{ApiError, Code};

/// The question for a second factor, as it is answered instead of tokens.
#[derive(Debug, Serialize)]
pub struct SecondFactor {
    mfa_required: bool,
    /// Stands for the first factor when the second one is shown.
    mfa_token: String,
    /// What may be shown, such as `totp`.
    methods: Vec<&'static str>,
}

/// What an authenticator needs.
#[derive(Serialize)]
pub struct Enrollment {
    secret: String,
    uri: String,
    algorithm: &'static str,
    digits: usize,
    period: u64,
}

/// What a user has set up.
#[derive(Debug, Serialize)]
pub struct FactorStatus {
    totp: bool,
    passkeys: u32,
    recovery_codes_left: u32,
}

impl Auth {
    /// What the account's owner has to show besides what they showed by `method`; `None` if nothing.
    pub(super) async fn second_factor(
        &self,
        account: &Account,
        method: Method,
        client: &Client,
    ) -> Result<Option<SecondFactor>, ApiError> {
        let facts = self.facts(account);
        // A passkey is two factors: something one has, and what its authenticator knows its user by.
        if matches!(method, Method::SecondFactor | Method::Passkey) {
            return Ok(None);
        }
        let factors = self.0.store.factors(&facts.id).await?;
        if !factors.any() {
            return Ok(None);
        }
        let (token, hash) = new_token();
        let challenge = NewChallenge {
            hash,
            purpose: Purpose::SecondFactor,
            user_id: facts.id.clone(),
            email: facts.email,
            code_hash: None,
            attempts: CODE_ATTEMPTS,
            at_most: SECOND_FACTOR_QUESTIONS_MAX,
            expires_at: Timestamp::now() + SECOND_FACTOR_TTL,
            ends: None,
        };
        let event = Event::new(Action::SecondFactorAsk, &Identity::Anonymous, client)
            .target(format!("user:{}", facts.id))
            .detail("method", method.as_str());
        audit::with(&self.0.store, event).issue_challenge(challenge, Vec::new()).await?;
        let offered = [("totp", factors.totp), ("passkey", factors.passkeys > 0), ("recovery_code", true)];
        let methods = offered.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name).collect();
        Ok(Some(SecondFactor { mfa_required: true, mfa_token: token, methods }))
    }

    /// Signs in by the second factor, after the first one was answered with this token.
    pub async fn answer_second_factor(
        &self,
        token: &str,
        proof: &Proof,
        client: &Client,
    ) -> Result<Begun, ApiError> {
        let store = &self.0.store;
        let hash = hash_of(token);
        let Some(found) = store.attempt_challenge(hash, Purpose::SecondFactor).await? else {
            self.refused(None, Method::SecondFactor, client).await;
            return Err(invalid_code());
        };
        let account = store.account_by_id(&found.user_id).await?.ok_or_else(invalid_code)?;
        if let Err(error) = self.check_factor(&account, proof, client).await {
            self.refused(Some(&account), Method::SecondFactor, client).await;
            return Err(error);
        }
        if !store.take_challenge(hash, Purpose::SecondFactor).await? {
            return Err(invalid_code());
        }
        self.begin(&account, Method::SecondFactor, client).await
    }

    /// What the caller has set up.
    pub async fn factor_status(&self, who: &Identity) -> Result<FactorStatus, ApiError> {
        let account = self.own_account(who).await?;
        let factors = self.0.store.factors(&self.facts(&account).id).await?;
        Ok(FactorStatus {
            totp: factors.totp,
            passkeys: factors.passkeys,
            recovery_codes_left: factors.recovery_codes,
        })
    }

    /// Makes a secret that counts once [`Auth::confirm_totp`] has seen a code of it.
    pub async fn enroll_totp(
        &self,
        who: &Identity,
        proof: &Proof,
        client: &Client,
    ) -> Result<Enrollment, ApiError> {
        let account = self.own_account(who).await?;
        let facts = self.facts(&account);
        if self.0.store.factors(&facts.id).await?.totp {
            return Err(enrolled());
        }
        self.confirm_for_factor(&account, who, proof, client).await?;
        let secret = clock::random::<{ totp::SECRET_BYTES }>();
        let sealed = self.0.sealer.seal(&owner(&facts.id), &secret);
        let event = Event::new(Action::TotpEnroll, who, client).target(format!("user:{}", facts.id));
        if !audit::with(&self.0.store, event).enroll_totp(&facts.id, sealed).await? {
            return Err(enrolled());
        }
        Ok(Enrollment {
            secret: totp::base32(&secret),
            uri: totp::uri(self.0.mail.app_name(), &facts.email, &secret),
            algorithm: "SHA1",
            digits: DIGITS,
            period: PERIOD_S,
        })
    }

    /// Puts the secret in force, and gives recovery codes.
    pub async fn confirm_totp(
        &self,
        who: &Identity,
        code: &str,
        client: &Client,
    ) -> Result<RecoveryCodes, ApiError> {
        let account = self.own_account(who).await?;
        let facts = self.facts(&account);
        let guess = self.guess(&facts.id, client).await?;
        let codes = RecoveryCodes::new();
        let mails = self.notices(Kind::TotpEnabled, &account, client);
        let event = Event::new(Action::TotpConfirm, who, client).target(format!("user:{}", facts.id));
        let confirm = Confirm { recovery_codes: codes.hashes(), mails };
        self.check_totp(&facts.id, code, Some((confirm, event))).await?;
        guess.succeeded().await;
        Ok(codes)
    }

    /// Removes the second factor, of which one more has to be shown.
    pub async fn disable_totp(&self, who: &Identity, proof: &Proof, client: &Client) -> Result<(), ApiError> {
        let account = self.own_account(who).await?;
        self.confirm_factor(&account, who, proof, client).await?;
        let user_id = self.facts(&account).id;
        let mails = self.notices(Kind::TotpDisabled, &account, client);
        let event = Event::new(Action::TotpDisable, who, client).target(format!("user:{user_id}"));
        if !audit::with(&self.0.store, event).remove_totp(&user_id, mails).await? {
            return Err(not_enabled());
        }
        Ok(())
    }

    /// Replaces the recovery codes; a second factor has to be shown.
    pub async fn renew_recovery_codes(
        &self,
        who: &Identity,
        proof: &Proof,
        client: &Client,
    ) -> Result<RecoveryCodes, ApiError> {
        let account = self.own_account(who).await?;
        self.confirm_factor(&account, who, proof, client).await?;
        let user_id = self.facts(&account).id;
        let codes = RecoveryCodes::new();
        let event = Event::new(Action::RecoveryCodes, who, client).target(format!("user:{user_id}"));
        audit::with(&self.0.store, event).set_recovery_codes(&user_id, codes.hashes()).await?;
        Ok(codes)
    }

    /// Checks a one-time password; with `confirm`, of a secret that is not in force yet.
    pub(super) async fn check_totp(
        &self,
        user_id: &str,
        code: &str,
        confirm: Option<(Confirm, Event)>,
    ) -> Result<(), ApiError> {
        let parts = &self.0;
        let sealed = match parts.store.attempt_totp(user_id).await? {
            TotpAttempt::None => return Err(not_enabled()),
            TotpAttempt::Exhausted { until } => return Err(exhausted(until)),
            TotpAttempt::Ready { confirmed: true, .. } if confirm.is_some() => {
                return Err(ApiError::new(Code::TotpEnabled, "The second factor is confirmed already."));
            }
            TotpAttempt::Ready { confirmed: false, .. } if confirm.is_none() => return Err(not_enabled()),
            TotpAttempt::Ready { sealed_secret, .. } => sealed_secret,
        };
        let secret = parts.sealer.open(&owner(user_id), &sealed).map_err(|error| {
            tracing::error!(user = user_id, "the second factor of user {user_id} cannot be read: {error}");
            invalid_code()
        })?;
        let step = totp::matching_step(&secret, code, clock::now_seconds()).ok_or_else(invalid_code)?;
        let accepted = match confirm {
            Some((confirm, event)) => {
                audit::with(&parts.store, event).accept_totp(user_id, step, Some(confirm)).await?
            }
            None => parts.store.accept_totp(user_id, step, None).await?,
        };
        if accepted { Ok(()) } else { Err(invalid_code()) }
    }

    /// Uses a recovery code up.
    pub(super) async fn check_recovery_code(&self, user_id: &str, code: &str) -> Result<(), ApiError> {
        if self.0.store.use_recovery_code(user_id, hash(code)).await? { Ok(()) } else { Err(invalid_code()) }
    }

    /// The mail that tells an account's owner of it, where mails are sent.
    pub(super) fn notices(&self, kind: Kind, account: &Account, client: &Client) -> Vec<alyx_store::NewMail> {
        let facts = self.facts(account);
        let notice = || self.notice(kind, (&facts.id, &facts.email), client);
        (self.0.mail.is_on() && !facts.email.is_empty()).then(notice).into_iter().collect()
    }
}

/// What a secret is sealed for.
fn owner(user_id: &str) -> String {
    format!("totp:{user_id}")
}

fn enrolled() -> ApiError {
    ApiError::new(Code::TotpEnabled, "The account has an authenticator already; remove it first.")
}

fn not_enabled() -> ApiError {
    ApiError::new(Code::TotpNotEnabled, "The account has no authenticator for codes.")
}

fn exhausted(until: Timestamp) -> ApiError {
    let seconds = until.duration_since(Timestamp::now()).as_secs().max(0).unsigned_abs() + 1;
    let detail = format!("Too many codes were wrong; try again in {seconds} s, or use a recovery code.");
    ApiError::new(Code::TooManyRequests, detail).retry_after(seconds)
}

/// The secret is nobody's to print.
impl std::fmt::Debug for Enrollment {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Enrollment")
    }
}
