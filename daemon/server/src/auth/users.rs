//! What identities need to know of accounts, kept in memory and forgotten on every write.
//!
//! A reader may fetch an account just before it is changed and put it here just after it was
//! forgotten. The generation counter closes that gap: what was read before a forgetting is not kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alyx_store::Store;

use super::facts::UserFacts;
use crate::limits::USER_CACHE_MAX;
use crate::problem::ApiError;

/// The cache. Clones share it.
#[derive(Clone, Default)]
pub struct UserCache {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    generation: u64,
    users: HashMap<String, Arc<UserFacts>>,
}

impl UserCache {
    /// The facts of a user, `None` if there is no such account.
    pub async fn facts(&self, store: &Store, id: &str) -> Result<Option<Arc<UserFacts>>, ApiError> {
        let generation = {
            let kept = self.lock();
            if let Some(facts) = kept.users.get(id) {
                return Ok(Some(Arc::clone(facts)));
            }
            kept.generation
        };
        let Some(account) = store.account_by_id(id).await? else { return Ok(None) };
        let facts = Arc::new(UserFacts::of(&account));
        let mut kept = self.lock();
        if kept.generation == generation {
            if kept.users.len() >= USER_CACHE_MAX {
                kept.users.clear();
            }
            kept.users.insert(id.to_owned(), Arc::clone(&facts));
        }
        Ok(Some(facts))
    }

    /// After a user was written.
    pub fn forget(&self, id: &str) {
        let mut kept = self.lock();
        kept.generation += 1;
        kept.users.remove(id);
    }

    /// After a write that may have touched any user.
    pub fn forget_all(&self) {
        let mut kept = self.lock();
        kept.generation += 1;
        kept.users.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
