//! What happenings cause, put together from everybody who wants to be told: the store takes the list as a
//! whole.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use alyx_store::{Store, Topic, Trigger};

/// Triggers by the one who wants them. A cheap clone.
#[derive(Clone)]
pub struct Triggers {
    store: Store,
    wanted: Arc<Mutex<Wanted>>,
}

/// Each with its topic, by the one who wants them.
type Wanted = BTreeMap<&'static str, Vec<(Topic, Trigger)>>;

impl Triggers {
    /// No triggers.
    pub fn new(store: Store) -> Self {
        Self { store, wanted: Arc::default() }
    }

    /// From now on `who` wants these, each with its topic, and no others.
    pub fn set(&self, who: &'static str, triggers: Vec<(Topic, Trigger)>) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.insert(who, triggers);
        let mut all = alyx_store::Triggers::default();
        for (topic, trigger) in wanted.values().flatten() {
            all.0.entry(topic.clone()).or_default().push(trigger.clone());
        }
        self.store.set_triggers(all);
    }
}
