//! What happenings cause: which jobs a write of a document, something done to an account or an event adds
//! to its own transaction.

use std::collections::BTreeMap;

use alyx_core::document::{Access, write_json};
use rusqlite::OptionalExtension;
use serde_json::Value;

use super::NewJob;
use crate::writer::Session;
use crate::{AuditOutcome, AuditRow, Error, documents};

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

/// Something that jobs can be made of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// A document of this collection is written so.
    Document(String, Action),
    /// An action of the audit log went well, such as `session.begin`.
    Audited(String),
    /// An event with this name was published.
    Event(String),
}

/// A job for whatever happens of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// Kind of the job.
    pub kind: &'static str,
    /// Target of the job.
    pub target: String,
    /// Whether the jobs of one document or account run one after the other, in the order of what happened.
    pub ordered: bool,
}

/// Triggers by topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Triggers(pub BTreeMap<Topic, Vec<Trigger>>);

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
    if session.triggers.0.is_empty() {
        return Ok(());
    }
    let topic = Topic::Document(happened.collection.to_owned(), happened.action);
    let of = format!("{}:{}", happened.collection, happened.id);
    add_all(session, &topic, Some(&of), || happened.payload(&session.now))
}

/// Adds the jobs of what was done to an account, which a row of the audit log tells.
pub(crate) fn fire_audited(session: &Session<'_>, row: &AuditRow) -> Result<(), Error> {
    if session.triggers.0.is_empty() || row.outcome != AuditOutcome::Ok {
        return Ok(());
    }
    let topic = Topic::Audited(row.action.clone());
    if !session.triggers.0.contains_key(&topic) {
        return Ok(());
    }
    let account = account_of(session, row)?;
    add_all(session, &topic, account.as_deref(), || {
        let id = account.as_deref().unwrap_or_default();
        let text = |text: &str| Value::from(text).to_string();
        Ok(format!(
            r#"{{"audit":{},"id":{},"at":"{}","identity":{},"address":{},"request_id":{},"details":{},"doc":{}}}"#,
            text(&row.action),
            text(id),
            session.now,
            text(&row.identity),
            text(&row.address),
            text(&row.request_id),
            row.details_json.as_deref().unwrap_or("{}"),
            account_json(session, id)?,
        ))
    })
}

/// Adds the jobs of an event whose payload is this JSON.
pub(crate) fn fire_event(session: &Session<'_>, name: &str, payload: &str) -> Result<(), Error> {
    add_all(session, &Topic::Event(name.to_owned()), None, || Ok(payload.to_owned()))
}

fn add_all(
    session: &Session<'_>,
    topic: &Topic,
    of: Option<&str>,
    payload: impl Fn() -> Result<String, Error>,
) -> Result<(), Error> {
    for trigger in session.triggers.0.get(topic).map_or(&[][..], Vec::as_slice) {
        let target = trigger.target.clone();
        let key = of.filter(|_| trigger.ordered).map(|of| format!("{}:{target}:{of}", trigger.kind));
        let (id, payload) = (super::fresh_id(session)?, payload()?);
        super::add(session, &NewJob { id, kind: trigger.kind, target, key, payload, run_at: None })?;
    }
    Ok(())
}

/// The account to which it happened: the target, the one whose session is the target, or who did it.
fn account_of(session: &Session<'_>, row: &AuditRow) -> Result<Option<String>, Error> {
    if let Some(id) = row.target.strip_prefix("session:") {
        let mut statement =
            session.connection.prepare_cached("SELECT user_id FROM _alyx_sessions WHERE id = ?")?;
        if let Some(user) = statement.query_row([id], |row| row.get(0)).optional()? {
            return Ok(Some(user));
        }
    }
    let account = [&row.target, &row.identity].into_iter().find_map(|of| of.strip_prefix("user:"));
    Ok(account.map(str::to_owned))
}

/// The document of an account as the transaction leaves it, `null` if it is gone.
fn account_json(session: &Session<'_>, id: &str) -> Result<String, Error> {
    let none = || Ok("null".to_owned());
    let Some(users) = session.schema.and_then(|schema| schema.collections.get("users")) else {
        return none();
    };
    let Some(document) = documents::fetch(session.connection, users, id)? else { return none() };
    let mut json = Vec::with_capacity(256);
    write_json(&mut json, users, |field| document.values[field].as_ref(), &Access::Admin.into(), None);
    String::from_utf8(json).map_err(|error| Error::internal("write an account as JSON", error))
}

impl Happened<'_> {
    fn payload(&self, at: &str) -> Result<String, Error> {
        let text = |text: &str| Value::from(text).to_string();
        let (collection, id, identity) = (text(self.collection), text(self.id), text(self.identity));
        let (action, seq) = (self.action.as_str(), self.seq);
        let (doc, old) = (self.after.unwrap_or("null"), self.before.unwrap_or("null"));
        Ok(format!(
            r#"{{"collection":{collection},"action":"{action}","id":{id},"seq":{seq},"at":"{at}","identity":{identity},"doc":{doc},"old":{old}}}"#
        ))
    }
}
