//! What one request took, for the `RateLimit` fields of its answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::class::Rate;

/// The buckets that a request took from. A cheap clone; it lies in the request's extensions.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Mutex<Vec<Reading>>>);

/// A bucket after a request took from it.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    pub policy: &'static str,
    pub rate: Rate,
    pub left: u32,
    pub full_in: Duration,
}

impl Meter {
    /// Takes note of a bucket. What was noted of the same policy before is forgotten.
    pub fn note(&self, reading: Reading) {
        let mut readings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        readings.retain(|earlier| earlier.policy != reading.policy);
        readings.push(reading);
    }

    /// Writes the fields, the scarcest policy first.
    pub fn write(&self, headers: &mut HeaderMap) {
        let mut readings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        readings.sort_by(|one, other| {
            let share = |reading: &Reading| f64::from(reading.left) / f64::from(reading.rate.quota.max(1));
            share(one).total_cmp(&share(other))
        });
        let list = |item: fn(&Reading) -> String| readings.iter().map(item).collect::<Vec<_>>().join(", ");
        let policies = list(|reading| {
            format!("\"{}\";q={};w={}", reading.policy, reading.rate.quota, reading.rate.window.as_secs())
        });
        let left = list(|reading| {
            format!("\"{}\";r={};t={}", reading.policy, reading.left, whole_seconds(reading.full_in))
        });
        for (name, value) in [("ratelimit-policy", policies), ("ratelimit", left)] {
            if let (false, Ok(value)) = (value.is_empty(), HeaderValue::from_str(&value)) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}

/// Seconds, rounded up.
pub fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderMap;

    use super::{Meter, Reading};
    use crate::throttle::class::Rate;

    #[test]
    fn the_scarcest_policy_comes_first() {
        let meter = Meter::default();
        let mut headers = HeaderMap::new();
        meter.write(&mut headers);
        assert!(headers.is_empty());
        let note = |policy, quota, left, ms| {
            let rate = Rate { quota, window: Duration::from_secs(60) };
            meter.note(Reading { policy, rate, left, full_in: Duration::from_millis(ms) });
        };
        note("auth-address", 3_000, 2_999, 20);
        note("login", 5, 4, 12_000);
        note("login", 5, 3, 24_000);
        meter.write(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"login\";q=5;w=60, \"auth-address\";q=3000;w=60");
        assert_eq!(headers["ratelimit"], "\"login\";r=3;t=24, \"auth-address\";r=2999;t=1");
    }
}
