//! Reads `channels:`, on which clients talk to each other.

use super::collection::read_rule;
use super::field::plain;
use super::reader::{At, Reader, shorten, suggestion};
use super::{Collection, CollectionRules, Field, FieldKind, RuleSource};
use crate::limits::EVENTS_MAX;

/// Where clients talk to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Its name, which a key of the client's choice may follow.
    pub name: String,
    /// Events of the project that are told to those who listen to it without a key.
    pub events: Vec<String>,
    /// Access rules as written.
    pub rules: ChannelRules,
}

/// Access rules of a channel as written. `None` denies everyone but administrators.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelRules {
    /// Who may listen.
    pub subscribe: Option<RuleSource>,
    /// Who may say something.
    pub broadcast: Option<RuleSource>,
    /// Who may be there, and be shown to those who listen.
    pub presence: Option<RuleSource>,
}

/// Reads a channel, where there are these events. Problems are reported.
pub(super) fn read(reader: &mut Reader<'_>, name: &str, at: &At<'_>, known: &[&str]) -> Option<Channel> {
    let mut section = reader.section(at)?;
    let (events, rules) = (section.take("events"), section.take("rules"));
    section.finish(reader);
    let events = events.map(|at| read_events(reader, &at, known)).unwrap_or_default();
    let rules = rules.map(|at| read_rules(reader, &at)).unwrap_or_default();
    Some(Channel { name: name.to_owned(), events, rules })
}

fn read_events(reader: &mut Reader<'_>, at: &At<'_>, known: &[&str]) -> Vec<String> {
    let mut events = Vec::new();
    for item in reader.list(at, EVENTS_MAX).unwrap_or_default() {
        let Some(name) = reader.text(&item) else { continue };
        if !known.contains(&name) {
            reader.refuse(
                &item,
                format!("there is no event \"{}\"", shorten(name)),
                &suggestion(name, known),
            );
        }
        if events.iter().any(|other| other == name) {
            reader.refuse(&item, "the event stands here twice", "");
        }
        events.push(name.to_owned());
    }
    events
}

fn read_rules(reader: &mut Reader<'_>, at: &At<'_>) -> ChannelRules {
    let Some(mut section) = reader.section(at) else { return ChannelRules::default() };
    let taken = [section.take("subscribe"), section.take("broadcast"), section.take("presence")];
    section.finish(reader);
    let [subscribe, broadcast, presence] = taken.map(|at| at.and_then(|at| read_rule(reader, &at)));
    ChannelRules { subscribe, broadcast, presence }
}

/// Fields that may be null, for rules about what is no document.
#[must_use]
pub(crate) fn plain_shape(name: &str, fields: &[(&str, FieldKind)]) -> Collection {
    let field = |(name, kind): &(&str, FieldKind)| Field { nullable: true, ..plain(name, kind.clone()) };
    Collection {
        name: name.to_owned(),
        fields: fields.iter().map(field).collect(),
        indexes: Vec::new(),
        rules: CollectionRules::default(),
        position: super::collection::BUILT_IN,
    }
}
