//! Reads `hooks:`: which functions are told of what happens to documents.

use std::collections::HashSet;
use std::time::Duration;

use super::function::{duration, number};
use super::reader::{At, Reader, join, shorten, suggestion};
use super::{Hook, HookAction, Retry, Schema};
use crate::limits::HOOKS_MAX;

const ACTIONS: [(&str, HookAction); 3] =
    [("create", HookAction::Create), ("update", HookAction::Update), ("delete", HookAction::Delete)];

/// Reads the hooks of a schema whose collections and functions are known. What is wrong is reported and
/// left out.
pub(super) fn read(reader: &mut Reader<'_>, at: &At<'_>, schema: &Schema) -> Vec<Hook> {
    let (mut hooks, mut names) = (Vec::new(), HashSet::new());
    for item in reader.list(at, HOOKS_MAX).unwrap_or_default() {
        let Some(hook) = read_one(reader, &item, schema) else { continue };
        if !names.insert(hook.name.clone()) {
            let message = format!("there are two hooks named \"{}\"", hook.name);
            reader.report(item.key, &item.path, message, "give one of them another name");
        }
        hooks.push(hook);
    }
    hooks
}

fn read_one(reader: &mut Reader<'_>, at: &At<'_>, schema: &Schema) -> Option<Hook> {
    let mut section = reader.section(at)?;
    let (name, on, function) = (section.take("name"), section.take("on"), section.take("function"));
    let (actions, retry) = (section.take("actions"), section.take("retry"));
    section.finish(reader);

    let collections: Vec<&str> = schema.collections.keys().map(String::as_str).collect();
    let functions: Vec<&str> = schema.functions.keys().map(String::as_str).collect();
    let on = known(reader, at, (on.as_ref(), "on"), "collection", &collections);
    let function = known(reader, at, (function.as_ref(), "function"), "function", &functions);
    let actions = match actions {
        Some(at) => read_actions(reader, &at),
        None => ACTIONS.map(|(_, action)| action).to_vec(),
    };
    let retry = read_retry(reader, retry.as_ref());
    let (on, function) = (on?, function?);
    let name = match name {
        Some(at) => reader.text(&at).filter(|name| reader.name(name, at.key, &at.path))?.to_owned(),
        None => function.clone(),
    };
    Some(Hook { name, on, actions, function, retry })
}

/// Reads `retry:` of what runs by itself.
pub(super) fn read_retry(reader: &mut Reader<'_>, at: Option<&At<'_>>) -> Retry {
    let mut section = at.and_then(|at| reader.section(at));
    let mut take = |key| section.as_mut().and_then(|section| section.take(key));
    let (attempts, first, longest) = (take("attempts"), take("first"), take("longest"));
    if let Some(section) = section {
        section.finish(reader);
    }
    let range = Duration::from_millis(10)..=Duration::from_secs(24 * 3_600);
    let own = Retry::default();
    Retry {
        attempts: attempts.map_or(own.attempts, |at| number(reader, &at, 1, 100)),
        first: duration(reader, first.as_ref(), own.first, range.clone()),
        longest: duration(reader, longest.as_ref(), own.longest, range),
    }
}

/// The name of something that the schema declares.
fn known(
    reader: &mut Reader<'_>,
    hook: &At<'_>,
    (at, key): (Option<&At<'_>>, &str),
    what: &str,
    names: &[&str],
) -> Option<String> {
    let Some(at) = at else {
        let message = format!("the hook has no {key}");
        reader.report(hook.key, &join(&hook.path, key), message, &format!("add {key}: the name of a {what}"));
        return None;
    };
    let name = reader.text(at)?;
    if names.contains(&name) {
        return Some(name.to_owned());
    }
    reader.refuse(at, format!("there is no {what} \"{}\"", shorten(name)), &suggestion(name, names));
    None
}

fn read_actions(reader: &mut Reader<'_>, at: &At<'_>) -> Vec<HookAction> {
    let items = reader.list(at, ACTIONS.len()).unwrap_or_default();
    if items.is_empty() {
        reader.refuse(at, "must name at least one action", "write [create, update, delete]");
    }
    let mut actions = Vec::new();
    for item in &items {
        let Some(action) = reader.word(item, "action", &ACTIONS) else { continue };
        if actions.contains(&action) {
            reader.refuse(item, "the action stands here twice", "");
        }
        actions.push(action);
    }
    actions
}
