//! Wrong guesses, counted by account and place, and by account alone.
//!
//! After too many from one place that place has to wait, twice as long after every further one. After
//! too many from all places together whoever comes from an unknown device is challenged, but nobody has
//! to wait: a stranger cannot lock somebody out. Counting does not depend on whether there is such an
//! account. Bounded; what is locked is also kept in the database.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use alyx_store::LockoutRow;
use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;

use crate::clock::hex;
use crate::config;
use crate::limits::{LOCKOUT_FIRST, LOCKOUT_NAME_MAX_BYTES, LOCKOUTS_MAX};
use crate::throttle::account_key;
use crate::throttle_key::throttle_key;

/// From where somebody guesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    Address(IpAddr),
    /// A device that the account knows.
    Device([u8; 32]),
    /// The account as a whole.
    Any,
}

/// The counters.
#[derive(Debug)]
pub struct Lockouts {
    after: u32,
    longest: Duration,
    challenge_after: u32,
    counters: Mutex<HashMap<(String, Place), Counter>>,
}

#[derive(Clone, Copy, Debug)]
struct Counter {
    failures: u32,
    /// Until then the place waits, or the account is challenged.
    until: Timestamp,
    counted_at: Timestamp,
}

/// Wrong guesses after which one of them is forgotten for an account as a whole.
const FORGIVEN_EVERY: Duration = Duration::from_secs(60);

impl Lockouts {
    /// Counters as they were kept.
    pub fn new(settings: &config::Auth, kept: Vec<LockoutRow>, now: Timestamp) -> Self {
        let counter = |row: LockoutRow| {
            let counter = Counter { failures: row.failures, until: row.until, counted_at: now };
            Some(((row.account, Place::read(&row.place)?), counter))
        };
        Self {
            after: settings.lockout_after,
            longest: settings.lockout_max,
            challenge_after: settings.challenge_after,
            counters: Mutex::new(kept.into_iter().filter_map(counter).collect()),
        }
    }

    /// How long this place has to wait for another guess at the account.
    pub fn wait(&self, account: &str, place: Place, now: Timestamp) -> Option<Duration> {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let counter = counters.get(&(account.to_owned(), place))?;
        let wait = Duration::try_from(counter.until.duration_since(now)).ok()?;
        (counter.failures >= self.after && !wait.is_zero()).then_some(wait)
    }

    /// How many wrong guesses from everywhere are over what passes without a challenge.
    pub fn challenged(&self, account: &str, now: Timestamp) -> Option<u32> {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let counter = counters.get(&(account.to_owned(), Place::Any))?;
        counter.forgiven(now).checked_sub(self.challenge_after)
    }

    /// Counts a wrong guess; what has to be kept of it.
    pub fn count(&self, account: &str, place: Place, now: Timestamp) -> Option<LockoutRow> {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        if counters.len() >= LOCKOUTS_MAX {
            make_room(&mut counters, now);
        }
        let fresh = Counter { failures: 0, until: now, counted_at: now };
        let counter = counters.entry((account.to_owned(), place)).or_insert(fresh);
        let (failures, until, keep) = match place {
            Place::Any => {
                // Above twice the bound nothing gets worse, so that the end is in sight.
                let failures = (counter.forgiven(now) + 1).min(self.challenge_after.saturating_mul(2));
                let over = failures.saturating_sub(self.challenge_after) + 1;
                (failures, now + FORGIVEN_EVERY * over, failures >= self.challenge_after)
            }
            _ => {
                let quiet =
                    now.duration_since(counter.until) > (self.longest * 2).try_into().unwrap_or_default();
                let failures = if quiet { 1 } else { counter.failures.saturating_add(1) };
                let locked = failures >= self.after;
                (failures, if locked { now + self.delay(failures) } else { now }, locked)
            }
        };
        *counter = Counter { failures, until, counted_at: now };
        keep.then(|| LockoutRow { account: account.to_owned(), place: place.write(), failures, until })
    }

    /// Takes a guess back that was right; tells whether the place had been locked.
    pub fn forgive(&self, account: &str, place: Place) -> bool {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        // Guesses on a known device do not count for the account as a whole.
        if !matches!(place, Place::Device(_))
            && let Some(counter) = counters.get_mut(&(account.to_owned(), Place::Any))
        {
            counter.failures = counter.failures.saturating_sub(1);
        }
        let counter = counters.remove(&(account.to_owned(), place));
        counter.is_some_and(|counter| counter.failures > self.after)
    }

    /// Forgets one account, or all of them.
    pub fn clear(&self, account: Option<&str>) {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters.retain(|(found, _), _| account.is_some_and(|account| account != found));
    }

    /// Whatever waits or is challenged now, the longest first.
    pub fn list(&self, now: Timestamp) -> Vec<LockoutRow> {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows: Vec<LockoutRow> = counters
            .iter()
            .filter(|((_, place), counter)| match place {
                Place::Any => counter.forgiven(now) >= self.challenge_after,
                _ => counter.failures >= self.after && counter.until > now,
            })
            .map(|((account, place), counter)| LockoutRow {
                account: account.clone(),
                place: place.write(),
                failures: counter.failures,
                until: counter.until,
            })
            .collect();
        rows.sort_by(|one, other| other.until.cmp(&one.until).then_with(|| one.account.cmp(&other.account)));
        rows
    }

