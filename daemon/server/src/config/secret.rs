//! Which configured secrets are good enough to sign with.

/// Shortest secret: as long as the hash that HMAC-SHA256 makes (RFC 7518 §3.2). Unit: bytes.
const LEAST_BYTES: usize = 32;

/// Fewer different bytes than this were typed, not generated: 32 random hex digits have about 14.
const LEAST_DIFFERENT: usize = 10;

/// What stands in examples and tutorials where a secret belongs. Table.
const PLACEHOLDERS: &[&str] = &[
    "changeme",
    "change-me",
    "change_me",
    "change this",
    "changethis",
    "your-secret",
    "your_secret",
    "yoursecret",
    "my-secret",
    "my_secret",
    "mysecret",
    "supersecret",
    "super-secret",
    "super_secret",
    "secretkey",
    "secret-key",
    "secret_key",
    "placeholder",
    "bit-secret",
    "bit_secret",
    "example",
    "insecure",
    "password",
    "0123456789",
    "1234567890",
    "abcdefgh",
    "qwerty",
];

/// Whether a secret can sign tokens: long enough, not typed by hand, not copied from an example.
pub fn is_strong(secret: &str) -> bool {
    let lower = secret.to_lowercase();
    let mut bytes = secret.as_bytes().to_vec();
    bytes.sort_unstable();
    bytes.dedup();
    secret.len() >= LEAST_BYTES
        && bytes.len() >= LEAST_DIFFERENT
        && !PLACEHOLDERS.iter().any(|placeholder| lower.contains(placeholder))
}

#[cfg(test)]
mod tests {
    use super::is_strong;

    #[test]
    fn m08_weak_secrets_are_refused() {
        let check = |secret: &str, strong: bool| assert_eq!(is_strong(secret), strong, "{secret}");
        check("", false);
        check("k7Qm2vX9pLw4Rt8Zn3Bf6Hd1Js5Gy0C", false);
        check("k7Qm2vX9pLw4Rt8Zn3Bf6Hd1Js5Gy0Ca", true);
        check("9f86d081884c7d659a2feaa0c55ad015", true);
        check(&"a".repeat(64), false);
        check(&"ab12".repeat(16), false);
        check("please-changeme-before-you-go-live-9271", false);
        check("your-256-bit-secret-your-256-bit-secret", false);
        check("0123456789abcdef0123456789abcdef", false);
    }
}
