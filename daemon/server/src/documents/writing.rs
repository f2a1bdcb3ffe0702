//! Writes of one caller in one transaction. Rules are judged here, in the transaction that writes, so
//! nothing they looked at can change before the commit: who was removed from a room a moment ago does
//! not get a message into it.
//!
//! A denied update, replacement or deletion answers like a missing document.

use std::sync::Arc;

use alyx_core::catalog::{Catalog, CollectionEntry};
use alyx_core::document::{
    Access, Document, DocumentError, Fresh, Patch, named_fields, parse_create, parse_replace,
};
use alyx_core::identity::{Identity, RequestFacts};
use alyx_core::rules::{Decision, DocRef, Lookups, Rule, RuleInput};
use alyx_core::schema::HookAction;
use alyx_core::scope::Touch;
use alyx_store::{Abort, Transaction};

use super::judge::{log, to_json_with};
use super::passes::Pass;
use super::{Documents, Precondition, USERS, Written, access_of, denied, entry, not_found};
use crate::clock;
use crate::hooks::Doer;
use crate::limits::HOOK_PASSES_MAX;
use crate::problem::{ApiError, Code};

/// Why nothing was written.
pub type Refusal = Abort<ApiError>;

/// One caller's way to write in one transaction.
pub struct Writing<'w, 't, 's> {
    pub tx: &'w mut Transaction<'t, 's>,
    pub catalog: &'w Catalog,
    pub who: &'w Identity,
    pub facts: RequestFacts,
    /// Whether all of it is undone in the end, as a dry run is.
    pub undo: bool,
    /// What is known of the hooks that are asked first.
    pub pass: Pass,
}

/// Why a try left nothing.
enum Undone<T> {
    /// Because it was to leave nothing.
    Done(T),
    Refused(ApiError),
    /// Because hooks have to be asked.
    Asks(Box<Pass>),
}

impl Documents {
    /// Runs `work` in one transaction of its own, or as part of the one that is open; again, when hooks had
    /// to be asked in between.
    pub(super) async fn write<T, F>(
        &self,
        catalog: Arc<Catalog>,
        who: &Identity,
        facts: &RequestFacts,
        work: F,
    ) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: Fn(&mut Writing<'_, '_, '_>) -> Result<T, Refusal> + Send + Sync + 'static,
    {
        let doer = Doer { identity: who.clone(), facts: facts.clone() };
        let store = self.store.caused_by(facts.depth);
        let (work, mut pass) = (Arc::new(work), Pass::first(self.hooks.get()));
        for _ in 0..HOOK_PASSES_MAX {
            let (catalog, doer_of_try, work) = (Arc::clone(&catalog), doer.clone(), Arc::clone(&work));
            let done = store.transact(move |tx| {
                let (catalog, Doer { identity, facts }) = (&*catalog, doer_of_try);
                let mut writing = Writing { tx, catalog, who: &identity, facts, undo: false, pass };
                let worked = work(&mut writing);
                let Writing { undo, pass, .. } = writing;
                match worked {
                    Err(Abort::Store(error)) => Err(Abort::Store(error)),
                    _ if !pass.open.is_empty() => Err(Abort::Refused(Undone::Asks(Box::new(pass)))),
                    Ok(output) if undo => Err(Abort::Refused(Undone::Done(output))),
                    Ok(output) => Ok((output, pass.told)),
                    Err(Abort::Refused(error)) => Err(Abort::Refused(Undone::Refused(error))),
                }
            });
            pass = match done.await {
                Ok((output, told)) => {
                    self.told(told, doer).await;
                    return Ok(output);
                }
                Err(Abort::Refused(Undone::Done(output))) => return Ok(output),
                Err(Abort::Refused(Undone::Refused(error))) => return Err(error),
                Err(Abort::Refused(Undone::Asks(pass))) => pass.answered(&doer).await?,
                Err(Abort::Store(error)) => return Err(error.into()),
            };
        }
        let detail = "What the hooks of the collection were asked about was changed each time; try again.";
        Err(ApiError::new(Code::Conflict, detail))
    }
}

impl Writing<'_, '_, '_> {
    /// Creates a document.
    pub fn create(&mut self, collection: &str, body: &[u8]) -> Result<Written, Refusal> {
        let entry = entry(self.catalog, collection).map_err(Abort::Refused)?;
        let refused = may_create(entry, self.who);
        refused.map_err(Abort::Refused)?;
        let now = self.pass.now.clone();
        let mut fresh = Fresh { now: &now, ids: &mut |kind| self.pass.key(kind) };
        let document = parse_create(&entry.collection, body, access_of(self.who), &mut fresh);
        self.insert(collection, document.map_err(refuse)?, body)
    }

