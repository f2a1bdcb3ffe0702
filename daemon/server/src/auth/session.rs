//! Sessions: login, refresh, logout, and the one way in, [`Auth::begin`], that every method of signing
//! in ends with.
//!
//! A refresh token is 256 random bits, stored as its SHA-256, good for one use. Presenting a used one
//! ends the session it belongs to; the store allows a short grace for two refreshes at once.

use std::net::IpAddr;
use std::time::Instant;

use alyx_core::document::Access;
use alyx_core::identity::Identity;
use alyx_store::{Account, NewSession, Rotation};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Auth;
use super::facts::UserFacts;
use super::second_factor::SecondFactor;
use crate::audit::{self, Action, Event};
use crate::clock;
use crate::documents::to_json;
use crate::problem::{ApiError, Code, internal};
use crate::throttle::Meter;

/// Where a request comes from; kept with the session.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// `None` over the admin socket, which is not throttled.
    pub address: Option<IpAddr>,
    pub user_agent: String,
    /// For the audit log.
    pub request_id: String,
    /// What the request takes from buckets.
    pub meter: Meter,
}

/// How somebody showed who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// By making the account.
    Registration,
    /// By its password.
    Password,
}

impl Method {
    /// As sessions and the audit log have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Registration => "registration",
            Self::Password => "password",
        }
    }
}

/// What an attempt to sign in led to.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Begun {
    /// A session.
    SignedIn(SignedIn),
    /// A question for a second factor; there is no session yet.
    SecondFactor(SecondFactor),
}

/// The answer of everything that signs in, and of refresh.
#[derive(Debug, Serialize)]
pub struct SignedIn {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    refresh_token: String,
    user: Box<RawValue>,
}

impl Auth {
    /// Signs in by address and password.
    ///
    /// # Errors
    /// `invalid_credentials` for an unknown address, a wrong password and a disabled account alike.
    pub async fn login(&self, email: &str, password: String, client: &Client) -> Result<Begun, ApiError> {
        let parts = &self.0;
        let email = email.trim().to_lowercase();
        let guess = self.guess(&email, client).await?;
        let account = parts.store.account_by_email(&email).await?;
        let hash = account.as_ref().and_then(|account| account.password_hash.clone());
        let matches = parts.passwords.verify(password, hash).await?;
        match account {
            Some(account) if matches => {
                guess.succeeded();
                self.begin(&account, Method::Password, client).await
            }
            found => {
                self.refused(found.as_ref(), Method::Password, client).await;
                Err(invalid_credentials())
            }
        }
    }

    /// Signs somebody in who showed by `method` that the account is theirs: asks for a second factor if
    /// the account has one and the method is not one itself, else starts a session.
    ///
    /// Every way of signing in ends here, and nothing else starts sessions.
    ///
    /// # Errors
    /// `invalid_credentials` for an account that is disabled.
    pub async fn begin(&self, account: &Account, method: Method, client: &Client) -> Result<Begun, ApiError> {
        if self.facts(account).disabled {
            self.refused(Some(account), method, client).await;
            return Err(invalid_credentials());
        }
        match self.second_factor(account, method, client).await? {
            Some(question) => Ok(Begun::SecondFactor(question)),
            None => self.start_session(account, method, client).await.map(Begun::SignedIn),
        }
    }

    /// Records that a sign-in was refused. Which address was tried is told only if it has an account:
    /// else it may be a password, typed into the wrong field.
    pub(super) async fn refused(&self, account: Option<&Account>, method: Method, client: &Client) {
        let target = account.map(|account| format!("user:{}", self.facts(account).id)).unwrap_or_default();
        let event = Event::new(Action::SessionBegin, &Identity::Anonymous, client)
            .target(target)
            .detail("method", method.as_str());
        audit::record(&self.0.store, event.denied()).await;
    }

