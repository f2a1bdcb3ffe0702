//! Hooks: functions that are asked before something happens, or told of it afterwards.
//!
//! | module | job |
//! |---|---|
//! | [`waited`] | the way from whoever writes to the hooks that they wait for |
//! | [`table`] | which hooks there are, and for what |
//! | [`call`] | running the function of a hook |
//!
//! What nobody waits for is a job that the transaction of the happening adds: see [`crate::jobs`].

mod call;
mod table;
mod waited;

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use alyx_core::identity::RequestFacts;
use alyx_core::schema::{Hook, Retry};
use alyx_store::{DueJob, Store};
use arc_swap::ArcSwap;
use serde_json::value::RawValue;

use self::call::Call;
use self::table::Table;
use crate::app::App;
use crate::audit::Action;
use crate::catalog::CatalogHandle;
use crate::clock;
use crate::functions::Functions;
use crate::jobs::{Attempt, Handler};
use crate::limits::JOB_DEPTH_MAX;
use crate::made::{Keeper, Registry};
use crate::problem::{ApiError, Code};
use crate::triggers::Triggers;

pub use self::table::{topics, word_of_audited};
pub use self::waited::{Doer, Moment, Told, Waited, WaitedHooks};

/// Kind of the jobs of hooks, and what executions say caused them.
const KIND: &str = "hook";

/// The hooks. A cheap clone.
#[derive(Clone)]
pub struct Hooks(Arc<Service>);

struct Service {
    registry: Registry<Hook>,
    functions: Functions,
    triggers: Triggers,
    table: ArcSwap<Table>,
    /// One renewal at a time, so that the last one has seen the last schema.
    renewing: Mutex<()>,
}

impl Hooks {
    /// The hooks of the schema in force and those made at run time. From now on `waited` finds them.
    pub async fn start(
        (store, catalog): (Store, CatalogHandle),
        functions: Functions,
        triggers: Triggers,
        waited: &WaitedHooks,
    ) -> Result<Self, alyx_store::Error> {
        let registry = Registry::load(store, catalog).await?;
        let (table, renewing) = (ArcSwap::default(), Mutex::default());
        let service = Arc::new(Service { registry, functions, triggers, table, renewing });
        let shared: Arc<dyn Waited> = Arc::clone(&service) as _;
        waited.set(&shared);
        let hooks = Self(service);
        hooks.renew();
        Ok(hooks)
    }
}

impl Keeper for Hooks {
    type Kept = Hook;
    const PLURAL: &'static str = "hooks";
    const ACTIONS: [Action; 3] = [Action::HookCreate, Action::HookUpdate, Action::HookDelete];

    fn of(app: &App) -> &Self {
        &app.hooks
    }

    fn registry(&self) -> &Registry<Hook> {
        &self.0.registry
    }

    fn renew(&self) {
        let service = &self.0;
        let _one = service.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        let table = Table::new(service.registry.in_force());
        service.triggers.set(KIND, table.triggers(KIND));
        service.table.store(Arc::new(table));
    }
}

impl Service {
    async fn carry_out(&self, job: DueJob) -> Attempt {
        let Some(hook) = self.table.load().get(&job.target) else {
            return Attempt::Hopeless { error: format!("there is no hook {:?} any more", job.target) };
        };
        let input = match call::input_of_job(&hook, &job) {
            Ok(input) => input,
            Err(error) => return Attempt::Hopeless { error: format!("its payload is damaged: {error}") },
        };
        let facts = RequestFacts { time: clock::now_text(), depth: job.depth + 1, ..RequestFacts::default() };
        let call = Call { hook: &hook, facts, input, request_id: job.id };
        Attempt::of_function(call.run(&self.functions).await)
    }

    /// Asks a hook, or tells it, while somebody waits.
    async fn wait_for(&self, id: &str, told: &Told, doer: &Doer) -> Result<Option<Box<RawValue>>, ApiError> {
        // One that is gone in the meantime has nothing to say.
        let Some(hook) = self.table.load().get(id) else { return Ok(None) };
        if doer.facts.depth >= JOB_DEPTH_MAX {
            let detail =
                format!("{JOB_DEPTH_MAX} hooks caused each other before {id}: it looks like a loop.");
            return Err(ApiError::new(Code::HookLoop, detail));
        }
        let facts = RequestFacts { depth: doer.facts.depth + 1, ..doer.facts.clone() };
        let request_id = facts.request_id.clone();
        let input = call::input_of_moment(&hook, told, doer);
        let answer = Call { hook: &hook, facts, input, request_id }.run(&self.functions).await;
        call::changes(&self.functions, &hook, answer)
    }
}

type Future<T> = Pin<Box<dyn std::future::Future<Output = T> + Send>>;

impl Waited for Service {
    fn before(&self, moment: &Moment) -> Arc<[String]> {
        self.table.load().before(moment)
    }

    fn after(&self, moment: &Moment) -> Arc<[String]> {
        self.table.load().after(moment)
    }

    fn ask(
        self: Arc<Self>,
        hook: String,
        told: Told,
        doer: Doer,
    ) -> Future<Result<Option<Box<RawValue>>, ApiError>> {
        Box::pin(async move { self.wait_for(&hook, &told, &doer).await })
    }

    fn tell(self: Arc<Self>, hook: String, told: Told, doer: Doer) -> Future<()> {
        Box::pin(async move {
            if let Err(error) = self.wait_for(&hook, &told, &doer).await {
                tracing::warn!(hook, "the hook {hook} failed after the commit: {}", error.code());
                doer.facts.notices.add(format!("{hook}: {}", error.code()));
            }
        })
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
        self.0.table.load().get(target).map_or(Retry::default(), |hook| hook.retry)
    }

    fn run(&self, job: DueJob) -> Future<Attempt> {
        let service = Arc::clone(&self.0);
        Box::pin(async move { service.carry_out(job).await })
    }
}
