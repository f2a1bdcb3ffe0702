//! Sessions: login, refresh, logout, and the one way in, [`Auth::begin`], that every method of signing
//! in ends with.
//!
//! A refresh token is 256 random bits, stored as its SHA-256, good for one use. Presenting a used one
//! ends the session it belongs to; the store allows a short grace for two refreshes at once.

use std::net::IpAddr;

use alyx_core::document::Access;
use alyx_core::identity::Identity;
use alyx_store::{Account, Lifetimes, NewSession, Rotation};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Auth;
use super::facts::UserFacts;
use super::guard::Pass;
use super::passwords::Verdict;
use super::second_factor::SecondFactor;
use crate::audit::{self, Action, Event};
use crate::clock;
use crate::documents::to_json;
use crate::problem::{ApiError, Code, error_chain, internal};
use crate::throttle::Meter;

/// Where a request comes from; kept with the session.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// `None` over the admin socket, which is not throttled.
    pub address: Option<IpAddr>,
    pub user_agent: String,
    /// For the audit log.
    pub request_id: String,
    /// How it wants its tokens.
    pub mode: Mode,
    /// What the request takes from buckets.
    pub meter: Meter,
    /// `Accept-Language`, for mails.
    pub languages: String,
    pub pass: Pass,
}

/// How a client carries its tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It gets them as text and sends them itself.
    #[default]
    Bearer,
    /// They are cookies that no script can read.
    Cookie,
}

/// How somebody showed who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// By making the account.
    Registration,
    /// By its password.
    Password,
    /// By nothing: the account is made for whoever asks.
    Anonymous,
    /// By claiming an anonymous account from within its session.
    Upgrade,
    /// By a code sent to its address.
    Code,
    /// By a second factor after one of the others.
    SecondFactor,
    /// By an account elsewhere.
    OAuth,
    /// By a passkey.
    Passkey,
}

