//! Reads `hooks:`: which functions are told of what happens to documents and accounts, and of events.

use std::collections::HashSet;
use std::time::Duration;

use super::function::{duration, number};
use super::users::USERS;
use serde_json::{Map, Value, json};

use super::reader::{At, Reader, join, shorten, suggestion};
use super::{AuthAction, FunctionUse, Hook, HookAction, HookOn, HookWhen, Retry, Schema};
use crate::limits::HOOKS_MAX;

const ACTIONS: [HookAction; 3] = [HookAction::Create, HookAction::Update, HookAction::Delete];

/// What `on` may say that is no collection.
const AUTH: &str = "auth";
const EVENT: &str = "event";

/// Reads the hooks of a schema whose collections and events are known. What is wrong is reported and left
/// out.
pub(super) fn read(reader: &mut Reader<'_>, at: &At<'_>, schema: &mut Schema) {
    let mut ids = HashSet::new();
    for item in reader.list(at, HOOKS_MAX).unwrap_or_default() {
        let Some((hook, function)) = read_one(reader, &item, schema) else { continue };
        if !ids.insert(hook.id.clone()) {
            let message = format!("there are two hooks with the id \"{}\"", hook.id);
            reader.report(item.key, &item.path, message, "give one of them another id");
        }
        schema.hooks.push(hook);
        schema.uses.push(function);
    }
}

/// Reads one hook. The function that it names is not looked for: it may have a file of its own.
pub(super) fn read_one(reader: &mut Reader<'_>, at: &At<'_>, schema: &Schema) -> Option<(Hook, FunctionUse)> {
    let mut section = reader.section(at)?;
    let (id, on, function) = (section.take("id"), section.take("on"), section.take("function"));
    let (name, actions) = (section.take("name"), section.take("actions"));
    let (when, mode, retry) = (section.take("when"), section.take("mode"), section.take("retry"));
    section.finish(reader);
    let on = match on {
        Some(on) => read_on(reader, at, (&on, name.as_ref(), actions.as_ref()), schema),
        None => missing(reader, at, "on", "add on: the name of a collection, auth, or event"),
    };
    let function = match function {
        Some(function) => reader.text(&function).map(|name| FunctionUse {
            function: name.to_owned(),
            path: function.path.clone(),
            position: function.node.position,
        }),
        None => missing(reader, at, "function", "add function: the name of a function"),
    };
    let when = read_when(reader, when.as_ref(), mode.as_ref());
    if let (Some(retry), Some(HookWhen::Before | HookWhen::AfterSync)) = (&retry, when) {
        reader.report(
            retry.key,
            &retry.path,
            "only a job is tried again",
            "remove retry, or use mode: async",
        );
    }
    let retry = read_retry(reader, retry.as_ref(), Retry::default());

    let (on, function, when) = (on?, function?, when?);
    check_when(reader, at, &on, when)?;
    let id = match id {
        Some(at) => reader.text(&at).filter(|id| reader.name(id, at.key, &at.path))?.to_owned(),
        None => function.function.clone(),
    };
    Some((Hook { id, on, when, function: function.function.clone(), retry }, function))
}

