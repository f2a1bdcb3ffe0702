//! List documents: filter, sort and page, under the list rule as SQL.

use std::sync::Arc;

use alyx_core::identity::{Identity, RequestFacts};
use alyx_core::query::{encode_cursor, parse_list};
use alyx_core::rules::RowFilter;
use alyx_core::sql::SqlPredicate;
use alyx_store::ListPage;

use super::{Documents, Judge, denied, entry};
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
        let rule = match (&entry.list, who.is_admin()) {
            (_, true) => SqlPredicate::Always.into(),
            (Some(rule), false) => RowFilter::new(rule, who, facts),
            (None, false) => return Err(denied(who)),
        };
        let sight = Judge::new(&self.store, entry, who, facts).sight().await?;
        let query = parse_list(&entry.collection, params, &sight)?;
        let page = self.store.list(Arc::clone(&entry.collection), rule, query.clone(), sight).await?;
        let next = page.last.as_ref().map(|last| encode_cursor(&query, last));
        Ok(list_answer(&page, query.limit, next.as_deref()))
    }
}

fn list_answer(page: &ListPage, limit: u32, next: Option<&str>) -> Vec<u8> {
    let mut out = Vec::with_capacity(page.docs_json.len() + 96);
    out.extend_from_slice(b"{\"docs\":");
    out.extend_from_slice(&page.docs_json);
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