impl Method {
    /// As sessions and the audit log have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Registration => "registration",
            Self::Password => "password",
            Self::Anonymous => "anonymous",
            Self::Upgrade => "upgrade",
            Self::Code => "code",
            Self::SecondFactor => "second_factor",
            Self::OAuth => "oauth",
            Self::Passkey => "passkey",
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

/// The answer of everything that signs in, and of refresh. In cookie mode the tokens are in the cookies
/// and nowhere else.
#[derive(Debug, Serialize)]
pub struct SignedIn {
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<String>,
    token_type: &'static str,
    expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    csrf_token: Option<String>,
    user: Box<RawValue>,
    #[serde(skip)]
    cookies: Option<Cookies>,
}

/// The tokens of a session whose client is a page.
#[derive(Clone, Debug)]
pub struct Cookies {
    pub access: String,
    pub access_seconds: u64,
    pub refresh: String,
    pub refresh_seconds: u64,
    pub csrf: String,
}

impl Begun {
    /// The cookies that go with the answer.
    pub fn cookies(&self) -> Option<&Cookies> {
        match self {
            Self::SignedIn(signed_in) => signed_in.cookies(),
            Self::SecondFactor(_) => None,
        }
    }
}

impl SignedIn {
    /// The cookies that go with the answer.
    pub fn cookies(&self) -> Option<&Cookies> {
        self.cookies.as_ref()
    }
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
        let verdict = parts.passwords.verify(password.clone(), hash).await?;
        match account {
            Some(account) if verdict != Verdict::Wrong => {
                guess.succeeded().await;
                if verdict == Verdict::Outdated {
                    self.rehash(&account, password).await;
                }
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

    /// Replaces a hash of another cost, or of another algorithm, now that the password is known. If that
    /// fails, the next time will do.
    async fn rehash(&self, account: &Account, password: String) {
        let Some(before) = account.password_hash.clone() else { return };
        let Ok(after) = self.0.passwords.hash(password).await else { return };
        let id = self.facts(account).id;
        if let Err(error) = self.0.store.rehash_password(&id, before, after).await {
            tracing::warn!(
                user = id,
                "the password of user {id} keeps its old hash: {}",
                error_chain(&error)
            );
        }
    }

    /// Exchanges a refresh token for new tokens.
    pub async fn refresh(&self, token: &str, client: &Client) -> Result<SignedIn, ApiError> {
        let parts = &self.0;
        let (next, next_hash) = new_token();
        let settings = &parts.settings;
        let lifetimes = Lifetimes { idle: settings.refresh_ttl, most: settings.session_ttl };
        let event = Event::new(Action::SessionRefresh, &Identity::Anonymous, client);
        let store = audit::with(&parts.store, event);
        let rotated = store.rotate_refresh(hash_of(token), next_hash, Timestamp::now(), lifetimes).await?;
        let (session, user) = match rotated {
            Rotation::Rotated { session_id, user_id } => (session_id, user_id),
            Rotation::Reused { session_id, user_id } => {
                tracing::warn!(
                    session = session_id,
                    user = user_id,
                    "a used refresh token was presented: ended session {session_id} of user {user_id}"
                );
                return Err(invalid_refresh());
            }
            Rotation::Unknown => return Err(invalid_refresh()),
        };
        let account = parts.store.account_by_id(&user).await?;
        match account {
            Some(account) if !self.facts(&account).disabled => {
                self.answer(&account, &session, next, client.mode)
            }
            _ => {
                self.end_session(&session, client).await?;
                Err(invalid_refresh())
            }
        }
    }

    /// The running session of a refresh token. Uses nothing up.
    pub async fn session_of_refresh(&self, token: &str) -> Result<Option<String>, ApiError> {
        Ok(self.0.store.session_of_refresh(hash_of(token)).await?)
    }

    /// Ends the session of a refresh token. A token that means nothing is no error: the caller is
    /// signed out either way.
    pub async fn logout(&self, token: &str, client: &Client) -> Result<(), ApiError> {
        match self.session_of_refresh(token).await? {
            Some(session) => self.end_session(&session, client).await,
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
        if let Err(error) = self.ask_to_sign_in(account, client).await {
            self.refused(Some(account), method, client).await;
            return Err(error);
        }
        let (token, hash) = new_token();
        let id = uuid::Uuid::now_v7().to_string();
        let now = Timestamp::now();
        let session = NewSession {
            id: id.clone(),
            user_id: self.facts(account).id,
            refresh_hash: hash,
            created_at: now,
            expires_at: now + parts.settings.refresh_ttl.min(parts.settings.session_ttl),
            ip: client.address.map(|address| address.to_string()).unwrap_or_default(),
            user_agent: client.user_agent.clone(),
            method: method.as_str().to_owned(),
        };
        let event = Event::new(Action::SessionBegin, &self.identity_of(account, &id), client)
            .target(format!("session:{id}"))
            .detail("method", method.as_str());
        audit::with(&parts.store, event).start_session(session).await?;
        self.trust_device(account, client).await;
        self.answer(account, &id, token, client.mode)
    }

    async fn end_session(&self, session: &str, client: &Client) -> Result<(), ApiError> {
        let event = Event::new(Action::SessionEnd, &Identity::Anonymous, client);
        let event = event.target(format!("session:{session}"));
        audit::with(&self.0.store, event).end_session(session).await?;
        Ok(())
    }

    pub(super) fn facts(&self, account: &Account) -> UserFacts {
        UserFacts::of(account)
    }

    fn answer(
        &self,
        account: &Account,
        session: &str,
        refresh_token: String,
        mode: Mode,
    ) -> Result<SignedIn, ApiError> {
        let parts = &self.0;
        let facts = self.facts(account);
        let signed = parts.tokens.sign(&facts.id, session, &facts.role, clock::now_seconds());
        let (access_token, expires_in) = signed.map_err(|error| internal("sign a token", &error))?;
        let user = self.user_json(account)?;
        Ok(match mode {
            Mode::Bearer => SignedIn {
                access_token: Some(access_token),
                token_type: "Bearer",
                expires_in,
                refresh_token: Some(refresh_token),
                csrf_token: None,
                user,
                cookies: None,
            },
            Mode::Cookie => {
                let csrf = parts.tokens.csrf_token(session);
                let cookies = Cookies {
                    access: access_token,
                    access_seconds: expires_in,
                    refresh: refresh_token,
                    refresh_seconds: parts.settings.refresh_ttl.as_secs(),
                    csrf: csrf.clone(),
                };
                SignedIn {
                    access_token: None,
                    token_type: "Cookie",
                    expires_in,
                    refresh_token: None,
                    csrf_token: Some(csrf),
                    user,
                    cookies: Some(cookies),
                }
            }
        })
    }

    /// An account as its owner sees it.
    pub(super) fn user_json(&self, account: &Account) -> Result<Box<RawValue>, ApiError> {
        let json = to_json(&account.users, &account.document, &Access::Client.into());
        serde_json::from_slice(&json).map_err(|error| internal("show a user", &error).into())
    }
}

/// A token and its hash.
pub(super) fn new_token() -> (String, [u8; 32]) {
    let token = URL_SAFE_NO_PAD.encode(clock::random::<32>());
    let hash = hash_of(&token);
    (token, hash)
}

/// What is kept of a token.
pub fn hash_of(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}

pub(super) fn invalid_credentials() -> ApiError {
    ApiError::new(Code::InvalidCredentials, "The address or the password is wrong.")
}

fn invalid_refresh() -> ApiError {
    ApiError::new(Code::InvalidRefreshToken, "The refresh token is not valid; sign in again.")
}

#[cfg(test)]
mod tests {
    use super::new_token;

    #[test]
    fn refresh_tokens_do_not_repeat() {
        let (first, first_hash) = new_token();
        let (second, second_hash) = new_token();
        assert_eq!(first.len(), 43);
        assert_ne!(first, second);
        assert_ne!(first_hash, second_hash);
    }
}
