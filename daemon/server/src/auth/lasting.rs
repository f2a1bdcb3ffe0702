//! Identities that outlast a request: who it was is looked at again whenever something about the account,
//! the key or the session may be different.

use std::sync::Arc;

use alyx_core::identity::{ApiKeyIdentity, Identity};
use jiff::Timestamp;

use super::api_keys::{is_good, parts_of, scopes_of};
use super::{Auth, hash_of, identity, invalid_token};
use crate::clock;
use crate::problem::ApiError;

/// Somebody who stays.
#[derive(Clone, Debug)]
pub struct Lasting {
    pub identity: Identity,
    pub credential: Credential,
    /// When the token ends, in seconds since 1970.
    pub expires_at: Option<u64>,
}

/// What an identity rests on.
#[derive(Clone, Debug)]
pub enum Credential {
    /// Nothing that can change: nobody, or a peer of the admin socket.
    Fixed,
    /// A session of a user.
    Session { user: String, session: String },
    /// An API key.
    Key { id: String, hash: [u8; 32] },
}

impl Credential {
    /// The account or key.
    pub fn owner(&self) -> Option<&str> {
        match self {
            Self::Fixed => None,
            Self::Session { user: id, .. } | Self::Key { id, .. } => Some(id),
        }
    }
}

impl Auth {
    /// Who holds a token, and until when.
    ///
    /// # Errors
    /// `invalid_token` if it is not valid now, for whatever reason.
    pub async fn lasting(&self, token: &str) -> Result<Lasting, ApiError> {
        if Self::is_api_key(token) {
            let identity = self.identify_key(token).await?;
            let (id, secret) = parts_of(token).ok_or_else(invalid_token)?;
            let key = self.0.store.api_key(id).await?.ok_or_else(invalid_token)?;
            let now = Timestamp::now();
            let hash = hash_of(secret);
            // By the secret before, it is good as long as that one is.
            let previous = key.previous.as_ref().filter(|_| key.hash != hash).map(|(_, until)| *until);
            let end = key.expires_at.into_iter().chain(previous).min();
            let expires_at = end.map(|end| end.max(now).as_second().unsigned_abs());
            let credential = Credential::Key { id: id.to_owned(), hash };
            return Ok(Lasting { identity, credential, expires_at });
        }
        let identity = self.identify(token).await?;
        let claims = self.0.tokens.verify(token, clock::now_seconds()).map_err(|_| invalid_token())?;
        let credential = Credential::Session { user: claims.sub, session: claims.sid };
        Ok(Lasting { identity, credential, expires_at: Some(claims.exp) })
    }

    /// Who it is now; `None` if the session has ended, or the account or key is gone or disabled.
    pub async fn again(&self, known: &Lasting) -> Result<Option<Identity>, ApiError> {
        let parts = &self.0;
        match &known.credential {
            Credential::Fixed => Ok(Some(known.identity.clone())),
            Credential::Session { user, session } => {
                let facts = parts.users.facts(&parts.store, user, session).await?;
                let facts: Option<Arc<_>> = facts.filter(|facts| !facts.disabled);
                Ok(facts.map(|facts| identity(&facts, session.clone())))
            }
            Credential::Key { id, hash } => {
                let key = parts.store.api_key(id).await?.filter(|key| is_good(key, hash, Timestamp::now()));
                Ok(key.map(|key| {
                    Identity::ApiKey(ApiKeyIdentity { id: key.id, scopes: scopes_of(&key.scopes_json) })
                }))
            }
        }
    }
}