    /// Creates a document that was read from `body`.
    pub fn insert(&mut self, collection: &str, document: Document, body: &[u8]) -> Result<Written, Refusal> {
        let entry = entry(self.catalog, collection).map_err(Abort::Refused)?;
        self.read_body(entry, Some(body));
        if !self.allows(entry, entry.create.as_ref(), Some(&document), None)? {
            return Err(Abort::Refused(denied(self.who)));
        }
        self.check_written(entry, &named_fields(&entry.collection, body), &document, None)?;
        let document = self.ask(entry, HookAction::Create, None, document)?;
        let created = self.tx.create(&entry.collection, document, &self.who.label())?;
        self.tell(entry, HookAction::Create, None, Some(&created));
        self.written(entry, 201, &created)
    }

    /// Changes fields of a document.
    pub fn update(
        &mut self,
        collection: &str,
        id: &str,
        change: &Change,
        precondition: &Precondition,
    ) -> Result<Written, Refusal> {
        let entry = entry(self.catalog, collection).map_err(Abort::Refused)?;
        let old = self.tx.get(&entry.collection, id)?.ok_or_else(missing)?;
        self.update_found(entry, &old, change, precondition)
    }

    /// Changes fields of a document that was read in this transaction.
    pub fn update_found(
        &mut self,
        entry: &CollectionEntry,
        old: &Document,
        change: &Change,
        precondition: &Precondition,
    ) -> Result<Written, Refusal> {
        if entry.update.is_none() && !self.writes_freely(entry) {
            return Err(missing());
        }
        self.read_body(entry, Some(&change.body));
        let new = match change.patch.apply(&entry.collection, old, &self.pass.now) {
            Ok(new) => new,
            Err(error) => return Err(self.wrong(entry, old, error)),
        };
        self.put(entry, old, new, &change.named, precondition)
    }

    /// Changes the caller's own account document, whatever the update rule says; rules of single fields
    /// hold.
    pub fn update_own(&mut self, id: &str, change: &Change) -> Result<Written, Refusal> {
        let entry = entry(self.catalog, USERS).map_err(Abort::Refused)?;
        let old = self.tx.get(&entry.collection, id)?.ok_or_else(missing)?;
        self.read_body(entry, Some(&change.body));
        let new = change.patch.apply(&entry.collection, &old, &self.pass.now).map_err(refuse)?;
        self.check_written(entry, &change.named, &new, Some(&old))?;
        let after = self.tx.replace(&entry.collection, &old, new, &self.who.label())?;
        self.note_changed_account(entry, &old, &after)?;
        self.written(entry, 200, &after)
    }

    /// Replaces a document as a whole, or creates it where clients choose ids.
    pub fn replace(
        &mut self,
        collection: &str,
        id: &str,
        body: &[u8],
        precondition: &Precondition,
    ) -> Result<Written, Refusal> {
        let entry = entry(self.catalog, collection).map_err(Abort::Refused)?;
        let access = access_of(self.who);
        let old = self.tx.get(&entry.collection, id)?;
        self.read_body(entry, Some(body));
        let now = self.pass.now.clone();
        let mut fresh = Fresh { now: &now, ids: &mut |kind| self.pass.key(kind) };
        let parsed = parse_replace(&entry.collection, id, old.as_ref(), body, access, &mut fresh);
        let Some(old) = old else {
            let (_, primary) = entry.collection.primary();
            let may = collection != USERS && !primary.is_server_set() && !primary.internal;
            if !may || may_create(entry, self.who).is_err() {
                return Err(missing());
            }
            precondition.check(None).map_err(Abort::Refused)?;
            return self.insert(collection, parsed.map_err(refuse)?, body);
        };
        if entry.update.is_none() && !self.writes_freely(entry) {
            return Err(missing());
        }
        let new = match parsed {
            Ok(new) => new,
            Err(error) => return Err(self.wrong(entry, &old, error)),
        };
        let mut named = named_fields(&entry.collection, body);
        let (primary, _) = entry.collection.primary();
        named.retain(|place| *place != primary);
        // Leaving a field out sets it as well, unless the server keeps it.
        named.extend((0..new.values.len()).filter(|place| {
            new.values[*place] != old.values[*place] && !entry.collection.fields[*place].on_update_now
        }));
        self.put(entry, &old, new, &named, precondition)
    }