pub(super) fn read_on(
    reader: &mut Reader<'_>,
    hook: &At<'_>,
    (on, name, actions): (&At<'_>, Option<&At<'_>>, Option<&At<'_>>),
    schema: &Schema,
) -> Option<HookOn> {
    let word = reader.text(on)?;
    let (misplaced, hint) = match word {
        EVENT => (actions, "an event has no actions"),
        _ => (name, "name is for on: event; the name of the hook itself is its id"),
    };
    if let Some(at) = misplaced {
        reader.report(at.key, &at.path, hint, "remove it");
    }
    match word {
        AUTH => Some(HookOn::Auth(read_actions(
            reader,
            actions,
            &AuthAction::ALL.map(|action| (action.as_str(), action)),
        ))),
        EVENT => {
            let Some(name) = name else {
                return missing(reader, hook, "name", "add name: the name of an event");
            };
            let events: Vec<&str> = schema.events.keys().map(String::as_str).collect();
            known(reader, name, "event", &events).map(HookOn::Event)
        }
        _ => {
            let actions = read_actions(reader, actions, &ACTIONS.map(|action| (action.as_str(), action)));
            let collections: Vec<&str> = schema.collections.keys().map(String::as_str).collect();
            let collection = known(reader, on, "collection", &collections)?;
            Some(HookOn::Documents { collection, actions })
        }
    }
}

/// `when: before`, or `when: after` with `mode: sync | async`; after, as a job, if nothing is said.
fn read_when(reader: &mut Reader<'_>, when: Option<&At<'_>>, mode: Option<&At<'_>>) -> Option<HookWhen> {
    let when = when.map(|at| reader.word(at, "time", &[("before", true), ("after", false)]));
    let sync = mode.map(|at| reader.word(at, "mode", &[("sync", true), ("async", false)]));
    // A word that was refused is nothing to go on with.
    match (when.map_or(Some(false), |when| when)?, sync.map_or(Some(None), |sync| sync.map(Some))?) {
        (true, Some(false)) => {
            reader.refuse(mode?, "what happens waits for a hook before it", "remove mode");
            None
        }
        (true, _) => Some(HookWhen::Before),
        (false, Some(true)) => Some(HookWhen::AfterSync),
        (false, _) => Some(HookWhen::AfterAsync),
    }
}

/// Not everything can be waited for.
fn check_when(reader: &mut Reader<'_>, at: &At<'_>, on: &HookOn, when: HookWhen) -> Option<()> {
    let wrong = match (on, when) {
        (HookOn::Event(_), HookWhen::Before | HookWhen::AfterSync) => "an event is told of by jobs only",
        (HookOn::Auth(_), HookWhen::AfterSync) => "what happens to accounts is told of before it, or by jobs",
        (HookOn::Documents { collection, .. }, HookWhen::Before | HookWhen::AfterSync)
            if collection == USERS =>
        {
            "accounts are not written as documents only: say on: auth"
        }
        (HookOn::Auth(actions), HookWhen::Before)
            if !actions.iter().all(|action| matches!(action, AuthAction::Register | AuthAction::Login)) =>
        {
            "before hooks of accounts are for register and login"
        }
        _ => return Some(()),
    };
    reader.report(at.key, &at.path, wrong, "leave when and mode out, or name other actions");
    None
}

/// Reads `retry:` of what runs by itself; what it leaves out is as in `own`.
pub(super) fn read_retry(reader: &mut Reader<'_>, at: Option<&At<'_>>, own: Retry) -> Retry {
    let mut section = at.and_then(|at| reader.section(at));
    let mut take = |key| section.as_mut().and_then(|section| section.take(key));
    let (attempts, first, longest) = (take("attempts"), take("first"), take("longest"));
    if let Some(section) = section {
        section.finish(reader);
    }
    let range = Duration::from_millis(10)..=Duration::from_secs(24 * 3_600);
    Retry {
        attempts: attempts.map_or(own.attempts, |at| number(reader, &at, 1, 100)),
        first: duration(reader, first.as_ref(), own.first, range.clone()),
        longest: duration(reader, longest.as_ref(), own.longest, range),
    }
}

/// The name of something that the schema declares.
fn known(reader: &mut Reader<'_>, at: &At<'_>, what: &str, names: &[&str]) -> Option<String> {
    let name = reader.text(at)?;
    if names.contains(&name) {
        return Some(name.to_owned());
    }
    reader.refuse(at, format!("there is no {what} \"{}\"", shorten(name)), &suggestion(name, names));
    None
}

fn missing<T>(reader: &mut Reader<'_>, hook: &At<'_>, key: &str, hint: &str) -> Option<T> {
    reader.report(hook.key, &join(&hook.path, key), format!("the hook has no {key}"), hint);
    None
}

/// `actions:`, all that there are if it is missing.
fn read_actions<T: Copy + PartialEq>(
    reader: &mut Reader<'_>,
    at: Option<&At<'_>>,
    words: &[(&str, T)],
) -> Vec<T> {
    let Some(at) = at else { return words.iter().map(|(_, action)| *action).collect() };
    let items = reader.list(at, words.len()).unwrap_or_default();
    if items.is_empty() {
        reader.refuse(at, "must name at least one action", &format!("write actions: [{}]", words[0].0));
    }
    let mut actions = Vec::new();
    for item in &items {
        let Some(action) = reader.word(item, "action", words) else { continue };
        if actions.contains(&action) {
            reader.refuse(item, "the action stands here twice", "");
        }
        actions.push(action);
    }
    actions
}

impl Hook {
    /// Its members as they are written in a schema, with what is left out filled in.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Value> {
        let mut members = Map::new();
        let mut put = |name: &str, value: Value| drop(members.insert(name.to_owned(), value));
        put("id", json!(self.id));
        self.on.write(&mut put);
        let (when, mode) = match self.when {
            HookWhen::Before => ("before", "sync"),
            HookWhen::AfterSync => ("after", "sync"),
            HookWhen::AfterAsync => ("after", "async"),
        };
        put("when", json!(when));
        put("mode", json!(mode));
        put("function", json!(self.function));
        members
    }
}

impl HookOn {
    /// Gives the members that say it in a schema.
    pub(super) fn write(&self, put: &mut impl FnMut(&str, Value)) {
        match self {
            Self::Documents { collection, actions } => {
                put("on", json!(collection));
                put("actions", actions.iter().map(|action| action.as_str()).collect());
            }
            Self::Auth(actions) => {
                put("on", json!(AUTH));
                put("actions", actions.iter().map(|action| action.as_str()).collect());
            }
            Self::Event(name) => {
                put("on", json!(EVENT));
                put("name", json!(name));
            }
        }
    }
}
