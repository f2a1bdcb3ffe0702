//! Timestamps and durations in microseconds, the precision in which documents keep them. A text
//! with finer digits is refused instead of rounded, so that comparing with a stored value is exact.

use super::fault::Fault;

/// 0001-01-01T00:00:00Z, the first timestamp of cel-spec.
const FIRST: i64 = -62_135_596_800_000_000;
/// 9999-12-31T23:59:59.999999Z, the last one.
const LAST: i64 = 253_402_300_799_999_999;
/// Longest duration of cel-spec, 315,576,000,000 seconds.
const LONGEST: i64 = 315_576_000_000_000_000;

/// Microseconds of one second.
pub(super) const SECOND: i64 = 1_000_000;

/// Checks the range of a timestamp.
pub(super) fn in_range(micros: Option<i64>) -> Result<i64, Fault> {
    micros.filter(|micros| (FIRST..=LAST).contains(micros)).ok_or(Fault::Overflow)
}

/// Checks the range of a duration.
pub(super) fn duration_in_range(micros: Option<i64>) -> Result<i64, Fault> {
    micros.filter(|micros| (-LONGEST..=LONGEST).contains(micros)).ok_or(Fault::Overflow)
}

/// Reads an RFC 3339 text.
pub(super) fn parse_timestamp(text: &str) -> Result<i64, Fault> {
    let wrong = || Fault::Conversion { text: text.to_owned(), wanted: "RFC 3339 timestamp" };
    let micros = read_timestamp(text.as_bytes()).ok_or_else(wrong)?;
    in_range(Some(micros))
}

/// `YYYY-MM-DDTHH:MM:SS`, a fraction, and `Z` or an offset. No leap seconds, as in cel-spec.
fn read_timestamp(bytes: &[u8]) -> Option<i64> {
    let (local, rest) = bytes.split_at_checked(19)?;
    if local[4] != b'-'
        || local[7] != b'-'
        || !matches!(local[10], b'T' | b't')
        || local[13] != b':'
        || local[16] != b':'
    {
        return None;
    }
    let (year, month, day) = (number(&local[..4])?, number(&local[5..7])?, number(&local[8..10])?);
    let (hour, minute, second) = (number(&local[11..13])?, number(&local[14..16])?, number(&local[17..])?);
    if !(1..=12).contains(&month)
        || day < 1
        || day > days_in_month(year, month)
        || hour > 23
        || minute > 59
        || second > 59
    {
        return None;
    }
    let (micros, offset) = match rest.strip_prefix(b".") {
        Some(rest) => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (fraction, offset) = rest.split_at(digits);
            (fraction_micros(fraction)?, offset)
        }
        None => (0, rest),
    };
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some((seconds - offset_seconds(offset)?) * SECOND + micros)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits
        .iter()
        .try_fold(0_i64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(*digit - b'0')))
}

/// At least one digit; what follows the sixth must be zero.
fn fraction_micros(digits: &[u8]) -> Option<i64> {
    let (kept, finer) = digits.split_at(digits.len().min(6));
    let exact = !kept.is_empty() && finer.len() <= 6 && finer.iter().all(|digit| *digit == b'0');
    exact.then_some(())?;
    (kept.len()..6).try_fold(number(kept)?, |micros, _| Some(micros * 10))
}

