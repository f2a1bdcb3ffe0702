//! The keys that sign and verify access tokens. With EdDSA they are made here and kept in the database;
//! with HS256 the one key is the configured secret.
//!
//! A rotation makes a new key that signs from then on. The ones before it go on verifying until every
//! token they signed has expired, so nobody notices.

use std::sync::Arc;
use std::time::Duration;

use alyx_store::{SigningKey, Store};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use serde_json::{Value, json};

use super::tokens::StartError;
use crate::clock;
use crate::config;

/// `alg` of keys that sign access tokens, as the store has it.
const EDDSA: &str = "EdDSA";

/// `alg` of the key that binds CSRF tokens to their sessions, as the store has it.
const CSRF: &str = "csrf";

/// A key.
pub struct Key {
    pub kid: String,
    pub signing: EncodingKey,
    pub verifying: DecodingKey,
    /// The public half, where there is one.
    public: Option<Vec<u8>>,
    /// Seconds since 1970.
    created_at: u64,
    /// Nothing it signed is valid from here on; `None` for the one that signs. Seconds since 1970.
    retires_at: Option<u64>,
}

/// All keys that verify, the one that signs first.
#[derive(Clone)]
pub struct Keyring {
    pub algorithm: Algorithm,
    keys: Vec<Arc<Key>>,
}

/// A key as administrators see it.
#[derive(Debug, serde::Serialize)]
pub struct KeyInfo {
    pub kid: String,
    pub algorithm: &'static str,
    pub state: &'static str,
    pub created_at: String,
    pub retires_at: Option<String>,
}

impl Keyring {
    /// The configured secret, or the keys of the database, newest first.
    pub fn new(settings: &config::Auth, stored: &[SigningKey]) -> Result<Self, StartError> {
        if let Some(secret) = &settings.secret {
            return Ok(Self { algorithm: Algorithm::HS256, keys: vec![Arc::new(shared(secret.expose()))] });
        }
        let ttl = settings.access_ttl.as_secs();
        let mut keys: Vec<Arc<Key>> = Vec::new();
        let mut replaced_at = None;
        for row in stored.iter().filter(|row| row.alg == EDDSA) {
            let retires_at = replaced_at.map(|at: u64| at.saturating_add(ttl));
            let key = pair(row, retires_at)?;
            replaced_at = Some(key.created_at);
            keys.push(Arc::new(key));
        }
        Ok(Self { algorithm: Algorithm::EdDSA, keys })
    }

    /// The one that signs.
    ///
    /// # Panics
    /// Never: a ring is made with at least one key.
    pub fn newest(&self) -> &Key {
        self.keys.first().expect("a ring has at least one key")
    }

    /// A key that still verifies.
    pub fn find(&self, kid: &str, now: u64) -> Option<&Key> {
        self.keys
            .iter()
            .find(|key| key.kid == kid && key.retires_at.is_none_or(|at| now < at))
            .map(Arc::as_ref)
    }

    /// The ring after a rotation: `row` signs, the others retire, or are gone at once.
    pub fn rotated(&self, row: &SigningKey, ttl: Duration, drop_previous: bool) -> Result<Self, StartError> {
        let key = pair(row, None)?;
        let retire = key.created_at.saturating_add(ttl.as_secs());
        let mut keys = vec![Arc::new(key)];
        for key in self.keys.iter().filter(|_| !drop_previous) {
            let retires_at = Some(key.retires_at.unwrap_or(retire));
            keys.push(Arc::new(Key {
                kid: key.kid.clone(),
                signing: key.signing.clone(),
                verifying: key.verifying.clone(),
                public: key.public.clone(),
                created_at: key.created_at,
                retires_at,
            }));
        }
        Ok(Self { algorithm: self.algorithm, keys })
    }

    /// Names of keys that verify nothing any more.
    pub fn retired(&self, now: u64) -> Vec<String> {
        let retired = |key: &&Arc<Key>| key.retires_at.is_some_and(|at| at <= now);
        self.keys.iter().filter(retired).map(|key| key.kid.clone()).collect()
    }

    /// Names of all keys.
    pub fn names(&self) -> Vec<String> {
        self.keys.iter().map(|key| key.kid.clone()).collect()
    }

