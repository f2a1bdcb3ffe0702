//! Signing in with an account elsewhere: the authorization code flow with PKCE (RFC 6749, RFC 7636),
//! OpenID Connect where the provider speaks it, and what follows from who came back.
//!
//! 1. The app sends the browser to [`Auth::oauth_start`] with where to go on and a challenge of its own.
//! 2. The browser goes to the provider with a cookie that holds the flow, and comes back to
//!    [`Auth::oauth_callback`], which finds or makes the account and goes on to the app with a code.
//! 3. The app exchanges the code by [`Auth::oauth_exchange`]. No token is ever part of an address.
//!
//! An account is joined to an existing one only if the provider and we both verified the address;
//! otherwise its owner must sign in first and link it.

mod codes;
mod fetch;
mod flow;
mod github;
mod id_token;
mod provider;
mod redirect;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use alyx_core::document::{Access, Document, DocumentError, Fresh, parse_create};
use alyx_core::identity::Identity;
use alyx_store::{Account, NewAccount, Subject};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use serde::Serialize;
use serde_json::json;
use url::Url;

use self::codes::{Codes, is_challenge};
use self::fetch::Fetcher;
use self::flow::{Flow, Sealer};
use self::provider::{Profile, Provider};
use self::redirect::Redirects;
use super::Auth;
use super::account::users;
use super::proof::Proof;
use super::session::{Begun, Client, Method};
use crate::audit::{self, Action, Event};
use crate::clock;
use crate::config::{Config, Registration};
use crate::problem::{ApiError, Code, error_chain, internal};

pub use self::flow::FLOW_TTL;

/// The providers and what is under way with them. A cheap clone.
#[derive(Clone)]
pub struct OAuth(Arc<Parts>);

struct Parts {
    providers: BTreeMap<String, Provider>,
    redirects: Redirects,
    /// Where providers send people back to; the provider's name and `/callback` follow.
    callback_base: String,
    fetcher: Fetcher,
    sealer: Sealer,
    codes: Codes,
}

/// What an app is told about a provider.
#[derive(Debug, Serialize)]
pub struct ProviderInfo {
    pub name: String,
    label: String,
}

/// Where a browser goes next.
#[derive(Debug)]
pub struct Departure {
    pub location: Url,
    /// The flow, for the cookie.
    pub cookie: String,
}

/// What the provider's answer says.
#[derive(Debug, Default)]
pub struct Answer {
    pub code: Option<String>,
    pub state: Option<String>,
    pub issuer: Option<String>,
    pub error: Option<String>,
}

/// A subject of the caller.
#[derive(Debug, Serialize)]
pub struct LinkedProvider {
    provider: String,
    linked_at: String,
}

/// Why the browser goes back to the app without a code. The text is API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// The person, or the provider, said no.
    Denied,
    /// The provider cannot be reached or gave something that does not hold.
    ProviderFailed,
    /// The provider tells no address.
    EmailMissing,
    /// The provider has not verified the address.
    EmailUnverified,
    /// The address has an account here that cannot be joined without its owner.
    AccountExists,
    /// The subject belongs to another account here.
    AlreadyLinked,
    RegistrationClosed,
    /// Nobody may sign in with it now.
    Unavailable,
}

impl Failure {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "access_denied",
            Self::ProviderFailed => "provider_failed",
            Self::EmailMissing => "email_missing",
            Self::EmailUnverified => "email_unverified",
            Self::AccountExists => "account_exists",
            Self::AlreadyLinked => "already_linked",
            Self::RegistrationClosed => "registration_closed",
            Self::Unavailable => "unavailable",
        }
    }
}

impl OAuth {
    /// The providers of the configuration; none has been asked anything yet.
    pub fn new(config: &Config, address: SocketAddr) -> Self {
        let base = config.server.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
        let named =
            |settings: &crate::config::Provider| (settings.name.clone(), Provider::new(settings.clone()));
        Self(Arc::new(Parts {
            providers: config.oauth.iter().map(named).collect(),
            redirects: Redirects::new(config.auth.redirects.clone()),
            callback_base: format!("{base}/api/auth/oauth"),
            fetcher: Fetcher::new(),
            sealer: Sealer::new(),
            codes: Codes::default(),
        }))
    }

