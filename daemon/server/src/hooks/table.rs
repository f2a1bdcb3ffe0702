//! Which hooks run, and for what.

use std::collections::BTreeMap;
use std::sync::Arc;

use alyx_core::schema::{AuthAction, Hook, HookAction, HookOn, HookWhen};
use alyx_store::{Action, Topic, Trigger};

use super::Moment;
use crate::audit::Action as Audited;

/// The hooks that run, and for what.
#[derive(Default)]
pub struct Table {
    hooks: Vec<Arc<Hook>>,
    before: BTreeMap<Moment, Arc<[String]>>,
    after: BTreeMap<Moment, Arc<[String]>>,
}

impl Table {
    /// These hooks, which are asked and told in this order.
    pub fn new(hooks: Vec<Arc<Hook>>) -> Self {
        let waited = |when: HookWhen| {
            let mut ids: BTreeMap<Moment, Vec<String>> = BTreeMap::new();
            for hook in hooks.iter().filter(|hook| hook.when == when) {
                for moment in moments(&hook.on) {
                    ids.entry(moment).or_default().push(hook.id.clone());
                }
            }
            ids.into_iter().map(|(moment, ids)| (moment, ids.into())).collect()
        };
        Self { before: waited(HookWhen::Before), after: waited(HookWhen::AfterSync), hooks }
    }

    /// A hook by its id.
    pub fn get(&self, id: &str) -> Option<Arc<Hook>> {
        self.hooks.iter().find(|hook| hook.id == id).cloned()
    }

    /// Ids of the hooks to ask before this.
    pub fn before(&self, moment: &Moment) -> Arc<[String]> {
        self.before.get(moment).cloned().unwrap_or_default()
    }

    /// Ids of the hooks to tell after this while somebody waits.
    pub fn after(&self, moment: &Moment) -> Arc<[String]> {
        self.after.get(moment).cloned().unwrap_or_default()
    }

    /// What makes the jobs of the other hooks.
    pub fn triggers(&self, kind: &'static str) -> Vec<(Topic, Trigger)> {
        let jobs = self.hooks.iter().filter(|hook| hook.when == HookWhen::AfterAsync);
        let of_one = |hook: &Arc<Hook>| {
            let ordered = !matches!(hook.on, HookOn::Event(_));
            let trigger = Trigger { kind, target: hook.id.clone(), ordered };
            topics(&hook.on).into_iter().map(move |topic| (topic, trigger.clone()))
        };
        jobs.flat_map(of_one).collect()
    }
}

fn moments(on: &HookOn) -> Vec<Moment> {
    match on {
        HookOn::Documents { collection, actions } => {
            actions.iter().map(|action| Moment::Document(collection.clone(), *action)).collect()
        }
        HookOn::Auth(actions) => actions.iter().copied().map(Moment::Auth).collect(),
        HookOn::Event(_) => Vec::new(),
    }
}

/// What the store calls what a hook is told of.
pub fn topics(on: &HookOn) -> Vec<Topic> {
    match on {
        HookOn::Documents { collection, actions } => {
            let topic = |action: &HookAction| {
                let action = match action {
                    HookAction::Create => Action::Create,
                    HookAction::Update => Action::Update,
                    HookAction::Delete => Action::Delete,
                };
                Topic::Document(collection.clone(), action)
            };
            actions.iter().map(topic).collect()
        }
        HookOn::Auth(actions) => {
            let audited = AUDITED.iter().filter(|(_, action)| actions.contains(action));
            audited.map(|(audited, _)| Topic::Audited(audited.as_str().to_owned())).collect()
        }
        HookOn::Event(name) => vec![Topic::Event(name.clone())],
    }
}

/// What the audit log calls it, and what hooks call it.
const AUDITED: [(Audited, AuthAction); 17] = [
    (Audited::Register, AuthAction::Register),
    (Audited::AnonymousCreate, AuthAction::Register),
    (Audited::Setup, AuthAction::Register),
    (Audited::UserCreate, AuthAction::Register),
    (Audited::SessionBegin, AuthAction::Login),
    (Audited::SessionEnd, AuthAction::Logout),
    (Audited::SessionEndAll, AuthAction::Logout),
    (Audited::Verify, AuthAction::Verify),
    (Audited::EmailConfirm, AuthAction::EmailChange),
    (Audited::Upgrade, AuthAction::EmailChange),
    (Audited::PasswordChange, AuthAction::PasswordChange),
    (Audited::PasswordReset, AuthAction::PasswordChange),
    (Audited::UserPassword, AuthAction::PasswordChange),
    (Audited::AccountUpdate, AuthAction::Update),
    (Audited::UserUpdate, AuthAction::Update),
    (Audited::AccountDelete, AuthAction::Delete),
    (Audited::UserDelete, AuthAction::Delete),
];

/// The word of hooks for what the audit log calls so.
pub fn word_of_audited(audited: &str) -> &'static str {
    let found = AUDITED.iter().find(|(known, _)| known.as_str() == audited);
    found.map_or("", |(_, action)| action.as_str())
}
