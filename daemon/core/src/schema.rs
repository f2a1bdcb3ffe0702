//! `schema.yaml`: the one description of collections, fields, rules and functions. A schema is read
//! as a whole; everything wrong with it is reported in one run, and only a valid one is handed out.
//!
//! | module | job |
//! |---|---|
//! | `yaml` | text to a tree with places |
//! | `reader` | reading that tree while collecting problems |
//! | `collection`, `field`, `field_options`, `users`, `function`, `env`, `event`, `hook`, `webhook`, `inbound`, `channel`, `schedule`, `units` | one part each |
//! | `model`, `happening` | what a valid schema is made of |
//! | `check` | what needs the whole schema |
//! | `json_schema` | the format, for editors |

mod channel;
mod check;
mod collection;
mod env;
mod event;
pub(crate) mod field;
pub(crate) mod field_options;
mod function;
mod happening;
mod hook;
mod inbound;
mod json_schema;
mod model;
pub(crate) mod reader;
mod rule_tests;
mod schedule;
mod units;
mod users;
mod webhook;
pub(crate) mod yaml;

use std::sync::Arc;

use indexmap::IndexMap;

pub(crate) use channel::plain_shape;
pub use channel::{Channel, ChannelRules};
pub use env::is_secret_name;
pub use happening::{AuthAction, EventConfig, FunctionUse, Hook, HookAction, HookOn, HookWhen, Retry};
pub use inbound::{Encoding, HmacForm, HmacHash, Inbound, InboundMode, Verify};
pub use json_schema::json_schema;
pub use model::{
    Collection, CollectionRules, Concurrency, DefaultValue, Diagnostic, Field, FieldKind, FieldRules, Format,
    FunctionConfig, FunctionLimits, FunctionRules, Index, Instances, OnDelete, Pattern, Position,
    PrimaryKind, Record, RichText, RuleSource, Runtime, Schema, SelectOptions, SortOrder, Validation,
};

pub use rule_tests::{Expected, Operation, RuleTest, RuleTests, Subject, TestDocument, parse_rule_tests};
pub use users::ACCOUNT_MEMBERS;
pub use webhook::Webhook;

pub use units::show_duration;

use crate::limits::{CHANNELS_MAX, COLLECTIONS_MAX, FUNCTIONS_MAX, SCHEDULE_INPUT_MAX_BYTES, SCHEDULES_MAX};
use crate::schedule::Schedule;
use reader::{At, Reader};
use yaml::{Node, Yaml};

/// Version of the format, `version:` in the file.
const VERSION: i64 = 1;

/// Reads a `schema.yaml`. `file_name` is what diagnostics call it. Rules are kept as text; the
/// [`catalog`](crate::catalog) compiles them.
///
/// # Errors
/// Everything that is wrong with it, in order of position; a syntax error stands alone.
pub fn parse(file_name: &str, text: &str) -> Result<Schema, Vec<Diagnostic>> {
    read(file_name, text, read_schema)
}

/// Reads a `function.yaml` that stands beside the code of the function `name`.
///
/// # Errors
/// As [`parse`].
pub fn parse_function(file_name: &str, name: &str, text: &str) -> Result<FunctionConfig, Vec<Diagnostic>> {
    read(file_name, text, |reader, at| {
        reader.name(name, at.key, "").then(|| function::read(reader, name, at)).flatten()
    })
}

/// Reads one hook, also from JSON, which is YAML. Its function is not looked for.
///
/// # Errors
/// As [`parse`].
pub fn parse_hook(schema: &Schema, text: &str) -> Result<Hook, Vec<Diagnostic>> {
    read("hook", text, |reader, at| hook::read_one(reader, at, schema)).map(|(hook, _)| hook)
}

/// Reads one webhook, also from JSON, which is YAML.
///
/// # Errors
/// As [`parse`].
pub fn parse_webhook(schema: &Schema, text: &str) -> Result<Webhook, Vec<Diagnostic>> {
    read("webhook", text, |reader, at| webhook::read_one(reader, at, schema))
}

/// Reads a schedule that was sent as JSON.
///
/// # Errors
/// Everything that is wrong with it; positions say nothing there.
pub fn parse_schedule(name: &str, body: &serde_json::Value) -> Result<Schedule, Vec<Diagnostic>> {
    // JSON numbers reach further than ours, and the input is the caller's own.
    let mut body = body.clone();
    let input = body.as_object_mut().and_then(|object| object.remove("input"));
    let input = input.unwrap_or(serde_json::Value::Null);
    let root = Node::from_json(&body);
    let at = At { key: root.position, node: &root, path: String::new() };
    let mut reader = Reader::new("");
    if !schedule::fits(&input) {
        let message = format!("the input is larger than {SCHEDULE_INPUT_MAX_BYTES} bytes");
        reader.report(at.key, "input", message, "");
    }
    let schedule = reader
        .name(name, at.key, "name")
        .then(|| schedule::read(&mut reader, name, &at))
        .flatten()
        .map(|schedule| Schedule { input, ..schedule });
    reader.finish(schedule)
}

