//! Changes as they happen, to whoever may see them. `docs/realtime.md` is the reference.
//!
//! Subscriptions that come to the same question share a group. When a change may matter to it, the group
//! asks once, in one snapshot with the place in the change feed, and tells each member the difference to
//! what that member was told last.
//!
//! | module | job |
//! |---|---|
//! | `message` | what is said, both ways |
//! | `question` | what a subscription comes to for one identity |
//! | `group`, `view` | what it shows, and what is different |
//! | `groups` | which groups a change may matter to |
//! | `channel`, `channels` | what clients say to each other |
//! | `connection`, `outbox` | a client, and what waits for it |
//! | `talk` | what clients say, carried out |
//! | `doubts` | whose rights may be different |
//! | `tasks` | what goes on by itself |

mod channel;
mod channels;
mod connection;
mod doubts;
mod group;
mod groups;
mod message;
mod outbox;
mod places;
mod question;
mod talk;
mod tasks;
mod view;

use std::collections::HashMap;
use std::fmt;
use std::hash::RandomState;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alyx_core::catalog::Catalog;
use alyx_core::identity::RequestFacts;
use alyx_store::Store;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use self::channels::Channels;
use self::group::Group;
use self::groups::Groups;
use self::places::Places;
use crate::auth::{Auth, Lasting};
use crate::catalog::CatalogHandle;
use crate::config;
use crate::limits::REALTIME_READS_MAX;
use crate::metrics::Metrics;
use crate::problem::{ApiError, Code};
use crate::tasks::Tasks;

pub use connection::Connection;
pub use doubts::Doubts;
pub use message::{Reason, read_broadcast};
pub use outbox::{Message, Next};

/// The service. A cheap clone.
#[derive(Clone)]
pub struct Hub(Arc<Parts>);

struct Parts {
    store: Store,
    catalog: CatalogHandle,
    auth: Auth,
    settings: config::Realtime,
    groups: Groups,
    channels: Channels,
    places: Places,
    connections: Mutex<HashMap<String, Arc<Connection>>>,
    doubts: Doubts,
    doubted: Mutex<Option<UnboundedReceiver<Arc<Connection>>>>,
    /// The highest sequence number that was heard of.
    latest: watch::Receiver<u64>,
    /// Changes when there may be events that were not there before.
    events: watch::Receiver<u64>,
    /// What was there at the start, of which nothing is heard.
    first: u64,
    stopped: watch::Receiver<bool>,
    reads: Semaphore,
    hasher: RandomState,
    metrics: Metrics,
    tasks: Tasks,
}

/// What it is told of: whose rights may be different, changes, that there may be events, and the order to
/// stop.
type Told = (
    (Doubts, UnboundedReceiver<Arc<Connection>>),
    watch::Receiver<u64>,
    watch::Receiver<u64>,
    watch::Receiver<bool>,
);

/// A connection that is open; dropping it ends it.
pub struct Open {
    pub hub: Hub,
    pub connection: Arc<Connection>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.hub.close(&self.connection);
    }
}

impl Hub {
    /// The service, without connections.
    pub async fn start(
        settings: config::Realtime,
        (store, catalog, auth): (&Store, &CatalogHandle, &Auth),
        (doubts, latest, events, stopped): Told,
        (tasks, metrics): (&Tasks, Metrics),
    ) -> Result<Self, alyx_store::Error> {
        let (doubts, doubted) = doubts;
        let first = store.last_change().await?.seq;
        Ok(Self(Arc::new(Parts {
            store: store.clone(),
            catalog: Arc::clone(catalog),
            auth: auth.clone(),
            settings,
            groups: Groups::default(),
            channels: Channels::default(),
            places: Places::default(),
            connections: Mutex::default(),
            doubts,
            doubted: Mutex::new(Some(doubted)),
            latest,
            events,
            first,
            stopped,
            reads: Semaphore::new(REALTIME_READS_MAX),
            hasher: RandomState::new(),
            metrics,
            tasks: tasks.clone(),
        })))
    }

