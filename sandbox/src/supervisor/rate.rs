//! How often workers may be spawned: a bucket that refills steadily and holds a burst.

use std::time::Instant;

use crate::limits::{SPAWN_BURST, SPAWNS_PER_SECOND};

/// Counts thousandths of a spawn.
#[derive(Debug)]
pub struct SpawnRate {
    milli: u64,
    filled: Instant,
}

const FULL: u64 = SPAWN_BURST as u64 * 1000;

impl SpawnRate {
    /// A full bucket.
    pub fn new(now: Instant) -> Self {
        Self { milli: FULL, filled: now }
    }

    /// Takes one spawn out, if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.filled).as_millis();
        let gained = u64::try_from(elapsed).unwrap_or(FULL).saturating_mul(u64::from(SPAWNS_PER_SECOND));
        self.milli = self.milli.saturating_add(gained).min(FULL);
        self.filled = now;
        match self.milli.checked_sub(1000) {
            Some(left) => {
                self.milli = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::SpawnRate;
    use crate::limits::{SPAWN_BURST, SPAWNS_PER_SECOND};

    #[test]
    fn a_burst_and_then_a_steady_rate() {
        let start = Instant::now();
        let mut rate = SpawnRate::new(start);
        assert_eq!((0..500).filter(|_| rate.take(start)).count(), SPAWN_BURST as usize);
        let later = start + Duration::from_secs(1);
        assert_eq!((0..500).filter(|_| rate.take(later)).count(), SPAWNS_PER_SECOND as usize);
        let much_later = later + Duration::from_secs(3600);
        assert_eq!((0..500).filter(|_| rate.take(much_later)).count(), SPAWN_BURST as usize);
    }
}
