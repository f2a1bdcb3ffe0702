//! API keys: `alyx_<id>_<secret>`, for programs. Of the secret, 256 random bits, only the hash is kept, so
//! nobody can read a key back and a slow hash would protect nothing.

use std::sync::Arc;
use std::time::Duration;

use alyx_core::document::IdKind;
use alyx_core::identity::{ApiKeyIdentity, Identity};
use alyx_core::scope::Scope;
use alyx_store::{ApiKey, Error};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use jiff::Timestamp;

use super::{Auth, Client, hash_of, invalid_token};
use crate::audit::{self, Action, Event};
use crate::clock;
use crate::limits::{API_KEY_NAME_MAX_CHARS, API_KEY_SCOPES_MAX, DEPLOY_TOKEN_LIFE_MAX};
use crate::problem::{ApiError, Code, error_chain};

/// What every key starts with.
const PREFIX: &str = "alyx_";

/// Precision of the time of the last use; more would be a write for every request.
const USE_NOTED_EVERY: Duration = Duration::from_secs(60);

/// What a new key is to be.
#[derive(Debug)]
pub struct NewApiKey {
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

impl Auth {
    /// Whether a token is that of a key, valid or not.
    pub fn is_api_key(token: &str) -> bool {
        token.starts_with(PREFIX)
    }

    /// The identity behind a key.
    ///
    /// # Errors
    /// `invalid_token` if it is not valid now, for whatever reason.
    pub async fn identify_key(&self, token: &str) -> Result<Identity, ApiError> {
        let (id, secret) = parts_of(token).ok_or_else(invalid_token)?;
        let found = self.0.store.api_key(id).await?;
        let (hash, now) = (hash_of(secret), Timestamp::now());
        let key = found.filter(|key| is_good(key, &hash, now)).ok_or_else(invalid_token)?;
        let is_old = |used: Timestamp| now.duration_since(used).unsigned_abs() >= USE_NOTED_EVERY;
        if key.last_used_at.is_none_or(is_old) {
            // Nobody waits for it, and one that is lost is made up for by the next.
            drop(self.0.store.touch_api_key(&key.id));
        }
        Ok(Identity::ApiKey(ApiKeyIdentity { id: key.id, scopes: scopes_of(&key.scopes_json) }))
    }

    /// All keys.
    pub async fn api_keys(&self) -> Result<Vec<ApiKey>, ApiError> {
        Ok(self.0.store.api_keys().await?)
    }

    /// One key.
    pub async fn api_key(&self, id: &str) -> Result<ApiKey, ApiError> {
        self.0.store.api_key(id).await?.ok_or_else(no_key)
    }

    /// Makes a key. Answers it, and the whole text, which nobody can ask for again.
    pub async fn create_api_key(
        &self,
        wanted: NewApiKey,
        who: &Identity,
        client: &Client,
    ) -> Result<(ApiKey, String), ApiError> {
        let now = Timestamp::now();
        check(&wanted, now)?;
        let (id, secret) = (clock::new_key(IdKind::Id), clock::random_hex::<32>());
        let key = ApiKey {
            id: id.clone(),
            name: wanted.name,
            scopes_json: serde_json::json!(wanted.scopes).to_string(),
            hash: hash_of(&secret),
            previous: None,
            created_at: now,
            created_by: who.label(),
            rotated_at: None,
            expires_at: wanted.expires_at,
            last_used_at: None,
        };
        let event = Event::new(Action::ApiKeyCreate, who, client)
            .target(format!("key:{id}"))
            .detail("name", key.name.clone())
            .detail("scopes", wanted.scopes);
        audit::with(&self.0.store, event).add_api_key(key.clone()).await?;
        Ok((key, format!("{PREFIX}{id}_{secret}")))
    }

    /// Gives a key another secret; the one before is good for `overlap` more. Answers the whole text.
    pub async fn rotate_api_key(
        &self,
        id: &str,
        overlap: Duration,
        who: &Identity,
        client: &Client,
    ) -> Result<String, ApiError> {
        let secret = clock::random_hex::<32>();
        let keep_until = (!overlap.is_zero()).then(|| Timestamp::now() + overlap);
        let event = Event::new(Action::ApiKeyRotate, who, client).target(format!("key:{id}"));
        let store = audit::with(&self.0.store, event);
        store.rotate_api_key(id, hash_of(&secret), keep_until).await.map_err(missing)?;
        Ok(format!("{PREFIX}{id}_{secret}"))
    }

