//! What an authenticator says of itself and signs (Web Authentication Level 3 §6.1): for which relying
//! party, whether somebody was there and was verified, how often it signed, and, at registration, the new
//! key. Every byte is accounted for.

use super::cbor::{Malformed, Reader};
use super::key::PublicKey;
use crate::limits::PASSKEY_CREDENTIAL_MAX_BYTES;

/// Bits of the flags.
const PRESENT: u8 = 1;
const VERIFIED: u8 = 1 << 2;
const BACKUP_ELIGIBLE: u8 = 1 << 3;
const BACKED_UP: u8 = 1 << 4;
const KEY_INCLUDED: u8 = 1 << 6;
const EXTENSIONS_INCLUDED: u8 = 1 << 7;

/// Authenticator data.
#[derive(Debug)]
pub struct AuthenticatorData<'a> {
    /// SHA-256 of the relying party's id.
    pub party_hash: &'a [u8],
    flags: u8,
    pub sign_count: u32,
    pub attested: Option<Attested<'a>>,
}

/// A new credential.
#[derive(Debug)]
pub struct Attested<'a> {
    pub credential_id: &'a [u8],
    /// The key as it was sent, one that can be read.
    pub public_key: &'a [u8],
}

impl<'a> AuthenticatorData<'a> {
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (party_hash, rest) = bytes.split_at_checked(32).ok_or(Malformed)?;
        let (head, mut rest) = rest.split_first_chunk::<5>().ok_or(Malformed)?;
        let [flags, count @ ..] = *head;
        let mut attested = None;
        if flags & KEY_INCLUDED != 0 {
            let found;
            (found, rest) = Attested::read(rest)?;
            attested = Some(found);
        }
        let mut reader = Reader::new(rest);
        if flags & EXTENSIONS_INCLUDED != 0 {
            // None was asked for; what comes unasked is passed over (§9).
            let mut ahead = reader;
            ahead.map()?;
            reader.skip()?;
        }
        reader.end()?;
        Ok(Self { party_hash, flags, sign_count: u32::from_be_bytes(count), attested })
    }

    /// Somebody was there.
    pub const fn is_present(&self) -> bool {
        self.flags & PRESENT != 0
    }

    /// The authenticator knew them: by a PIN, a finger, a face.
    pub const fn is_verified(&self) -> bool {
        self.flags & VERIFIED != 0
    }

    /// The passkey may be copied to other devices of its owner. Fixed when it is made.
    pub const fn is_backup_eligible(&self) -> bool {
        self.flags & BACKUP_ELIGIBLE != 0
    }

    /// It has been.
    pub const fn is_backed_up(&self) -> bool {
        self.flags & BACKED_UP != 0
    }
}

impl<'a> Attested<'a> {
    /// The new credential and what follows it.
    fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        // The first 16 bytes name the authenticator's model, which we do not ask for.
        let (_, rest) = bytes.split_at_checked(16).ok_or(Malformed)?;
        let (length, rest) = rest.split_first_chunk::<2>().ok_or(Malformed)?;
        let length = usize::from(u16::from_be_bytes(*length));
        if length == 0 || length > PASSKEY_CREDENTIAL_MAX_BYTES {
            return Err(Malformed);
        }
        let (credential_id, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
        let mut reader = Reader::new(rest);
        PublicKey::read(&mut reader)?;
        let after = reader.rest();
        let public_key = &rest[..rest.len() - after.len()];
        Ok((Self { credential_id, public_key }, after))
    }
}
