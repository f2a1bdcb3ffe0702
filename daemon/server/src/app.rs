//! What every request handler reaches. A cheap clone; nothing in it is optional.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use alyx_store::Store;
use tokio::sync::watch;

use crate::auth::Auth;
use crate::backups::Backups;
use crate::catalog::{CatalogHandle, Catalogs};
use crate::changes::Feed;
use crate::clock_watch::ClockWatch;
use crate::config::{Config, Mode};
use crate::documents::Documents;
use crate::functions::Functions;
use crate::hooks::Hooks;
use crate::http::Bodies;
use crate::inbound::InboundWebhooks;
use crate::made::Keeper;
use crate::mail::Mail;
use crate::metrics::Metrics;
use crate::openapi::OpenApi;
use crate::realtime::Hub;
use crate::schedules::Schedules;
use crate::secrets::Secrets;
use crate::tasks::Tasks;
use crate::throttle::Throttle;
use crate::webhooks::Webhooks;

/// Handle on the parts of a running daemon.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// The parts of a running daemon.
pub struct Parts {
    pub config: Arc<Config>,
    pub mode: Mode,
    pub store: Store,
    pub catalog: CatalogHandle,
    pub catalogs: Catalogs,
    pub auth: Auth,
    pub mail: Mail,
    pub secrets: Secrets,
    /// Memory for request bodies.
    pub bodies: Bodies,
    pub documents: Documents,
    pub changes: Feed,
    pub backups: Backups,
    pub functions: Functions,
    pub hooks: Hooks,
    pub inbound: InboundWebhooks,
    pub realtime: Hub,
    pub webhooks: Webhooks,
    pub schedules: Schedules,
    pub metrics: Metrics,
    pub throttle: Throttle,
    /// What goes on when whoever asked for it is gone.
    pub tasks: Tasks,
    pub openapi: OpenApi,
    pub clock_watch: ClockWatch,
    pub started: Instant,
    /// Where the API is served, with the port that was taken.
    pub listen: SocketAddr,
    /// Where it is served with TLS, if it is.
    pub tls_listen: Option<SocketAddr>,
    /// Where metrics are served to anybody, if they are.
    pub metrics_listen: Option<SocketAddr>,
    /// Turns true when the daemon is to stop; answers without an end of their own end then.
    pub stopped: watch::Receiver<bool>,
}

impl App {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// The schema or a secret is another one: everybody who keeps something of it takes it over.
    pub fn renew(&self) {
        self.functions.renew();
        self.hooks.renew();
        self.webhooks.renew();
        self.realtime.renew();
    }

    /// The same, and the code of functions is read again.
    pub fn read_again(&self) {
        self.functions.read_again();
        self.hooks.renew();
        self.webhooks.renew();
        self.schedules.wake();
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
