//! Get one document.

use std::sync::Arc;

use alyx_core::identity::{Identity, RequestFacts};
use alyx_core::query::parse_get;

use super::{Documents, Judge, entry, not_found, reading};
use crate::problem::ApiError;

impl Documents {
    /// Gives a document as JSON.
    pub async fn get(
        &self,
        who: &Identity,
        facts: &RequestFacts,
        collection: &str,
        id: &str,
        params: &[(String, String)],
    ) -> Result<Vec<u8>, ApiError> {
        let catalog = self.catalog.load_full();
        let entry = entry(&catalog, collection)?;
        let shown = parse_get(reading(&catalog, collection, who, facts)?, params)?;
        let shared = Arc::clone(&entry.collection);
        // Both come from one snapshot, and nothing of either is shown before the rule has seen it.
        let (document, related) = if shown.expand.is_empty() {
            (self.load(entry, id).await?, None)
        } else {
            let found = self.store.get_expanded(shared, id.to_owned(), shown.expand).await?;
            found.map(|(document, related)| (document, Some(related))).ok_or_else(not_found)?
        };
        let judge = Judge::new(&self.store, entry, who, facts);
        if !judge.allows(entry.get.as_ref(), Some(&document), None).await? {
            return Err(not_found());
        }
        let mut json = judge.show_fields(&document, shown.fields.as_deref()).await?;
        if let Some(related) = related {
            join(&mut json, &related);
        }
        Ok(json)
    }
}

/// Puts the members of a JSON object behind those of another.
fn join(object: &mut Vec<u8>, further: &[u8]) {
    object.pop();
    if object.len() > 1 {
        object.push(b',');
    }
    object.extend_from_slice(&further[1..]);
}
