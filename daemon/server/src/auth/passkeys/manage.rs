//! The passkeys of an account: registered, listed, renamed and deleted by its owner.

use alyx_core::identity::Identity;
use alyx_store::{AddedPasskey, NewPasskey, Passkey, Purpose};
use jiff::Timestamp;
use serde::Serialize;

use super::ceremony::{NewCredential, Registered};
use super::{Asked, Auth, Client, is_answer, not_found, options, refuse};
use crate::audit::{self, Action, Event};
use crate::auth::account::{field, signed_out};
use crate::auth::proof::Proof;
use crate::auth::recovery_codes::RecoveryCodes;
use crate::auth::session::hash_of;
use crate::limits::{PASSKEY_NAME_MAX, PASSKEYS_MAX};
use crate::mail::Kind;
use crate::problem::{ApiError, Code, invalid_fields};

/// A passkey as its owner sees it.
#[derive(Debug, Serialize)]
pub struct PasskeyInfo {
    id: String,
    name: String,
    created_at: String,
    last_used_at: Option<String>,
    /// Whether it is on more than one device.
    backed_up: bool,
}

/// A passkey that was registered.
#[derive(Debug, Serialize)]
pub struct RegisteredPasskey {
    passkey: PasskeyInfo,
    /// With the first second factor of an account, this once.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    codes: Option<RecoveryCodes>,
}

impl Auth {
    /// Asks for a new passkey, once the caller has shown who they are.
    pub async fn ask_for_new_passkey(
        &self,
        who: &Identity,
        proof: &Proof,
        client: &Client,
    ) -> Result<Asked, ApiError> {
        let party = self.party()?;
        let account = self.own_account(who).await?;
        self.confirm_for_factor(&account, who, proof, client).await?;
        let facts = self.facts(&account);
        let have = self.0.store.passkeys_of(&facts.id).await?;
        if have.len() >= PASSKEYS_MAX as usize {
            return Err(too_many());
        }
        let session = session_of(who)?;
        let (token, challenge) =
            self.challenge(Purpose::PasskeyNew, (&facts.id, who), session, client).await?;
        let name = if facts.email.is_empty() { &facts.id } else { &facts.email };
        let app = self.0.mail.app_name();
        Ok(Asked::new(token, options::for_registering(party, app, (&facts.id, name), &challenge, &have)))
    }

    /// Registers the passkey that was asked for in this session.
    ///
    /// # Errors
    /// `invalid_passkey` for whatever is wrong with it, `passkey_exists` if it is an account's already.
    pub async fn register_passkey(
        &self,
        who: &Identity,
        token: &str,
        credential: &NewCredential,
        name: Option<&str>,
        client: &Client,
    ) -> Result<RegisteredPasskey, ApiError> {
        let party = self.party()?;
        let name = checked_name(name.unwrap_or("Passkey"))?;
        let (account, session) = (self.own_account(who).await?, session_of(who)?);
        let user_id = self.facts(&account).id;
        let asked = self.0.store.consume_challenge(hash_of(token), Purpose::PasskeyNew).await?;
        let asked = asked.filter(|asked| asked.user_id == user_id);
        let event = Event::new(Action::PasskeyRegister, who, client).target(format!("user:{user_id}"));
        let checked =
            credential.check(party, |challenge| is_answer(asked.as_ref(), token, challenge, session));
        let registered = match checked {
            Ok(registered) => registered,
            Err(refusal) => {
                audit::record(&self.0.store, event.denied()).await;
                return Err(refuse(refusal));
            }
        };
        let sign_count = registered.sign_count;
        let passkey = new_passkey(user_id, name, registered);
        let info = PasskeyInfo::of(&passkey);
        let codes = RecoveryCodes::new();
        let new = NewPasskey {
            sign_count,
            at_most: PASSKEYS_MAX,
            recovery_codes: codes.hashes(),
            mails: self.notices(Kind::PasskeyAdded, &account, client),
            passkey,
        };
        let event = event.detail("passkey", info.id.as_str());
        let added = audit::with(&self.0.store, event).add_passkey(new).await;
        let with_codes = match added {
            Ok(AddedPasskey::Added { with_codes }) => with_codes,
            Ok(AddedPasskey::TooMany) => return Err(too_many()),
            Err(alyx_store::Error::UniqueViolation { .. }) => {
                let detail = "This passkey is registered already.";
                return Err(ApiError::new(Code::PasskeyExists, detail));
            }
            Err(error) => return Err(error.into()),
        };
        Ok(RegisteredPasskey { passkey: info, codes: with_codes.then_some(codes) })
    }

