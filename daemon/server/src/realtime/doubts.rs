//! Whose account, key or session may be different. The writer tells of it before anybody learns that the
//! commit was made, so nothing that is read later is told by rights from before.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use alyx_store::{OnAccounts, Touched};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::connection::Connection;

/// Connections by account or key. A cheap clone.
#[derive(Clone, Debug)]
pub struct Doubts {
    owners: Arc<Mutex<HashMap<String, Vec<Weak<Connection>>>>>,
    /// Each connection is in it once at most.
    queue: UnboundedSender<Arc<Connection>>,
}

impl Doubts {
    /// Nobody yet; and where those come out who have to be looked at.
    pub fn new() -> (Self, UnboundedReceiver<Arc<Connection>>) {
        let (queue, doubted) = unbounded_channel();
        (Self { owners: Arc::default(), queue }, doubted)
    }

    /// What the store tells of its commits, after `first` was told.
    pub fn listener(&self, first: OnAccounts) -> OnAccounts {
        let doubts = self.clone();
        OnAccounts(Arc::new(move |touched| {
            (first.0)(touched);
            doubts.touch(touched);
        }))
    }

    /// From now on the connection is doubted along with this account or key.
    pub fn add(&self, owner: &str, connection: &Arc<Connection>) {
        self.lock().entry(owner.to_owned()).or_default().push(Arc::downgrade(connection));
    }

    /// Not any more.
    pub fn remove(&self, owner: &str, connection: &Connection) {
        let mut owners = self.lock();
        if let Some(connections) = owners.get_mut(owner) {
            connections
                .retain(|known| known.upgrade().is_some_and(|known| !std::ptr::eq(&*known, connection)));
            if connections.is_empty() {
                owners.remove(owner);
            }
        }
    }

    /// Has a connection looked at. Nothing is told to it before.
    pub fn doubt(&self, connection: &Arc<Connection>) {
        connection.doubt();
        if !connection.queued.swap(true, Ordering::AcqRel) {
            // Without a receiver the daemon stops.
            drop(self.queue.send(Arc::clone(connection)));
        }
    }

    fn touch(&self, touched: Touched<'_>) {
        let owners = self.lock();
        let each = |connections: &Vec<Weak<Connection>>| {
            connections.iter().filter_map(Weak::upgrade).for_each(|connection| self.doubt(&connection));
        };
        match touched {
            Touched::Some(ids) => ids.iter().filter_map(|id| owners.get(id)).for_each(each),
            Touched::All => owners.values().for_each(each),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<Weak<Connection>>>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
