//! Links sent by mail: to verify an address, to set a new password, to take another address.
//!
//! A link holds 256 random bits, of which the hash is stored with what it is for, whose it is and which
//! address it was sent to. Whether there is an account is told by nothing: without one the same rows are
//! written, for nobody.

use alyx_core::document::{FieldError, is_email};
use alyx_core::identity::Identity;
use alyx_store::{Account, NewChallenge, NewMail, Purpose, Redeemed};
use jiff::Timestamp;

use super::Auth;
use super::facts::UserFacts;
use super::proof::Proof;
use super::session::{Client, hash_of, new_token};
use crate::audit::{self, Action, Event};
use crate::clock;
use crate::limits::{NOTICE_TTL, RESET_LINK_TTL, VERIFY_LINK_TTL};
use crate::mail::{Kind, To};
use crate::problem::{ApiError, Code, invalid_fields};

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Verify,
    Reset,
    Email,
    /// The one to set a new password, for somebody who registers again.
    Registered,
}

impl Link {
    /// What it is called in its URL.
    pub const fn page(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Reset | Self::Registered => "reset",
            Self::Email => "email",
        }
    }

    const fn parts(self) -> (Purpose, Kind, Action, std::time::Duration) {
        match self {
            Self::Verify => (Purpose::Verify, Kind::Verify, Action::VerifyRequest, VERIFY_LINK_TTL),
            Self::Reset => (Purpose::Reset, Kind::Reset, Action::PasswordForgot, RESET_LINK_TTL),
            Self::Registered => (Purpose::Reset, Kind::Registered, Action::PasswordForgot, RESET_LINK_TTL),
            Self::Email => (Purpose::Email, Kind::Email, Action::EmailChange, RESET_LINK_TTL),
        }
    }
}

impl Auth {
    /// Sends a link to verify `email`, if it is the unverified address of an account.
    pub async fn request_verification(&self, email: &str, client: &Client) -> Result<(), ApiError> {
        let account = self.account_for_mail(email, client).await?;
        let account = account.filter(|facts| !facts.verified);
        self.send_link(Link::Verify, account.as_ref(), None, client).await
    }

    /// Sends a link to set a new password, if `email` is the address of an account.
    pub async fn forgot_password(&self, email: &str, client: &Client) -> Result<(), ApiError> {
        let account = self.account_for_mail(email, client).await?;
        self.send_link(Link::Reset, account.as_ref(), None, client).await
    }

    /// Tells the owner of an account that somebody wanted to make one with its address.
    pub(super) async fn tell_registered(&self, account: &Account, client: &Client) -> Result<(), ApiError> {
        let facts = Some(self.facts(account)).filter(|facts| !facts.disabled);
        self.send_link(Link::Registered, facts.as_ref(), None, client).await
    }

    /// Sends a new account its link, where mails are sent.
    pub(super) async fn welcome(&self, account: &Account, client: &Client) -> Result<(), ApiError> {
        let facts = self.facts(account);
        if !self.0.mail.is_on() || facts.verified {
            return Ok(());
        }
        self.send_link(Link::Verify, Some(&facts), None, client).await
    }

    /// Sends a link to `new_email` that makes it the address of the caller's account, and tells the old
    /// one. Nothing tells whether the new one has an account.
    pub async fn change_email(
        &self,
        who: &Identity,
        new_email: &str,
        proof: &Proof,
        client: &Client,
    ) -> Result<(), ApiError> {
        self.0.mail.needed()?;
        let account = self.own_account(who).await?;
        let facts = self.facts(&account);
        let new_email = new_email.trim();
        if !is_email(new_email) {
            let message = "This is not an e-mail address.".to_owned();
            return Err(invalid_fields(vec![FieldError {
                field: "email".to_owned(),
                code: "invalid_email",
                message,
            }]));
        }
        self.allow_mail(new_email, client)?;
        self.confirm(&account, who, proof, client).await?;
        let taken = self.0.store.account_by_email(new_email).await?.is_some();
        let owner = Some(&facts).filter(|_| !taken);
        self.send_link(Link::Email, owner, Some(new_email), client).await
    }

    /// Marks the address that a link was sent to as its owner's.
    pub async fn confirm_verification(&self, token: &str, client: &Client) -> Result<(), ApiError> {
        self.redeem(token, Purpose::Verify, Redeemed::Verified, Action::Verify, client).await
    }

    /// Makes the address that a link was sent to the account's.
    pub async fn confirm_email(&self, token: &str, client: &Client) -> Result<(), ApiError> {
        self.redeem(token, Purpose::Email, Redeemed::NewEmail, Action::EmailConfirm, client).await
    }

