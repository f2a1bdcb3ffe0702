//! All groups, and which of them a change may matter to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alyx_core::catalog::Catalog;
use alyx_core::document::{Document, recall};
use alyx_core::value::Value;
use alyx_store::ChangeRow;

use super::group::Group;
use super::question::Key;

/// The groups.
#[derive(Debug, Default)]
pub struct Groups(Mutex<Index>);

#[derive(Debug, Default)]
struct Index {
    by_key: HashMap<Key, Arc<Group>>,
    by_collection: HashMap<String, Watchers>,
    /// Those that documents of any collection may matter to.
    elsewhere: Vec<Arc<Group>>,
}

/// Groups of one collection.
#[derive(Debug, Default)]
struct Watchers {
    /// Those that every change may matter to.
    all: Vec<Arc<Group>>,
    /// The others by field and value.
    by_value: HashMap<usize, HashMap<String, Vec<Arc<Group>>>>,
}

impl Groups {
    /// The group of this key, if there is one.
    pub fn get(&self, key: &Key) -> Option<Arc<Group>> {
        self.lock().by_key.get(key).map(Arc::clone)
    }

    /// Puts in a group; answers the one that counts, and whether it is this one.
    pub fn add(&self, group: Group) -> (Arc<Group>, bool) {
        let mut index = self.lock();
        if let Some(known) = index.by_key.get(&group.question.key) {
            return (Arc::clone(known), false);
        }
        let group = Arc::new(group);
        index.by_key.insert(group.question.key, Arc::clone(&group));
        index.places(&group, |list| list.push(Arc::clone(&group)));
        (group, true)
    }

    /// Takes out a group that is over.
    pub fn remove(&self, group: &Arc<Group>) {
        let mut index = self.lock();
        if index.by_key.get(&group.question.key).is_some_and(|known| Arc::ptr_eq(known, group)) {
            index.by_key.remove(&group.question.key);
        }
        index.places(group, |list| list.retain(|known| !Arc::ptr_eq(known, group)));
        index.tidy(&group.question.collection.name);
    }

    pub fn is_empty(&self) -> bool {
        self.lock().by_key.is_empty()
    }

    pub fn all(&self) -> Vec<Arc<Group>> {
        self.lock().by_key.values().map(Arc::clone).collect()
    }

    /// Wakes those that a change may matter to.
    pub fn wake(&self, catalog: &Catalog, row: &ChangeRow) {
        let index = self.lock();
        index.elsewhere.iter().for_each(|group| group.wake());
        let Some(watchers) = index.by_collection.get(&row.collection) else { return };
        watchers.all.iter().for_each(|group| group.wake());
        if watchers.by_value.is_empty() {
            return;
        }
        let known = catalog.collection(&row.collection).and_then(|entry| {
            let read = |json: &Option<String>| match json {
                Some(json) => recall(&entry.collection, json).map(Some),
                None => Some(None),
            };
            Some([read(&row.before)?, read(&row.after)?])
        });
        match known {
            Some(documents) => documents.iter().flatten().for_each(|document| watchers.wake_by(document)),
            // It cannot be told what was in it.
            None => watchers.by_value.values().flat_map(HashMap::values).flatten().for_each(|one| one.wake()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    /// Every list that the group belongs into.
    fn places(&mut self, group: &Group, mut change: impl FnMut(&mut Vec<Arc<Group>>)) {
        let question = &group.question;
        if question.looks_elsewhere {
            return change(&mut self.elsewhere);
        }
        let watchers = self.by_collection.entry(question.collection.name.clone()).or_default();
        match &question.terms {
            None => change(&mut watchers.all),
            Some(terms) => {
                for (field, value) in terms {
                    let values = watchers.by_value.entry(*field).or_default();
                    change(values.entry(name(value)).or_default());
                }
            }
        }
    }

    fn tidy(&mut self, collection: &str) {
        let Some(watchers) = self.by_collection.get_mut(collection) else { return };
        watchers.by_value.retain(|_, values| {
            values.retain(|_, groups| !groups.is_empty());
            !values.is_empty()
        });
        if watchers.all.is_empty() && watchers.by_value.is_empty() {
            self.by_collection.remove(collection);
        }
    }
}

impl Watchers {
    fn wake_by(&self, document: &Document) {
        for (field, values) in &self.by_value {
            let groups = document.values.get(*field).and_then(|value| values.get(&name(value)));
            groups.into_iter().flatten().for_each(|group| group.wake());
        }
    }
}

/// A value as it is looked up.
fn name(value: &Value) -> String {
    match value {
        Value::Null => "n".to_owned(),
        Value::Integer(number) => format!("i{number}"),
        Value::Real(number) => format!("r{number}"),
        Value::Text(text) => format!("t{text}"),
        Value::Blob(bytes) => format!("b{bytes:?}"),
    }
}
