//! What owners do with their account once they have it: a new password, the end of the account. Both
//! need more than the session; see [`super::proof`].

use alyx_core::identity::Identity;

use super::Auth;
use super::account::field;
use super::body::AccountBody;
use super::proof::Proof;
use super::session::Client;
use crate::audit::{self, Action, Event};
use crate::limits::UPDATE_ATTEMPTS;
use crate::problem::{ApiError, invalid_fields};

impl Auth {
    /// Gives the caller's account another password, and ends all its sessions, this one, too.
    pub async fn change_password(
        &self,
        who: &Identity,
        mut body: AccountBody,
        shown: Proof,
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
        self.confirm(&account, who, &shown, client).await?;
        let hash = self.0.passwords.hash(password).await?;
        let event = Event::new(Action::PasswordChange, who, client).target(format!("user:{}", facts.id));
        audit::with(&self.0.store, event).set_password_hash(&facts.id, Some(hash)).await?;
        Ok(())
    }

    /// Deletes the caller's account, and treats what refers to it as its relations say.
    pub async fn delete_me(&self, who: &Identity, shown: Proof, client: &Client) -> Result<(), ApiError> {
        let mut account = self.own_account(who).await?;
        self.confirm(&account, who, &shown, client).await?;
        let id = self.facts(&account).id;
        for _ in 0..UPDATE_ATTEMPTS {
            let event = Event::new(Action::AccountDelete, who, client).target(format!("user:{id}"));
            let store = audit::with(&self.0.store, event);
            let (users, rev) = (account.users.clone(), account.document.rev);
            match store.delete(users, id.clone(), rev, who.label()).await {
                Err(alyx_store::Error::Stale) => account = self.own_account(who).await?,
                outcome => return Ok(outcome?),
            }
        }
        Err(alyx_store::Error::Stale.into())
    }
}
