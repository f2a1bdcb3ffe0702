//! Channels, on which clients talk to each other: how they are named, and what rules know of what is done
//! on them.
//!
//! A channel is `NAME` or `NAME/KEY`: the schema declares the name, clients choose keys. To rules, what is
//! done is the document `doc`: its fields are those of [`shape`].

use std::sync::{Arc, LazyLock};

use crate::document::Document;
use crate::identity::{Identity, RequestFacts};
use crate::limits::CHANNEL_KEY_MAX_BYTES;
use crate::rules::{Decision, DocRef, Lookups, Rule, RuleInput};
use crate::schema::{Channel, Collection, FieldKind, plain_shape};
use crate::value::Value;

/// What is done on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelAct {
    /// Somebody listens.
    Subscribe,
    /// Something is said to all who listen.
    Broadcast,
    /// Somebody is there, and shown to all who listen.
    Presence,
}

/// A channel of the schema with its compiled rules. `None` denies everyone but administrators.
#[derive(Debug)]
pub struct ChannelEntry {
    /// The channel.
    pub config: Arc<Channel>,
    /// Who may listen.
    pub subscribe: Option<Arc<Rule>>,
    /// Who may say something.
    pub broadcast: Option<Arc<Rule>>,
    /// Who may be there.
    pub presence: Option<Arc<Rule>>,
}

/// The name that a client gives: `NAME` or `NAME/KEY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelName<'a> {
    /// Declared in the schema.
    pub name: &'a str,
    /// Chosen by clients.
    pub key: Option<&'a str>,
}

/// What a rule is asked about.
#[derive(Clone, Debug)]
pub struct ChannelQuestion {
    act: ChannelAct,
    document: Document,
}

impl ChannelAct {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Subscribe, Self::Broadcast, Self::Presence];

    /// The name of its rule.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Broadcast => "broadcast",
            Self::Presence => "presence",
        }
    }

    const fn place(self) -> usize {
        match self {
            Self::Subscribe => 0,
            Self::Broadcast => 1,
            Self::Presence => 2,
        }
    }
}

/// The fields of `doc` in the rule of an act.
#[must_use]
pub fn shape(act: ChannelAct) -> &'static Collection {
    static SHAPES: LazyLock<[Collection; 3]> = LazyLock::new(|| {
        ChannelAct::ALL.map(|act| {
            let more: &[(&str, FieldKind)] = match act {
                ChannelAct::Subscribe => &[],
                ChannelAct::Broadcast => &[("event", FieldKind::String), ("payload", FieldKind::Json)],
                ChannelAct::Presence => &[("state", FieldKind::Json)],
            };
            plain_shape(act.as_str(), &[&[("key", FieldKind::String)], more].concat())
        })
    });
    &SHAPES[act.place()]
}

impl<'a> ChannelName<'a> {
    /// Reads a name; `None` if it cannot be one.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (name, key) = match text.split_once('/') {
            Some((name, key)) => (name, Some(key)),
            None => (text, None),
        };
        let good = |key: &str| {
            !key.is_empty() && key.len() <= CHANNEL_KEY_MAX_BYTES && !key.chars().any(char::is_control)
        };
        key.is_none_or(good).then_some(Self { name, key })
    }

    fn value(self) -> Value {
        self.key.map_or(Value::Null, |key| Value::Text(key.to_owned()))
    }

    /// May somebody listen?
    #[must_use]
    pub fn subscribing(self) -> ChannelQuestion {
        ChannelQuestion::new(ChannelAct::Subscribe, vec![self.value()])
    }

    /// May this be said? `payload` is JSON.
    #[must_use]
    pub fn broadcasting(self, event: &str, payload: &str) -> ChannelQuestion {
        let values = vec![self.value(), Value::Text(event.to_owned()), Value::Text(payload.to_owned())];
        ChannelQuestion::new(ChannelAct::Broadcast, values)
    }

    /// May somebody be there like this? `state` is JSON.
    #[must_use]
    pub fn presenting(self, state: &str) -> ChannelQuestion {
        ChannelQuestion::new(ChannelAct::Presence, vec![self.value(), Value::Text(state.to_owned())])
    }
}

