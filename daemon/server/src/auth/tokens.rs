//! Access tokens: JWT (RFC 7519) in the profile of RFC 9068, signed with Ed25519 or, on request, with
//! HMAC-SHA256.
//!
//! The algorithm and the keys come from the configuration, never from the token: of its header only
//! `kid` selects among our own keys. Checked: signature, `typ`, `iss`, `aud`, `exp`, `nbf`, `iat`.

use std::sync::Arc;
use std::time::Duration;

use alyx_store::Store;
use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};

use super::keyring::{self, Keyring};
use super::verified::{Verified, VerifiedTokens};
use crate::clock;
use crate::config;
use crate::limits::TOKEN_MAX_BYTES;

/// Media type of the profile, RFC 9068 §2.1.
const TYPE: &str = "at+jwt";

/// `scope` of a session's token: everything that its user may do.
const SCOPE: &str = "*";

/// How far `nbf` and `iat` may lie ahead: our own clock may be set back a little.
const LEEWAY_SECONDS: u64 = 5;

/// What an access token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    pub aud: String,
    /// Id of the user.
    pub sub: String,
    /// Id of the session.
    pub sid: String,
    pub iat: u64,
    pub exp: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    pub jti: String,
    /// For clients. The server reads the account instead.
    pub role: String,
    /// What the token is good for: [`SCOPE`].
    pub scope: String,
}

/// Signs and verifies.
pub struct Tokens {
    issuer: String,
    audience: String,
    ttl: Duration,
    keys: ArcSwap<Keyring>,
    csrf: hmac::Key,
    validation: Validation,
    verified: VerifiedTokens,
}

/// Why accounts cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("read keys and sessions")]
    Store(#[from] alyx_store::Error),
    #[error("the signing key {0} is damaged")]
    DamagedKey(String),
    #[error("make a signing key")]
    Generate,
}

/// Why a token is refused. For the log; clients are not told.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("too long")]
    TooLong,
    #[error("malformed or wrongly signed")]
    Jwt(#[from] jsonwebtoken::errors::Error),
    #[error("not an access token")]
    Type,
    #[error("unknown key")]
    Key,
    #[error("expired")]
    Expired,
    #[error("not valid yet")]
    Early,
}

impl Tokens {
    /// Reads the keys of the database; makes those that are missing.
    pub async fn load(settings: &config::Auth, store: &Store) -> Result<Self, StartError> {
        let (keys, csrf) = keyring::load(settings, store).await?;
        Ok(Self::new(settings, keys, csrf))
    }

