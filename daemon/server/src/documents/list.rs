//! List documents and calculate over them: filter, search, sort and page, under the list rule as SQL.

use std::sync::Arc;

use alyx_core::catalog::Catalog;
use alyx_core::identity::{Identity, RequestFacts};
use alyx_core::query::{Reading, encode_cursor, parse_aggregate, parse_list};
use alyx_core::scope::Touch;
use alyx_store::ListPage;

use super::{Documents, denied, entry, no_collection};
use crate::problem::ApiError;

impl Documents {
    /// Gives a page of documents as the JSON of a list answer.
    pub async fn list(
        &self,
        who: &Identity,
        facts: &RequestFacts,
        collection: &str,
        params: &[(String, String)],
    ) -> Result<Vec<u8>, ApiError> {
        let catalog = self.catalog.load_full();
        let entry = entry(&catalog, collection)?;
        if entry.list.is_none() && !who.is_free_of_rules(collection, Touch::Read) {
            return Err(denied(who));
        }
        let query = parse_list(reading(&catalog, collection, who, facts)?, params)?;
        let page = self.store.list(Arc::clone(&entry.collection), query.clone()).await?;
        let next = page.last.as_ref().map(|last| encode_cursor(&query, last));
        Ok(list_answer(&page, query.limit, next.as_deref()))
    }

    /// Gives counts, sums and the like over the documents that the caller may see, as JSON.
    pub async fn aggregate(
        &self,
        who: &Identity,
        facts: &RequestFacts,
        collection: &str,
        params: &[(String, String)],
    ) -> Result<Vec<u8>, ApiError> {
        let catalog = self.catalog.load_full();
        let entry = entry(&catalog, collection)?;
        if entry.list.is_none() && !who.is_free_of_rules(collection, Touch::Read) {
            return Err(denied(who));
        }
        let query = parse_aggregate(reading(&catalog, collection, who, facts)?, params)?;
        let limit = query.limit;
        let page = self.store.aggregate(Arc::clone(&entry.collection), query).await?;
        let mut out = b"{\"groups\":".to_vec();
        out.extend_from_slice(&page.groups_json);
        out.extend_from_slice(format!(",\"limit\":{limit},\"more\":{}}}", page.more).as_bytes());
        Ok(out)
    }
}

/// The collection as the caller may read it.
pub fn reading<'a>(
    catalog: &'a Catalog,
    collection: &str,
    who: &'a Identity,
    facts: &'a RequestFacts,
) -> Result<Reading<'a>, ApiError> {
    Reading::new(catalog, collection, who, facts).ok_or_else(|| no_collection(collection))
}

fn list_answer(page: &ListPage, limit: u32, next: Option<&str>) -> Vec<u8> {
    let mut out = Vec::with_capacity(page.docs_json.len() + 96);
    out.extend_from_slice(b"{\"docs\":");
    out.extend_from_slice(&page.docs_json);
    if let Some(snippets) = &page.snippets_json {
        out.extend_from_slice(b",\"snippets\":");
        out.extend_from_slice(snippets);
    }
    out.extend_from_slice(format!(",\"limit\":{limit}").as_bytes());
    if let Some(next) = next {
        // A cursor is base64url, so it needs no escaping.
        out.extend_from_slice(format!(",\"next_cursor\":\"{next}\"").as_bytes());
    }
    if let Some(total) = page.total {
        out.extend_from_slice(format!(",\"total\":{total}").as_bytes());
    }
    out.push(b'}');
    out
}