fn offset_seconds(offset: &[u8]) -> Option<i64> {
    let sign = match offset {
        [b'Z' | b'z'] => return Some(0),
        [b'+', _, _, b':', _, _] => 1,
        [b'-', _, _, b':', _, _] => -1,
        _ => return None,
    };
    let (hours, minutes) = (number(&offset[1..3])?, number(&offset[4..])?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar (Howard Hinnant's `days_from_civil`).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse (`civil_from_days`): year, month, day.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

/// The stored form, 27 characters, which sorts as text like as time.
pub(super) fn format_timestamp(micros: i64) -> String {
    let (seconds, fraction) = (micros.div_euclid(SECOND), micros.rem_euclid(SECOND));
    let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
    let second = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z")
}

/// The form of `string()`: no more digits of the second than needed.
pub(super) fn show_timestamp(micros: i64) -> String {
    let stored = format_timestamp(micros);
    let digits = stored.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
    // The seconds end with the 19th character; their own zeros stay.
    format!("{}Z", stored.get(..digits.len().max(19)).unwrap_or(&stored))
}

/// The form of `string()`: seconds.
pub(super) fn show_duration(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let (seconds, fraction) = (micros.unsigned_abs() / 1_000_000, micros.unsigned_abs() % 1_000_000);
    let shown = format!("{sign}{seconds}.{fraction:06}");
    format!("{}s", shown.trim_end_matches('0').trim_end_matches('.'))
}

/// Reads a duration such as `1h30m`, `-1.5s` or `250ms`.
pub(super) fn parse_duration(text: &str) -> Result<i64, Fault> {
    let wrong = || Fault::Conversion { text: text.to_owned(), wanted: "duration" };
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut nanos: i128 = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let part = part_nanos(number, unit).ok_or_else(wrong)?;
        nanos = nanos.checked_add(part).ok_or_else(wrong)?;
        rest = tail;
    }
    if nanos % 1000 != 0 {
        return Err(wrong());
    }
    let micros = i64::try_from(nanos / 1000).ok();
    duration_in_range(micros.map(|micros| if negative { -micros } else { micros }))
}

/// One number with its unit.
fn part_nanos(number: &str, unit: &str) -> Option<i128> {
    let unit: i128 = match unit {
        "h" => 3_600_000_000_000,
        "m" => 60_000_000_000,
        "s" => 1_000_000_000,
        "ms" => 1_000_000,
        "us" | "µs" | "μs" => 1000,
        "ns" => 1,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || whole.len() > 18 || fraction.len() > 18 {
        return None;
    }
    let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<i128>().ok() };
    let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    let scaled = digits(fraction)? * unit;
    (scaled % scale == 0).then_some(())?;
    Some(digits(whole)? * unit + scaled / scale)
}

#[cfg(test)]
mod tests {
    use super::{FIRST, LAST, format_timestamp, parse_duration, parse_timestamp};

    #[test]
    fn timestamps() {
        let cases = [
            ("1970-01-01T00:00:00.000001Z", Some(1)),
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1970-01-01T01:00:00+01:00", Some(0)),
            ("1969-12-31T23:59:59.999999Z", Some(-1)),
            ("2024-02-29T00:00:00.000000Z", Some(1_709_164_800_000_000)),
            ("2026-01-02T03:04:05.000006Z", Some(1_767_323_045_000_006)),
            ("0001-01-01T00:00:00Z", Some(FIRST)),
            ("9999-12-31T23:59:59.999999Z", Some(LAST)),
            ("2026-01-02T03:04:05.5-00:30", Some(1_767_324_845_500_000)),
            ("2023-02-29T00:00:00Z", None),
            ("2026-04-31T00:00:00Z", None),
            ("2026-01-01T24:00:00Z", None),
            ("0001-01-01T00:00:00+00:01", None),
            ("1970-01-01T00:00:00", None),
            ("1970-01-01T00:00:00.Z", None),
            ("1970-01-01T00:00:00+0100", None),
            ("1970-01-01T00:00:0é", None),
            ("1970-01-01T00:00:00.0000001Z", None),
            ("1970-01-01", None),
            ("1970-01-01 00:00:00Z", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let found = parse_timestamp(text).ok();
            assert_eq!(found, expected, "{text}");
            if let Some(micros) = found {
                let stored = format_timestamp(micros);
                assert_eq!((stored.len(), parse_timestamp(&stored)), (27, Ok(micros)), "{stored}");
            }
        }
    }

    #[test]
    fn durations() {
        let cases = [
            ("0", Some(0)),
            ("1h30m", Some(5_400_000_000)),
            ("-1.5s", Some(-1_500_000)),
            ("250ms", Some(250_000)),
            ("1us", Some(1)),
            ("1ns", None),
            ("", None),
            ("1", None),
            ("s", None),
            (".s", None),
            ("1d", None),
            ("999999999999999999h", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_duration(text).ok(), expected, "{text}");
        }
    }
}
