//! Token buckets by any key, in bounded memory. Of a key only a hash is kept, because strangers choose
//! some of them; the hash has a secret of this process, so nobody can look for keys that share a bucket.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::class::Rate;
use crate::limits::THROTTLE_KEYS_MAX;

/// So that requests do not wait for one another.
const SHARDS: usize = 16;

/// Each bucket is the time at which it will be full again; everything else follows from that.
#[derive(Debug, Default)]
pub struct Buckets {
    hasher: RandomState,
    shards: [Mutex<HashMap<u64, Instant>>; SHARDS],
}

/// A bucket after an attempt to take from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    pub left: u32,
    pub full_in: Duration,
    /// Until the next attempt can succeed; `None` when this one did.
    pub wait: Option<Duration>,
}

impl Buckets {
    /// Takes one, if there is one.
    pub fn take(&self, key: &impl Hash, rate: Rate, now: Instant) -> Taken {
        let key = self.hasher.hash_one(key);
        // The remainder is below 16.
        let shard = &self.shards[(key % SHARDS as u64) as usize];
        let mut buckets = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= THROTTLE_KEYS_MAX / SHARDS && !buckets.contains_key(&key) {
            make_room(&mut buckets, now);
        }
        let full_at = buckets.get(&key).copied().unwrap_or(now).max(now);
        let next = full_at + rate.one();
        let over = next.saturating_duration_since(now + rate.window);
        let (full_at, wait) = if over.is_zero() { (next, None) } else { (full_at, Some(over)) };
        buckets.insert(key, full_at);
        let full_in = full_at.saturating_duration_since(now);
        Taken { left: rate.left(full_in), full_in, wait }
    }
}

/// Throws out full buckets, which say nothing. If that is not enough, somebody comes from very many
/// places at once: then the fuller half goes, so that those who tried most stay known and nobody is
/// refused for what others do.
fn make_room(buckets: &mut HashMap<u64, Instant>, now: Instant) {
    let before = buckets.len();
    buckets.retain(|_, full_at| *full_at > now);
    if buckets.len() > before / 2 {
        let mut times: Vec<Instant> = buckets.values().copied().collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let median = *median;
        let mut to_go = middle;
        buckets.retain(|_, full_at| {
            let goes = to_go > 0 && *full_at <= median;
            to_go -= usize::from(goes);
            !goes
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Buckets, SHARDS, Taken};
    use crate::limits::THROTTLE_KEYS_MAX;
    use crate::throttle::class::Rate;

    const RATE: Rate = Rate { quota: 5, window: Duration::from_secs(60) };

    #[test]
    fn buckets_empty_and_fill() {
        let (buckets, start) = (Buckets::default(), Instant::now());
        let take = |seconds: u64| buckets.take(&"ada", RATE, start + Duration::from_secs(seconds));
        for left in (0..5).rev() {
            let taken = take(0);
            assert_eq!((taken.left, taken.wait), (left, None));
        }
        let wait = Some(Duration::from_secs(12));
        assert_eq!(take(0), Taken { left: 0, full_in: RATE.window, wait });
        assert!(take(11).wait.is_some());
        assert!(take(12).wait.is_none());
        assert!(take(12).wait.is_some());
        assert_eq!(take(600), Taken { left: 4, full_in: Duration::from_secs(12), wait: None });
    }

    #[test]
    fn what_is_remembered_is_bounded_and_forgets_those_who_did_least() {
        let (buckets, now) = (Buckets::default(), Instant::now());
        while buckets.take(&"attacker", RATE, now).wait.is_none() {}
        for number in 0..3 * THROTTLE_KEYS_MAX {
            assert!(buckets.take(&number, RATE, now).wait.is_none(), "nobody pays for others");
        }
        let kept: usize = buckets.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(kept <= THROTTLE_KEYS_MAX + SHARDS, "{kept}");
        assert!(buckets.take(&"attacker", RATE, now).wait.is_some());
    }
}