    fn provider(&self, name: &str) -> Result<&Provider, ApiError> {
        let unknown = || ApiError::new(Code::ProviderNotFound, "There is no such provider.");
        self.0.providers.get(name).ok_or_else(unknown)
    }

    fn callback(&self, provider: &str) -> String {
        format!("{}/{provider}/callback", self.0.callback_base)
    }
}

impl Auth {
    /// The providers, in order of their names.
    pub fn providers(&self) -> Vec<ProviderInfo> {
        let info = |provider: &Provider| ProviderInfo {
            name: provider.settings.name.clone(),
            label: provider.settings.label.clone(),
        };
        self.0.oauth.0.providers.values().map(info).collect()
    }

    /// Sends the caller to a provider whose subject is to be linked to their account.
    ///
    /// # Errors
    /// As [`Auth::oauth_start`] and [`Auth::confirm`].
    pub async fn oauth_link(
        &self,
        provider: &str,
        (redirect, challenge): (&str, &str),
        who: &Identity,
        proof: &Proof,
        client: &Client,
    ) -> Result<Departure, ApiError> {
        let account = self.own_account(who).await?;
        self.confirm(&account, who, proof, client).await?;
        self.oauth_start(provider, redirect, challenge, Some(who)).await
    }

    /// Sends somebody to a provider; `who` is the one whom the subject is to be linked to.
    ///
    /// # Errors
    /// `provider_not_found`, `invalid_parameter` for a redirect that is not allowed or a challenge that is
    /// none, `provider_failed`.
    pub async fn oauth_start(
        &self,
        provider: &str,
        redirect: &str,
        challenge: &str,
        who: Option<&Identity>,
    ) -> Result<Departure, ApiError> {
        let oauth = &self.0.oauth;
        let provider = oauth.provider(provider)?;
        let redirect = oauth.0.redirects.check(redirect).ok_or_else(|| {
            let detail = "`redirect` must be an address below one of `auth.redirects`.";
            ApiError::new(Code::InvalidParameter, detail)
        })?;
        if !is_challenge(challenge) {
            let detail = "`challenge` must be the SHA-256 of the app's verifier in base64url, 43 characters.";
            return Err(ApiError::new(Code::InvalidParameter, detail));
        }
        let name = &provider.settings.name;
        let user = who.and_then(Identity::user).map(|user| user.id.clone());
        let flow = Flow::new(name, redirect.to_string(), challenge.to_owned(), user);
        let location =
            provider.authorize(&oauth.0.fetcher, &flow, &oauth.callback(name)).await.map_err(|error| {
                let reason = error_chain(&error);
                tracing::warn!(provider = name, reason, "cannot send anybody to {name}: {reason}");
                ApiError::new(Code::ProviderFailed, "The provider cannot be reached; try again later.")
            })?;
        Ok(Departure { location, cookie: oauth.0.sealer.seal(&flow) })
    }

    /// Receives somebody from a provider and gives the address of the app to go on to, with a `code` or
    /// an `error`.
    ///
    /// # Errors
    /// `invalid_request` if this browser did not start this flow; it is told so here, because then nobody
    /// knows which app it belongs to.
    pub async fn oauth_callback(
        &self,
        provider: &str,
        answer: Answer,
        cookie: Option<&str>,
        client: &Client,
    ) -> Result<Url, ApiError> {
        let oauth = &self.0.oauth;
        let provider = oauth.provider(provider)?;
        let state = answer.state.as_deref().unwrap_or_default();
        let flow = cookie
            .and_then(|cookie| oauth.0.sealer.open(cookie))
            .filter(|flow| flow.provider == provider.settings.name)
            .filter(|flow| verify_slices_are_equal(flow.state.as_bytes(), state.as_bytes()).is_ok())
            .ok_or_else(|| {
                let detail = "This browser did not begin this sign-in, or too long ago; begin again.";
                ApiError::new(Code::InvalidRequest, detail)
            })?;
        let mut app = Url::parse(&flow.redirect).map_err(|error| internal("read a redirect", &error))?;
        match self.arrived(provider, &flow, answer, client).await? {
            Ok(None) => app.query_pairs_mut().append_pair("linked", &provider.settings.name),
            Ok(Some(code)) => app.query_pairs_mut().append_pair("code", &code),
            Err(failure) => app.query_pairs_mut().append_pair("error", failure.as_str()),
        };
        Ok(app)
    }

