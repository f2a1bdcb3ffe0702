//! Points in time as the store keeps them: RFC 3339, UTC, microseconds. Fixed width, so text order is
//! time order; the same form as a document's `timestamp`.

use jiff::{SignedDuration, Timestamp};

use crate::Error;

/// The stored form.
pub(crate) fn to_text(time: Timestamp) -> String {
    format!("{time:.6}")
}

/// Back from the stored form.
pub(crate) fn from_text(text: &str) -> Result<Timestamp, Error> {
    text.parse().map_err(|error: jiff::Error| Error::internal("read a stored time", error))
}

/// `time` minus `duration`, or the earliest time there is.
pub(crate) fn before(time: Timestamp, duration: std::time::Duration) -> Timestamp {
    SignedDuration::try_from(duration)
        .ok()
        .and_then(|duration| time.checked_sub(duration).ok())
        .unwrap_or(Timestamp::MIN)
}

/// `time` plus `duration`, or the latest time there is.
pub(crate) fn after(time: Timestamp, duration: std::time::Duration) -> Timestamp {
    SignedDuration::try_from(duration)
        .ok()
        .and_then(|duration| time.checked_add(duration).ok())
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::{from_text, to_text};

    #[test]
    fn the_stored_form_has_microseconds_and_reads_back() {
        for text in
            ["2026-01-02T03:04:05.000006Z", "2026-01-02T03:04:05.000000Z", "1969-12-31T23:59:59.999999Z"]
        {
            assert_eq!(to_text(from_text(text).unwrap()), text);
        }
    }
}