    fn put(
        &mut self,
        entry: &CollectionEntry,
        old: &Document,
        new: Document,
        named: &[usize],
        precondition: &Precondition,
    ) -> Result<Written, Refusal> {
        if !self.allows(entry, entry.update.as_ref(), Some(&new), Some(old))? {
            return Err(missing());
        }
        self.check_written(entry, named, &new, Some(old))?;
        self.check(entry, old, precondition)?;
        let new = self.ask(entry, HookAction::Update, Some(old), new)?;
        let after = self.tx.replace(&entry.collection, old, new, &self.who.label())?;
        self.tell(entry, HookAction::Update, Some(old), Some(&after));
        self.note_changed_account(entry, old, &after)?;
        self.written(entry, 200, &after)
    }

    /// Deletes a document.
    pub fn delete(&mut self, collection: &str, id: &str, precondition: &Precondition) -> Result<(), Refusal> {
        let entry = entry(self.catalog, collection).map_err(Abort::Refused)?;
        let old = self.tx.get(&entry.collection, id)?.ok_or_else(missing)?;
        self.delete_found(entry, &old, precondition)
    }

    /// Deletes a document that was read in this transaction.
    pub fn delete_found(
        &mut self,
        entry: &CollectionEntry,
        old: &Document,
        precondition: &Precondition,
    ) -> Result<(), Refusal> {
        self.read_body(entry, None);
        if !self.allows(entry, entry.delete.as_ref(), Some(old), Some(old))? {
            return Err(missing());
        }
        self.check(entry, old, precondition)?;
        self.ask(entry, HookAction::Delete, Some(old), old.clone())?;
        self.tell(entry, HookAction::Delete, Some(old), None);
        let accounts = self.tx.delete(&entry.collection, old, &self.who.label())?;
        self.note_ended_accounts(&accounts)
    }

    fn writes_freely(&self, entry: &CollectionEntry) -> bool {
        self.who.is_free_of_rules(&entry.collection.name, Touch::Write)
    }

    /// Whether a rule allows it. Administrators pass, a missing rule denies, and so does one that fails,
    /// which is logged.
    pub fn allows(
        &self,
        entry: &CollectionEntry,
        rule: Option<&Arc<Rule>>,
        doc: Option<&Document>,
        old: Option<&Document>,
    ) -> Result<bool, Refusal> {
        if self.writes_freely(entry) {
            return Ok(true);
        }
        let Some(rule) = rule else { return Ok(false) };
        let input = self.input(entry, doc, old);
        match self.tx.with_lookups(|lookups| rule.check_with(&input, lookups))? {
            Decision::Allow => Ok(true),
            Decision::Deny => Ok(false),
            Decision::Error(reason) => {
                log(&entry.collection, &reason);
                Ok(false)
            }
        }
    }

    fn check_written(
        &self,
        entry: &CollectionEntry,
        named: &[usize],
        doc: &Document,
        old: Option<&Document>,
    ) -> Result<(), Refusal> {
        if entry.fields.write.is_empty() {
            return Ok(());
        }
        let (input, fields) = (self.input(entry, Some(doc), old), &entry.fields);
        let decide = |lookups: &dyn Lookups| fields.unwritable(&entry.collection, named, &input, lookups);
        let refused = self.tx.with_lookups(decide)?;
        for fault in refused.iter().filter_map(|refused| refused.fault.as_ref()) {
            log(&entry.collection, fault);
        }
        if refused.is_empty() {
            return Ok(());
        }
        Err(refuse(DocumentError::Fields(refused.into_iter().map(|refused| refused.error).collect())))
    }

