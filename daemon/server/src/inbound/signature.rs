//! Signatures of others. Pure: time and secrets come in as values.
//!
//! | scheme | signed | where the signature stands |
//! |---|---|---|
//! | `standard` | `id.time.body` | `webhook-signature: v1,BASE64 v1,BASE64`, with `webhook-id` and `webhook-timestamp`, or the same names with `svix-` |
//! | `github` | the body | `X-Hub-Signature-256: sha256=HEX` |
//! | `stripe` | `time.body` | `Stripe-Signature: t=TIME,v1=HEX,v1=HEX` |
//! | `slack` | `v0:time:body` | `X-Slack-Signature: v0=HEX`, with `X-Slack-Request-Timestamp` |
//! | `hmac-…` | the body | as the schema says |
//!
//! What is sent is compared with what we make of the same bytes in a time that does not depend on either, and
//! all of it is compared, also after the first that fits. A header that decides something may stand there
//! once: two readers of a request must not see two requests.

use alyx_core::schema::{Encoding, HmacForm, HmacHash, Verify};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use serde::Deserialize;

use crate::limits::{INBOUND_ID_MAX_BYTES, INBOUND_SECRET_MIN_BYTES, INBOUND_SIGNATURES_MAX};
use crate::webhooks::Secret;

/// A secret that may have signed.
pub struct Key(Vec<u8>);

/// What is said of a delivery whose signature is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Hashes that it is known by: of what was signed, and of its id.
    pub keys: Vec<[u8; 32]>,
    /// Its id, if it has one.
    pub id: Option<String>,
}

/// Why a signature is not right. For the log; whoever sent it is told nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("the header {0} is missing")]
    Missing(String),
    #[error("the header {0} is there more than once")]
    Repeated(String),
    #[error("the header {0} cannot be read")]
    Malformed(String),
    #[error("no secret of this path made the signature, or the body is another one")]
    Different,
    #[error("it was signed {0} s ago")]
    Old(i64),
    #[error("it was signed {0} s from now: a clock is wrong")]
    Early(i64),
}

impl Key {
    /// The key that a secret stands for; none for one that is too short to be one, or not of its form.
    pub fn read(verify: &Verify, secret: &str) -> Option<Self> {
        let secret = secret.trim();
        match verify {
            Verify::Standard { .. } => Secret::parse(secret).map(|secret| Self(secret.into_bytes())),
            _ => (secret.len() >= INBOUND_SECRET_MIN_BYTES).then(|| Self(secret.as_bytes().to_vec())),
        }
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Key")
    }
}

/// Checks a request at `now`, in seconds since 1970.
pub fn check(
    verify: &Verify,
    keys: &[Key],
    headers: &HeaderMap,
    body: &[u8],
    now: i64,
) -> Result<Signed, Wrong> {
    let claim = match verify {
        Verify::Standard { .. } => standard(headers)?,
        Verify::Github => github(headers)?,
        Verify::Stripe { .. } => stripe(headers)?,
        Verify::Slack { .. } => slack(headers)?,
        Verify::Hmac(form) => plain(form, headers)?,
    };
    let (hash, prefix) = (claim.hash, claim.prefix.as_bytes());
    let mut right = false;
    for key in keys {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hash, &key.0));
        context.update(prefix);
        context.update(body);
        let tag = context.sign();
        for signature in &claim.signatures {
            right |= verify_slices_are_equal(tag.as_ref(), signature).is_ok();
        }
    }
    if !right {
        return Err(Wrong::Different);
    }
    if let (Some(tolerance), Some(at)) = (verify.tolerance(), claim.at) {
        let tolerance = i64::try_from(tolerance.as_secs()).unwrap_or(0);
        if now - at > tolerance {
            return Err(Wrong::Old(now - at));
        }
        if at - now > tolerance {
            return Err(Wrong::Early(at - now));
        }
    }
    let signed = known_by("signed", &[prefix, body]);
    let named = |id: &String| known_by("id", &[id.as_bytes()]);
    let (id, keys) = match verify {
        // The id is signed, and the time is another one whenever it is sent again.
        Verify::Standard { .. } => (claim.id.clone(), claim.id.iter().map(named).collect()),
        Verify::Stripe { .. } | Verify::Slack { .. } => {
            let id = id_in(body, verify);
            let keys = id.as_ref().map_or_else(|| vec![signed], |id| vec![named(id)]);
            (id, keys)
        }
        // Whoever has a signed body could give it another id.
        Verify::Github | Verify::Hmac(_) => {
            (claim.id.clone(), [signed].into_iter().chain(claim.id.iter().map(named)).collect())
        }
    };
    Ok(Signed { keys, id })
}

/// What a request says of its signature.
struct Claim {
    hash: hmac::Algorithm,
    /// Signed before the body.
    prefix: String,
    signatures: Vec<Vec<u8>>,
    /// When it was signed.
    at: Option<i64>,
    /// What its headers call it.
    id: Option<String>,
}

fn standard(headers: &HeaderMap) -> Result<Claim, Wrong> {
    // What one of the two families says is not completed by the other.
    let both = ["webhook", "svix"];
    let family = both.into_iter().find(|family| headers.contains_key(format!("{family}-signature")));
    let name = |part: &str| format!("{}-{part}", family.unwrap_or(both[0]));
    let (id_name, sent) = (name("id"), needed(headers, &name("signature"))?);
    let id = readable_id(&id_name, needed(headers, &id_name)?)?;
    if id.contains('.') {
        // It would not be clear where it ends in what was signed.
        return Err(Wrong::Malformed(id_name));
    }
    let (at_text, at) = time(headers, &name("timestamp"))?;
    let ours = sent.split(' ').filter_map(|one| one.strip_prefix("v1,"));
    let signatures = all(&name("signature"), ours.map(|text| STANDARD.decode(text).ok()))?;
    let prefix = format!("{id}.{at_text}.");
    Ok(Claim { hash: hmac::HMAC_SHA256, prefix, signatures, at: Some(at), id: Some(id) })
}

