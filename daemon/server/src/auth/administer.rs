//! What administrators do with the accounts of others and with the keys.
//!
//! Accounts as documents (read, edited, disabled, deleted) go through [`crate::documents`], where
//! administrators pass every rule.

use alyx_core::document::Access;
use alyx_core::identity::Identity;
use alyx_store::Account;

use super::Auth;
use super::account::{By, field};
use super::body::AccountBody;
use super::keyring::KeyInfo;
use super::session::Client;
use super::sessions::SessionInfo;
use super::tokens::StartError;
use crate::audit::{self, Action, Event};
use crate::clock;
use crate::mail::Kind;
use crate::problem::{ApiError, Code, internal, invalid_fields};

impl Auth {
    /// Makes an account on behalf of an administrator and gives it as JSON.
    pub async fn create_user(
        &self,
        body: AccountBody,
        who: &Identity,
        client: &Client,
    ) -> Result<Vec<u8>, ApiError> {
        let draft = self.draft(body, By::Admin)?;
        let account = self.create(draft, Action::UserCreate, who, client).await?;
        Ok(crate::documents::to_json(&account.users, &account.document, &Access::Admin.into()))
    }

    /// Gives an account another password, and ends its sessions.
    pub async fn set_password(
        &self,
        id: &str,
        mut body: AccountBody,
        who: &Identity,
        client: &Client,
    ) -> Result<(), ApiError> {
        let account = self.account_of(id).await?;
        let facts = self.facts(&account);
        let mut errors = Vec::new();
        let password = self.new_password(&mut body, &facts.email, &mut errors);
        if password.is_none() && errors.is_empty() {
            errors.push(field("password", "required", "A password is needed."));
        }
        if !body.is_empty() {
            errors.push(field("password", "not_alone", "There is nothing else to set here."));
        }
        let (Some(password), true) = (password, errors.is_empty()) else {
            return Err(invalid_fields(errors));
        };
        let hash = self.0.passwords.hash(password).await?;
        let event = Event::new(Action::UserPassword, who, client).target(format!("user:{id}"));
        audit::with(&self.0.store, event).set_password_hash(id, Some(hash)).await?;
        Ok(())
    }

    /// Removes the second factors of somebody who lost them, passkeys among them, and tells them by mail.
    ///
    /// # Errors
    /// `document_not_found`, `no_second_factor`.
    pub async fn remove_factors(&self, id: &str, who: &Identity, client: &Client) -> Result<(), ApiError> {
        let account = self.account_of(id).await?;
        let mails = self.notices(Kind::FactorsRemoved, &account, client);
        let event = Event::new(Action::UserRemoveFactors, who, client).target(format!("user:{id}"));
        if !audit::with(&self.0.store, event).remove_factors(id, mails).await? {
            return Err(ApiError::new(Code::NoSecondFactor, "The account has no second factor."));
        }
        Ok(())
    }

    /// The sessions of an account.
    pub async fn user_sessions(&self, id: &str) -> Result<Vec<SessionInfo>, ApiError> {
        self.account_of(id).await?;
        self.sessions_of(id, "").await
    }

    /// Ends the sessions of an account.
    pub async fn end_user_sessions(&self, id: &str, who: &Identity, client: &Client) -> Result<(), ApiError> {
        self.account_of(id).await?;
        self.end_all(id, Action::UserEndSessions, who, client).await
    }

    /// The keys that sign and verify access tokens.
    pub fn signing_keys(&self) -> Vec<KeyInfo> {
        self.0.tokens.keys().infos(clock::now_seconds())
    }

    /// Makes a new key that signs from now on. Those before it verify until their tokens have expired,
    /// or no longer if they are dropped. Gives its name.
    pub async fn rotate_keys(
        &self,
        drop_previous: bool,
        who: &Identity,
        client: &Client,
    ) -> Result<String, ApiError> {
        let event = Event::new(Action::KeyRotate, who, client).detail("drop_previous", drop_previous);
        let rotated = self.0.tokens.rotate(&audit::with(&self.0.store, event), drop_previous).await;
        match rotated {
            Ok(Some(kid)) => Ok(kid),
            Ok(None) => {
                let detail = "The configured secret signs; rotate it in the configuration.";
                Err(ApiError::new(Code::Conflict, detail))
            }
            Err(StartError::Store(error)) => Err(error.into()),
            Err(error) => Err(internal("rotate the signing keys", &error).into()),
        }
    }

    /// The id of the account with this address.
    pub async fn id_of_address(&self, address: &str) -> Result<Option<String>, ApiError> {
        let account = self.0.store.account_by_email(&address.trim().to_lowercase()).await?;
        Ok(account.map(|account| self.facts(&account).id))
    }

    async fn account_of(&self, id: &str) -> Result<Account, ApiError> {
        let missing = || ApiError::new(Code::DocumentNotFound, "There is no such user.");
        self.0.store.account_by_id(id).await?.ok_or_else(missing)
    }
}
