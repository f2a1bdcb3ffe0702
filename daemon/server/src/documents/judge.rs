//! The rules of one collection for one request: whether an operation is allowed, which fields may be
//! set, and what of a document is shown. Every document operation asks here.

use alyx_core::catalog::CollectionEntry;
use alyx_core::document::{Document, DocumentError, named_fields, write_json};
use alyx_core::identity::{Identity, RequestFacts};
use alyx_core::rules::{Decision, DocRef, NoLookups, Rule, RuleInput, Sight};
use alyx_core::schema::Collection;

use crate::problem::ApiError;

/// Judges one request about one collection.
pub struct Judge<'a> {
    entry: &'a CollectionEntry,
    who: &'a Identity,
    facts: &'a RequestFacts,
}

impl<'a> Judge<'a> {
    pub fn new(entry: &'a CollectionEntry, who: &'a Identity, facts: &'a RequestFacts) -> Self {
        Self { entry, who, facts }
    }

    /// Whether a rule of the collection allows it. Administrators pass, a missing rule denies, and so
    /// does one that fails, which is logged.
    pub async fn allows(
        &self,
        rule: Option<&Rule>,
        doc: Option<&Document>,
        old: Option<&Document>,
    ) -> Result<bool, ApiError> {
        if self.who.is_admin() {
            return Ok(true);
        }
        let Some(rule) = rule else { return Ok(false) };
        Ok(match rule.check(&self.input(doc, old)) {
            Decision::Allow => true,
            Decision::Deny => false,
            Decision::Error(reason) => {
                log(&self.entry.collection, &reason);
                false
            }
        })
    }

    /// Refuses a body that names a field which the caller may not set. The caller was allowed to see
    /// that the document exists.
    pub async fn check_written(
        &self,
        body: &[u8],
        doc: &Document,
        old: Option<&Document>,
    ) -> Result<(), ApiError> {
        if self.entry.fields.write.is_empty() {
            return Ok(());
        }
        let named = named_fields(&self.entry.collection, body);
        let refused = self.entry.unwritable(&named, &self.input(Some(doc), old), &NoLookups);
        for fault in refused.iter().filter_map(|refused| refused.fault.as_ref()) {
            log(&self.entry.collection, fault);
        }
        if refused.is_empty() {
            return Ok(());
        }
        Err(DocumentError::Fields(refused.into_iter().map(|refused| refused.error).collect()).into())
    }

    /// What the caller may see of this collection's documents.
    pub async fn sight(&self) -> Result<Sight, ApiError> {
        Ok(self.entry.sight(self.who, self.facts, &NoLookups))
    }

    /// What the caller may see of one document, as JSON.
    pub async fn show(&self, document: &Document) -> Result<Vec<u8>, ApiError> {
        Ok(to_json(&self.entry.collection, document, &self.sight().await?))
    }

    fn input<'d>(&'d self, doc: Option<&'d Document>, old: Option<&'d Document>) -> RuleInput<'d> {
        let with = |document| DocRef { collection: &self.entry.collection, document };
        RuleInput { identity: self.who, request: self.facts, doc: doc.map(with), old: old.map(with) }
    }
}

/// A document as JSON text.
pub fn to_json(collection: &Collection, document: &Document, sight: &Sight) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let value = |field: usize| document.values[field].as_ref();
    let visible = sight.visible(collection, value, &NoLookups);
    visible.faults.iter().for_each(|fault| log(collection, fault));
    write_json(&mut out, collection, value, &visible, None);
    out
}

fn log(collection: &Collection, reason: &str) {
    tracing::warn!(collection = %collection.name, reason, "a rule failed and denied: {reason}");
}
