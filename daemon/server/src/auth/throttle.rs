//! Token buckets in memory: so many attempts a minute for each key, all of them at once if they were
//! saved up. Bounded: buckets that are full again say nothing and are thrown out, and of an account's
//! name, which a stranger chooses, only a hash is kept.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::limits::THROTTLE_KEYS_MAX;
use crate::throttle_key::throttle_key;

/// Buckets by address (IPv6 by /64) and account.
#[derive(Default)]
pub struct Throttle {
    /// Keyed with a secret of this process, so nobody can look for names that share a bucket.
    hasher: RandomState,
    buckets: Mutex<HashMap<(IpAddr, u64), Bucket>>,
}

struct Bucket {
    /// When it will be full again; everything else follows from that.
    full_at: Instant,
}

impl Throttle {
    /// Takes one attempt out of a bucket of `per_minute`.
    ///
    /// # Errors
    /// How long to wait when it is empty.
    pub fn take(
        &self,
        address: IpAddr,
        account: &str,
        per_minute: u32,
        now: Instant,
    ) -> Result<(), Duration> {
        let one = Duration::from_secs(60) / per_minute.max(1);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= THROTTLE_KEYS_MAX {
            buckets.retain(|_, bucket| bucket.full_at > now);
        }
        let key = (throttle_key(address), self.hasher.hash_one(account.to_lowercase()));
        if buckets.len() >= THROTTLE_KEYS_MAX && !buckets.contains_key(&key) {
            // Somebody comes from very many places at once: nobody gets a new bucket for a while.
            return Err(one);
        }
        let bucket = buckets.entry(key).or_insert(Bucket { full_at: now });
        let next = bucket.full_at.max(now) + one;
        let over = next.saturating_duration_since(now + one * per_minute.max(1));
        if over.is_zero() {
            bucket.full_at = next;
            Ok(())
        } else {
            Err(over)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Throttle;

    #[test]
    fn attempts_are_limited_and_come_back() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let take = |address: &str, account: &str, seconds: u64| {
            throttle.take(address.parse().unwrap(), account, 5, start + Duration::from_secs(seconds))
        };
        for _ in 0..5 {
            take("192.0.2.1", "ada@example.com", 0).unwrap();
        }
        assert_eq!(take("192.0.2.1", "ada@example.com", 0), Err(Duration::from_secs(12)));
        assert!(take("192.0.2.1", "ADA@example.com", 0).is_err(), "spelling does not matter");
        assert!(take("192.0.2.1", "bob@example.com", 0).is_ok(), "another account");
        assert!(take("192.0.2.2", "ada@example.com", 0).is_ok(), "another address");
        assert!(take("192.0.2.1", "ada@example.com", 11).is_err());
        assert!(take("192.0.2.1", "ada@example.com", 12).is_ok());
        assert!(take("192.0.2.1", "ada@example.com", 12).is_err());
        for _ in 0..5 {
            take("192.0.2.1", "ada@example.com", 600).unwrap();
        }
        assert!(take("192.0.2.1", "ada@example.com", 600).is_err());
    }

    #[test]
    fn one_ipv6_customer_is_one_address() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        assert!(throttle.take("2001:db8::1".parse().unwrap(), "", 1, now).is_ok());
        assert!(throttle.take("2001:db8::2".parse().unwrap(), "", 1, now).is_err());
        assert!(throttle.take("2001:db8:0:1::1".parse().unwrap(), "", 1, now).is_ok());
    }
}