    /// Exchanges a refresh token for new tokens.
    pub async fn refresh(&self, token: &str, client: &Client) -> Result<SignedIn, ApiError> {
        let parts = &self.0;
        let (next, next_hash) = new_refresh_token();
        let (session, user) = match self.rotate(token, next_hash).await? {
            Rotation::Rotated { session_id, user_id } => (session_id, user_id),
            Rotation::Reused { session_id, user_id } => {
                parts.ended.add(session_id.clone(), Instant::now());
                tracing::warn!(
                    session = session_id,
                    user = user_id,
                    "a used refresh token was presented: ended session {session_id} of user {user_id}"
                );
                let event = Event::new(Action::SessionReuse, &Identity::Anonymous, client)
                    .target(format!("session:{session_id}"))
                    .detail("user", user_id);
                audit::record(&parts.store, event.denied()).await;
                return Err(invalid_refresh());
            }
            Rotation::Unknown => return Err(invalid_refresh()),
        };
        let account = parts.store.account_by_id(&user).await?;
        match account {
            Some(account) if !self.facts(&account).disabled => self.answer(&account, &session, next),
            _ => {
                self.end_session(session, client).await?;
                Err(invalid_refresh())
            }
        }
    }

    /// Ends the session of a refresh token. A token that means nothing is no error: the caller is
    /// signed out either way.
    pub async fn logout(&self, token: &str, client: &Client) -> Result<(), ApiError> {
        match self.0.store.session_of_refresh(hash_of(token)).await? {
            Some(session) => self.end_session(session, client).await,
            None => Ok(()),
        }
    }

    async fn start_session(
        &self,
        account: &Account,
        method: Method,
        client: &Client,
    ) -> Result<SignedIn, ApiError> {
        let parts = &self.0;
        let (token, hash) = new_refresh_token();
        let id = uuid::Uuid::now_v7().to_string();
        let now = Timestamp::now();
        let session = NewSession {
            id: id.clone(),
            user_id: self.facts(account).id,
            refresh_hash: hash,
            created_at: now,
            expires_at: now + parts.settings.refresh_ttl,
            ip: client.address.map(|address| address.to_string()).unwrap_or_default(),
            user_agent: client.user_agent.clone(),
        };
        let event = Event::new(Action::SessionBegin, &self.identity_of(account, &id), client)
            .target(format!("session:{id}"))
            .detail("method", method.as_str());
        audit::with(&parts.store, event).start_session(session).await?;
        self.answer(account, &id, token)
    }

    async fn rotate(&self, token: &str, next: [u8; 32]) -> Result<Rotation, ApiError> {
        let now = Timestamp::now();
        let expires_at = now + self.0.settings.refresh_ttl;
        Ok(self.0.store.rotate_refresh(hash_of(token), next, now, expires_at).await?)
    }

    async fn end_session(&self, session: String, client: &Client) -> Result<(), ApiError> {
        let event = Event::new(Action::SessionEnd, &Identity::Anonymous, client);
        let event = event.target(format!("session:{session}"));
        audit::with(&self.0.store, event).end_session(&session).await?;
        self.0.ended.add(session, Instant::now());
        Ok(())
    }

    pub(super) fn facts(&self, account: &Account) -> UserFacts {
        UserFacts::of(account)
    }

    fn answer(&self, account: &Account, session: &str, refresh_token: String) -> Result<SignedIn, ApiError> {
        let facts = self.facts(account);
        let signed = self.0.tokens.sign(&facts.id, session, &facts.role, clock::now_seconds());
        let (access_token, expires_in) = signed.map_err(|error| internal("sign a token", &error))?;
        Ok(SignedIn {
            access_token,
            token_type: "Bearer",
            expires_in,
            refresh_token,
            user: self.user_json(account)?,
        })
    }

    /// An account as its owner sees it.
    pub(super) fn user_json(&self, account: &Account) -> Result<Box<RawValue>, ApiError> {
        let json = to_json(&account.users, &account.document, &Access::Client.into());
        serde_json::from_slice(&json).map_err(|error| internal("show a user", &error).into())
    }
}

/// A token and its hash.
fn new_refresh_token() -> (String, [u8; 32]) {
    let token = URL_SAFE_NO_PAD.encode(clock::random::<32>());
    let hash = hash_of(&token);
    (token, hash)
}

fn hash_of(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}

fn invalid_credentials() -> ApiError {
    ApiError::new(Code::InvalidCredentials, "The address or the password is wrong.")
}

fn invalid_refresh() -> ApiError {
    ApiError::new(Code::InvalidRefreshToken, "The refresh token is not valid; sign in again.")
}

#[cfg(test)]
mod tests {
    use super::new_refresh_token;

    #[test]
    fn refresh_tokens_do_not_repeat() {
        let (first, first_hash) = new_refresh_token();
        let (second, second_hash) = new_refresh_token();
        assert_eq!(first.len(), 43);
        assert_ne!(first, second);
        assert_ne!(first_hash, second_hash);
    }
}
