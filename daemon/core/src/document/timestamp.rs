//! Times in documents: RFC 3339 text to the one stored form, UTC with microseconds, whose text order
//! is time order. What does not fit exactly is refused, never rounded.

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime, Time};

/// The stored form of an RFC 3339 timestamp: 27 characters, `2026-01-02T03:04:05.000006Z`.
///
/// `None` if it has no offset, a leap second, more than six digits of fraction that are not zero, or
/// does not lie in the years 0000 to 9999 in UTC.
#[must_use]
pub fn canonical_timestamp(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    if !text.is_ascii() || bytes.len() < 20 || !matches!(bytes[10], b'T' | b't') {
        return None;
    }
    let date = civil_date(&text[..10])?;
    if bytes[13] != b':' || bytes[16] != b':' {
        return None;
    }
    let (hour, minute, second) = (number(&text[11..13])?, number(&text[14..16])?, number(&text[17..19])?);
    let rest = &text[19..];
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.find(|other: char| !other.is_ascii_digit())?),
        None => ("0", rest),
    };
    let (micros, beyond) = fraction.split_at(fraction.len().min(6));
    if fraction.is_empty() || beyond.bytes().any(|digit| digit != b'0') {
        return None;
    }
    let micros = format!("{micros:0<6}").parse::<i32>().ok()?;
    let time = Time::new(hour, minute, second, micros * 1_000).ok()?;
    let offset = SignedDuration::from_secs(zone_seconds(zone)?);
    let utc = DateTime::from_parts(date, time).checked_sub(offset).ok()?;
    (0..=9999).contains(&utc.year()).then(|| format_utc(utc))
}

/// Whether the text is a date `YYYY-MM-DD` that the calendar has.
#[must_use]
pub fn is_date(text: &str) -> bool {
    civil_date(text).is_some()
}

fn civil_date(text: &str) -> Option<Date> {
    let bytes = text.as_bytes();
    if !text.is_ascii() || bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let year = i16::from(number(&text[..2])?) * 100 + i16::from(number(&text[2..4])?);
    Date::new(year, number(&text[5..7])?, number(&text[8..])?).ok()
}

/// Two digits.
fn number(text: &str) -> Option<i8> {
    (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

fn zone_seconds(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone[1..].split_once(':')?;
    let (hours, minutes) = (i64::from(number(hours)?), i64::from(number(minutes)?));
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

fn format_utc(utc: DateTime) -> String {
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
        utc.year(),
        utc.month(),
        utc.day(),
        utc.hour(),
        utc.minute(),
        utc.second(),
        utc.subsec_nanosecond() / 1_000
    )
}

#[cfg(test)]
mod tests {
    use super::{canonical_timestamp, is_date};

    #[test]
    fn timestamps() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(canonical_timestamp(text).as_deref(), expected, "{text}");
        };
        check("2026-01-02T03:04:05Z", Some("2026-01-02T03:04:05.000000Z"));
        check("2026-01-02t03:04:05z", Some("2026-01-02T03:04:05.000000Z"));
        check("2026-01-02T03:04:05.1Z", Some("2026-01-02T03:04:05.100000Z"));
        check("2026-01-02T03:04:05.000006Z", Some("2026-01-02T03:04:05.000006Z"));
        check("2026-01-02T03:04:05.000006000Z", Some("2026-01-02T03:04:05.000006Z"));
        check("2026-01-02T03:04:05.0000061Z", None);
        check("2026-01-02T03:04:05.999999+02:00", Some("2026-01-02T01:04:05.999999Z"));
        check("2026-01-01T00:30:00+01:00", Some("2025-12-31T23:30:00.000000Z"));
        check("2026-12-31T23:30:00-01:00", Some("2027-01-01T00:30:00.000000Z"));
        check("2024-02-29T00:00:00Z", Some("2024-02-29T00:00:00.000000Z"));
        check("1969-12-31T23:59:59.5Z", Some("1969-12-31T23:59:59.500000Z"));
        check("0000-01-01T00:00:00Z", Some("0000-01-01T00:00:00.000000Z"));
        check("9999-12-31T23:59:59.999999Z", Some("9999-12-31T23:59:59.999999Z"));
        check("9999-12-31T23:59:59-01:00", None);
        check("0000-01-01T00:00:00+01:00", None);
        check("2026-02-29T00:00:00Z", None);
        check("2026-01-02T03:04:60Z", None);
        check("2026-01-02T24:00:00Z", None);
        check("2026-01-02T03:04:05", None);
        check("2026-01-02 03:04:05Z", None);
        check("2026-01-02T03:04Z", None);
        check("2026-01-02T03:04:05.Z", None);
        check("2026-01-02T03:04:05+0200", None);
        check("2026-01-02T03:04:05+02:60", None);
        check("2026-01-02T03:04:05Z ", None);
        check("2026-01-02T03:04:05ZZ", None);
        check("+026-01-02T03:04:05Z", None);
        check("2026-01-02T03:04:0５Z", None);
        check("", None);
    }

    #[test]
    fn dates() {
        let check = |text: &str, expected: bool| assert_eq!(is_date(text), expected, "{text}");
        check("2026-01-02", true);
        check("2024-02-29", true);
        check("2000-02-29", true);
        check("0000-01-01", true);
        check("9999-12-31", true);
        check("2026-02-29", false);
        check("1900-02-29", false);
        check("2026-13-01", false);
        check("2026-00-01", false);
        check("2026-1-2", false);
        check("2026-01-02T", false);
        check("-026-01-02", false);
        check("", false);
    }
}
