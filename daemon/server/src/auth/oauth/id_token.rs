//! Id tokens (OpenID Connect Core 1.0 §3.1.3.7): signed by the provider, for us, for this flow, now.
//!
//! The token chooses neither the algorithm beyond an allow list of asymmetric ones nor the key beyond
//! the provider's own set; keys that it carries or points to are never looked at.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

const TOKEN_MAX_BYTES: usize = 16 * 1024;

/// How far the provider's clock may be from ours.
const LEEWAY_SECONDS: u64 = 60;

/// Oldest token that is taken, whatever its end.
const AGE_MAX_SECONDS: u64 = 600;

const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::EdDSA,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// What a token has to say.
pub struct Expected<'a> {
    pub issuer: &'a str,
    pub client_id: &'a str,
    pub nonce: &'a str,
    /// The access token that came with it.
    pub access_token: &'a str,
    /// Seconds since 1970.
    pub now: u64,
}

/// What we read of it.
#[derive(Debug, Deserialize)]
pub struct IdClaims {
    pub sub: String,
    #[serde(default)]
    pub email: Option<String>,
    /// Some providers write it as a text.
    #[serde(default)]
    pub email_verified: Option<Verified>,
    aud: Audience,
    #[serde(default)]
    azp: Option<String>,
    #[serde(default)]
    nonce: Option<String>,
    #[serde(default)]
    at_hash: Option<String>,
    iat: u64,
}

/// Whether the provider verified the address.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Verified {
    Flag(bool),
    Text(String),
}

impl Verified {
    pub fn is_true(&self) -> bool {
        match self {
            Self::Flag(flag) => *flag,
            Self::Text(text) => text == "true",
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Why a token is refused. For the log.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("it is too long")]
    TooLong,
    #[error("it is not a signed token: {0}")]
    Form(String),
    #[error("its algorithm is not accepted")]
    Algorithm,
    /// Keys may have been rotated; worth one more look at them.
    #[error("it is signed with a key that the provider does not publish")]
    UnknownKey,
    #[error("it does not hold: {0}")]
    Invalid(String),
    #[error("it is not for this service")]
    Audience,
    #[error("it is not of this sign-in")]
    Nonce,
    #[error("it is not of this access token")]
    AccessToken,
    #[error("it is too old or of the future")]
    Age,
}

/// Checks a token.
pub fn verify(token: &str, keys: &JwkSet, expected: &Expected<'_>) -> Result<IdClaims, Refused> {
    if token.len() > TOKEN_MAX_BYTES {
        return Err(Refused::TooLong);
    }
    let header = decode_header(token).map_err(|error| Refused::Form(error.to_string()))?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(Refused::Algorithm);
    }
    let key = find_key(keys, header.kid.as_deref(), header.alg).ok_or(Refused::UnknownKey)?;
    let key = DecodingKey::from_jwk(key).map_err(|error| Refused::Form(error.to_string()))?;
    let mut validation = Validation::new(header.alg);
    validation.leeway = LEEWAY_SECONDS;
    validation.validate_nbf = true;
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.set_issuer(&[expected.issuer]);
    validation.set_audience(&[expected.client_id]);
    let claims = decode::<IdClaims>(token, &key, &validation)
        .map_err(|error| Refused::Invalid(error.to_string()))?
        .claims;
    check_audience(&claims, expected.client_id)?;
    let nonce = claims.nonce.as_deref().unwrap_or_default();
    if verify_slices_are_equal(nonce.as_bytes(), expected.nonce.as_bytes()).is_err() {
        return Err(Refused::Nonce);
    }
    if claims.iat > expected.now + LEEWAY_SECONDS || claims.iat + AGE_MAX_SECONDS < expected.now {
        return Err(Refused::Age);
    }
    match &claims.at_hash {
        Some(hash) if *hash != half_hash(header.alg, expected.access_token) => Err(Refused::AccessToken),
        _ if claims.sub.is_empty() || claims.sub.len() > 255 => Err(Refused::Invalid("sub".to_owned())),
        _ => Ok(claims),
    }
}

/// §3.1.3.7, 3 to 5: with several audiences the token must name us as the one it was made for.
fn check_audience(claims: &IdClaims, client_id: &str) -> Result<(), Refused> {
    let alone = match &claims.aud {
        Audience::One(one) => one == client_id,
        Audience::Many(many) => many.len() == 1 && many[0] == client_id,
    };
    match &claims.azp {
        Some(azp) if azp == client_id => Ok(()),
        None if alone => Ok(()),
        _ => Err(Refused::Audience),
    }
}

fn find_key<'k>(keys: &'k JwkSet, kid: Option<&str>, algorithm: Algorithm) -> Option<&'k Jwk> {
    let fits = |key: &&Jwk| {
        let signs = matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature));
        let same = key.common.key_algorithm.is_none_or(|known| is_same(known, algorithm));
        signs && same
    };
    let mut fitting = keys.keys.iter().filter(fits);
    match kid {
        Some(kid) => fitting.find(|key| key.common.key_id.as_deref() == Some(kid)),
        // Without a name there must be no choice.
        None => fitting.next().filter(|_| keys.keys.len() == 1),
    }
}

fn is_same(known: KeyAlgorithm, algorithm: Algorithm) -> bool {
    known.to_string() == format!("{algorithm:?}")
}

/// §3.1.3.6.
fn half_hash(algorithm: Algorithm, access_token: &str) -> String {
    let hash = match algorithm {
        Algorithm::RS384 | Algorithm::ES384 | Algorithm::PS384 => &SHA384,
        Algorithm::RS512 | Algorithm::PS512 | Algorithm::EdDSA => &SHA512,
        _ => &SHA256,
    };
    let hash = digest(hash, access_token.as_bytes());
    URL_SAFE_NO_PAD.encode(&hash.as_ref()[..hash.as_ref().len() / 2])
}