fn github(headers: &HeaderMap) -> Result<Claim, Wrong> {
    let name = "x-hub-signature-256";
    let sent = needed(headers, name)?.strip_prefix("sha256=");
    let signatures = all(name, [sent.and_then(unhex)])?;
    let id = own_id(headers, Some("x-github-delivery"))?;
    Ok(Claim { hash: hmac::HMAC_SHA256, prefix: String::new(), signatures, at: None, id })
}

fn stripe(headers: &HeaderMap) -> Result<Claim, Wrong> {
    let name = "stripe-signature";
    let malformed = || Wrong::Malformed(name.to_owned());
    let (mut at, mut signatures) = (None, Vec::new());
    for part in needed(headers, name)?.split(',') {
        match part.trim().split_once('=').ok_or_else(malformed)? {
            ("t", text) if at.is_none() => at = Some((text, seconds(text).ok_or_else(malformed)?)),
            ("t", _) => return Err(malformed()),
            ("v1", text) => signatures.push(unhex(text)),
            // Of other versions, such as those of its tests.
            _ => {}
        }
    }
    let (text, at) = at.ok_or_else(malformed)?;
    let signatures = all(name, signatures)?;
    let prefix = format!("{text}.");
    Ok(Claim { hash: hmac::HMAC_SHA256, prefix, signatures, at: Some(at), id: None })
}

fn slack(headers: &HeaderMap) -> Result<Claim, Wrong> {
    let name = "x-slack-signature";
    let sent = needed(headers, name)?.strip_prefix("v0=");
    let signatures = all(name, [sent.and_then(unhex)])?;
    let (text, at) = time(headers, "x-slack-request-timestamp")?;
    let prefix = format!("v0:{text}:");
    Ok(Claim { hash: hmac::HMAC_SHA256, prefix, signatures, at: Some(at), id: None })
}

fn plain(form: &HmacForm, headers: &HeaderMap) -> Result<Claim, Wrong> {
    let sent = needed(headers, &form.header)?.strip_prefix(form.prefix.as_str());
    let signature = sent.and_then(|text| match form.encoding {
        Encoding::Hex => unhex(text),
        Encoding::Base64 => STANDARD.decode(text).ok(),
    });
    let signatures = all(&form.header, [signature])?;
    let hash = match form.hash {
        HmacHash::Sha256 => hmac::HMAC_SHA256,
        HmacHash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
    };
    let id = own_id(headers, form.id.as_deref())?;
    Ok(Claim { hash, prefix: String::new(), signatures, at: None, id })
}

/// The value of a header that is there once.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Wrong> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Wrong::Malformed(name.to_owned())),
        _ => Err(Wrong::Repeated(name.to_owned())),
    }
}

fn needed<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Wrong> {
    single(headers, name)?.ok_or_else(|| Wrong::Missing(name.to_owned()))
}

/// The time in a header, as it is written and as a number.
fn time<'a>(headers: &'a HeaderMap, name: &str) -> Result<(&'a str, i64), Wrong> {
    let text = needed(headers, name)?;
    seconds(text).map(|at| (text, at)).ok_or_else(|| Wrong::Malformed(name.to_owned()))
}

/// Seconds since 1970: digits, and not too many.
fn seconds(text: &str) -> Option<i64> {
    let digits = (1..=12).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

fn own_id(headers: &HeaderMap, name: Option<&str>) -> Result<Option<String>, Wrong> {
    let Some(name) = name else { return Ok(None) };
    single(headers, name)?.map(|id| readable_id(name, id)).transpose()
}

fn readable_id(name: &str, id: &str) -> Result<String, Wrong> {
    let fine =
        (1..=INBOUND_ID_MAX_BYTES).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    if fine { Ok(id.to_owned()) } else { Err(Wrong::Malformed(name.to_owned())) }
}

/// At least one signature, not too many, and each of them bytes.
fn all(name: &str, signatures: impl IntoIterator<Item = Option<Vec<u8>>>) -> Result<Vec<Vec<u8>>, Wrong> {
    let found: Option<Vec<Vec<u8>>> = signatures.into_iter().take(INBOUND_SIGNATURES_MAX + 1).collect();
    found
        .filter(|found| (1..=INBOUND_SIGNATURES_MAX).contains(&found.len()))
        .ok_or_else(|| Wrong::Malformed(name.to_owned()))
}

/// Bytes of hexadecimal digits in either case.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

/// The id that a signed body has itself.
fn id_in(body: &[u8], verify: &Verify) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        /// Of Stripe.
        id: Option<String>,
        /// Of Slack.
        event_id: Option<String>,
    }
    let Named { id, event_id } = serde_json::from_slice(body).ok()?;
    let id = if matches!(verify, Verify::Stripe { .. }) { id } else { event_id };
    readable_id("", &id?).ok()
}

fn known_by(what: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(what.as_bytes());
    context.update(&[0]);
    for part in parts {
        context.update(part);
    }
    let mut key = [0; 32];
    key.copy_from_slice(context.finish().as_ref());
    key
}

#[cfg(test)]
mod tests;
