//! How often somebody may try. Every way to sign in, to make an account, or to have a mail sent asks
//! here first.

use super::Auth;
use super::session::Client;
use crate::problem::ApiError;
use crate::throttle::Class;

/// A guess at a secret of an account that is being checked. It counts as wrong until it is told to
/// have succeeded, so nobody gets another one by hanging up or by guessing many times at once.
#[derive(Debug)]
#[must_use = "a right guess must be told to have succeeded"]
pub struct Guess;

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
    /// `too_many_requests` with the time to wait.
    pub async fn guess(&self, account: &str, client: &Client) -> Result<Guess, ApiError> {
        if let Some(address) = client.address {
            self.0.throttle.on_account(Class::Login, account, address, &client.meter)?;
        }
        Ok(Guess)
    }
}

impl Guess {
    /// It was right.
    pub fn succeeded(self) {}
}
