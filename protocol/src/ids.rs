//! Names that cross a process boundary, parsed once into types that cannot be wrong.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Names one incarnation of a worker slot. A restarted slot gets a new generation, so a stale
/// id is answered with `worker_gone` instead of reaching the wrong process.
///
/// On the wire: `w<slot>-<generation>`, both decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId {
    /// Index of the slot: selects the id range the worker runs under.
    pub slot: u16,
    /// Counts the workers that have used this slot since the supervisor started.
    pub generation: u32,
}

/// SHA-256 of a sealed bundle, 64 lower-case hex digits on the wire.
///
/// It is safe as a file name: it holds nothing but `[0-9a-f]`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// Name of a runtime that the supervisor's own configuration defines: `[a-z][a-z0-9_]{0,31}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuntimeName(String);

/// Text that is not what its type demands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not {expected}")]
pub struct InvalidId {
    value: String,
    expected: &'static str,
}

impl InvalidId {
    fn new(value: &str, expected: &'static str) -> Self {
        Self { value: value.chars().take(80).collect(), expected }
    }
}

impl Digest {
    /// Wraps the 32 bytes of a SHA-256.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl RuntimeName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "w{}-{}", self.slot, self.generation)
    }
}

impl FromStr for WorkerId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let parse = || {
            let (slot, generation) = text.strip_prefix('w')?.split_once('-')?;
            let id = Self { slot: slot.parse().ok()?, generation: generation.parse().ok()? };
            // One spelling per id: no leading zeros, no plus sign.
            (id.to_string() == text).then_some(id)
        };
        parse().ok_or_else(|| InvalidId::new(text, "a worker id"))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId::new(text, "a SHA-256 in lower-case hex");
        let nibble = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        if text.len() != 64 {
            return Err(invalid());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let (high, low) = (nibble(pair[0]), nibble(pair[1]));
            *byte = high.zip(low).map(|(high, low)| high << 4 | low).ok_or_else(invalid)?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for RuntimeName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl FromStr for RuntimeName {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        let rest =
            text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if first && rest && text.len() <= 32 {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId::new(text, "a runtime name"))
        }
    }
}

macro_rules! serde_as_text {
    ($name:ty) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

serde_as_text!(WorkerId);
serde_as_text!(Digest);
serde_as_text!(RuntimeName);

#[cfg(test)]
mod tests {
    use super::{Digest, RuntimeName, WorkerId};

    #[test]
    fn worker_ids_have_one_spelling() {
        let check = |text: &str, valid: bool| {
            assert_eq!(text.parse::<WorkerId>().is_ok(), valid, "{text}");
        };
        check("w0-1", true);
        check("w65535-4294967295", true);
        check("w65536-1", false);
        check("w00-1", false);
        check("w+1-1", false);
        check("w1", false);
        check("", false);
    }

    #[test]
    fn digests_are_64_lower_case_hex_digits() {
        let check = |text: &str, valid: bool| {
            assert_eq!(
                text.parse::<Digest>().map(|digest| digest.to_string()).ok(),
                valid.then(|| text.to_owned())
            );
        };
        check(&"0a".repeat(32), true);
        check(&"0A".repeat(32), false);
        check(&"0a".repeat(31), false);
        check(&"0a".repeat(33), false);
        check(&format!("../{}", "0".repeat(61)), false);
    }

    #[test]
    fn runtime_names_are_plain() {
        let check =
            |text: &str, valid: bool| assert_eq!(text.parse::<RuntimeName>().is_ok(), valid, "{text}");
        check("node", true);
        check("python3", true);
        check("", false);
        check("3python", false);
        check("no/de", false);
        check(&"a".repeat(33), false);
    }
}