impl ChannelQuestion {
    const fn new(act: ChannelAct, values: Vec<Value>) -> Self {
        Self { act, document: Document { values, rev: 1 } }
    }

    /// What is to be done.
    #[must_use]
    pub const fn act(&self) -> ChannelAct {
        self.act
    }
}

impl ChannelEntry {
    /// The rule of an act.
    #[must_use]
    pub const fn rule(&self, act: ChannelAct) -> Option<&Arc<Rule>> {
        match act {
            ChannelAct::Subscribe => self.subscribe.as_ref(),
            ChannelAct::Broadcast => self.broadcast.as_ref(),
            ChannelAct::Presence => self.presence.as_ref(),
        }
    }

    /// Whether the answer of a rule depends on other documents or on the time, so that it may be another
    /// one later.
    #[must_use]
    pub fn may_change(&self, act: ChannelAct) -> bool {
        self.rule(act).is_some_and(|rule| rule.has_lookups() || rule.reads_time())
    }

    /// Whether the answer of a rule depends on the time.
    #[must_use]
    pub fn reads_time(&self, act: ChannelAct) -> bool {
        self.rule(act).is_some_and(|rule| rule.reads_time())
    }

    /// Whether somebody may do it.
    #[must_use]
    pub fn decide(
        &self,
        question: &ChannelQuestion,
        (identity, request): (&Identity, &RequestFacts),
        lookups: &dyn Lookups,
    ) -> Decision {
        if identity.uses_channel_freely(&self.config.name) {
            return Decision::Allow;
        }
        let Some(rule) = self.rule(question.act) else { return Decision::Deny };
        let doc = DocRef { collection: shape(question.act), document: &question.document };
        rule.check_with(&RuleInput { identity, request, doc: Some(doc), old: None }, lookups)
    }
}

#[cfg(test)]
mod tests {
    use super::ChannelName;
    use crate::catalog::Catalog;
    use crate::identity::{Identity, RequestFacts};
    use crate::rules::{Decision, NoLookups};
    use crate::schema::parse;

    #[test]
    fn names_have_a_key_or_none() {
        let check = |text: &str, expected: Option<(&str, Option<&str>)>| {
            let parsed = ChannelName::parse(text).map(|parsed| (parsed.name, parsed.key));
            assert_eq!(parsed, expected, "{text:?}");
        };
        let (long, longer) = (format!("a/{}", "k".repeat(128)), format!("a/{}", "k".repeat(129)));
        check("lobby", Some(("lobby", None)));
        check("rooms/7", Some(("rooms", Some("7"))));
        check("rooms/7/ä b", Some(("rooms", Some("7/ä b"))));
        check("rooms/", None);
        check("rooms/a\nb", None);
        check(&long, Some(("a", Some(&long[2..]))));
        check(&longer, None);
    }

    #[test]
    fn rules_know_what_is_done() {
        let text = "version: 1\nchannels:\n  rooms:\n    rules:\n      subscribe: \"doc.key == 'a'\"\n      \
                    broadcast: \"doc.event == 'say' && size(doc.payload.text) < 4\"\n";
        let catalog = Catalog::build("s.yaml", parse("s.yaml", text).expect("valid")).expect("valid");
        let entry = catalog.channel("rooms").expect("declared");
        let facts = RequestFacts::default();
        let check = |question, expected: bool| {
            let decision = entry.decide(&question, (&Identity::Anonymous, &facts), &NoLookups);
            assert_eq!(decision == Decision::Allow, expected, "{question:?}: {decision:?}");
        };
        let room = |text| ChannelName::parse(text).expect("a name");
        check(room("rooms/a").subscribing(), true);
        check(room("rooms/b").subscribing(), false);
        check(room("rooms").subscribing(), false);
        check(room("rooms/a").broadcasting("say", r#"{"text":"abc"}"#), true);
        check(room("rooms/a").broadcasting("say", r#"{"text":"abcd"}"#), false);
        check(room("rooms/a").broadcasting("say", "{}"), false);
        check(room("rooms/a").broadcasting("sing", r#"{"text":"abc"}"#), false);
        // There is no such rule.
        check(room("rooms/a").presenting("{}"), false);
    }
}
