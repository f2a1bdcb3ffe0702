//! Time zones of this host.

use alyx_core::schedule::bundled_zone;
use jiff::tz::TimeZone;

/// A time zone: as this host knows it, so that countries that change their minds are followed by an update
/// of its time zone data; else as it was when this was built.
pub fn zone(name: &str) -> TimeZone {
    jiff::tz::db().get(name).ok().or_else(|| bundled_zone(name)).unwrap_or(TimeZone::UTC)
}
