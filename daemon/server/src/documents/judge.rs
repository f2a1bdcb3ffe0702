//! The rules of one collection for one request: whether an operation is allowed, which fields may be
//! set, and what of a document is shown. Every document operation asks here.
//!
//! A rule that looks up other documents is evaluated by a reader of the store, in one snapshot.

use std::borrow::Cow;
use std::sync::Arc;

use alyx_core::catalog::CollectionEntry;
use alyx_core::document::{Document, DocumentError, named_fields, write_json};
use alyx_core::identity::{Identity, RequestFacts};
use alyx_core::rules::{Decision, DocRef, Lookups, NoLookups, Rule, RuleInput, Sight};
use alyx_core::schema::Collection;
use alyx_core::scope::Touch;
use alyx_store::Store;

use crate::problem::ApiError;

/// Judges one request about one collection.
pub struct Judge<'a> {
    store: &'a Store,
    entry: &'a CollectionEntry,
    who: &'a Identity,
    facts: Cow<'a, RequestFacts>,
}

impl<'a> Judge<'a> {
    pub fn new(
        store: &'a Store,
        entry: &'a CollectionEntry,
        who: &'a Identity,
        facts: &'a RequestFacts,
    ) -> Self {
        Self { store, entry, who, facts: Cow::Borrowed(facts) }
    }

    /// The same for a request with this body. One that is no JSON is null to rules.
    pub fn with_body(mut self, body: &[u8]) -> Self {
        if self.entry.reads_body {
            self.facts.to_mut().body = serde_json::from_slice(body).ok().map(Arc::new);
        }
        self
    }

    /// Whether a rule of the collection allows it. Administrators pass, a missing rule denies, and so
    /// does one that fails, which is logged.
    pub async fn allows(
        &self,
        rule: Option<&Arc<Rule>>,
        doc: Option<&Document>,
        old: Option<&Document>,
    ) -> Result<bool, ApiError> {
        Ok(match self.decide(rule, doc, old).await? {
            Decision::Allow => true,
            Decision::Deny => false,
            Decision::Error(reason) => {
                log(&self.entry.collection, &reason);
                false
            }
        })
    }

    /// The same with the reason of a rule that failed.
    pub async fn decide(
        &self,
        rule: Option<&Arc<Rule>>,
        doc: Option<&Document>,
        old: Option<&Document>,
    ) -> Result<Decision, ApiError> {
        if self.who.is_free_of_rules(&self.entry.collection.name, Touch::Read) {
            return Ok(Decision::Allow);
        }
        let Some(rule) = rule else { return Ok(Decision::Deny) };
        if !rule.has_lookups() {
            return Ok(rule.check(&self.input(doc, old)));
        }
        let (rule, given) = (Arc::clone(rule), self.given(doc, old));
        Ok(self.store.with_lookups(move |lookups| rule.check_with(&given.input(), lookups)).await?)
    }

    /// Refuses a body that names a field which the caller may not set. The caller was allowed to see
    /// that the document exists.
    pub async fn check_written(
        &self,
        body: &[u8],
        doc: &Document,
        old: Option<&Document>,
    ) -> Result<(), ApiError> {
        let rules = &self.entry.fields.write;
        if rules.is_empty() {
            return Ok(());
        }
        let named = named_fields(&self.entry.collection, body);
        let refused = if rules.iter().any(|(_, rule)| rule.has_lookups()) {
            let (fields, given) = (self.entry.fields.clone(), self.given(Some(doc), old));
            let collection = Arc::clone(&self.entry.collection);
            let decide =
                move |lookups: &dyn Lookups| fields.unwritable(&collection, &named, &given.input(), lookups);
            self.store.with_lookups(decide).await?
        } else {
            let input = self.input(Some(doc), old);
            self.entry.fields.unwritable(&self.entry.collection, &named, &input, &NoLookups)
        };
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
        Ok(self.entry.sight(self.who, &self.facts))
    }

    /// What the caller may see of one document, as JSON.
    pub async fn show(&self, document: &Document) -> Result<Vec<u8>, ApiError> {
        self.show_fields(document, None).await
    }

    /// The same with only some fields, by their places.
    pub async fn show_fields(
        &self,
        document: &Document,
        fields: Option<&[usize]>,
    ) -> Result<Vec<u8>, ApiError> {
        let sight = self.sight().await?;
        if !sight.has_lookups() {
            return Ok(json_with(&self.entry.collection, document, &sight, fields, &NoLookups));
        }
        let (collection, document) = (Arc::clone(&self.entry.collection), document.clone());
        let fields = fields.map(<[usize]>::to_vec);
        let show = move |lookups: &dyn Lookups| {
            json_with(&collection, &document, &sight, fields.as_deref(), lookups)
        };
        Ok(self.store.with_lookups(show).await?)
    }

    fn input<'d>(&'d self, doc: Option<&'d Document>, old: Option<&'d Document>) -> RuleInput<'d> {
        let with = |document| DocRef { collection: &self.entry.collection, document };
        RuleInput { identity: self.who, request: &self.facts, doc: doc.map(with), old: old.map(with) }
    }

    fn given(&self, doc: Option<&Document>, old: Option<&Document>) -> Given {
        Given {
            collection: Arc::clone(&self.entry.collection),
            who: self.who.clone(),
            facts: self.facts.clone().into_owned(),
            doc: doc.cloned(),
            old: old.cloned(),
        }
    }
}

/// What a rule may look at, on its way to a reader.
struct Given {
    collection: Arc<Collection>,
    who: Identity,
    facts: RequestFacts,
    doc: Option<Document>,
    old: Option<Document>,
}

impl Given {
    fn input(&self) -> RuleInput<'_> {
        let with = |document| DocRef { collection: &self.collection, document };
        let (doc, old) = (self.doc.as_ref().map(with), self.old.as_ref().map(with));
        RuleInput { identity: &self.who, request: &self.facts, doc, old }
    }
}

/// A document as JSON text. Fields whose rules look up other documents are left out; see
/// [`Judge::show`].
pub fn to_json(collection: &Collection, document: &Document, sight: &Sight) -> Vec<u8> {
    json_with(collection, document, sight, None, &NoLookups)
}

pub(super) fn to_json_with(
    collection: &Collection,
    document: &Document,
    sight: &Sight,
    lookups: &dyn Lookups,
) -> Vec<u8> {
    json_with(collection, document, sight, None, lookups)
}

fn json_with(
    collection: &Collection,
    document: &Document,
    sight: &Sight,
    fields: Option<&[usize]>,
    lookups: &dyn Lookups,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let value = |field: usize| document.values[field].as_ref();
    let visible = sight.visible(collection, value, lookups);
    visible.faults.iter().for_each(|fault| log(collection, fault));
    write_json(&mut out, collection, value, &visible, fields);
    out
}

pub(super) fn log(collection: &Collection, reason: &str) {
    tracing::warn!(collection = %collection.name, reason, "a rule failed and denied: {reason}");
}
