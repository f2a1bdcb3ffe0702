//! How often somebody may try. Every way to sign in, to make an account, or to have a mail sent asks
//! here first.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use alyx_store::{Account, LockoutRow, NewDevice};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;

use super::Auth;
use super::lockout::{Place, counted_name};
use super::session::{Client, hash_of};
use crate::audit::{self, Action, Event};
use crate::clock;
use crate::limits::DEVICE_KEPT_FOR;
use crate::problem::{ApiError, Code, error_chain, problem};
use crate::throttle::{Class, account_key};

/// Header with the solution of a challenge.
pub const CHALLENGE: &str = "x-alyx-challenge";

/// What a client shows to be let in where others have to wait, and what it is given to show next time.
#[derive(Clone, Debug, Default)]
pub struct Pass {
    /// Hash of the device's token.
    pub device: Option<[u8; 32]>,
    /// Solution of a challenge.
    pub solution: Option<String>,
    /// Token for this device, if one was made.
    pub issued: Arc<OnceLock<String>>,
}

/// A guess at a secret of an account that is being checked. It counts as wrong until it is told to
/// have succeeded, so nobody gets another one by hanging up or by guessing many times at once.
#[must_use = "a right guess must be told to have succeeded"]
pub struct Guess(Option<(Auth, String, Place)>);

impl Auth {
    /// Takes one registration from the client's address.
    pub fn allow_register(&self, client: &Client) -> Result<(), ApiError> {
        let Some(address) = client.address else { return Ok(()) };
        self.0.throttle.by_address(Class::Register, address, &client.meter)
    }

    /// Takes one request that sends a mail to `account`, an address that somebody typed, whether or not
    /// there is such an account.
    pub fn allow_mail(&self, account: &str, client: &Client) -> Result<(), ApiError> {
        let Some(address) = client.address else { return Ok(()) };
        self.0.throttle.on_account(Class::Reset, account, address, &client.meter)
    }

    /// Takes one guess at a password, a code or another secret of `account`: what the client claims, or
    /// the id of a user where that is what it knows. Ask before looking whether there is such an
    /// account, so that the answer is the same for all.
    ///
    /// # Errors
    /// `too_many_requests` or `locked_out` with the time to wait, `challenge_required` with the
    /// challenge.
    pub async fn guess(&self, account: &str, client: &Client) -> Result<Guess, ApiError> {
        let Some(address) = client.address else { return Ok(Guess(None)) };
        let parts = &self.0;
        let (name, now) = (counted_name(account), Timestamp::now());
        let known = self.known_device(account, client).await?;
        let known = known.filter(|device| parts.lockouts.wait(&name, *device, now).is_none());
        let place = known.unwrap_or(Place::address(address));
        if let Place::Device(device) = place {
            parts.throttle.on_device(Class::Login, account, device, &client.meter)?;
        } else {
            parts.throttle.on_account(Class::Login, account, address, &client.meter)?;
            if let Some(wait) = parts.lockouts.wait(&name, place, now) {
                return Err(locked_out(wait));
            }
            if let Some(over) = parts.lockouts.challenged(&name, now) {
                self.expect_solution(&name, over, client)?;
            }
            self.keep(parts.lockouts.count(&name, Place::Any, now), client).await;
        }
        self.keep(parts.lockouts.count(&name, place, now), client).await;
        Ok(Guess(Some((self.clone(), name, place))))
    }

    /// Makes the device known to the account of somebody who has signed in, unless it is. Failing that
    /// is no reason to refuse the sign-in.
    pub(super) async fn trust_device(&self, account: &Account, client: &Client) {
        if client.address.is_none() {
            return;
        }
        let (user_id, now) = (self.facts(account).id, Timestamp::now());
        if let Some(device) = client.pass.device
            && let Ok(Some(found)) = self.0.store.device_user(device, now).await
            && found == user_id
        {
            return;
        }
        let token = URL_SAFE_NO_PAD.encode(clock::random::<32>());
        let device = NewDevice { hash: hash_of(&token), user_id, expires_at: now + DEVICE_KEPT_FOR };
        match self.0.store.add_device(device).await {
            Ok(()) => drop(client.pass.issued.set(token)),
            Err(error) => tracing::error!("a device was not kept: {}", error_chain(&error)),
        }
    }

    /// What is locked or challenged now.
    pub fn lockouts(&self) -> Vec<LockoutRow> {
        self.0.lockouts.list(Timestamp::now())
    }

    /// Forgets the wrong guesses at an account, or at all of them.
    pub async fn clear_lockouts(&self, account: Option<&str>, event: Event) -> Result<(), ApiError> {
        let account = account.map(counted_name);
        audit::with(&self.0.store, event).clear_lockouts(account.as_deref()).await?;
        self.0.lockouts.clear(account.as_deref());
        Ok(())
    }

    /// The client's device, if it is one of the account's owner. Nothing is looked up by what was
    /// claimed, so no time tells whether there is such an account.
    async fn known_device(&self, claimed: &str, client: &Client) -> Result<Option<Place>, ApiError> {
        let Some(device) = client.pass.device else { return Ok(None) };
        let Some(user) = self.0.store.device_user(device, Timestamp::now()).await? else { return Ok(None) };
        let Some(account) = self.0.store.account_by_id(&user).await? else { return Ok(None) };
        let own = user == claimed || account_key(&self.facts(&account).email) == account_key(claimed);
        Ok(own.then_some(Place::Device(device)))
    }

    fn expect_solution(&self, name: &str, over: u32, client: &Client) -> Result<(), ApiError> {
        let (challenges, now) = (&self.0.challenges, clock::now_seconds());
        if client.pass.solution.as_ref().is_some_and(|solution| challenges.solved(name, solution, now)) {
            return Ok(());
        }
        let detail = "Too many have guessed at this account; solve the challenge in `details`.";
        let mut problem = problem(Code::ChallengeRequired, detail);
        problem.hint = Some(format!(
            "Send `<challenge>:<text>` in `{CHALLENGE}`, or use a device that has signed in before."
        ));
        problem.details = Some(challenges.make(name, over, now));
        Err(problem.into())
    }

    /// Keeps a lockout, and tells of its beginning. Without the database it holds until a restart.
    async fn keep(&self, row: Option<LockoutRow>, client: &Client) {
        let Some(row) = row else { return };
        let place = row.place.split(':').next().unwrap_or_default().to_owned();
        let event = Event::new(Action::Lockout, &alyx_core::identity::Identity::Anonymous, client)
            .detail("place", place)
            .detail("failures", row.failures);
        if let Err(error) = audit::with(&self.0.store, event.denied()).save_lockout(row).await {
            tracing::error!("a lockout was not kept: {}", error_chain(&error));
        }
    }
}

impl Guess {
    /// It was right.
    pub async fn succeeded(self) {
        let Some((auth, name, place)) = self.0 else { return };
        if auth.0.lockouts.forgive(&name, place)
            && let Err(error) = auth.0.store.clear_lockouts(Some(&name)).await
        {
            tracing::error!("a lockout was not forgotten: {}", error_chain(&error));
        }
    }
}

fn locked_out(wait: Duration) -> ApiError {
    let seconds = wait.as_secs() + 1;
    let detail = format!("Too many wrong guesses from here; try again in {seconds} s.");
    ApiError::new(Code::LockedOut, detail).retry_after(seconds)
}
