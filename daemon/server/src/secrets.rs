//! Secrets of functions: set by administrators, given to the functions that name them, never read back.
//!
//! At rest they are sealed with the key of the data directory; in the daemon they are in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use alyx_store::{SealedSecret, Store};
use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use crate::audit::{self, Event};
use crate::seal::{NotOurs, Sealer};

/// The secrets. A cheap clone.
#[derive(Clone)]
pub struct Secrets(Arc<Parts>);

struct Parts {
    store: Store,
    sealer: Sealer,
    kept: ArcSwap<BTreeMap<String, Secret>>,
    /// One change at a time, so that memory and database agree on which was the last.
    changing: Mutex<()>,
}

/// One secret.
#[derive(Clone)]
pub struct Secret {
    /// None where it was sealed with the key of another data directory.
    pub value: Option<Arc<str>>,
    /// When it was first set. RFC 3339.
    pub created_at: String,
    /// When it was last set. RFC 3339.
    pub updated_at: String,
}

impl Secrets {
    /// Opens those that are kept.
    pub async fn load(store: Store, sealer: Sealer) -> Result<Self, alyx_store::Error> {
        let parts = Parts { store, sealer, kept: ArcSwap::default(), changing: Mutex::default() };
        parts.reload().await?;
        Ok(Self(Arc::new(parts)))
    }

    /// All of them, by name.
    pub fn all(&self) -> Arc<BTreeMap<String, Secret>> {
        self.0.kept.load_full()
    }

    /// Sets a secret.
    pub async fn set(&self, name: &str, value: &str, event: Event) -> Result<(), alyx_store::Error> {
        let _one = self.0.changing.lock().await;
        let sealed = self.0.sealer.seal(&owner(name), value.as_bytes());
        audit::with(&self.0.store, event).set_secret(name.to_owned(), sealed).await?;
        self.0.reload().await
    }

    /// Forgets a secret. Fails with `NotFound` if there is none of this name.
    pub async fn remove(&self, name: &str, event: Event) -> Result<(), alyx_store::Error> {
        let _one = self.0.changing.lock().await;
        audit::with(&self.0.store, event).remove_secret(name.to_owned()).await?;
        self.0.reload().await
    }
}

impl Parts {
    async fn reload(&self) -> Result<(), alyx_store::Error> {
        let sealed = self.store.secrets().await?;
        self.kept.store(Arc::new(sealed.into_iter().map(|one| self.open(one)).collect()));
        Ok(())
    }

    fn open(&self, sealed: SealedSecret) -> (String, Secret) {
        let SealedSecret { name, sealed, created_at, updated_at } = sealed;
        let opened = self.sealer.open(&owner(&name), &sealed);
        let value = opened.and_then(|value| String::from_utf8(value).map_err(|_| NotOurs));
        if value.is_err() {
            tracing::warn!("the secret {name} was sealed with another key: set it again");
        }
        (name, Secret { value: value.ok().map(Arc::from), created_at, updated_at })
    }
}

fn owner(name: &str) -> String {
    format!("secret:{name}")
}
