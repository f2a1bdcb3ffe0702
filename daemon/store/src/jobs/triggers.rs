//! What changes of documents cause: for each collection, which jobs a create, an update or a delete adds
//! to its own transaction.

use std::collections::BTreeMap;

use super::NewJob;
use crate::Error;
use crate::writer::Session;

/// What happens to documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// One is made.
    Create,
    /// One is changed.
    Update,
    /// One is deleted.
    Delete,
}

impl Action {
    /// `create`, `update` or `delete`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// A job for each of some changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// Kind of the job.
    pub kind: &'static str,
    /// Target of the job.
    pub target: String,
    /// The changes.
    pub actions: Vec<Action>,
    /// Whether the jobs of one document run one after the other, in the order of its changes.
    pub ordered: bool,
}

/// Triggers by collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Triggers(pub BTreeMap<String, Vec<Trigger>>);

/// A change as a job is told of it. JSON of documents is complete, hidden and internal fields included.
pub(crate) struct Happened<'a> {
    pub(crate) collection: &'a str,
    pub(crate) id: &'a str,
    pub(crate) action: Action,
    pub(crate) seq: i64,
    pub(crate) identity: &'a str,
    pub(crate) before: Option<&'a str>,
    pub(crate) after: Option<&'a str>,
}

/// Adds the jobs of a change to its transaction.
pub(crate) fn fire(session: &Session<'_>, happened: &Happened<'_>) -> Result<(), Error> {
    let triggers = session.triggers.0.get(happened.collection).map_or(&[][..], Vec::as_slice);
    for trigger in triggers.iter().filter(|trigger| trigger.actions.contains(&happened.action)) {
        let target = trigger.target.clone();
        let key = trigger
            .ordered
            .then(|| format!("{}:{target}:{}:{}", trigger.kind, happened.collection, happened.id));
        let id = super::fresh_id(session)?;
        let payload = happened.payload(&session.now)?;
        super::add(session, &NewJob { id, kind: trigger.kind, target, key, payload, run_at: None })?;
    }
    Ok(())
}

impl Happened<'_> {
    fn payload(&self, at: &str) -> Result<String, Error> {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let (collection, id, identity) = (text(self.collection), text(self.id), text(self.identity));
        let (action, seq) = (self.action.as_str(), self.seq);
        let (doc, old) = (self.after.unwrap_or("null"), self.before.unwrap_or("null"));
        Ok(format!(
            r#"{{"collection":{collection},"action":"{action}","id":{id},"seq":{seq},"at":"{at}","identity":{identity},"doc":{doc},"old":{old}}}"#
        ))
    }
}
