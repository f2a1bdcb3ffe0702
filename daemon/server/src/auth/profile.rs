//! What owners do with their account once they have it: a new password, the end of the account. Both
//! need more than the session: the current password, or that one signed in just now.

use alyx_core::identity::Identity;
use alyx_store::Account;
use jiff::Timestamp;

use super::Auth;
use super::account::{field, signed_out};
use super::body::AccountBody;
use super::passwords::Verdict;
use super::session::Client;
use crate::audit::{self, Action, Event};
use crate::limits::{CONFIRMATION_FRESH, UPDATE_ATTEMPTS};
use crate::problem::{ApiError, Code, invalid_fields};

/// What somebody shows to confirm that it is really them who asks.
#[derive(Debug)]
pub struct Confirmation {
    current_password: Option<String>,
}

impl Confirmation {
    /// Takes it out of a body.
    pub fn take(body: &mut AccountBody) -> Result<Self, ApiError> {
        let current_password = body.take("current_password").map_err(|error| invalid_fields(vec![error]))?;
        Ok(Self { current_password })
    }
}

impl Auth {
    /// Makes sure that it is the account's owner who asks, not somebody who found their session open.
    ///
    /// An account with a password asks for it. One without asks for a session that began just now.
    ///
    /// # Errors
    /// `confirmation_failed`, or `too_many_requests` for somebody who guesses.
    pub(super) async fn confirm(
        &self,
        account: &Account,
        who: &Identity,
        shown: Confirmation,
        client: &Client,
    ) -> Result<(), ApiError> {
        let Some(hash) = account.password_hash.clone() else {
            return self.confirm_fresh(who).await;
        };
        let Some(password) = shown.current_password else {
            let missing = field("current_password", "required", "The current password is needed.");
            return Err(invalid_fields(vec![missing]));
        };
        let guess = self.guess(&self.facts(account).id, client).await?;
        if self.0.passwords.verify(password, Some(hash)).await? == Verdict::Wrong {
            let event = Event::new(Action::Confirm, who, client).denied();
            audit::record(&self.0.store, event).await;
            return Err(ApiError::new(Code::ConfirmationFailed, "The current password is wrong."));
        }
        guess.succeeded().await;
        Ok(())
    }

    pub(super) async fn confirm_fresh(&self, who: &Identity) -> Result<(), ApiError> {
        let user = who.user().ok_or_else(signed_out)?;
        let sessions = self.0.store.sessions_of(&user.id).await?;
        let began = sessions.iter().find(|session| session.id == user.session);
        let began: Option<Timestamp> = began.and_then(|session| session.created_at.parse().ok());
        if began.is_some_and(|began| began + CONFIRMATION_FRESH > Timestamp::now()) {
            return Ok(());
        }
        Err(ApiError::new(Code::ConfirmationFailed, "Sign in again; this needs a session that just began."))
    }

    /// Gives the caller's account another password, and ends all its sessions, this one, too.
    pub async fn change_password(
        &self,
        who: &Identity,
        mut body: AccountBody,
        shown: Confirmation,
        client: &Client,
    ) -> Result<(), ApiError> {
        let account = self.own_account(who).await?;
        let facts = self.facts(&account);
        let mut errors = Vec::new();
        let password = self.new_password(&mut body, &facts.email, &mut errors);
        if !body.is_empty() {
            let message = "Change the password in a request of its own: it ends all sessions.";
            errors.push(field("password", "not_alone", message));
        }
        if facts.email.is_empty() {
            let message = "An account without address gets both by POST /api/auth/upgrade.";
            errors.push(field("password", "no_address", message));
        }
        let (Some(password), true) = (password, errors.is_empty()) else {
            return Err(invalid_fields(errors));
        };
        self.confirm(&account, who, shown, client).await?;
        let hash = self.0.passwords.hash(password).await?;
        let event = Event::new(Action::PasswordChange, who, client).target(format!("user:{}", facts.id));
        audit::with(&self.0.store, event).set_password_hash(&facts.id, Some(hash)).await?;
        self.0.users.forget(&facts.id);
        Ok(())
    }

    /// Deletes the caller's account, and treats what refers to it as its relations say.
    pub async fn delete_me(
        &self,
        who: &Identity,
        shown: Confirmation,
        client: &Client,
    ) -> Result<(), ApiError> {
        let mut account = self.own_account(who).await?;
        self.confirm(&account, who, shown, client).await?;
        let id = self.facts(&account).id;
        for _ in 0..UPDATE_ATTEMPTS {
            let event = Event::new(Action::AccountDelete, who, client).target(format!("user:{id}"));
            let store = audit::with(&self.0.store, event);
            let (users, rev) = (account.users.clone(), account.document.rev);
            match store.delete(users, id.clone(), rev, who.label()).await {
                Err(alyx_store::Error::Stale) => account = self.own_account(who).await?,
                outcome => {
                    // A deletion may cascade into other accounts.
                    self.0.users.forget_all();
                    return Ok(outcome?);
                }
            }
        }
        Err(alyx_store::Error::Stale.into())
    }
}