    /// A code for the app, or none if the subject was linked.
    async fn arrived(
        &self,
        provider: &Provider,
        flow: &Flow,
        answer: Answer,
        client: &Client,
    ) -> Result<Result<Option<String>, Failure>, ApiError> {
        let name = &provider.settings.name;
        let (None, Some(code)) = (&answer.error, answer.code) else { return Ok(Err(Failure::Denied)) };
        let oauth = &self.0.oauth;
        let callback = oauth.callback(name);
        let arrived =
            provider.profile(&oauth.0.fetcher, flow, code, answer.issuer.as_deref(), &callback).await;
        let profile = match arrived {
            Ok(profile) => profile,
            Err(error) => {
                let reason = error_chain(&error);
                tracing::warn!(provider = name, reason, "nobody is signed in by {name}: {reason}");
                let event = Event::new(Action::SessionBegin, &Identity::Anonymous, client);
                audit::record(
                    &self.0.store,
                    event.denied().detail("method", "oauth").detail("provider", name.as_str()),
                )
                .await;
                return Ok(Err(Failure::ProviderFailed));
            }
        };
        let subject = Subject { provider: name.clone(), subject: profile.subject.clone() };
        if let Some(user) = &flow.user {
            return self.link(subject, user, client).await.map(|linked| linked.map(|()| None));
        }
        let account = match self.account_of_subject(subject, &profile, client).await? {
            Ok(account) => account,
            Err(failure) => return Ok(Err(failure)),
        };
        let user = self.facts(&account).id;
        let code = oauth.0.codes.issue(&user, &flow.challenge, Instant::now());
        Ok(code.map(Some).ok_or(Failure::Unavailable))
    }

    /// Whom a subject belongs to; a new account if it may have one.
    async fn account_of_subject(
        &self,
        subject: Subject,
        profile: &Profile,
        client: &Client,
    ) -> Result<Result<Account, Failure>, ApiError> {
        let store = &self.0.store;
        if let Some(user) = store.identity_owner(subject.clone()).await? {
            let account = store.account_by_id(&user).await?;
            return Ok(account.ok_or(Failure::Unavailable));
        }
        let Some(email) = profile.email.as_deref() else { return Ok(Err(Failure::EmailMissing)) };
        // Anybody can claim any address elsewhere: what comes of that must not tell which ones are known
        // here, unless registering tells anyway.
        if !profile.verified && self.0.settings.registration != Registration::Open {
            return Ok(Err(Failure::EmailUnverified));
        }
        if let Some(account) = store.account_by_email(email).await? {
            let facts = self.facts(&account);
            // Whoever made an account with this address and never verified it may not be its owner, and
            // neither may be who claims it elsewhere.
            if !(profile.verified && facts.verified) {
                return Ok(Err(Failure::AccountExists));
            }
            return Ok(match self.link(subject, &facts.id, client).await? {
                Ok(()) => Ok(account),
                Err(failure) => Err(failure),
            });
        }
        if self.0.settings.registration == Registration::Closed {
            return Ok(Err(Failure::RegistrationClosed));
        }
        self.allow_register(client)?;
        self.create_linked(subject, email, profile.verified, client).await
    }

    async fn create_linked(
        &self,
        subject: Subject,
        email: &str,
        verified: bool,
        client: &Client,
    ) -> Result<Result<Account, Failure>, ApiError> {
        let document = match self.new_user(email, verified)? {
            Ok(document) => document,
            Err(error) => {
                // The project asks for more than a provider tells, or the address is none.
                tracing::warn!(provider = subject.provider, reason = %error, "no account is made: {error}");
                return Ok(Err(Failure::Unavailable));
            }
        };
        let (catalog, who) = (self.0.catalog.load_full(), Identity::Anonymous);
        let document = match self.ask_to_register(users(&catalog)?, document, &who, client).await {
            Ok(document) => document,
            Err(error) => {
                tracing::warn!(provider = subject.provider, "a hook lets nobody register: {}", error.code());
                return Ok(Err(Failure::Unavailable));
            }
        };
        let event = Event::new(Action::Register, &Identity::Anonymous, client)
            .detail("provider", subject.provider.as_str());
        let account = NewAccount { document, password_hash: None };
        let made = audit::with(&self.0.store, event).create_linked_account(
            account,
            subject,
            Identity::Anonymous.label(),
        );
        match made.await {
            Ok(account) => Ok(Ok(account)),
            // Somebody was faster.
            Err(alyx_store::Error::UniqueViolation { .. }) => Ok(Err(Failure::AccountExists)),
            Err(error) => Err(error.into()),
        }
    }

