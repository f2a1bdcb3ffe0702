//! Time, randomness and ids at the edge. Everything below gets them as values.

use alyx_core::document::{IdKind, new_id};
use jiff::Timestamp;

/// The current time in the stored form of a timestamp: RFC 3339, UTC, six digits.
pub fn now_text() -> String {
    text(Timestamp::now())
}

/// A time in the stored form of a timestamp.
pub fn text(time: Timestamp) -> String {
    format!("{time:.6}")
}

/// Seconds since 1970.
pub fn now_seconds() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap_or(0)
}

/// Bytes nobody can guess, from the kernel: a generator of our own would first gather entropy for longer
/// than the whole start takes.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the kernel's random source answers once the system is up");
    bytes
}

/// A new id of the given kind.
pub fn new_key(kind: IdKind) -> String {
    match kind {
        IdKind::Id => new_id(u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0), random()),
        IdKind::Uuid => uuid::Uuid::now_v7().to_string(),
    }
}

/// Random lower-case hex of `N` bytes, for ids of requests and traces.
pub fn random_hex<const N: usize>() -> String {
    hex(&random::<N>())
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{hex, text};

    #[test]
    fn times_have_six_digits() {
        let check = |microseconds, expected| {
            assert_eq!(text(Timestamp::from_microsecond(microseconds).unwrap()), expected);
        };
        check(0, "1970-01-01T00:00:00.000000Z");
        check(1_767_323_045_000_006, "2026-01-02T03:04:05.000006Z");
        assert_eq!(hex(&[0, 0xab, 0xff]), "00abff");
    }
}
