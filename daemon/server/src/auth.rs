//! Accounts, sessions, tokens. The identity of a request comes from here and from nowhere else.
//!
//! A token proves a session; everything else about the user (role, address, disabled) is read from the
//! account, so a change takes effect with the next request.

mod account;
mod ended;
mod facts;

mod passwords;
mod second_factor;
mod session;
mod throttle;
mod tokens;
mod users;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use alyx_core::identity::{ADMIN_ROLE, AdminIdentity, Identity, UserIdentity};
use alyx_store::{Account, Store};

use self::ended::Ended;
use self::facts::UserFacts;
use self::passwords::Passwords;
use self::throttle::Throttle;
use self::tokens::Tokens;
use crate::catalog::CatalogHandle;
use crate::clock;
use crate::config;
use crate::problem::{ApiError, Code};

pub use account::NewUser;
pub use session::Client;
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
    ended: Ended,
    users: UserCache,
    sign_in: Throttle,
    register: Throttle,
}

impl Auth {
    /// Loads the signing keys, or makes the first one, and the sessions that ended lately.
    pub async fn start(
        settings: config::Auth,
        store: Store,
        catalog: CatalogHandle,
        users: UserCache,
    ) -> Result<Self, StartError> {
        let tokens = Tokens::load(&settings, &store).await?;
        let ended = Ended::load(&store, settings.access_ttl).await?;
        let passwords = Passwords::new();
        let (sign_in, register) = (Throttle::default(), Throttle::default());
        Ok(Self(Arc::new(Parts {
            settings,
            store,
            catalog,
            tokens,
            passwords,
            ended,
            users,
            sign_in,
            register,
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
        if parts.ended.contains(&claims.sid) {
            return Err(invalid_token());
        }
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

    /// What `GET /api/auth/status` tells.
    pub fn settings(&self) -> &config::Auth {
        &self.0.settings
    }

    fn throttle_sign_in(&self, address: Option<IpAddr>, account: &str) -> Result<(), ApiError> {
        let Some(address) = address else { return Ok(()) };
        let (parts, now) = (&self.0, Instant::now());
        let per_minute = parts.settings.login_per_minute;
        let at_address = parts.sign_in.take(address, "", per_minute.saturating_mul(ADDRESS_FACTOR), now);
        // An address that tries too much makes no further buckets.
        let taken = at_address.and_then(|()| parts.sign_in.take(address, account, per_minute, now));
        taken.map_err(|wait| too_many(wait.as_secs() + 1))
    }

    fn throttle_register(&self, address: Option<IpAddr>) -> Result<(), ApiError> {
        let Some(address) = address else { return Ok(()) };
        let taken = self.0.register.take(address, "", self.0.settings.register_per_minute, Instant::now());
        taken.map_err(|wait| too_many(wait.as_secs() + 1))
    }
}

/// An address may try this many times more often than one account at this address, because several
/// people may share it.
const ADDRESS_FACTOR: u32 = 10;

fn identity(facts: &UserFacts, session: String) -> Identity {
    let user = UserIdentity {
        id: facts.id.clone(),
        email: facts.email.clone(),
        role: facts.role.clone(),
        verified: facts.verified,
        session,
    };
    if user.role == ADMIN_ROLE { Identity::Admin(AdminIdentity::User(user)) } else { Identity::User(user) }
}

fn invalid_token() -> ApiError {
    ApiError::new(Code::InvalidToken, "The access token is not valid; sign in or refresh.")
}

fn too_many(seconds: u64) -> ApiError {
    ApiError::new(Code::TooManyRequests, format!("Too many attempts; try again in {seconds} s."))
        .retry_after(seconds)
}