    /// Takes in a connection, until the answer is dropped.
    ///
    /// # Errors
    /// `too_many_requests` if there are too many already.
    pub fn open(&self, who: Lasting, facts: RequestFacts, address: Option<String>) -> Result<Open, ApiError> {
        let (parts, settings) = (&self.0, &self.0.settings);
        let names = [
            (Some("all".to_owned()), settings.connections),
            (address.map(|address| format!("address {address}")), settings.connections_per_address),
            (who.credential.owner().map(of_identity), settings.connections_per_identity),
        ];
        let mut places = Vec::new();
        for (name, most) in names {
            let Some(name) = name else { continue };
            places.push(parts.places.enter(name, most).ok_or_else(too_many_connections)?);
        }
        let owner = who.credential.owner().map(str::to_owned);
        let connection = Arc::new(Connection::new(who, facts, places, settings.queue_bytes));
        self.connections().insert(connection.id.clone(), Arc::clone(&connection));
        if let Some(owner) = owner {
            parts.doubts.add(&owner, &connection);
            // It may have changed since it was asked.
            parts.doubts.doubt(&connection);
        }
        let mut stopped = parts.stopped.clone();
        if *stopped.borrow_and_update() {
            self.end(&connection, Reason::Stopping);
        }
        Ok(Open { hub: self.clone(), connection })
    }

    /// A connection by its id.
    pub fn find(&self, id: &str) -> Option<Arc<Connection>> {
        self.connections().get(id).map(Arc::clone)
    }

    /// How many connections are open.
    pub fn connection_count(&self) -> usize {
        self.connections().len()
    }

    /// How many subscriptions they have.
    pub fn subscription_count(&self) -> usize {
        let all: Vec<Arc<Connection>> = self.connections().values().map(Arc::clone).collect();
        all.iter().map(|connection| connection.lock().subscriptions.len()).sum()
    }

    /// A message was sent to one of them.
    pub fn note_sent(&self) {
        self.0.metrics.message();
    }

    fn close(&self, connection: &Arc<Connection>) {
        self.connections().remove(&connection.id);
        connection.outbox.end(Reason::Gone, Message::own(String::new()));
        let owner = {
            let mut state = connection.lock();
            state.places.clear();
            state.credential.owner().map(str::to_owned)
        };
        connection.leave_all();
        if let Some(owner) = owner {
            self.0.doubts.remove(&owner, connection);
        }
    }

    /// The schema is another one: every subscription is looked at again.
    pub fn renew(&self) {
        let all: Vec<Arc<Connection>> = self.connections().values().map(Arc::clone).collect();
        all.iter().for_each(|connection| self.0.doubts.doubt(connection));
    }

    /// How often both ends say that they are there.
    pub fn heartbeat(&self) -> Duration {
        self.0.settings.heartbeat
    }

    /// Bytes of a message of a client.
    pub fn message_limit(&self) -> usize {
        self.0.settings.message_bytes
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<String, Arc<Connection>>> {
        self.0.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self) -> &Store {
        &self.0.store
    }

    fn hasher(&self) -> &RandomState {
        &self.0.hasher
    }

    fn stopped(&self) -> watch::Receiver<bool> {
        self.0.stopped.clone()
    }

    /// Room for one read.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.0.reads.acquire().await.ok()
    }

    /// Waits until the writer has told of everything up to this change.
    async fn heard_of(&self, seq: u64) {
        if seq > self.0.first {
            let mut latest = self.0.latest.clone();
            // It tells right after the commit.
            let told = latest.wait_for(|latest| *latest >= seq);
            drop(tokio::time::timeout(Duration::from_secs(1), told).await);
        }
    }

    fn is_current(&self, catalog: &Arc<Catalog>) -> bool {
        Arc::ptr_eq(&self.0.catalog.load(), catalog)
    }

    /// Forgets a group that is over.
    fn forget(&self, group: &Arc<Group>) {
        self.0.groups.remove(group);
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Hub")
    }
}

fn of_identity(owner: &str) -> String {
    format!("identity {owner}")
}

fn too_many_connections() -> ApiError {
    ApiError::new(Code::TooManyRequests, "Too many realtime connections are open.").retry_after(5)
}
