//! An HTTP client that is made when it is first needed: reading the host's roots of trust takes tens of
//! milliseconds and some megabytes, which a daemon that asks nobody need not spend.

use std::fmt;
use std::sync::{Arc, OnceLock};

use reqwest::{Client, ClientBuilder};

/// The client. A cheap clone.
#[derive(Clone)]
pub struct LazyClient(Arc<Parts>);

struct Parts {
    settings: Box<dyn Fn() -> ClientBuilder + Send + Sync>,
    made: OnceLock<Client>,
}

impl LazyClient {
    /// With these settings, beside those that every client of the daemon has.
    pub fn new(settings: impl Fn(ClientBuilder) -> ClientBuilder + Send + Sync + 'static) -> Self {
        let base = || {
            Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .user_agent(concat!("alyx/", env!("CARGO_PKG_VERSION")))
        };
        Self(Arc::new(Parts { settings: Box::new(move || settings(base())), made: OnceLock::new() }))
    }

    /// The client itself.
    ///
    /// # Errors
    /// If the TLS library finds no roots of trust.
    pub fn get(&self) -> Result<&Client, reqwest::Error> {
        if let Some(client) = self.0.made.get() {
            return Ok(client);
        }
        let client = (self.0.settings)().build()?;
        Ok(self.0.made.get_or_init(|| client))
    }
}

impl fmt::Debug for LazyClient {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("LazyClient").field("made", &self.0.made.get().is_some()).finish()
    }
}
