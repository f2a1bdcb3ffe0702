//! Which hooks there are: those of the schema first, in its order, then those made at run time, by id.

use std::collections::BTreeMap;
use std::sync::Arc;

use alyx_core::catalog::Catalog;
use alyx_core::schema::{AuthAction, Hook, HookAction, HookOn, HookWhen, parse_hook};
use alyx_store::{Action, HookRow, Topic, Trigger};

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
    /// The hooks of a schema and these. One of the latter that does not go with the schema is left out.
    pub fn new(catalog: &Catalog, rows: &[HookRow]) -> Self {
        let mut hooks: Vec<Arc<Hook>> = catalog.schema.hooks.iter().cloned().map(Arc::new).collect();
        let made = rows.iter().filter(|row| row.enabled).filter_map(|row| read(catalog, row).ok());
        hooks.extend(made.map(Arc::new));
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

/// Reads a hook that was made at run time. What is wrong with it is one line.
pub fn read(catalog: &Catalog, row: &HookRow) -> Result<Hook, String> {
    let schema = &catalog.schema;
    let hook = parse_hook(schema, &row.definition)
        .map_err(|problems| problems.first().map_or_else(String::new, |problem| problem.message.clone()))?;
    if !schema.functions.contains_key(&hook.function) {
        return Err(format!("there is no function {:?}", hook.function));
    }
    if schema.hooks.iter().any(|declared| declared.id == row.id) {
        return Err("the schema declares a hook with this id".to_owned());
    }
    Ok(Hook { id: row.id.clone(), ..hook })
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