    fn delay(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(self.after).min(16);
        (LOCKOUT_FIRST * 2_u32.pow(doublings)).min(self.longest)
    }
}

impl Counter {
    fn forgiven(&self, now: Timestamp) -> u32 {
        let passed = now.duration_since(self.counted_at).as_secs().max(0) / 60;
        self.failures.saturating_sub(u32::try_from(passed).unwrap_or(u32::MAX))
    }
}

impl Place {
    /// An address, as limits count it.
    pub fn address(address: IpAddr) -> Self {
        Self::Address(throttle_key(address))
    }

    fn write(self) -> String {
        match self {
            Self::Address(address) => format!("address:{address}"),
            Self::Device(hash) => format!("device:{}", hex(&hash)),
            Self::Any => "any".to_owned(),
        }
    }

    /// Locked devices are not read back: they are known by their counter alone, and 5 more guesses are
    /// no loss.
    fn read(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None => (text == "any").then_some(Self::Any),
            Some(("address", address)) => address.parse().ok().map(Self::Address),
            Some(_) => None,
        }
    }
}

/// An account's name as counters have it: of a long one, which a stranger made up, only a hash.
pub fn counted_name(account: &str) -> String {
    let account = account_key(account);
    if account.len() <= LOCKOUT_NAME_MAX_BYTES {
        return account;
    }
    format!("sha256:{}", hex(digest(&SHA256, account.as_bytes()).as_ref()))
}

/// Throws out what has ended, then the half that ends first.
fn make_room(counters: &mut HashMap<(String, Place), Counter>, now: Timestamp) {
    let before = counters.len();
    counters.retain(|_, counter| counter.until > now);
    if counters.len() > before / 2 {
        let mut times: Vec<Timestamp> = counters.values().map(|counter| counter.until).collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let median = *median;
        counters.retain(|_, counter| counter.until > median);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::{Lockouts, Place, counted_name};
    use crate::limits::{LOCKOUT_NAME_MAX_BYTES, LOCKOUTS_MAX};

    fn lockouts() -> Lockouts {
        Lockouts {
            after: 3,
            longest: Duration::from_secs(900),
            challenge_after: 10,
            counters: std::sync::Mutex::default(),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn place(address: &str) -> Place {
        Place::address(address.parse().unwrap())
    }

    #[test]
    fn every_further_wrong_guess_doubles_the_wait() {
        let (lockouts, here) = (lockouts(), place("192.0.2.1"));
        let mut now = 0;
        for expected in
            [None, None, Some(15), Some(30), Some(60), Some(120), Some(240), Some(480), Some(900), Some(900)]
        {
            let kept = lockouts.count("ada", here, at(now));
            let wait = lockouts.wait("ada", here, at(now)).map(|wait| wait.as_secs());
            assert_eq!((wait, kept.is_some()), (expected, expected.is_some()), "at {now}");
            now += i64::try_from(wait.unwrap_or(0)).unwrap();
            assert_eq!(lockouts.wait("ada", here, at(now)), None);
        }
        assert_eq!(lockouts.wait("ada", place("192.0.2.2"), at(0)), None, "another place");
        assert_eq!(lockouts.wait("bob", here, at(0)), None, "another account");
        // A right guess, or a long silence, ends it.
        assert!(lockouts.forgive("ada", here));
        assert!(lockouts.count("ada", here, at(now)).is_none());
    }

    #[test]
    fn an_account_as_a_whole_is_challenged_and_never_waits() {
        let lockouts = lockouts();
        for number in 0..10 {
            assert_eq!(lockouts.challenged("ada", at(0)), None, "{number}");
            let kept = lockouts.count("ada", Place::Any, at(0));
            assert_eq!(kept.is_some(), number == 9);
        }
        assert_eq!(lockouts.challenged("ada", at(0)), Some(0));
        assert_eq!(lockouts.challenged("ada", at(59)), Some(0));
        assert_eq!(lockouts.challenged("ada", at(60)), None, "one is forgiven each minute");
        for _ in 0..100 {
            lockouts.count("ada", Place::Any, at(60));
        }
        assert_eq!(lockouts.challenged("ada", at(60)), Some(10));
        assert_eq!(lockouts.list(at(60)).len(), 1);
        assert_eq!(lockouts.challenged("ada", at(60 + 11 * 60)), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let lockouts = lockouts();
        for number in 0..3 * LOCKOUTS_MAX {
            lockouts.count(&number.to_string(), Place::Any, at(0));
        }
        assert!(lockouts.counters.lock().unwrap().len() <= LOCKOUTS_MAX);
        assert_eq!(counted_name(" Ada@Example.org "), "ada@example.org");
        assert!(counted_name(&"x".repeat(1_000_000)).len() <= LOCKOUT_NAME_MAX_BYTES);
    }
}
