//! Hooks: functions that are told of what happened to documents, by jobs that the transaction of the change
//! adds.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use alyx_core::identity::{AdminIdentity, Identity, RequestFacts};
use alyx_core::schema::{Hook, HookAction, Retry};
use alyx_store::{Action, DueJob, Trigger};
use serde_json::value::RawValue;

use crate::catalog::CatalogHandle;
use crate::clock;
use crate::functions::{Functions, Invocation, InvokeError};
use crate::jobs::{Attempt, Handler};
use crate::triggers::Triggers;

/// Kind of the jobs of hooks.
const KIND: &str = "hook";

/// The hooks. A cheap clone.
#[derive(Clone)]
pub struct Hooks {
    catalog: CatalogHandle,
    functions: Functions,
    triggers: Triggers,
    /// One renewal at a time, so that the last one has seen the last schema.
    renewing: Arc<Mutex<()>>,
}

impl Hooks {
    /// The hooks of the schema in force.
    pub fn new(catalog: CatalogHandle, functions: Functions, triggers: Triggers) -> Self {
        let hooks = Self { catalog, functions, triggers, renewing: Arc::default() };
        hooks.renew();
        hooks
    }

    /// Takes the hooks of the schema in force over.
    pub fn renew(&self) {
        let _one = self.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        let catalog = self.catalog.load();
        let trigger = |hook: &Hook| {
            let actions = hook.actions.iter().copied().map(action).collect();
            let trigger = Trigger { kind: KIND, target: hook.name.clone(), actions, ordered: true };
            (hook.on.clone(), trigger)
        };
        self.triggers.set(KIND, catalog.schema.hooks.iter().map(trigger).collect());
    }

    async fn carry_out(&self, job: DueJob) -> Attempt {
        let catalog = self.catalog.load_full();
        let Some(hook) = catalog.schema.hooks.iter().find(|hook| hook.name == job.target) else {
            return Attempt::Hopeless { error: format!("there is no hook {:?} any more", job.target) };
        };
        let input = match input(&job) {
            Ok(input) => input,
            Err(error) => return Attempt::Hopeless { error: format!("its payload is damaged: {error}") },
        };
        let call = Invocation {
            function: hook.function.clone(),
            identity: Identity::Admin(AdminIdentity::Project { cause: format!("hook:{}", hook.name) }),
            facts: RequestFacts { time: clock::now_text(), depth: job.depth + 1, ..RequestFacts::default() },
            input,
            trigger: KIND,
            request_id: job.id,
            trace_id: clock::random_hex::<16>(),
        };
        drop(catalog);
        match self.functions.invoke(call).await {
            Ok(answer) if answer.status < 400 => Attempt::Done,
            Ok(answer) => Attempt::Failed { error: format!("it answered {}", answer.status), wait: None },
            Err(InvokeError { problem, .. }) => {
                let error = format!("{}: {}", problem.code, problem.detail);
                Attempt::Failed { error, wait: None }
            }
        }
    }
}

impl Handler for Hooks {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn at_once(&self) -> u32 {
        16
    }

    fn policy(&self, target: &str) -> Retry {
        let catalog = self.catalog.load();
        let hook = catalog.schema.hooks.iter().find(|hook| hook.name == target);
        hook.map_or(Retry::default(), |hook| hook.retry)
    }

    fn run(&self, job: DueJob) -> Pin<Box<dyn Future<Output = Attempt> + Send>> {
        let hooks = self.clone();
        Box::pin(async move { hooks.carry_out(job).await })
    }
}

const fn action(action: HookAction) -> Action {
    match action {
        HookAction::Create => Action::Create,
        HookAction::Update => Action::Update,
        HookAction::Delete => Action::Delete,
    }
}

/// What the function is told: the change, and which job this is.
fn input(job: &DueJob) -> Result<Box<RawValue>, serde_json::Error> {
    // The payload is an object of ours, with members.
    let mut text = job.payload.strip_suffix('}').unwrap_or(&job.payload).to_owned();
    let (id, hook) = (serde_json::Value::from(&*job.id), serde_json::Value::from(&*job.target));
    text.push_str(&format!(",\"hook\":{hook},\"job\":{id},\"attempt\":{}}}", job.attempt));
    RawValue::from_string(text)
}
