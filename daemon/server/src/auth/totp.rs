//! One-time passwords by time (RFC 6238): HMAC-SHA-1, six digits, thirty seconds, which is what every
//! authenticator knows. Pure; which steps were used is the store's to know.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};

/// Length of a code.
pub const DIGITS: usize = 6;

/// Length of a time step. Unit: seconds.
pub const PERIOD_S: u64 = 30;

/// Length of a secret, that of the hash (RFC 4226 §4 R6). Unit: bytes.
pub const SECRET_BYTES: usize = 20;

/// The step whose code this is: the current one, the one before or the one after, because clocks differ.
pub fn matching_step(secret: &[u8], code: &str, now_s: u64) -> Option<i64> {
    let code = normal(code)?;
    let current = now_s / PERIOD_S;
    let mut found = None;
    for step in [current.saturating_sub(1), current, current + 1] {
        // All of them are compared, whichever matches.
        if verify_slices_are_equal(at(secret, step).as_bytes(), code.as_bytes()).is_ok() {
            found = i64::try_from(step).ok();
        }
    }
    found
}

/// The code of a step (RFC 4226 §5.3).
fn at(secret: &[u8], step: u64) -> String {
    let tag = sign(&Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret), &step.to_be_bytes());
    let hash = tag.as_ref();
    let offset = usize::from(hash[hash.len() - 1] & 15);
    let mut word = [0; 4];
    word.copy_from_slice(&hash[offset..offset + 4]);
    let number = u32::from_be_bytes(word) & 0x7fff_ffff;
    format!("{:0width$}", number % 10_u32.pow(DIGITS as u32), width = DIGITS)
}

/// A code without the spaces that people type; `None` if it cannot be one.
pub fn normal(code: &str) -> Option<String> {
    let code: String =
        code.chars().filter(|letter| !letter.is_whitespace() && *letter != '-').take(64).collect();
    (code.len() == DIGITS && code.bytes().all(|byte| byte.is_ascii_digit())).then_some(code)
}

/// Base32 without padding (RFC 4648 §6), as authenticators take secrets.
pub fn base32(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let (mut text, mut bits, mut count) = (String::new(), 0_u32, 0);
    for byte in bytes {
        bits = (bits << 8) | u32::from(*byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            text.push(char::from(LETTERS[(bits >> count & 31) as usize]));
        }
    }
    if count > 0 {
        text.push(char::from(LETTERS[(bits << (5 - count) & 31) as usize]));
    }
    text
}

/// What a QR code for an authenticator holds.
pub fn uri(app: &str, email: &str, secret: &[u8]) -> String {
    let (app, email, secret) = (escape(app), escape(email), base32(secret));
    format!(
        "otpauth://totp/{app}:{email}?secret={secret}&issuer={app}&algorithm=SHA1&digits={DIGITS}&period={PERIOD_S}"
    )
}

fn escape(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::{at, base32, matching_step, normal, uri};

    /// The secret of RFC 6238, appendix B; its codes have eight digits, ours are the last six.
    const SECRET: &[u8] = b"12345678901234567890";

    #[test]
    fn codes_are_those_of_the_rfc() {
        let check = |seconds: u64, expected: &str| assert_eq!(at(SECRET, seconds / 30), expected);
        check(59, "287082");
        check(1_111_111_109, "081804");
        check(1_111_111_111, "050471");
        check(1_234_567_890, "005924");
        check(2_000_000_000, "279037");
        check(20_000_000_000, "353130");
    }

    #[test]
    fn one_step_before_and_after_is_accepted() {
        let now = 1_111_111_111;
        let check = |step: u64, accepted: bool| {
            let found = matching_step(SECRET, &at(SECRET, step), now);
            assert_eq!(found, accepted.then_some(i64::try_from(step).unwrap()), "{step}");
        };
        let current = now / 30;
        check(current - 2, false);
        check(current - 1, true);
        check(current, true);
        check(current + 1, true);
        check(current + 2, false);
        assert_eq!(matching_step(SECRET, " 050 471 ", now), Some(i64::try_from(current).unwrap()));
        for wrong in ["", "05047", "0504711", "05047a", "٠٥٠٤٧١", &"0".repeat(10_000)] {
            assert_eq!(matching_step(SECRET, wrong, now), None);
        }
        assert_eq!(normal("123-456").as_deref(), Some("123456"));
    }

    #[test]
    fn secrets_are_written_as_authenticators_read_them() {
        let check = |text: &str, expected: &str| assert_eq!(base32(text.as_bytes()), expected);
        // RFC 4648 §10, without padding.
        check("", "");
        check("f", "MY");
        check("fo", "MZXQ");
        check("foo", "MZXW6");
        check("foob", "MZXW6YQ");
        check("fooba", "MZXW6YTB");
        check("foobar", "MZXW6YTBOI");
        let uri = uri("My App", "a+b@example.org", b"foobar");
        assert!(
            uri.starts_with("otpauth://totp/My%20App:a%2Bb%40example.org?secret=MZXW6YTBOI&issuer=My%20App")
        );
    }
}
