//! Sizes and durations as they are written: `128mb`, `10s`. A number without a unit is refused,
//! because half its readers would guess wrong.

use std::time::Duration;

/// Bytes. `kb`, `mb` and `gb` are powers of 1024; fractions are not accepted.
pub(super) fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "b" => 1,
        "kb" => 1 << 10,
        "mb" => 1 << 20,
        "gb" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// A duration in `ms`, `s`, `m` or `h`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(factor).map(Duration::from_millis)
}

/// Bytes in the largest unit that shows them exactly.
pub(super) fn show_size(bytes: u64) -> String {
    let units = [(1_u64 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")];
    match units.iter().find(|(factor, _)| bytes >= *factor && bytes.is_multiple_of(*factor)) {
        Some((factor, unit)) => format!("{}{unit}", bytes / factor),
        None => format!("{bytes}b"),
    }
}

/// A duration in the largest unit that shows it exactly.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    match units.iter().find(|(factor, _)| millis >= *factor && millis.is_multiple_of(*factor)) {
        Some((factor, unit)) => format!("{}{unit}", millis / factor),
        None => format!("{millis}ms"),
    }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|other: char| !other.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::{duration, show_duration, show_size, size};

    #[test]
    fn sizes() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(size(text), expected, "{text}");
            if let Some(bytes) = expected {
                assert_eq!(size(&show_size(bytes)), Some(bytes), "{text}");
            }
        };
        check("0b", Some(0));
        check("1kb", Some(1_024));
        check("128mb", Some(134_217_728));
        check("2gb", Some(2_147_483_648));
        check("1025b", Some(1_025));
        check("128", None);
        check("mb", None);
        check("128MB", None);
        check("1.5gb", None);
        check("-1mb", None);
        check("128 mb", None);
        check("18446744073709551615gb", None);
        check("", None);
    }

    #[test]
    fn durations() {
        let check = |text: &str, expected: Option<u64>| {
            let expected = expected.map(std::time::Duration::from_millis);
            assert_eq!(duration(text), expected, "{text}");
            if let Some(found) = expected {
                assert_eq!(duration(&show_duration(found)), expected, "{text}");
            }
        };
        check("500ms", Some(500));
        check("10s", Some(10_000));
        check("5m", Some(300_000));
        check("1h", Some(3_600_000));
        check("90s", Some(90_000));
        check("10", None);
        check("1d", None);
        check("1.5s", None);
        check("", None);
    }
}