    /// A body that does not go with a document: only somebody who may see it learns more than that it
    /// cannot be found.
    pub(super) fn wrong(&self, entry: &CollectionEntry, old: &Document, error: DocumentError) -> Refusal {
        match self.allows(entry, entry.get.as_ref(), Some(old), None) {
            Ok(true) => refuse(error),
            Ok(false) => missing(),
            Err(refusal) => refusal,
        }
    }

    fn input<'d>(
        &'d self,
        entry: &'d CollectionEntry,
        doc: Option<&'d Document>,
        old: Option<&'d Document>,
    ) -> RuleInput<'d> {
        let with = |document| DocRef { collection: &entry.collection, document };
        RuleInput { identity: self.who, request: &self.facts, doc: doc.map(with), old: old.map(with) }
    }

    /// What the caller may see of a document, as JSON.
    fn view(&self, entry: &CollectionEntry, document: &Document) -> Result<Vec<u8>, Refusal> {
        let sight = entry.sight(self.who, &self.facts);
        let show = |lookups: &dyn Lookups| to_json_with(&entry.collection, document, &sight, lookups);
        Ok(self.tx.with_lookups(show)?)
    }

    /// Checks a condition on the document that is there.
    fn check(
        &self,
        entry: &CollectionEntry,
        old: &Document,
        precondition: &Precondition,
    ) -> Result<(), Refusal> {
        let current = if precondition.needs_version() { self.view(entry, old)? } else { Vec::new() };
        precondition.check(Some(&current)).map_err(Abort::Refused)
    }

    /// What rules know of the request: the body that is read now, if they ask for it.
    fn read_body(&mut self, entry: &CollectionEntry, body: Option<&[u8]>) {
        let body = body.filter(|_| entry.reads_body).and_then(|body| serde_json::from_slice(body).ok());
        self.facts.body = body.map(Arc::new);
    }

    fn written(&self, entry: &CollectionEntry, status: u16, document: &Document) -> Result<Written, Refusal> {
        Ok(Written { status, id: id_of(entry, document), json: self.view(entry, document)? })
    }
}

/// The body of an update, read once.
pub struct Change {
    patch: Patch,
    named: Vec<usize>,
    /// For rules that look at it.
    body: Vec<u8>,
}

impl Change {
    pub fn parse(entry: &CollectionEntry, body: &[u8], access: Access) -> Result<Self, DocumentError> {
        let patch = Patch::parse(&entry.collection, body, access)?;
        let body_read = if entry.reads_body { body.to_vec() } else { Vec::new() };
        Ok(Self { patch, named: named_fields(&entry.collection, body), body: body_read })
    }
}

/// Whether there is a rule that could allow it.
pub fn may_create(entry: &CollectionEntry, who: &Identity) -> Result<(), ApiError> {
    if entry.collection.name == USERS {
        let detail =
            "Accounts are made by POST /api/auth/register or, by administrators, POST /api/admin/users.";
        return Err(ApiError::new(Code::Forbidden, detail));
    }
    if entry.create.is_none() && !who.is_free_of_rules(&entry.collection.name, Touch::Write) {
        return Err(denied(who));
    }
    Ok(())
}

pub fn parse_new(entry: &CollectionEntry, body: &[u8], access: Access) -> Result<Document, DocumentError> {
    let now = clock::now_text();
    parse_create(&entry.collection, body, access, &mut Fresh { now: &now, ids: &mut clock::new_key })
}

/// Ends the program with a problem.
pub fn refuse(error: impl Into<ApiError>) -> Refusal {
    Abort::Refused(error.into())
}

fn missing() -> Refusal {
    Abort::Refused(not_found())
}

pub fn id_of(entry: &CollectionEntry, document: &Document) -> String {
    document.values[entry.collection.primary().0].as_text().unwrap_or_default().to_owned()
}