    /// Sets a new password by a link, ends all sessions and tells the owner.
    pub async fn reset_password(
        &self,
        token: &str,
        password: String,
        client: &Client,
    ) -> Result<(), ApiError> {
        let known = self.0.store.challenge(hash_of(token), Purpose::Reset).await?;
        let known = known.ok_or_else(invalid_link)?;
        self.judge_password(&password, &known.email).map_err(|error| invalid_fields(vec![error]))?;
        let hash = self.0.passwords.hash(password).await?;
        self.redeem(token, Purpose::Reset, Redeemed::NewPassword(hash), Action::PasswordReset, client).await
    }

    async fn redeem(
        &self,
        token: &str,
        purpose: Purpose,
        change: Redeemed,
        action: Action,
        client: &Client,
    ) -> Result<(), ApiError> {
        let parts = &self.0;
        let hash = hash_of(token);
        let Some(known) = parts.store.challenge(hash, purpose).await? else {
            audit::record(&parts.store, Event::new(action, &Identity::Anonymous, client).denied()).await;
            return Err(invalid_link());
        };
        let mails = match &change {
            Redeemed::NewPassword(_) if parts.mail.is_on() => {
                vec![self.notice(Kind::PasswordChanged, (&known.user_id, &known.email), client)]
            }
            _ => Vec::new(),
        };
        let target = format!("user:{}", known.user_id);
        let event = Event::new(action, &Identity::Anonymous, client).target(target.clone());
        let store = audit::with(&parts.store, event);
        let redeemed = store.redeem_challenge(hash, purpose, change, mails, target).await?;
        redeemed.map(drop).ok_or_else(invalid_link)
    }

    /// The account that a mail to this address is about: whoever asks has taken one of their requests,
    /// and one that is disabled counts as none.
    pub(super) async fn account_for_mail(
        &self,
        email: &str,
        client: &Client,
    ) -> Result<Option<UserFacts>, ApiError> {
        self.0.mail.needed()?;
        self.allow_mail(email, client)?;
        let account = self.0.store.account_by_email(email).await?;
        Ok(account.map(|account| self.facts(&account)).filter(|facts| !facts.disabled))
    }

    /// Writes a link and its mail; for nobody if there is no `owner`. `new_email`: where it is sent
    /// instead of the account's address, which is told.
    async fn send_link(
        &self,
        link: Link,
        owner: Option<&UserFacts>,
        new_email: Option<&str>,
        client: &Client,
    ) -> Result<(), ApiError> {
        let parts = &self.0;
        let (purpose, kind, action, lifetime) = link.parts();
        let (token, hash) = new_token();
        let expires_at = Timestamp::now() + lifetime;
        let user_id = owner.map(|facts| facts.id.as_str()).unwrap_or_default();
        let email = owner.map(|facts| facts.email.as_str()).unwrap_or_default();
        let address = new_email.filter(|_| owner.is_some()).unwrap_or(email);
        let minutes = lifetime.as_secs() / 60;
        let good_for = match kind {
            Kind::Verify => ("hours", (minutes / 60).to_string()),
            _ => ("minutes", minutes.to_string()),
        };
        let values = [("link", parts.mail.link(link.page(), &token)), good_for];
        let to = To { user_id, address, languages: &client.languages };
        let mut mails = vec![parts.mail.compose(kind, &to, &values, expires_at)];
        if let Some(new_email) = new_email {
            let mut values = told(client).to_vec();
            values.push(("new_email", new_email.to_owned()));
            let to = To { user_id, address: email, languages: &client.languages };
            let expires_at = Timestamp::now() + NOTICE_TTL;
            mails.push(parts.mail.compose(Kind::EmailChanged, &to, &values, expires_at));
        }
        let challenge = NewChallenge {
            hash,
            purpose,
            user_id: user_id.to_owned(),
            email: address.to_owned(),
            code_hash: None,
            attempts: 1,
            at_most: parts.settings.reset_per_hour,
            expires_at,
            // Of two people who registered with an address, the first may not be its owner: what the owner
            // follows from then on sets a password of their own.
            ends: (link == Link::Registered).then_some(Purpose::Verify),
        };
        let target = owner.map(|facts| format!("user:{}", facts.id)).unwrap_or_default();
        let event = Event::new(action, &Identity::Anonymous, client).target(target);
        audit::with(&parts.store, event).issue_challenge(challenge, mails).await?;
        Ok(())
    }

    /// A mail that tells an account's owner of something done.
    pub(super) fn notice(&self, kind: Kind, (user_id, address): (&str, &str), client: &Client) -> NewMail {
        let to = To { user_id, address, languages: &client.languages };
        self.0.mail.compose(kind, &to, &told(client), Timestamp::now() + NOTICE_TTL)
    }
}

/// When and from where something was done.
fn told(client: &Client) -> [(&'static str, String); 2] {
    let address =
        client.address.map_or_else(|| "the server itself".to_owned(), |address| address.to_string());
    let time = clock::now_text();
    let minute = time.get(..16).unwrap_or(&time).replace('T', " ");
    [("time", format!("{minute} UTC")), ("address", address)]
}

fn invalid_link() -> ApiError {
    ApiError::new(Code::InvalidLink, "This link was used or has expired; ask for another one.")
}