/// Reads a file of ours with `read`, which reports what is wrong with it.
pub(crate) fn read<T>(
    file_name: &str,
    text: &str,
    read: impl FnOnce(&mut Reader<'_>, &At<'_>) -> Option<T>,
) -> Result<T, Vec<Diagnostic>> {
    let mut reader = Reader::new(file_name);
    let tree = match yaml::parse(text) {
        Ok(tree) => tree,
        Err(problem) => {
            let hint = yaml::hint(&problem.message);
            reader.report(problem.position, "", problem.message, hint);
            return reader.finish(None);
        }
    };
    for key in &tree.duplicate_keys {
        let message = format!("the key \"{}\" stands here twice", reader::shorten(&key.text));
        reader.report(key.position, "", message, "remove one of them");
    }
    let at = At { node: &tree.root, path: String::new(), key: tree.root.position };
    let value = read(&mut reader, &at);
    reader.finish(value)
}

fn read_schema(reader: &mut Reader<'_>, at: &At<'_>) -> Option<Schema> {
    let mut section = reader.section(at)?;
    let version = section.take("version");
    let collections_at = section.take("collections");
    let functions_at = section.take("functions");
    let (events_at, hooks_at) = (section.take("events"), section.take("hooks"));
    let (channels_at, webhooks_at) = (section.take("channels"), section.take("webhooks"));
    let (schedules_at, inbound_at) = (section.take("schedules"), section.take("inbound"));
    if let Some(at) = section.take("buckets") {
        let hint = "remove buckets; keep small files in a field of type blob meanwhile";
        reader.report(at.key, &at.path, "this version does not store files yet", hint);
    }
    section.finish(reader);
    match version {
        None => reader.report(at.key, "", "version is missing", "add version: 1"),
        Some(At { node: Node { value: Yaml::Int(VERSION), .. }, .. }) => {}
        Some(at) => reader.refuse(&at, "unknown version of the format", "write version: 1"),
    }

    let mut collections = IndexMap::new();
    let declared = collections_at.as_ref().map(|at| reader.named(at, COLLECTIONS_MAX, "collections"));
    for (name, at) in declared.unwrap_or_default() {
        if let Some(collection) = collection::read(reader, name, &at) {
            collections.insert(name.to_owned(), collection);
        }
    }
    if !collections.contains_key(users::USERS) {
        collections.insert(users::USERS.to_owned(), users::built_in());
    }
    check::check(reader, &mut collections, collections_at.as_ref());

    let mut functions = IndexMap::new();
    let declared = functions_at.as_ref().map(|at| reader.named(at, FUNCTIONS_MAX, "functions"));
    for (name, at) in declared.unwrap_or_default() {
        if let Some(function) = function::read(reader, name, &at) {
            functions.insert(name.to_owned(), Arc::new(function));
        }
    }
    let schedules = schedules_at.map(|at| read_schedules(reader, &at)).unwrap_or_default();
    let collections =
        collections.into_iter().map(|(name, collection)| (name, Arc::new(collection))).collect();
    let events = events_at.map(|at| event::read(reader, &at)).unwrap_or_default();
    let known: Vec<&str> = events.keys().map(String::as_str).collect();
    let channels = channels_at.map(|at| read_channels(reader, &at, &known)).unwrap_or_default();
    let mut schema = Schema { collections, functions, events, channels, schedules, ..Schema::default() };
    if let Some(at) = hooks_at {
        hook::read(reader, &at, &mut schema);
    }
    if let Some(at) = webhooks_at {
        schema.webhooks = webhook::read(reader, &at, &schema);
    }
    if let Some(at) = inbound_at {
        inbound::read(reader, &at, &mut schema);
    }
    schema.uses.extend(schema.schedules.values().map(|schedule| FunctionUse {
        function: schedule.function.clone(),
        path: format!("schedules.{}.function", schedule.name),
        position: schedule.position,
    }));
    Some(schema)
}

fn read_schedules(reader: &mut Reader<'_>, at: &At<'_>) -> IndexMap<String, Schedule> {
    let declared = reader.named(at, SCHEDULES_MAX, "schedules");
    let read = declared
        .into_iter()
        .filter_map(|(name, at)| Some((name.to_owned(), schedule::read(reader, name, &at)?)));
    read.collect()
}

fn read_channels(reader: &mut Reader<'_>, at: &At<'_>, events: &[&str]) -> IndexMap<String, Arc<Channel>> {
    let declared = reader.named(at, CHANNELS_MAX, "channels");
    let read = declared.into_iter().filter_map(|(name, at)| {
        Some((name.to_owned(), Arc::new(channel::read(reader, name, &at, events)?)))
    });
    read.collect()
}

#[cfg(test)]
mod tests;