    fn new_user(&self, email: &str, verified: bool) -> Result<Result<Document, DocumentError>, ApiError> {
        let catalog = self.0.catalog.load_full();
        let body = json!({ "email": email, "verified": verified }).to_string();
        let now = clock::now_text();
        let mut fresh = Fresh { now: &now, ids: &mut clock::new_key };
        Ok(parse_create(users(&catalog)?, body.as_bytes(), Access::System, &mut fresh))
    }

    async fn link(
        &self,
        subject: Subject,
        user: &str,
        client: &Client,
    ) -> Result<Result<(), Failure>, ApiError> {
        let event = Event::new(Action::IdentityLink, &Identity::Anonymous, client)
            .target(format!("user:{user}"))
            .detail("provider", subject.provider.as_str());
        match audit::with(&self.0.store, event).link_identity(subject.clone(), user).await {
            Ok(()) => Ok(Ok(())),
            Err(alyx_store::Error::UniqueViolation { .. }) => {
                let owner = self.0.store.identity_owner(subject).await?;
                Ok(if owner.as_deref() == Some(user) { Ok(()) } else { Err(Failure::AlreadyLinked) })
            }
            Err(alyx_store::Error::NotFound) => Ok(Err(Failure::Unavailable)),
            Err(error) => Err(error.into()),
        }
    }

    /// Exchanges the code of a finished sign-in for what every sign-in answers.
    ///
    /// # Errors
    /// `invalid_code` for one that is used, old, unknown or somebody else's.
    pub async fn oauth_exchange(
        &self,
        code: &str,
        verifier: &str,
        client: &Client,
    ) -> Result<Begun, ApiError> {
        let invalid = || ApiError::new(Code::InvalidOtp, "The code is not valid; begin again.");
        let user = self.0.oauth.0.codes.redeem(code, verifier, Instant::now()).ok_or_else(invalid)?;
        let account = self.0.store.account_by_id(&user).await?.ok_or_else(invalid)?;
        self.begin(&account, Method::OAuth, client).await
    }

    /// The caller's subjects.
    pub async fn linked_providers(&self, who: &Identity) -> Result<Vec<LinkedProvider>, ApiError> {
        let linked = self.0.store.identities_of(&signed_in(who)?).await?;
        let shown = linked
            .into_iter()
            .map(|one| LinkedProvider { provider: one.provider, linked_at: one.linked_at.to_string() });
        Ok(shown.collect())
    }

    /// Takes a provider's subject from the caller.
    ///
    /// # Errors
    /// `last_sign_in` if nothing would be left to sign in with, `provider_not_found` if there is none.
    pub async fn oauth_unlink(
        &self,
        who: &Identity,
        provider: &str,
        proof: &Proof,
        client: &Client,
    ) -> Result<(), ApiError> {
        let account = self.own_account(who).await?;
        self.confirm(&account, who, proof, client).await?;
        let (store, user) = (&self.0.store, self.facts(&account).id);
        let linked = store.identities_of(&user).await?;
        if !linked.iter().any(|one| one.provider == provider) {
            return Err(ApiError::new(Code::ProviderNotFound, "This account has nothing of that provider."));
        }
        if self.is_last_sign_in(&account, &user).await? {
            let detail = "Nothing would be left to sign in with; set a password first.";
            return Err(ApiError::new(Code::LastSignIn, detail));
        }
        let event = Event::new(Action::IdentityUnlink, who, client)
            .target(format!("user:{user}"))
            .detail("provider", provider);
        audit::with(store, event).unlink_identity(&user, provider).await?;
        Ok(())
    }
}

fn signed_in(who: &Identity) -> Result<String, ApiError> {
    let user = who.user().ok_or_else(|| ApiError::new(Code::Unauthenticated, "Sign in to do this."))?;
    Ok(user.id.clone())
}
