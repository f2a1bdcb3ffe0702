//! What identities need to know of accounts and which of their sessions run, kept in memory and
//! forgotten on every write to the account and at every end of a session.
//!
//! A reader may fetch an account just before it is changed and put it here just after it was
//! forgotten. The generation counter closes that gap: what was read before a forgetting is not kept.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alyx_store::{OnAccounts, Store, Touched};

use super::facts::UserFacts;
use crate::limits::{USER_CACHE_MAX, USER_CACHE_SESSIONS_MAX};
use crate::problem::ApiError;

/// The cache. Clones share it.
#[derive(Clone, Default)]
pub struct UserCache {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    generation: u64,
    users: HashMap<String, Known>,
}

struct Known {
    facts: Arc<UserFacts>,
    /// Sessions that ran when they were looked up.
    sessions: HashSet<String>,
}

impl UserCache {
    /// The facts of a user, `None` if there is no such account or the session is not one that runs.
    pub async fn facts(
        &self,
        store: &Store,
        id: &str,
        session: &str,
    ) -> Result<Option<Arc<UserFacts>>, ApiError> {
        let generation = {
            let kept = self.lock();
            if let Some(known) = kept.users.get(id).filter(|known| known.sessions.contains(session)) {
                return Ok(Some(Arc::clone(&known.facts)));
            }
            kept.generation
        };
        let Some(account) = store.account_by_id(id).await? else { return Ok(None) };
        if !store.session_live(session).await? {
            return Ok(None);
        }
        let facts = Arc::new(UserFacts::of(&account));
        let mut kept = self.lock();
        if kept.generation == generation {
            kept.keep(id, session, Arc::clone(&facts));
        }
        Ok(Some(facts))
    }

    /// What the store tells of its commits. It is told by the writer, so nothing depends on whether the
    /// request that wrote is still there.
    pub fn listener(&self) -> OnAccounts {
        let users = self.clone();
        OnAccounts(Arc::new(move |touched| users.forget(touched)))
    }

    /// After a commit that touched these accounts.
    pub fn forget(&self, touched: Touched<'_>) {
        let mut kept = self.lock();
        kept.generation += 1;
        match touched {
            Touched::Some(ids) => ids.iter().for_each(|id| drop(kept.users.remove(id))),
            Touched::All => kept.users.clear(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn keep(&mut self, id: &str, session: &str, facts: Arc<UserFacts>) {
        if self.users.len() >= USER_CACHE_MAX && !self.users.contains_key(id) {
            self.users.clear();
        }
        let known = self
            .users
            .entry(id.to_owned())
            .or_insert_with(|| Known { facts: Arc::clone(&facts), sessions: HashSet::new() });
        known.facts = facts;
        if known.sessions.len() >= USER_CACHE_SESSIONS_MAX {
            known.sessions.clear();
        }
        known.sessions.insert(session.to_owned());
    }
}
