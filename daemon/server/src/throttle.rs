//! How often something may be done: token buckets in memory, one for each class of requests and each
//! address, identity, or account at an address.
//!
//! What is taken is noted in the request's [`Meter`], from which every answer gets its `RateLimit-Policy`
//! and `RateLimit` fields (draft-ietf-httpapi-ratelimit-headers-10). Everything is bounded, and nothing
//! of this survives a restart: a full bucket says nothing worth keeping.

mod buckets;
mod class;
mod meter;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use alyx_core::identity::{AdminIdentity, Identity};
use tokio::sync::Semaphore;

use self::buckets::Buckets;
use crate::limits::{HELD_UP_MAX, HOLD_UP};
use crate::problem::{ApiError, Code};
use crate::throttle_key::throttle_key;

pub use class::{Class, Rates};
pub use meter::{Meter, Reading};

/// The service. A cheap clone.
#[derive(Clone, Debug)]
pub struct Throttle(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    rates: Rates,
    buckets: Buckets,
    held_up: Semaphore,
}

/// Whose bucket it is.
#[derive(Clone, Copy, Debug, Hash)]
enum Whose<'a> {
    Address(IpAddr),
    Identity(&'a str),
    /// An account on a device that it knows.
    AccountOn(&'a str, [u8; 32]),
    /// An account, as it is written by whoever claims to own it, at an address.
    AccountAt(&'a str, IpAddr),
}

impl Throttle {
    /// All buckets full.
    pub fn new(rates: Rates) -> Self {
        let held_up = Semaphore::new(HELD_UP_MAX);
        Self(Arc::new(Parts { rates, buckets: Buckets::default(), held_up }))
    }

    /// Holds an answer back that refuses an attempt to sign in, unless many are held back already.
    pub async fn hold_up(&self) {
        if let Ok(_held) = self.0.held_up.try_acquire() {
            tokio::time::sleep(HOLD_UP).await;
        }
    }

    /// One more request from an address.
    ///
    /// # Errors
    /// `too_many_requests` with the time to wait.
    pub fn by_address(&self, class: Class, address: IpAddr, meter: &Meter) -> Result<(), ApiError> {
        self.take(class, Whose::Address(throttle_key(address)), meter)
    }

    /// One more request of somebody. Administrators over the admin socket have no limit, and nobody in
    /// particular has that of the address.
    pub fn by_identity(&self, class: Class, who: &Identity, meter: &Meter) -> Result<(), ApiError> {
        match who.effective() {
            Identity::Anonymous
            | Identity::Admin(AdminIdentity::Peer { .. } | AdminIdentity::Project { .. }) => Ok(()),
            other => self.take(class, Whose::Identity(&other.label()), meter),
        }
    }

    /// One more attempt on an account from an address. Letter case and spaces around do not make another
    /// account.
    pub fn on_account(
        &self,
        class: Class,
        account: &str,
        address: IpAddr,
        meter: &Meter,
    ) -> Result<(), ApiError> {
        let (account, address) = (account_key(account), throttle_key(address));
        // An address that tries too much makes no further buckets.
        self.take(class, Whose::Address(address), meter)?;
        self.take(class, Whose::AccountAt(&account, address), meter)
    }

    /// One more attempt on an account from a device that it knows: what others do at the same address
    /// does not count against it.
    pub fn on_device(
        &self,
        class: Class,
        account: &str,
        device: [u8; 32],
        meter: &Meter,
    ) -> Result<(), ApiError> {
        self.take(class, Whose::AccountOn(&account_key(account), device), meter)
    }

    fn take(&self, class: Class, whose: Whose<'_>, meter: &Meter) -> Result<(), ApiError> {
        let parts = &self.0;
        let Some(rate) = parts.rates.of(class) else { return Ok(()) };
        let (name, rate) = match whose {
            Whose::Address(_) => (class.name_for_address(), rate.times(class.address_factor())),
            _ => (class.name(), rate),
        };
        let taken = parts.buckets.take(&(class, whose), rate, Instant::now());
        meter.note(Reading { policy: name, rate, left: taken.left, full_in: taken.full_in });
        match taken.wait {
            None => Ok(()),
            Some(wait) => {
                let seconds = meter::whole_seconds(wait).max(1);
                let detail = format!("Too many requests of the kind `{name}`; try again in {seconds} s.");
                Err(ApiError::new(Code::TooManyRequests, detail).retry_after(seconds))
            }
        }
    }
}

/// What an account's name counts as: addresses differ neither by letter case nor by spaces around.
pub fn account_key(account: &str) -> String {
    account.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Instant;

    use super::{Class, Meter, Rates, Throttle};
    use crate::limits::{HELD_UP_MAX, HOLD_UP};

    fn throttle() -> Throttle {
        Throttle::new(Rates::per_minute(5))
    }

    #[test]
    fn m12_spelling_does_not_make_another_account() {
        let (throttle, meter) = (throttle(), Meter::default());
        let take = |account: &str, address: &str| {
            throttle.on_account(Class::Login, account, address.parse().unwrap(), &meter)
        };
        for account in
            ["ada@example.com", "ADA@example.com", " Ada@Example.COM ", "aDa@example.com", "ada@example.com"]
        {
            take(account, "192.0.2.1").unwrap();
        }
        let refused = take("AdA@example.com", "192.0.2.1").unwrap_err();
        assert_eq!((refused.problem().status, refused.problem().code.as_str()), (429, "too_many_requests"));
        assert!(take("bob@example.com", "192.0.2.1").is_ok(), "another account");
        assert!(take("ada@example.com", "192.0.2.2").is_ok(), "another address");
    }

    #[test]
    fn m12_one_ipv6_customer_is_one_address() {
        let (throttle, meter) = (throttle(), Meter::default());
        let take = |address: &str| throttle.on_account(Class::Login, "ada", address.parse().unwrap(), &meter);
        for number in 1..=5 {
            take(&format!("2001:db8::{number}")).unwrap();
        }
        assert!(take("2001:db8::ffff:ffff").is_err());
        assert!(take("2001:db8:0:1::1").is_ok());
    }

    #[test]
    fn an_address_may_do_more_than_an_account_but_not_everything() {
        let (throttle, meter) = (throttle(), Meter::default());
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let take = |number: u32| throttle.on_account(Class::Login, &number.to_string(), address, &meter);
        assert_eq!((0..100).filter(|number| take(*number).is_ok()).count(), 50);
    }

    #[tokio::test]
    async fn refusals_are_held_up_but_do_not_pile_up() {
        let throttle = throttle();
        let start = Instant::now();
        let held: Vec<_> = (0..HELD_UP_MAX).map(|_| throttle.hold_up()).collect();
        let mut held = futures_util::future::join_all(held);
        assert!(futures_util::poll!(&mut held).is_pending());
        let mut further = std::pin::pin!(throttle.hold_up());
        assert!(futures_util::poll!(&mut further).is_ready());
        held.await;
        assert!(start.elapsed() >= HOLD_UP);
        assert_eq!(throttle.0.held_up.available_permits(), HELD_UP_MAX);
    }

    #[test]
    fn classes_do_not_share_buckets() {
        let (throttle, meter) = (throttle(), Meter::default());
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        while throttle.by_address(Class::Read, address, &meter).is_ok() {}
        assert!(throttle.by_address(Class::Write, address, &meter).is_ok());
    }
}
