//! Access tokens: JWT (RFC 7519) in the profile of RFC 9068, signed with Ed25519.
//!
//! The algorithm and the keys come from here, never from the token: of its header only `kid` selects
//! among our own keys. Checked: signature, `typ`, `iss`, `aud`, `exp`, `nbf`, `iat`.

use std::collections::HashMap;
use std::time::Duration;

use alyx_store::{SigningKey, Store};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::config;
use crate::limits::TOKEN_MAX_BYTES;

/// Media type of the profile, RFC 9068 §2.1.
const TYPE: &str = "at+jwt";

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
}

/// Signs and verifies.
pub struct Tokens {
    issuer: String,
    audience: String,
    ttl: Duration,
    kid: String,
    signing: EncodingKey,
    verifying: HashMap<String, DecodingKey>,
    validation: Validation,
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
    /// Reads the keys of the database; makes one if there is none.
    pub async fn load(settings: &config::Auth, store: &Store) -> Result<Self, StartError> {
        let mut keys = store.signing_keys().await?;
        if keys.is_empty() {
            let key = generate()?;
            store.add_signing_key(key.clone()).await?;
            tracing::info!(kid = %key.kid, "made the key {} that signs tokens", key.kid);
            keys.push(key);
        }
        Self::new(settings, &keys)
    }

    /// The newest key, which comes first, signs; all of them verify.
    fn new(settings: &config::Auth, keys: &[SigningKey]) -> Result<Self, StartError> {
        let newest = keys.first().ok_or(StartError::Generate)?;
        let mut verifying = HashMap::new();
        for key in keys {
            let pair = Ed25519KeyPair::from_pkcs8(&key.pkcs8);
            let pair = pair.map_err(|_| StartError::DamagedKey(key.kid.clone()))?;
            verifying.insert(key.kid.clone(), DecodingKey::from_ed_der(pair.public_key().as_ref()));
        }
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[&settings.issuer]);
        validation.set_audience(&[&settings.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Times are checked below against a clock that comes in as a value.
        validation.validate_exp = false;
        Ok(Self {
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            ttl: settings.access_ttl,
            kid: newest.kid.clone(),
            signing: EncodingKey::from_ed_der(&newest.pkcs8),
            verifying,
            validation,
        })
    }

    /// A token for a session. Gives the token and its lifetime in seconds.
    pub fn sign(&self, user: &str, session: &str, role: &str, now: u64) -> Result<(String, u64), Refused> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(self.kid.clone());
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
        };
        Ok((encode(&header, &claims, &self.signing)?, lifetime))
    }

    /// Checks a token at a time given in seconds since 1970.
    pub fn verify(&self, token: &str, now: u64) -> Result<Claims, Refused> {
        if token.len() > TOKEN_MAX_BYTES {
            return Err(Refused::TooLong);
        }
        let header = decode_header(token)?;
        if header.typ.as_deref() != Some(TYPE) || header.crit.is_some() {
            return Err(Refused::Type);
        }
        let key = header.kid.as_ref().and_then(|kid| self.verifying.get(kid)).ok_or(Refused::Key)?;
        let claims = decode::<Claims>(token, key, &self.validation)?.claims;
        if claims.exp <= now {
            return Err(Refused::Expired);
        }
        if claims.iat > now + LEEWAY_SECONDS || claims.nbf.is_some_and(|nbf| nbf > now + LEEWAY_SECONDS) {
            return Err(Refused::Early);
        }
        Ok(claims)
    }
}

fn generate() -> Result<SigningKey, StartError> {
    let pair = Ed25519KeyPair::from_seed_unchecked(&clock::random::<32>());
    let pkcs8 = pair.map_err(|_| StartError::Generate)?.to_pkcs8().map_err(|_| StartError::Generate)?;
    Ok(SigningKey {
        kid: clock::random_hex::<8>(),
        alg: "EdDSA".to_owned(),
        pkcs8: pkcs8.as_ref().to_vec(),
        created_at: Timestamp::now(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use alyx_store::SigningKey;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
    use serde_json::{Value, json};

    use super::{Tokens, generate};
    use crate::config::{Auth, Registration};

    const NOW: u64 = 1_800_000_000;

    fn settings() -> Auth {
        Auth {
            registration: Registration::Open,
            access_ttl: Duration::from_secs(900),
            refresh_ttl: Duration::from_secs(3600),
            min_password_length: 8,
            issuer: "alyx".to_owned(),
            audience: "alyx".to_owned(),
            login_per_minute: 5,
            register_per_minute: 3,
            reset_per_hour: 3,
        }
    }

    fn header(key: &SigningKey, algorithm: Algorithm) -> Header {
        let mut header = Header::new(algorithm);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(key.kid.clone());
        header
    }

    fn claims() -> Value {
        json!({ "iss": "alyx", "aud": "alyx", "sub": "u1", "sid": "s1", "iat": NOW, "exp": NOW + 900,
            "jti": "j1", "role": "user" })
    }

    #[test]
    fn own_tokens_are_valid_until_they_expire() {
        let tokens = Tokens::new(&settings(), &[generate().unwrap()]).unwrap();
        let (token, lifetime) = tokens.sign("u1", "s1", "user", NOW).unwrap();
        assert_eq!(lifetime, 900);
        assert_eq!(tokens.verify(&token, NOW).unwrap().sub, "u1");
        assert!(tokens.verify(&token, NOW + 899).is_ok());
        assert!(tokens.verify(&token, NOW + 900).is_err());
        assert!(tokens.verify(&token, NOW - 5).is_ok());
        assert!(tokens.verify(&token, NOW - 6).is_err());
    }

    #[test]
    fn older_keys_still_verify() {
        let (old, new) = (generate().unwrap(), generate().unwrap());
        let before = Tokens::new(&settings(), std::slice::from_ref(&old)).unwrap();
        let (token, _) = before.sign("u1", "s1", "user", NOW).unwrap();
        assert!(Tokens::new(&settings(), &[new.clone(), old]).unwrap().verify(&token, NOW).is_ok());
        assert!(Tokens::new(&settings(), &[new]).unwrap().verify(&token, NOW).is_err());
    }

    #[test]
    fn wrong_claims_are_refused() {
        let key = generate().unwrap();
        let tokens = Tokens::new(&settings(), std::slice::from_ref(&key)).unwrap();
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
        let tokens = Tokens::new(&settings(), std::slice::from_ref(&key)).unwrap();
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
        let tokens = Tokens::new(&settings(), std::slice::from_ref(&key)).unwrap();
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
        let tokens = Tokens::new(&settings(), &[generate().unwrap()]).unwrap();
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
