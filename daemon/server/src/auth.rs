//! Accounts, sessions, tokens. The identity of a request comes from here and from nowhere else.
//!
//! A token proves a session; everything else about the user (role, address, disabled) is read from the
//! account, so a change takes effect with the next request.

mod account;
mod administer;
mod anonymous;
mod api_keys;
mod body;
mod challenge;
mod codes;
mod facts;
mod guard;
mod hooked;
mod keyring;
mod lasting;
mod links;
mod lockout;
mod oauth;
mod passkeys;
mod passwords;
mod profile;
mod proof;
mod recovery_codes;
mod registration;
mod second_factor;
mod session;
mod sessions;
mod setup;
mod somebody;
mod tokens;
mod totp;
mod users;
mod verified;

use std::sync::Arc;

use alyx_core::identity::{ADMIN_ROLE, AdminIdentity, Identity, UserIdentity};
use alyx_store::{Account, Store};
use jiff::Timestamp;

use self::challenge::Challenges;
use self::facts::UserFacts;
use self::lockout::Lockouts;
use self::passwords::Passwords;
use self::setup::Setup;
use self::tokens::Tokens;
use crate::catalog::CatalogHandle;
use crate::clock;
use crate::config;
use crate::hooks::WaitedHooks;
use crate::limits::LOCKOUTS_MAX;
use crate::mail::Mail;
use crate::problem::{ApiError, Code};
use crate::seal::Sealer;
use crate::throttle::Throttle;

pub use api_keys::NewApiKey;
pub use body::AccountBody;
pub use guard::{CHALLENGE, Pass};
pub use lasting::{Credential, Lasting};
pub use links::Link;
pub use oauth::{Answer as OAuthAnswer, FLOW_TTL, LinkedProvider, OAuth, ProviderInfo};
pub use passkeys::{NewCredential, Party, PasskeyInfo, ShownPasskey, may_use};
pub use proof::Proof;
pub use session::{Begun, Client, Cookies, Mode, hash_of};
pub use tokens::StartError;
pub use users::UserCache;

/// The service. A cheap clone.
#[derive(Clone)]
pub struct Auth(Arc<Parts>);

struct Parts {
    settings: config::Auth,
    store: Store,
    catalog: CatalogHandle,
    tokens: Tokens,
    passwords: Passwords,
    users: UserCache,
    oauth: OAuth,
    party: Option<Party>,
    throttle: Throttle,
    setup: Setup,
    mail: Mail,
    sealer: Sealer,
    lockouts: Lockouts,
    challenges: Challenges,
    hooks: WaitedHooks,
}

impl Auth {
    /// Loads the signing keys, or makes the first ones.
    pub async fn start(
        settings: config::Auth,
        (store, catalog, users): (Store, CatalogHandle, UserCache),
        throttle: Throttle,
        (oauth, party): (OAuth, Option<Party>),
        (mail, sealer, hooks): (Mail, Sealer, WaitedHooks),
    ) -> Result<Self, StartError> {
        let tokens = Tokens::load(&settings, &store).await?;
        let passwords = Passwords::new(settings.hashing);
        let setup = Setup::default();
        let now = Timestamp::now();
        let kept = store.lockouts(now, u32::try_from(LOCKOUTS_MAX).unwrap_or(u32::MAX)).await?;
        let lockouts = Lockouts::new(&settings, kept, now);
        let challenges = Challenges::new();
        Ok(Self(Arc::new(Parts {
            settings,
            store,
            catalog,
            tokens,
            passwords,
            users,
            oauth,
            party,
            throttle,
            setup,
            mail,
            sealer,
            lockouts,
            challenges,
            hooks,
        })))
    }

    /// The identity behind an access token.
    ///
    /// # Errors
    /// `invalid_token` if it is not valid now, for whatever reason.
    pub async fn identify(&self, token: &str) -> Result<Identity, ApiError> {
        let parts = &self.0;
        let claims = parts.tokens.verify(token, clock::now_seconds()).map_err(|reason| {
            tracing::debug!(%reason, "refused a token: {reason}");
            invalid_token()
        })?;
        let facts =
            parts.users.facts(&parts.store, &claims.sub, &claims.sid).await?.ok_or_else(invalid_token)?;
        if facts.disabled {
            return Err(invalid_token());
        }
        Ok(identity(&facts, claims.sid))
    }

    /// The identity of somebody in a session of theirs.
    fn identity_of(&self, account: &Account, session: &str) -> Identity {
        identity(&UserFacts::of(account), session.to_owned())
    }

    /// The public keys that verify access tokens, as a JWK set.
    pub fn jwks(&self) -> serde_json::Value {
        self.0.tokens.keys().jwks(clock::now_seconds())
    }

    /// Whether a page showed the CSRF token of this session.
    pub fn is_csrf_token(&self, session: &str, token: &str) -> bool {
        self.0.tokens.is_csrf_token(session, token)
    }

    /// Whether links and codes can be sent.
    pub fn sends_mail(&self) -> bool {
        self.0.mail.is_on()
    }

    /// What `GET /api/auth/status` tells.
    pub fn settings(&self) -> &config::Auth {
        &self.0.settings
    }
}

fn identity(facts: &UserFacts, session: String) -> Identity {
    let user = UserIdentity {
        id: facts.id.clone(),
        email: facts.email.clone(),
        role: facts.role.clone(),
        verified: facts.verified,
        session,
        metadata: Arc::clone(&facts.metadata),
        scopes: Arc::default(),
    };
    if user.role == ADMIN_ROLE { Identity::Admin(AdminIdentity::User(user)) } else { Identity::User(user) }
}

fn invalid_token() -> ApiError {
    ApiError::new(Code::InvalidToken, "The access token is not valid; sign in or refresh.")
}
