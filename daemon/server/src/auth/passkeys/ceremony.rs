//! The two ceremonies of Web Authentication Level 3: registering a credential (§7.1) and showing one
//! (§7.2). Pure: which challenge was handed out, whose a credential is and how often it signed is the
//! caller's to know.
//!
//! What differs from the letter of the specification: attestation is not asked for and not judged, so a
//! key is as good as the account that it is registered in; users are always verified; pages in frames of
//! other origins are refused.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::cbor::{Malformed, Reader};
use super::data::AuthenticatorData;
use super::key::PublicKey;
use super::party::Party;
use crate::limits::{
    PASSKEY_CLIENT_DATA_MAX_BYTES, PASSKEY_CREDENTIAL_MAX_BYTES, PASSKEY_DATA_MAX_BYTES,
    PASSKEY_SIGNATURE_MAX_BYTES, PASSKEY_TRANSPORTS_MAX,
};

/// Why an authenticator's answer is refused. The text is for who writes the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("a member of the credential is not base64url or has no possible length")]
    Encoding,
    #[error("the client data cannot be read")]
    ClientData,
    #[error("the client data is of another type")]
    Type,
    #[error("the challenge is another one, was used or has expired")]
    Challenge,
    #[error("the page's origin is none of this server's")]
    Origin,
    #[error("the page is in a frame of another origin")]
    Framed,
    #[error("the authenticator's data cannot be read")]
    Data,
    #[error("the credential is bound to another domain")]
    PartyId,
    #[error("nobody was there to touch the authenticator")]
    Absent,
    #[error("the authenticator did not verify its user")]
    Unverified,
    #[error("the attestation is of a format that was not asked for")]
    Attestation,
    #[error("the credential is not known or its signature is wrong")]
    Signature,
    #[error("the credential's counter went back, so there may be a copy of it")]
    Counter,
}

impl From<Malformed> for Refusal {
    fn from(_: Malformed) -> Self {
        Self::Data
    }
}

/// A new credential as browsers give it (`RegistrationResponseJSON`). Members that we do not need are
/// passed over: there are more of them every year.
#[derive(Debug, Deserialize)]
pub struct NewCredential {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    response: AttestationResponse,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AttestationResponse {
    #[serde(rename = "clientDataJSON")]
    client_data: String,
    attestation_object: String,
    #[serde(default)]
    transports: Vec<String>,
}

/// A credential that is shown, as browsers give it (`AuthenticationResponseJSON`).
#[derive(Debug, Deserialize)]
pub struct ShownCredential {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    response: AssertionResponse,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AssertionResponse {
    #[serde(rename = "clientDataJSON")]
    client_data: String,
    authenticator_data: String,
    signature: String,
    user_handle: Option<String>,
}

/// What the browser signs for (§5.8.1).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: bool,
    top_origin: Option<String>,
}

/// A credential that may be stored.
#[derive(Debug, PartialEq, Eq)]
pub struct Registered {
    pub credential_id: Vec<u8>,
    pub public_key: Vec<u8>,
    pub sign_count: u32,
    pub transports: Vec<String>,
    pub backup_eligible: bool,
    pub backed_up: bool,
}

/// What is known of a credential that is shown.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    pub public_key: &'a [u8],
    pub backup_eligible: bool,
    /// The handle of its owner.
    pub user_handle: &'a [u8],
}

/// What a shown credential says of itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Shown {
    pub sign_count: u32,
    pub backed_up: bool,
}

impl NewCredential {
    /// Checks a new credential (§7.1). `is_expected` is told the challenge.
    pub fn check(
        &self,
        party: &Party,
        is_expected: impl FnOnce(&str) -> bool,
    ) -> Result<Registered, Refusal> {
        let id = credential_id(&self.kind, &self.id)?;
        check_client_data(&self.response.client_data, "webauthn.create", party, is_expected)?;
        let object = decode(&self.response.attestation_object, PASSKEY_DATA_MAX_BYTES)?;
        let data = AuthenticatorData::read(attested_data(&object)?)?;
        check_data(&data, party)?;
        let attested = data.attested.as_ref().ok_or(Refusal::Data)?;
        if attested.credential_id != id {
            return Err(Refusal::Data);
        }
        Ok(Registered {
            public_key: attested.public_key.to_vec(),
            sign_count: data.sign_count,
            transports: transports(&self.response.transports),
            backup_eligible: data.is_backup_eligible(),
            backed_up: data.is_backed_up(),
            credential_id: id,
        })
    }
}

impl ShownCredential {
    /// Which credential it claims to be.
    pub fn id(&self) -> Result<Vec<u8>, Refusal> {
        credential_id(&self.kind, &self.id)
    }

    /// Whether it says whose it is, as every passkey does that can be found without a name.
    pub const fn names_its_user(&self) -> bool {
        self.response.user_handle.is_some()
    }

