//! Passkeys (Web Authentication Level 3): key pairs of which we have the public half, bound to our domain
//! and to an account. One signs in by itself, because its authenticator verifies who uses it; and it is a
//! second factor after anything else.
//!
//! A challenge is good once, for five minutes, and only with the token that its request was answered with;
//! both are stored as one hash. `docs/decisions/0012-passkeys.md` says why this is our own code.

mod cbor;
mod ceremony;
mod data;
mod key;
mod manage;
mod options;
mod party;

use alyx_core::identity::Identity;
use alyx_store::{Account, Challenge, NewChallenge, Passkey, Purpose};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::Auth;
use super::account::signed_out;
use super::codes::invalid_code;
use super::session::{Begun, Client, Method, hash_of, new_token};
use crate::audit::{self, Action, Event};
use crate::clock;
use crate::limits::{PASSKEY_CHALLENGE_TTL, PASSKEY_CHALLENGES_MAX};
use crate::problem::{ApiError, Code};

pub use ceremony::NewCredential;
use ceremony::ShownCredential;
pub use manage::PasskeyInfo;
use options::Asked;
pub use party::{Party, may_use};

use ceremony::{Known, Refusal, Shown};
use options::user_handle;

/// A passkey that is shown as a second factor or to confirm who one is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShownPasskey {
    pub passkey_token: String,
    pub credential: ShownCredential,
}

impl Auth {
    /// Who we are to authenticators.
    ///
    /// # Errors
    /// `passkeys_not_configured` if browsers reach us by no name.
    pub(super) fn party(&self) -> Result<&Party, ApiError> {
        let off = "Passkeys need a domain; the operator of this server has to set server.public_url.";
        self.0.party.as_ref().ok_or_else(|| ApiError::new(Code::PasskeysNotConfigured, off))
    }

    /// Whether passkeys can be used here.
    pub fn has_passkeys(&self) -> bool {
        self.0.party.is_some()
    }

    /// Asks for a passkey to sign in with: for any, or, as a second factor, for one of the account whose
    /// first factor was answered with this token.
    pub async fn ask_for_passkey(&self, mfa_token: Option<&str>, client: &Client) -> Result<Asked, ApiError> {
        let party = self.party()?;
        let Some(mfa_token) = mfa_token else {
            let nobody = ("", &Identity::Anonymous);
            let (token, challenge) = self.challenge(Purpose::PasskeyLogin, nobody, "", client).await?;
            return Ok(Asked::new(token, options::for_showing(party, &challenge, &[])));
        };
        let found = self.0.store.challenge(hash_of(mfa_token), Purpose::SecondFactor).await?;
        let user_id = found.ok_or_else(invalid_code)?.user_id;
        self.ask_for_passkey_of(&user_id, &Identity::Anonymous, client).await
    }

    /// Asks for one of the caller's passkeys, to confirm who they are.
    pub async fn ask_for_own_passkey(&self, who: &Identity, client: &Client) -> Result<Asked, ApiError> {
        let user = who.user().ok_or_else(signed_out)?;
        self.ask_for_passkey_of(&user.id, who, client).await
    }

    async fn ask_for_passkey_of(
        &self,
        user_id: &str,
        who: &Identity,
        client: &Client,
    ) -> Result<Asked, ApiError> {
        let party = self.party()?;
        let passkeys = self.0.store.passkeys_of(user_id).await?;
        if passkeys.is_empty() {
            return Err(not_found());
        }
        let (token, challenge) =
            self.challenge(Purpose::PasskeyProof, (user_id, who), user_id, client).await?;
        Ok(Asked::new(token, options::for_showing(party, &challenge, &passkeys)))
    }

    /// Signs in by a passkey.
    ///
    /// # Errors
    /// `invalid_passkey` for whatever is wrong with it, `invalid_credentials` for an account that is
    /// disabled.
    pub async fn sign_in_by_passkey(
        &self,
        token: &str,
        credential: &ShownCredential,
        client: &Client,
    ) -> Result<Begun, ApiError> {
        let id = credential.id().map_err(refuse)?;
        let guess =
            self.guess(&format!("passkey:{}", clock::hex(&hash_of(&clock::hex(&id)))), client).await?;
        let asked = self.0.store.consume_challenge(hash_of(token), Purpose::PasskeyLogin).await?;
        let found = self.0.store.passkey_by_credential(&id).await?;
        let outcome = match &found {
            Some(passkey) if credential.names_its_user() => {
                self.show(passkey, credential, |challenge| is_answer(asked.as_ref(), token, challenge, ""))
            }
            _ => Err(Refusal::Signature),
        };
        let account = match &found {
            Some(passkey) => self.0.store.account_by_id(&passkey.user_id).await?,
            None => None,
        };
        let outcome = match (outcome, &found) {
            (Ok(shown), Some(passkey)) => self.note(passkey, &shown, client).await?,
            (Ok(_), None) => Err(Refusal::Signature),
            (Err(refusal), _) => Err(refusal),
        };
        match (outcome, account) {
            (Ok(()), Some(account)) => {
                guess.succeeded().await;
                self.begin(&account, Method::Passkey, client).await
            }
            (outcome, account) => {
                self.refused(account.as_ref(), Method::Passkey, client).await;
                Err(refuse(outcome.err().unwrap_or(Refusal::Signature)))
            }
        }
    }

