//! Reads `events:`: what the project itself names, and who may publish it.

use indexmap::IndexMap;

use super::EventConfig;
use super::collection::read_rule;
use super::reader::{At, Reader, join, shorten};
use crate::limits::{EVENT_NAME_MAX_BYTES, EVENTS_MAX};

pub(super) fn read(reader: &mut Reader<'_>, at: &At<'_>) -> IndexMap<String, EventConfig> {
    let mut events = IndexMap::new();
    let entries = reader.entries(at).unwrap_or_default();
    if entries.len() > EVENTS_MAX {
        reader.refuse(at, format!("has {} events, more than {EVENTS_MAX}", entries.len()), "");
        return events;
    }
    for (key, node) in entries {
        let child = At { node, path: join(&at.path, &key.text), key: key.position };
        if !is_event_name(&key.text) {
            let message = format!("\"{}\" is not a name of an event", shorten(&key.text));
            let hint = "write words of a-z, 0-9 and _ with dots between them, such as order.paid";
            reader.report(key.position, &child.path, message, hint);
            continue;
        }
        events.insert(key.text.clone(), read_one(reader, &child));
    }
    events
}

fn read_one(reader: &mut Reader<'_>, at: &At<'_>) -> EventConfig {
    let Some(mut section) = reader.section(at) else { return EventConfig::default() };
    let rules = section.take("rules");
    section.finish(reader);
    let Some(mut rules) = rules.as_ref().and_then(|at| reader.section(at)) else {
        return EventConfig::default();
    };
    let publish = rules.take("publish").and_then(|at| read_rule(reader, &at));
    rules.finish(reader);
    EventConfig { publish }
}

/// Words of lower-case letters, digits and `_` with dots between them.
fn is_event_name(name: &str) -> bool {
    let word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_lowercase())
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    name.len() <= EVENT_NAME_MAX_BYTES && name.split('.').all(word)
}