    /// The caller's passkeys, oldest first.
    pub async fn own_passkeys(&self, who: &Identity) -> Result<Vec<PasskeyInfo>, ApiError> {
        let user = who.user().ok_or_else(signed_out)?;
        let passkeys = self.0.store.passkeys_of(&user.id).await?;
        Ok(passkeys.iter().map(PasskeyInfo::of).collect())
    }

    /// Gives one of the caller's passkeys another name.
    pub async fn rename_passkey(
        &self,
        who: &Identity,
        id: &str,
        name: &str,
        client: &Client,
    ) -> Result<PasskeyInfo, ApiError> {
        let user = who.user().ok_or_else(signed_out)?;
        let name = checked_name(name)?;
        let event = Event::new(Action::PasskeyRename, who, client)
            .target(format!("user:{}", user.id))
            .detail("passkey", id);
        if !audit::with(&self.0.store, event).rename_passkey(&user.id, id, name).await? {
            return Err(not_found());
        }
        let passkeys = self.0.store.passkeys_of(&user.id).await?;
        passkeys.iter().find(|passkey| passkey.id == id).map(PasskeyInfo::of).ok_or_else(not_found)
    }

    /// Deletes one of the caller's passkeys, for which a second factor has to be shown.
    ///
    /// # Errors
    /// `last_sign_in` if nothing would be left to sign in with.
    pub async fn delete_passkey(
        &self,
        who: &Identity,
        id: &str,
        proof: &Proof,
        client: &Client,
    ) -> Result<(), ApiError> {
        let account = self.own_account(who).await?;
        let user_id = self.facts(&account).id;
        let passkeys = self.0.store.passkeys_of(&user_id).await?;
        if !passkeys.iter().any(|passkey| passkey.id == id) {
            return Err(not_found());
        }
        if self.is_last_sign_in(&account, &user_id).await? {
            let detail = "Nothing would be left to sign in with; set a password first.";
            return Err(ApiError::new(Code::LastSignIn, detail));
        }
        self.confirm_factor(&account, who, proof, client).await?;
        let mails = self.notices(Kind::PasskeyRemoved, &account, client);
        let event = Event::new(Action::PasskeyDelete, who, client)
            .target(format!("user:{user_id}"))
            .detail("passkey", id);
        if !audit::with(&self.0.store, event).remove_passkey(&user_id, id, mails).await? {
            return Err(not_found());
        }
        Ok(())
    }
}

impl PasskeyInfo {
    fn of(passkey: &Passkey) -> Self {
        Self {
            id: passkey.id.clone(),
            name: passkey.name.clone(),
            created_at: passkey.created_at.to_string(),
            last_used_at: passkey.last_used_at.map(|time| time.to_string()),
            backed_up: passkey.backed_up,
        }
    }
}

fn new_passkey(user_id: String, name: String, registered: Registered) -> Passkey {
    Passkey {
        id: uuid::Uuid::now_v7().to_string(),
        user_id,
        credential_id: registered.credential_id,
        public_key: registered.public_key,
        transports: registered.transports.join(","),
        name,
        backup_eligible: registered.backup_eligible,
        backed_up: registered.backed_up,
        created_at: Timestamp::now(),
        last_used_at: None,
    }
}

/// The session that asks; administrators over the socket have none.
fn session_of(who: &Identity) -> Result<&str, ApiError> {
    Ok(&who.user().ok_or_else(signed_out)?.session)
}

fn checked_name(name: &str) -> Result<String, ApiError> {
    let name = name.trim();
    let length = name.chars().count();
    if length == 0 || length > PASSKEY_NAME_MAX || name.chars().any(char::is_control) {
        let message =
            format!("It has 1 to {PASSKEY_NAME_MAX} characters, none of which controls a terminal.");
        return Err(invalid_fields(vec![field("name", "invalid", message)]));
    }
    Ok(name.to_owned())
}

fn too_many() -> ApiError {
    let detail = format!("An account has at most {PASSKEYS_MAX} passkeys; delete one first.");
    ApiError::new(Code::PasskeyLimit, detail)
}