    /// The public keys as a JWK set (RFC 7517, RFC 8037); empty for a shared secret.
    pub fn jwks(&self, now: u64) -> Value {
        let verifies = |key: &&Arc<Key>| key.retires_at.is_none_or(|at| now < at);
        let jwk = |key: &Arc<Key>| {
            let public = URL_SAFE_NO_PAD.encode(key.public.as_ref()?);
            Some(
                json!({ "kty": "OKP", "crv": "Ed25519", "alg": EDDSA, "use": "sig", "kid": key.kid, "x": public }),
            )
        };
        json!({ "keys": self.keys.iter().filter(verifies).filter_map(jwk).collect::<Vec<_>>() })
    }

    /// What administrators see of the keys, newest first.
    pub fn infos(&self, now: u64) -> Vec<KeyInfo> {
        let text = |seconds: u64| {
            let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
            time.map(clock::text).unwrap_or_default()
        };
        let info = |key: &Arc<Key>| KeyInfo {
            kid: key.kid.clone(),
            algorithm: if self.algorithm == Algorithm::HS256 { "HS256" } else { EDDSA },
            state: match key.retires_at {
                None => "signs",
                Some(at) if now < at => "verifies",
                Some(_) => "retired",
            },
            created_at: text(key.created_at),
            retires_at: key.retires_at.map(text),
        };
        self.keys.iter().map(info).collect()
    }
}

fn pair(row: &SigningKey, retires_at: Option<u64>) -> Result<Key, StartError> {
    let pair = Ed25519KeyPair::from_pkcs8(&row.pkcs8);
    let pair = pair.map_err(|_| StartError::DamagedKey(row.kid.clone()))?;
    let public = pair.public_key().as_ref().to_vec();
    Ok(Key {
        kid: row.kid.clone(),
        signing: EncodingKey::from_ed_der(&row.pkcs8),
        verifying: DecodingKey::from_ed_der(&public),
        public: Some(public),
        created_at: u64::try_from(row.created_at.as_second()).unwrap_or(0),
        retires_at,
    })
}

/// Its name tells one secret from the next and nothing of what it is: whoever could guess the secret
/// from it could guess it from any token.
fn shared(secret: &str) -> Key {
    let name = digest(&SHA256, format!("alyx kid {secret}").as_bytes());
    Key {
        kid: clock::hex(name.as_ref().get(..8).unwrap_or_default()),
        signing: EncodingKey::from_secret(secret.as_bytes()),
        verifying: DecodingKey::from_secret(secret.as_bytes()),
        public: None,
        created_at: clock::now_seconds(),
        retires_at: None,
    }
}

/// A new key for access tokens.
pub fn generate() -> Result<SigningKey, StartError> {
    let pair = Ed25519KeyPair::from_seed_unchecked(&clock::random::<32>());
    let pkcs8 = pair.map_err(|_| StartError::Generate)?.to_pkcs8().map_err(|_| StartError::Generate)?;
    Ok(new_key(EDDSA, pkcs8.as_ref().to_vec()))
}

fn new_key(alg: &str, secret: Vec<u8>) -> SigningKey {
    let kid = clock::random_hex::<8>();
    SigningKey { kid, alg: alg.to_owned(), pkcs8: secret, created_at: Timestamp::now() }
}

/// The keys of the database; makes those that are not there.
pub async fn load(settings: &config::Auth, store: &Store) -> Result<(Keyring, hmac::Key), StartError> {
    let mut rows = store.signing_keys().await?;
    if settings.secret.is_none() && !rows.iter().any(|row| row.alg == EDDSA) {
        let key = generate()?;
        store.add_signing_key(key.clone()).await?;
        tracing::info!(kid = %key.kid, "made the key {} that signs tokens", key.kid);
        rows.insert(0, key);
    }
    if !rows.iter().any(|row| row.alg == CSRF) {
        let key = new_key(CSRF, clock::random::<32>().to_vec());
        store.add_signing_key(key.clone()).await?;
        rows.push(key);
    }
    let csrf =
        rows.iter().find(|row| row.alg == CSRF).map(|row| hmac::Key::new(hmac::HMAC_SHA256, &row.pkcs8));
    Ok((Keyring::new(settings, &rows)?, csrf.ok_or(StartError::Generate)?))
}