    /// Ends a key, at once.
    pub async fn revoke_api_key(&self, id: &str, who: &Identity, client: &Client) -> Result<(), ApiError> {
        let event = Event::new(Action::ApiKeyRevoke, who, client).target(format!("key:{id}"));
        audit::with(&self.0.store, event).remove_api_key(id).await.map_err(missing)
    }
}

/// The scopes of a key as they are kept. One that this version does not know opens nothing.
pub fn scopes_of(json: &str) -> Arc<[Scope]> {
    let texts: Vec<String> = serde_json::from_str(json).unwrap_or_else(|error| {
        tracing::error!("the scopes of a key are damaged: {}", error_chain(&error));
        Vec::new()
    });
    texts.iter().filter_map(|text| Scope::parse(text)).collect()
}

/// Id and secret of a key.
pub(super) fn parts_of(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.strip_prefix(PREFIX)?.split_once('_')?;
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    (id.len() == 20 && secret.len() == 64 && plain(id) && plain(secret)).then_some((id, secret))
}

pub(super) fn is_good(key: &ApiKey, hash: &[u8; 32], now: Timestamp) -> bool {
    let same = |kept: &[u8; 32]| verify_slices_are_equal(kept, hash).is_ok();
    let by_previous = key.previous.as_ref().is_some_and(|(kept, until)| now < *until && same(kept));
    (same(&key.hash) || by_previous) && key.expires_at.is_none_or(|end| now < end)
}

fn check(wanted: &NewApiKey, now: Timestamp) -> Result<(), ApiError> {
    let wrong = |detail: String| Err(ApiError::new(Code::ValidationFailed, detail));
    let length = wanted.name.chars().count();
    if length == 0 || length > API_KEY_NAME_MAX_CHARS || wanted.name.chars().any(char::is_control) {
        return wrong(format!("A name has 1 to {API_KEY_NAME_MAX_CHARS} characters, none of them control."));
    }
    if wanted.scopes.is_empty() || wanted.scopes.len() > API_KEY_SCOPES_MAX {
        return wrong(format!("A key has 1 to {API_KEY_SCOPES_MAX} scopes."));
    }
    let mut scopes = Vec::new();
    for text in &wanted.scopes {
        let Some(scope) = Scope::parse(text) else {
            return wrong(format!(
                "{text:.80?} is no scope. Scopes look like collections:NAME:read, collections:NAME:write, \
                 functions:invoke:NAME, channels:NAME, admin:AREA or admin:deploy; NAME and AREA may be *."
            ));
        };
        scopes.push(scope);
    }
    if wanted.expires_at.is_some_and(|end| end <= now) {
        return wrong("expires_at is not in the future.".to_owned());
    }
    if scopes.iter().any(Scope::is_deploy) {
        let soon = wanted.expires_at.is_some_and(|end| end <= now + DEPLOY_TOKEN_LIFE_MAX);
        if scopes.len() > 1 || !soon {
            let days = DEPLOY_TOKEN_LIFE_MAX.as_secs() / 86_400;
            return wrong(format!(
                "A deploy token has the scope admin:deploy and no other, and expires within {days} days."
            ));
        }
    }
    Ok(())
}

fn missing(error: Error) -> ApiError {
    match error {
        Error::NotFound => no_key(),
        error => error.into(),
    }
}

fn no_key() -> ApiError {
    ApiError::new(Code::ApiKeyNotFound, "There is no such key.")
}

#[cfg(test)]
mod tests {
    use super::parts_of;

    #[test]
    fn keys_have_one_form() {
        let (id, secret) = ("0".repeat(20), "f".repeat(64));
        let key = format!("alyx_{id}_{secret}");
        assert_eq!(parts_of(&key), Some((&*id, &*secret)));
        let other = [
            format!("alyx_{id}{secret}"),
            format!("alyx_{id}_{secret}0"),
            format!("alyx_{id}_{}", secret.to_uppercase()),
            format!("alyx_{id}__{}", &secret[1..]),
            format!("ALYX_{id}_{secret}"),
            format!("alyx_{id}_{} ", &secret[1..]),
            "alyx_".to_owned(),
            "alyx__".to_owned(),
        ];
        for text in other {
            assert_eq!(parts_of(&text), None, "{text}");
        }
    }
}
