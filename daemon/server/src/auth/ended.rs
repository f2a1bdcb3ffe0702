//! Sessions that ended while their access tokens may still look valid, in memory.
//!
//! The table is the truth; it is read at start, and every end of a session in this process is added.
//! An entry is kept as long as the longest-lived token of its session.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use alyx_store::Store;
use jiff::Timestamp;

/// The set.
pub struct Ended {
    kept_for: Duration,
    sessions: Mutex<HashMap<String, Instant>>,
}

impl Ended {
    /// Reads those of the table whose tokens may still be alive.
    pub async fn load(store: &Store, access_ttl: Duration) -> Result<Self, alyx_store::Error> {
        // Twice the lifetime: it may have been configured longer before a restart.
        let since = Timestamp::now() - access_ttl.max(Duration::from_secs(24 * 3600));
        let ended = Self::new(access_ttl);
        for session in store.ended_sessions(since).await? {
            ended.add(session, Instant::now());
        }
        Ok(ended)
    }

    fn new(access_ttl: Duration) -> Self {
        Self { kept_for: access_ttl.max(Duration::from_secs(24 * 3600)), sessions: Mutex::default() }
    }

    /// Refuses the tokens of a session from now on.
    pub fn add(&self, session: String, now: Instant) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        // Amortised: a sweep of n entries at most once per n insertions.
        if sessions.len() == sessions.capacity() {
            sessions.retain(|_, since| now.saturating_duration_since(*since) < self.kept_for);
        }
        sessions.insert(session, now);
    }

    /// Whether a session has ended.
    pub fn contains(&self, session: &str) -> bool {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).contains_key(session)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Ended;

    #[test]
    fn ended_sessions_are_remembered_for_the_life_of_a_token() {
        let (ended, start) = (Ended::new(Duration::from_secs(900)), Instant::now());
        ended.add("s1".to_owned(), start);
        assert!(ended.contains("s1"));
        assert!(!ended.contains("s2"));
        for index in 0..1_000 {
            ended.add(format!("x{index}"), start + Duration::from_secs(86_401));
        }
        assert!(!ended.contains("s1"));
    }
}
