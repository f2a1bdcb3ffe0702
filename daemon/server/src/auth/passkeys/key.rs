//! Public keys of passkeys, as COSE writes them (RFC 9052 §7, RFC 8230 §4), and the three kinds of
//! signature that are offered: ES256, EdDSA with Ed25519, RS256. Which one is checked comes from the
//! stored key, never from the message.

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
};

use super::cbor::{Malformed, Reader};

/// Algorithms in the order we like them (RFC 9053 §2, RFC 8812 §2).
pub const ALGORITHMS: [i64; 3] = [EDDSA, ES256, RS256];

const ES256: i64 = -7;
const EDDSA: i64 = -8;
const RS256: i64 = -257;

/// Labels of a key's members: for all, and for those of elliptic curves.
const KIND: i64 = 1;
const ALGORITHM: i64 = 3;
const CURVE: i64 = -1;
const X: i64 = -2;
const Y: i64 = -3;
/// The same labels mean this for RSA.
const MODULUS: i64 = CURVE;
const EXPONENT: i64 = X;

/// A public key that can be one.
#[derive(Debug, PartialEq, Eq)]
pub enum PublicKey<'a> {
    /// A point of P-256 without compression.
    P256(Vec<u8>),
    Ed25519(&'a [u8]),
    Rsa {
        modulus: &'a [u8],
        exponent: &'a [u8],
    },
}

/// The members of a key, each at most once.
#[derive(Default)]
struct Members<'a> {
    kind: Option<i64>,
    algorithm: Option<i64>,
    curve: Option<i64>,
    minus_1: Option<&'a [u8]>,
    minus_2: Option<&'a [u8]>,
    minus_3: Option<&'a [u8]>,
}

impl<'a> PublicKey<'a> {
    /// Reads a key and leaves what follows it.
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let members = Members::read(reader)?;
        match members {
            Members {
                kind: Some(2),
                algorithm: Some(ES256),
                curve: Some(1),
                minus_1: None,
                minus_2: Some(x),
                minus_3: Some(y),
            } if x.len() == 32 && y.len() == 32 => {
                let point = [&[4], x, y].concat();
                // Whether it is on the curve.
                ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &point).map_err(|_| Malformed)?;
                Ok(Self::P256(point))
            }
            Members {
                kind: Some(1),
                algorithm: Some(EDDSA),
                curve: Some(6),
                minus_1: None,
                minus_2: Some(x),
                minus_3: None,
            } if x.len() == 32 => Ok(Self::Ed25519(x)),
            Members {
                kind: Some(3),
                algorithm: Some(RS256),
                curve: None,
                minus_1: Some(modulus),
                minus_2: Some(exponent),
                minus_3: None,
            } if (256..=1_024).contains(&modulus.len()) && is_exponent(exponent) => {
                Ok(Self::Rsa { modulus, exponent })
            }
            _ => Err(Malformed),
        }
    }

    /// Whether this is its owner's signature of the message.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let outcome = match self {
            Self::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature)
            }
            Self::Ed25519(point) => UnparsedPublicKey::new(&ED25519, point).verify(message, signature),
            Self::Rsa { modulus, exponent } => PublicKeyComponents { n: modulus, e: exponent }.verify(
                &RSA_PKCS1_2048_8192_SHA256,
                message,
                signature,
            ),
        };
        outcome.is_ok()
    }
}

impl<'a> Members<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut members = Self::default();
        for _ in 0..reader.map()? {
            let label = reader.integer()?;
            match label {
                KIND => once(&mut members.kind, reader.integer()?)?,
                ALGORITHM => once(&mut members.algorithm, reader.integer()?)?,
                // The kind comes before, in this form as in every other that authenticators write.
                CURVE if members.kind != Some(3) => once(&mut members.curve, reader.integer()?)?,
                MODULUS => once(&mut members.minus_1, reader.bytes()?)?,
                EXPONENT => once(&mut members.minus_2, reader.bytes()?)?,
                Y => once(&mut members.minus_3, reader.bytes()?)?,
                // A private part, or something that changes what the key means.
                _ => return Err(Malformed),
            }
        }
        Ok(members)
    }
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), Malformed> {
    if slot.replace(value).is_some() { Err(Malformed) } else { Ok(()) }
}

/// Odd, above one, and without zeros before it.
fn is_exponent(bytes: &[u8]) -> bool {
    let value = bytes.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    bytes.len() <= 4 && bytes.first().is_some_and(|byte| *byte != 0) && value & 1 == 1 && value > 1
}

#[cfg(test)]
mod tests {
    use super::super::cbor::{Malformed, Reader};
    use super::PublicKey;

    fn read(bytes: &[u8]) -> Result<PublicKey<'_>, Malformed> {
        PublicKey::read(&mut Reader::new(bytes))
    }

    fn ed25519() -> Vec<u8> {
        [&[0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 32][..], &[7; 32]].concat()
    }

    #[test]
    fn a_key_has_the_members_of_its_kind_and_no_other() {
        let good = ed25519();
        assert!(matches!(read(&good), Ok(PublicKey::Ed25519(_))));
        let check = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = ed25519();
            change(&mut bytes);
            assert_eq!(read(&bytes), Err(Malformed), "{bytes:x?}");
        };
        // Another kind, algorithm or curve than go together.
        check(&|bytes| bytes[2] = 2);
        check(&|bytes| bytes[4] = 0x26);
        check(&|bytes| bytes[6] = 1);
        // A member twice, a private one, one too few, a short one.
        check(&|bytes| {
            bytes[0] = 0xa5;
            bytes.extend([1, 1]);
        });
        check(&|bytes| {
            bytes[0] = 0xa5;
            bytes.extend([0x23, 0x41, 9]);
        });
        check(&|bytes| {
            bytes.splice(0..5, [0xa3, 1, 1]);
        });
        check(&|bytes| {
            bytes[9] = 31;
            bytes.pop();
        });
    }

    #[test]
    fn a_point_off_the_curve_is_no_key() {
        let point = |y: u8| {
            [&[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32][..], &[1; 32], &[0x22, 0x58, 32], &[y; 32]]
                .concat()
        };
        assert_eq!(read(&point(1)), Err(Malformed));
        assert_eq!(read(&point(0)), Err(Malformed));
    }

    #[test]
    fn rsa_keys_are_long_enough_and_have_an_odd_exponent() {
        let key = |bits: usize, exponent: &[u8]| {
            let length = u16::try_from(bits / 8).unwrap().to_be_bytes();
            let head = [0xa4, 1, 3, 3, 0x39, 1, 0, 0x20, 0x59, length[0], length[1]];
            let size = u8::try_from(exponent.len()).unwrap();
            [&head[..], &vec![0xff; bits / 8], &[0x21, 0x40 + size], exponent].concat()
        };
        let check = |bits, exponent: &[u8], accepted| {
            assert_eq!(read(&key(bits, exponent)).is_ok(), accepted, "{bits} {exponent:?}");
        };
        check(2_048, &[1, 0, 1], true);
        check(4_096, &[3], true);
        check(8_192, &[1, 0, 1], true);
        check(2_040, &[1, 0, 1], false);
        check(8_200, &[1, 0, 1], false);
        check(2_048, &[1], false);
        check(2_048, &[1, 0, 0], false);
        check(2_048, &[0, 3], false);
        check(2_048, &[], false);
        check(2_048, &[1, 0, 0, 0, 1], false);
    }
}
