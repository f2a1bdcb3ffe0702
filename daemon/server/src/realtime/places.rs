//! How many connections there are, by address and by identity.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts by name. A cheap clone.
#[derive(Clone, Debug, Default)]
pub struct Places(Arc<Mutex<HashMap<String, usize>>>);

/// A counted connection; dropping it counts down.
pub struct Place {
    places: Places,
    name: String,
}

impl Places {
    /// Counts one more; `None` if there are as many as may be.
    pub fn enter(&self, name: String, most: usize) -> Option<Place> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(name.clone()).or_insert(0);
        if *count >= most {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Place { places: self.clone(), name })
    }
}

impl Place {
    /// Whether it is one of this name.
    pub fn is(&self, name: &str) -> bool {
        self.name == name
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Place").field(&self.name).finish()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Places;

    #[test]
    fn places_are_counted() {
        let places = Places::default();
        let first = places.enter("a".to_owned(), 2);
        let second = places.enter("a".to_owned(), 2);
        assert!(first.is_some() && second.is_some() && places.enter("a".to_owned(), 2).is_none());
        assert!(places.enter("b".to_owned(), 2).is_some());
        drop(first);
        assert!(places.enter("a".to_owned(), 2).is_some());
        drop(second);
        assert!(places.0.lock().unwrap().is_empty());
    }
}