    fn new(settings: &config::Auth, keys: Keyring, csrf: hmac::Key) -> Self {
        let mut validation = Validation::new(keys.algorithm);
        validation.set_issuer(&[&settings.issuer]);
        validation.set_audience(&[&settings.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Times are checked below against a clock that comes in as a value.
        validation.validate_exp = false;
        Self {
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            ttl: settings.access_ttl,
            keys: ArcSwap::from_pointee(keys),
            csrf,
            validation,
            verified: VerifiedTokens::default(),
        }
    }

    /// The keys in use.
    pub fn keys(&self) -> Arc<Keyring> {
        self.keys.load_full()
    }

    /// Makes a new key that signs from now on; through `store`, which may be audited. Gives its name,
    /// or `None` if a configured secret signs.
    pub async fn rotate(&self, store: &Store, drop_previous: bool) -> Result<Option<String>, StartError> {
        let keys = self.keys.load_full();
        if keys.algorithm != Algorithm::EdDSA {
            return Ok(None);
        }
        let row = keyring::generate()?;
        let gone = if drop_previous { keys.names() } else { keys.retired(clock::now_seconds()) };
        store.rotate_signing_key(row.clone(), gone).await?;
        let rotated = keys.rotated(&row, self.ttl, drop_previous)?;
        // Another rotation may have come in between; then neither key is lost.
        self.keys.rcu(|current| {
            let again = if Arc::ptr_eq(current, &keys) {
                Ok(rotated.clone())
            } else {
                current.rotated(&row, self.ttl, drop_previous)
            };
            again.unwrap_or_else(|_| rotated.clone())
        });
        Ok(Some(row.kid))
    }

    /// What a page must send along with a cookie of this session, to show that it can read what the
    /// server tells it and not only make the browser send.
    pub fn csrf_token(&self, session: &str) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.csrf, session.as_bytes()))
    }

    /// Whether it is the token of this session; in constant time.
    pub fn is_csrf_token(&self, session: &str, token: &str) -> bool {
        let tag = URL_SAFE_NO_PAD.decode(token).unwrap_or_default();
        hmac::verify(&self.csrf, session.as_bytes(), &tag).is_ok()
    }

    /// A token for a session. Gives the token and its lifetime in seconds.
    pub fn sign(&self, user: &str, session: &str, role: &str, now: u64) -> Result<(String, u64), Refused> {
        let keys = self.keys.load();
        let key = keys.newest();
        let mut header = Header::new(keys.algorithm);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(key.kid.clone());
        let lifetime = self.ttl.as_secs();
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: user.to_owned(),
            sid: session.to_owned(),
            iat: now,
            exp: now + lifetime,
            nbf: None,
            jti: clock::random_hex::<16>(),
            role: role.to_owned(),
            scope: SCOPE.to_owned(),
        };
        Ok((encode(&header, &claims, &key.signing)?, lifetime))
    }

    /// Checks a token at a time given in seconds since 1970.
    pub fn verify(&self, token: &str, now: u64) -> Result<Claims, Refused> {
        if token.len() > TOKEN_MAX_BYTES {
            return Err(Refused::TooLong);
        }
        let print = VerifiedTokens::print(token);
        let verified = if let Some(verified) = self.verified.get(&print) {
            self.keys.load().find(&verified.kid, now).ok_or(Refused::Key)?;
            verified
        } else {
            let verified = Arc::new(self.verify_signature(token, now)?);
            self.verified.add(print, Arc::clone(&verified));
            verified
        };
        let claims = &verified.claims;
        if claims.exp <= now {
            return Err(Refused::Expired);
        }
        if claims.iat > now + LEEWAY_SECONDS || claims.nbf.is_some_and(|nbf| nbf > now + LEEWAY_SECONDS) {
            return Err(Refused::Early);
        }
        Ok(claims.clone())
    }

    fn verify_signature(&self, token: &str, now: u64) -> Result<Verified, Refused> {
        let header = decode_header(token)?;
        if header.typ.as_deref() != Some(TYPE) || header.crit.is_some() {
            return Err(Refused::Type);
        }
        let (keys, kid) = (self.keys.load(), header.kid.ok_or(Refused::Key)?);
        let key = keys.find(&kid, now).ok_or(Refused::Key)?;
        let claims = decode::<Claims>(token, &key.verifying, &self.validation)?.claims;
        Ok(Verified { kid, claims })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use alyx_store::SigningKey;
    use aws_lc_rs::hmac;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jiff::Timestamp;
    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
    use serde_json::{Value, json};

    use super::Tokens;
    use crate::auth::keyring::{Keyring, generate};
    use crate::config::{Auth, Mode, Overrides, Secret, Source, load};

    const NOW: u64 = 1_800_000_000;

    fn settings() -> Auth {
        let source =
            Source { file: None, environment: &[], overrides: &Overrides::default(), mode: Mode::Production };
        load(&source).unwrap().auth
    }

    fn tokens(keys: &[SigningKey]) -> Tokens {
        with(&settings(), keys)
    }

    fn with(settings: &Auth, keys: &[SigningKey]) -> Tokens {
        let csrf = hmac::Key::new(hmac::HMAC_SHA256, b"of a test");
        Tokens::new(settings, Keyring::new(settings, keys).unwrap(), csrf)
    }

    /// A key that was made at a time given in seconds since 1970.
    fn key_of(seconds: u64) -> SigningKey {
        let created_at = Timestamp::from_second(i64::try_from(seconds).unwrap()).unwrap();
        SigningKey { created_at, ..generate().unwrap() }
    }

    fn header(key: &SigningKey, algorithm: Algorithm) -> Header {
        let mut header = Header::new(algorithm);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(key.kid.clone());
        header
    }

    fn claims() -> Value {
        json!({ "iss": "alyx", "aud": "alyx", "sub": "u1", "sid": "s1", "iat": NOW, "exp": NOW + 900,
            "jti": "j1", "role": "user", "scope": "*" })
    }

    #[test]
    fn own_tokens_are_valid_until_they_expire() {
        let tokens = tokens(&[generate().unwrap()]);
        let (token, lifetime) = tokens.sign("u1", "s1", "user", NOW).unwrap();
        assert_eq!(lifetime, 900);
        assert_eq!(tokens.verify(&token, NOW).unwrap().sub, "u1");
        assert!(tokens.verify(&token, NOW + 899).is_ok());
        assert!(tokens.verify(&token, NOW + 900).is_err());
        assert!(tokens.verify(&token, NOW - 5).is_ok());
        assert!(tokens.verify(&token, NOW - 6).is_err());
    }

    #[test]
    fn older_keys_verify_until_their_tokens_expire() {
        let (oldest, old, new) = (key_of(NOW - 2_000), key_of(NOW - 1_000), key_of(NOW));
        let sign = |key: &SigningKey, now| {
            tokens(std::slice::from_ref(key)).sign("u1", "s1", "user", now).unwrap().0
        };
        let (by_oldest, by_old) = (sign(&oldest, NOW), sign(&old, NOW));
        let ring = tokens(&[new.clone(), old, oldest]);
        assert!(ring.verify(&by_old, NOW).is_ok());
        assert!(ring.verify(&by_old, NOW + 899).is_ok());
        // The oldest was replaced 1,000 seconds ago, longer than tokens live.
        assert!(ring.verify(&by_oldest, NOW).is_err());
        assert!(tokens(&[new]).verify(&by_old, NOW).is_err());
        assert_eq!(ring.keys().jwks(NOW)["keys"].as_array().unwrap().len(), 2);
        assert_eq!(ring.keys().jwks(NOW + 900)["keys"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn a_rotation_signs_nobody_out_and_a_drop_does() {
        let ring = tokens(&[key_of(NOW - 1_000)]);
        let (token, _) = ring.sign("u1", "s1", "user", NOW).unwrap();
        let rotate = |drop_previous| {
            let rotated = ring.keys().rotated(&key_of(NOW), Duration::from_secs(900), drop_previous);
            ring.keys.store(Arc::new(rotated.unwrap()));
        };
        rotate(false);
        assert!(ring.verify(&token, NOW + 800).is_ok());
        let (next, _) = ring.sign("u1", "s1", "user", NOW).unwrap();
        assert!(ring.verify(&next, NOW).is_ok());
        rotate(true);
        assert!(ring.verify(&token, NOW).is_err());
        assert!(ring.verify(&next, NOW).is_err());
    }

    #[test]
    fn a_shared_secret_signs_where_it_is_configured() {
        let settings = |secret: &str| Auth { secret: Some(Secret::new(secret.to_owned())), ..settings() };
        let (one, other) =
            (settings("k7Qm2vX9pLw4Rt8Zn3Bf6Hd1Js5Gy0Ca"), settings("aC0yG5sJ1dH6fB3nZ8tR4wLp9Xv2mQ7k"));
        let (shared, pairs) = (with(&one, &[]), tokens(&[generate().unwrap()]));
        let (token, _) = shared.sign("u1", "s1", "user", NOW).unwrap();
        assert!(shared.verify(&token, NOW).is_ok());
        assert!(with(&other, &[]).verify(&token, NOW).is_err());
        assert!(pairs.verify(&token, NOW).is_err());
        let (token, _) = pairs.sign("u1", "s1", "user", NOW).unwrap();
        assert!(shared.verify(&token, NOW).is_err());
        assert_eq!(shared.keys().jwks(NOW), json!({ "keys": [] }));
    }

    #[test]
    fn csrf_tokens_belong_to_one_session() {
        let tokens = tokens(&[generate().unwrap()]);
        let token = tokens.csrf_token("s1");
        assert!(tokens.is_csrf_token("s1", &token));
        assert!(!tokens.is_csrf_token("s2", &token));
        assert!(!tokens.is_csrf_token("s1", ""));
        assert!(!tokens.is_csrf_token("s1", &format!("{token}A")));
    }

    #[test]
    fn wrong_claims_are_refused() {
        let key = generate().unwrap();
        let tokens = tokens(std::slice::from_ref(&key));
        let check = |name: &str, value: Value, accepted: bool| {
            let mut claims = claims();
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
            let token =
                encode(&header(&key, Algorithm::EdDSA), &claims, &EncodingKey::from_ed_der(&key.pkcs8))
                    .unwrap();
            assert_eq!(tokens.verify(&token, NOW).is_ok(), accepted, "{name} {value}");
        };
        check("jti", json!("other"), true);
        check("nbf", json!(NOW + 5), true);
        check("nbf", json!(NOW + 6), false);
        check("iat", json!(NOW + 6), false);
        check("exp", json!(NOW), false);
        check("exp", json!(NOW + 1), true);
        check("exp", json!("never"), false);
        check("exp", json!(-1), false);
        check("exp", Value::Null, false);
        check("iss", json!("other"), false);
        check("iss", Value::Null, false);
        check("aud", json!("other"), false);
        check("aud", Value::Null, false);
        check("sub", Value::Null, false);
        check("sid", Value::Null, false);
        check("nbf", json!("soon"), false);
    }

    #[test]
    fn wrong_headers_are_refused() {
        let key = generate().unwrap();
        let tokens = tokens(std::slice::from_ref(&key));
        let check = |change: fn(&mut Header), accepted: bool| {
            let mut header = header(&key, Algorithm::EdDSA);
            change(&mut header);
            let token = encode(&header, &claims(), &EncodingKey::from_ed_der(&key.pkcs8)).unwrap();
            assert_eq!(tokens.verify(&token, NOW).is_ok(), accepted, "{header:?}");
        };
        check(|_| {}, true);
        check(|header| header.typ = Some("JWT".to_owned()), false);
        check(|header| header.typ = None, false);
        check(|header| header.kid = None, false);
        check(|header| header.kid = Some("../../dev/null".to_owned()), false);
        check(|header| header.kid = Some("' OR 1=1 --".to_owned()), false);
        check(|header| header.crit = Some(vec!["b64".to_owned()]), false);
        // A key or a place to fetch one from, inside the token, is not looked at.
        check(|header| header.jku = Some("https://evil.test/jwks".to_owned()), true);
    }

    #[test]
    fn the_token_does_not_choose_the_algorithm() {
        let key = generate().unwrap();
        let tokens = tokens(std::slice::from_ref(&key));
        let public = Ed25519KeyPair::from_pkcs8(&key.pkcs8).unwrap().public_key().as_ref().to_vec();
        for secret in [public, Vec::new(), b"secret".to_vec()] {
            let forged =
                encode(&header(&key, Algorithm::HS256), &claims(), &EncodingKey::from_secret(&secret))
                    .unwrap();
            assert!(tokens.verify(&forged, NOW).is_err());
        }
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        for algorithm in ["none", "None", "NONE", ""] {
            let head = part(json!({ "alg": algorithm, "typ": "at+jwt", "kid": key.kid }));
            for signature in ["", "AAAA"] {
                let forged = format!("{head}.{}.{signature}", part(claims()));
                assert!(tokens.verify(&forged, NOW).is_err(), "{algorithm:?}");
            }
        }
        let stranger = generate().unwrap();
        let forged =
            encode(&header(&key, Algorithm::EdDSA), &claims(), &EncodingKey::from_ed_der(&stranger.pkcs8));
        assert!(tokens.verify(&forged.unwrap(), NOW).is_err());
    }

    #[test]
    fn changed_tokens_are_refused() {
        let tokens = tokens(&[generate().unwrap()]);
        let (token, _) = tokens.sign("u1", "s1", "user", NOW).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let mut admin = claims();
        admin["role"] = json!("admin");
        let changed = URL_SAFE_NO_PAD.encode(admin.to_string());
        for text in [
            format!("{}.{changed}.{}", parts[0], parts[2]),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{}.{}", parts[0], parts[1]),
            format!("{token}.x"),
            format!("{token}x"),
            "a.b.c".to_owned(),
            String::new(),
            "x".repeat(10_000),
        ] {
            assert!(tokens.verify(&text, NOW).is_err(), "{text:.80}");
        }
    }
}
