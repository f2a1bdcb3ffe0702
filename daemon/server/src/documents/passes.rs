//! Writes whose hooks are asked first. A hook must not run while the writer waits, so the writes are tried:
//! where one comes to a hook that has not been asked about just this, the question is noted and all of it
//! is undone; the hook is asked; the writes are tried again, with the same ids and the same time, until
//! there is no question left.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use alyx_core::catalog::CollectionEntry;
use alyx_core::document::{Access, Document, IdKind, Patch};
use alyx_core::schema::HookAction;
use serde_json::value::RawValue;

use super::Documents;
use super::judge::to_json;
use super::writing::{Refusal, Writing, id_of, refuse};
use crate::clock;
use crate::hooks::{Doer, Moment, Told, Waited};
use crate::problem::{ApiError, Code};

/// What a hook is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    pub hook: String,
    pub told: Told,
}

/// What hooks have answered: the fields to change.
pub type Answers = HashMap<Question, Option<Box<RawValue>>>;

/// One try.
#[derive(Default)]
pub struct Pass {
    pub hooks: Option<Arc<dyn Waited>>,
    /// When it happens, in the stored form; the same in every try.
    pub now: String,
    pub answers: Arc<Answers>,
    /// What nobody has been asked yet.
    pub open: Vec<Question>,
    /// What to tell, and whom, once it is committed.
    pub told: Vec<Question>,
    /// The ids that were given out, in all tries.
    pub keys: Vec<(IdKind, String)>,
    /// How many of them in this one.
    given: usize,
}

impl Pass {
    /// The first try.
    pub fn first(hooks: Option<Arc<dyn Waited>>) -> Self {
        Self { hooks, now: clock::now_text(), ..Self::default() }
    }

    /// An id; that of the try before at the same place.
    pub fn key(&mut self, kind: IdKind) -> String {
        let place = self.given;
        self.given += 1;
        if self.keys.get(place).is_none_or(|(known, _)| *known != kind) {
            self.keys.truncate(place);
            self.keys.push((kind, clock::new_key(kind)));
        }
        self.keys[place].1.clone()
    }

    /// The next try, after everybody was asked.
    pub async fn answered(self, doer: &Doer) -> Result<Self, ApiError> {
        let Self { hooks, now, answers, open, keys, .. } = self;
        let mut answers = Arc::unwrap_or_clone(answers);
        if let Some(hooks) = &hooks {
            for question in open {
                let answer =
                    Arc::clone(hooks).ask(question.hook.clone(), question.told.clone(), doer.clone()).await?;
                answers.insert(question, answer);
            }
        }
        Ok(Self { hooks, now, answers: Arc::new(answers), keys, ..Self::default() })
    }

    /// What a hook answered; none if it has to be asked.
    fn answer(&mut self, question: Question) -> Option<Option<Box<RawValue>>> {
        let answer = self.answers.get(&question).cloned();
        if answer.is_none() {
            self.open.push(question);
        }
        answer
    }
}

impl Documents {
    /// Tells the hooks that are waited for of what is committed, in order; of what is not yet committed
    /// once it is.
    pub(super) async fn told(&self, told: Vec<Question>, doer: Doer) {
        if told.is_empty() {
            return;
        }
        match &self.later {
            Some(later) => later.lock().unwrap_or_else(PoisonError::into_inner).push((told, doer)),
            None => self.tell_all(vec![(told, doer)]).await,
        }
    }

    /// Tells of this now. It is told to the end, also if nobody waits for it any more.
    pub(super) async fn tell_all(&self, told: Vec<(Vec<Question>, Doer)>) {
        let Some(hooks) = self.hooks.get() else { return };
        let telling = tokio::spawn(async move {
            for (questions, doer) in told {
                for Question { hook, told } in questions {
                    Arc::clone(&hooks).tell(hook, told, doer.clone()).await;
                }
            }
        });
        if let Err(error) = telling.await {
            tracing::error!("telling hooks ended badly: {error}");
        }
    }
}

impl Writing<'_, '_, '_> {
    /// The document as the hooks of its collection want it before it is written; they may refuse as well.
    pub(super) fn ask(
        &mut self,
        entry: &CollectionEntry,
        action: HookAction,
        old: Option<&Document>,
        mut new: Document,
    ) -> Result<Document, Refusal> {
        let Some(hooks) = &self.pass.hooks else { return Ok(new) };
        let moment = Moment::Document(entry.collection.name.clone(), action);
        for hook in &*hooks.before(&moment) {
            let told = told(entry, moment.clone(), old, (action != HookAction::Delete).then_some(&new));
            match self.pass.answer(Question { hook: hook.clone(), told }) {
                // What comes after it would have to be asked again.
                None => break,
                Some(None) => {}
                Some(Some(changes)) => {
                    let patch = Patch::parse(&entry.collection, changes.get().as_bytes(), Access::Admin);
                    let changed =
                        patch.and_then(|patch| patch.apply(&entry.collection, &new, &self.pass.now));
                    new = changed.map_err(|error| {
                        let problem = ApiError::from(error).into_problem();
                        let fields = problem.errors.iter().map(|error| error.message.as_str());
                        let wrong = fields.collect::<Vec<_>>().join("; ");
                        tracing::warn!(hook, "what the hook {hook} wants to change is wrong: {wrong}");
                        let detail = format!("The hook {hook} wants a document that is not valid.");
                        let error = ApiError::new(Code::HookFailed, detail);
                        refuse(error.with_details(serde_json::json!({ "errors": problem.errors })))
                    })?;
                }
            }
        }
        Ok(new)
    }

    /// Notes whom to tell of a write that was made.
    pub(super) fn tell(
        &mut self,
        entry: &CollectionEntry,
        action: HookAction,
        old: Option<&Document>,
        new: Option<&Document>,
    ) {
        let Some(hooks) = &self.pass.hooks else { return };
        let moment = Moment::Document(entry.collection.name.clone(), action);
        for hook in &*hooks.after(&moment) {
            let told = told(entry, moment.clone(), old, new);
            self.pass.told.push(Question { hook: hook.clone(), told });
        }
    }
}

fn told(entry: &CollectionEntry, moment: Moment, old: Option<&Document>, new: Option<&Document>) -> Told {
    let json = |document: &Document| {
        let json = to_json(&entry.collection, document, &Access::System.into());
        Arc::from(String::from_utf8_lossy(&json))
    };
    let id = new.or(old).map(|document| id_of(entry, document)).unwrap_or_default();
    Told { moment, id, doc: new.map(json), old: old.map(json) }
}