    /// Checks a shown credential (§7.2). Whether its counter went on is the caller's to check.
    pub fn check(
        &self,
        party: &Party,
        known: &Known<'_>,
        is_expected: impl FnOnce(&str) -> bool,
    ) -> Result<Shown, Refusal> {
        let client_data = check_client_data(&self.response.client_data, "webauthn.get", party, is_expected)?;
        if let Some(handle) = &self.response.user_handle
            && decode(handle, 64)? != known.user_handle
        {
            return Err(Refusal::Signature);
        }
        let bytes = decode(&self.response.authenticator_data, PASSKEY_DATA_MAX_BYTES)?;
        let data = AuthenticatorData::read(&bytes)?;
        check_data(&data, party)?;
        if data.attested.is_some() || data.is_backup_eligible() != known.backup_eligible {
            return Err(Refusal::Data);
        }
        let key = PublicKey::read(&mut Reader::new(known.public_key))?;
        let signature = decode(&self.response.signature, PASSKEY_SIGNATURE_MAX_BYTES)?;
        let message = [&bytes[..], digest(&SHA256, &client_data).as_ref()].concat();
        if !key.verify(&message, &signature) {
            return Err(Refusal::Signature);
        }
        Ok(Shown { sign_count: data.sign_count, backed_up: data.is_backed_up() })
    }
}

/// Client data as it was signed, once it is what it has to be.
fn check_client_data(
    text: &str,
    kind: &str,
    party: &Party,
    is_expected: impl FnOnce(&str) -> bool,
) -> Result<Vec<u8>, Refusal> {
    let bytes = decode(text, PASSKEY_CLIENT_DATA_MAX_BYTES)?;
    let data: ClientData = serde_json::from_slice(&bytes).map_err(|_| Refusal::ClientData)?;
    if data.kind != kind {
        return Err(Refusal::Type);
    }
    if !party.is_ours(&data.origin) {
        return Err(Refusal::Origin);
    }
    if data.cross_origin || data.top_origin.is_some() {
        return Err(Refusal::Framed);
    }
    if !is_expected(&data.challenge) {
        return Err(Refusal::Challenge);
    }
    Ok(bytes)
}

fn check_data(data: &AuthenticatorData<'_>, party: &Party) -> Result<(), Refusal> {
    if data.party_hash != party.id_hash() {
        return Err(Refusal::PartyId);
    }
    if !data.is_present() {
        return Err(Refusal::Absent);
    }
    if !data.is_verified() {
        return Err(Refusal::Unverified);
    }
    // What cannot be backed up is not (§6.1.3).
    if data.is_backed_up() && !data.is_backup_eligible() {
        return Err(Refusal::Data);
    }
    Ok(())
}

/// The authenticator data in an attestation object (§6.5.4) of a format that may come although none is
/// asked for. What it attests is not judged.
fn attested_data(object: &[u8]) -> Result<&[u8], Refusal> {
    let mut reader = Reader::new(object);
    let (mut format, mut statement, mut data) = (None, None, None);
    if reader.map()? != 3 {
        return Err(Refusal::Data);
    }
    for _ in 0..3 {
        match reader.text()? {
            "fmt" => format = Some(reader.text()?),
            "attStmt" => {
                let mut ahead = reader;
                statement = Some(ahead.map()?);
                reader.skip()?;
            }
            "authData" => data = Some(reader.bytes()?),
            _ => return Err(Refusal::Data),
        }
    }
    reader.end()?;
    match (format, statement, data) {
        (Some("none"), Some(0), Some(data)) | (Some("packed"), Some(_), Some(data)) => Ok(data),
        (Some(_), Some(_), Some(_)) => Err(Refusal::Attestation),
        _ => Err(Refusal::Data),
    }
}

fn credential_id(kind: &str, id: &str) -> Result<Vec<u8>, Refusal> {
    let id = decode(id, PASSKEY_CREDENTIAL_MAX_BYTES)?;
    if kind == "public-key" && !id.is_empty() { Ok(id) } else { Err(Refusal::Encoding) }
}

fn decode(text: &str, most: usize) -> Result<Vec<u8>, Refusal> {
    if text.len() > most.div_ceil(3) * 4 {
        return Err(Refusal::Encoding);
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Refusal::Encoding)?;
    if bytes.len() > most { Err(Refusal::Encoding) } else { Ok(bytes) }
}

/// Hints for the next time; those that cannot be one are left out.
fn transports(given: &[String]) -> Vec<String> {
    let is_one = |name: &&String| {
        (1..=16).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
    };
    given.iter().filter(is_one).take(PASSKEY_TRANSPORTS_MAX).cloned().collect()
}

#[cfg(test)]
mod tests;