    /// Checks a passkey of an account that is known.
    pub(super) async fn check_passkey(
        &self,
        user_id: &str,
        shown: &ShownPasskey,
        client: &Client,
    ) -> Result<(), ApiError> {
        let store = &self.0.store;
        let token = &shown.passkey_token;
        let asked = store.consume_challenge(hash_of(token), Purpose::PasskeyProof).await?;
        let asked = asked.filter(|asked| asked.user_id == user_id);
        let id = shown.credential.id().map_err(refuse)?;
        let found = store.passkey_by_credential(&id).await?;
        let passkey =
            found.filter(|passkey| passkey.user_id == user_id).ok_or_else(|| refuse(Refusal::Signature))?;
        let outcome = self.show(&passkey, &shown.credential, |challenge| {
            is_answer(asked.as_ref(), token, challenge, user_id)
        });
        match outcome {
            Ok(shown) => self.note(&passkey, &shown, client).await?.map_err(refuse),
            Err(refusal) => Err(refuse(refusal)),
        }
    }

    fn show(
        &self,
        passkey: &Passkey,
        credential: &ShownCredential,
        is_expected: impl FnOnce(&str) -> bool,
    ) -> Result<Shown, Refusal> {
        let party = self.0.party.as_ref().ok_or(Refusal::PartyId)?;
        let known = Known {
            public_key: &passkey.public_key,
            backup_eligible: passkey.backup_eligible,
            user_handle: &user_handle(&passkey.user_id),
        };
        credential.check(party, &known, is_expected)
    }

    /// Notes the use of a passkey, unless its counter says that somebody else has used it meanwhile.
    async fn note(
        &self,
        passkey: &Passkey,
        shown: &Shown,
        client: &Client,
    ) -> Result<Result<(), Refusal>, ApiError> {
        let store = &self.0.store;
        if store.use_passkey(&passkey.id, shown.sign_count, shown.backed_up).await? {
            return Ok(Ok(()));
        }
        let Passkey { id, user_id, .. } = passkey;
        tracing::warn!(
            passkey = id,
            user = user_id,
            "the counter of passkey {id} went back: there may be a copy of it"
        );
        let event = Event::new(Action::PasskeyCounter, &Identity::Anonymous, client)
            .target(format!("user:{user_id}"))
            .detail("passkey", id.as_str());
        audit::record(store, event.denied()).await;
        Ok(Err(Refusal::Counter))
    }

    /// Hands out a challenge for a user, whom somebody asked for: its token and itself.
    async fn challenge(
        &self,
        purpose: Purpose,
        (user_id, who): (&str, &Identity),
        bound_to: &str,
        client: &Client,
    ) -> Result<(String, String), ApiError> {
        let (token, hash) = new_token();
        let (challenge, _) = new_token();
        let new = NewChallenge {
            hash,
            purpose,
            user_id: user_id.to_owned(),
            email: String::new(),
            code_hash: Some(answer_hash(&token, &challenge, bound_to)),
            attempts: 1,
            at_most: PASSKEY_CHALLENGES_MAX,
            expires_at: Timestamp::now() + PASSKEY_CHALLENGE_TTL,
            ends: None,
        };
        let target = if user_id.is_empty() { String::new() } else { format!("user:{user_id}") };
        let action = if purpose == Purpose::PasskeyNew { Action::PasskeyBegin } else { Action::PasskeyAsk };
        let event = Event::new(action, who, client).target(target);
        audit::with(&self.0.store, event).issue_challenge(new, Vec::new()).await?;
        Ok((token, challenge))
    }

    /// Whether an account has something to sign in with besides this many of its passkeys and accounts
    /// elsewhere.
    pub(super) async fn is_last_sign_in(&self, account: &Account, user_id: &str) -> Result<bool, ApiError> {
        let store = &self.0.store;
        let linked = store.identities_of(user_id).await?.len();
        let passkeys = store.passkeys_of(user_id).await?.len();
        Ok(account.password_hash.is_none() && linked + passkeys <= 1)
    }
}

/// What is stored of a challenge: worth nothing without the token, and bound to somebody or a session.
fn answer_hash(token: &str, challenge: &str, bound_to: &str) -> [u8; 32] {
    hash_of(&format!("{token}:{challenge}:{bound_to}"))
}

/// Whether a challenge is the one that was handed out with this token, to the same one.
fn is_answer(asked: Option<&Challenge>, token: &str, challenge: &str, bound_to: &str) -> bool {
    let Some(expected) = asked.and_then(|asked| asked.code_hash) else { return false };
    verify_slices_are_equal(&expected, &answer_hash(token, challenge, bound_to)).is_ok()
}

fn refuse(refusal: Refusal) -> ApiError {
    ApiError::new(Code::InvalidPasskey, format!("The passkey is refused: {refusal}."))
}

fn not_found() -> ApiError {
    ApiError::new(Code::PasskeyNotFound, "The account has no such passkey.")
}

/// What an authenticator is asked, as `PublicKeyCredential.parseCreationOptionsFromJSON` and
/// `parseRequestOptionsFromJSON` take it.
type Options = Value;
