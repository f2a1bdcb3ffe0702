//! What a subscription comes to for one identity: a query, and what may change its answer. Subscriptions
//! that come to the same share one view.

use std::sync::Arc;

use alyx_core::catalog::{Catalog, CollectionEntry};
use alyx_core::identity::{Identity, RequestFacts};
use alyx_core::query::{ListQuery, Reading, parse_list, where_term};
use alyx_core::schema::Collection;
use alyx_core::scope::Touch;
use alyx_core::value::Value;
use aws_lc_rs::digest::{SHA256, digest};

use super::message::Wanted;
use crate::clock;
use crate::documents::{denied, reading};
use crate::limits::REALTIME_LIMIT_MAX;
use crate::problem::{ApiError, Code};

/// What two subscriptions share that have the same answer.
pub type Key = [u8; 32];

/// A subscription for one identity.
#[derive(Debug)]
pub struct Question {
    pub key: Key,
    /// The same for those who come back, also after a restart: it tells the question and the rights apart.
    pub print: String,
    pub catalog: Arc<Catalog>,
    pub collection: Arc<Collection>,
    pub query: ListQuery,
    /// Every document of the answer has at least one of these values; `None`: it may have any.
    pub terms: Option<Vec<(usize, Value)>>,
    /// Whether documents of other collections may change the answer.
    pub looks_elsewhere: bool,
    /// If the answer depends on the time, how to ask again.
    pub again: Option<Again>,
}

/// Everything that a question was made from.
#[derive(Clone, Debug)]
pub struct Again {
    who: Identity,
    facts: RequestFacts,
    wanted: Wanted,
}

impl Question {
    /// Checks what is wanted, and whether it may be asked.
    pub fn new(
        catalog: &Arc<Catalog>,
        who: &Identity,
        facts: &RequestFacts,
        wanted: &Wanted,
    ) -> Result<Self, ApiError> {
        let facts = RequestFacts { time: clock::now_text(), ..facts.clone() };
        let entry = catalog.collection(&wanted.collection).ok_or_else(|| {
            ApiError::new(
                Code::CollectionNotFound,
                format!("There is no collection {:?}.", wanted.collection),
            )
        })?;
        let free = who.is_free_of_rules(&wanted.collection, Touch::Read);
        if entry.subscribe.is_none() && !free {
            return Err(denied(who));
        }
        let reading = reading(catalog, &wanted.collection, who, &facts)?.watching();
        let query = read(reading, entry, wanted)?;
        let by_condition = wanted.condition.as_deref().and_then(|text| where_term(reading, text));
        let by_rule = || entry.watch.as_ref().filter(|_| !free)?.terms(who, &facts);
        let looks_elsewhere = looks_elsewhere(entry, &query);
        let timed =
            entry.reads_time || (looks_elsewhere && catalog.collections().any(|other| other.reads_time));
        let terms = by_condition.map(|term| vec![term]).or_else(by_rule).filter(|_| !timed);
        let again = timed.then(|| Again { who: who.clone(), facts: facts.clone(), wanted: wanted.clone() });
        let collection = Arc::clone(&entry.collection);
        let (key, print) = key(catalog, &collection, &query, timed);
        Ok(Self {
            key,
            print,
            catalog: Arc::clone(catalog),
            collection,
            query,
            terms,
            looks_elsewhere,
            again,
        })
    }

    /// The query as it is now.
    pub fn query_now(&self) -> Result<ListQuery, ApiError> {
        let Some(Again { who, facts, wanted }) = &self.again else { return Ok(self.query.clone()) };
        Ok(Self::new(&self.catalog, who, facts, wanted)?.query)
    }
}

fn read(reading: Reading<'_>, entry: &CollectionEntry, wanted: &Wanted) -> Result<ListQuery, ApiError> {
    let limit = wanted.params.iter().find(|(name, _)| name == "limit");
    let in_bounds = |text: &str| text.parse().is_ok_and(|limit| (1..=REALTIME_LIMIT_MAX).contains(&limit));
    if limit.is_some_and(|(_, text)| !in_bounds(text)) {
        let detail = format!("A subscription holds 1 to {REALTIME_LIMIT_MAX} documents.");
        return Err(ApiError::new(Code::InvalidParameter, detail));
    }
    let mut query = parse_list(reading, &wanted.params)?;
    let (place, field) = entry.collection.primary();
    if !query.sight.may_ask(place, field) {
        return Err(ApiError::new(Code::Forbidden, "Ids are not shown, so there is nothing to tell."));
    }
    // Whoever is told of changes must know of what.
    if let Some(fields) = query.fields.as_mut().filter(|fields| !fields.contains(&place)) {
        fields.push(place);
        fields.sort_unstable();
    }
    Ok(query)
}

fn looks_elsewhere(entry: &CollectionEntry, query: &ListQuery) -> bool {
    entry.watch.as_ref().is_some_and(|rule| rule.has_lookups())
        || query.sight.has_lookups()
        || !query.expand.is_empty()
        || !query.joins.is_empty()
        || query.filter.as_ref().is_some_and(|filter| filter.text.contains("SELECT"))
}

/// A print of everything that the answer depends on, here and anywhere. Where rules look at the caller row by row, `rule` and `sight`
/// hold the caller, so that nobody shares the answer.
fn key(catalog: &Arc<Catalog>, collection: &Collection, query: &ListQuery, timed: bool) -> (Key, String) {
    let ListQuery { rule, filter, joins, sort, limit, fields, expand, sight, .. } = query;
    let own = if timed { clock::random_hex::<16>() } else { String::new() };
    let text = format!("{:?} {:?}", (collection, rule, filter, joins, sort), (limit, fields, expand, sight));
    let print: Key = hash(&text);
    let key = hash(&format!("{} {own} {text}", Arc::as_ptr(catalog) as usize));
    (key, print[..8].iter().map(|byte| format!("{byte:02x}")).collect())
}

fn hash(text: &str) -> Key {
    digest(&SHA256, text.as_bytes()).as_ref().try_into().expect("SHA-256 gives 32 bytes")
}
