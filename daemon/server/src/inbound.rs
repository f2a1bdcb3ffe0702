//! Inbound webhooks: functions that run for requests of others, if the signature is right and they did not
//! come before.
//!
//! | module | job |
//! |---|---|
//! | [`signature`] | who sent it |
//! | [`told`] | what the function is told of it |
//!
//! Nothing of a request is believed before its signature is: not its time, not its id, not its form. A
//! delivery is noted with its job in one transaction, so one that was acknowledged is owed once; one that
//! somebody waits for is noted before it runs, and forgotten if it failed, so that it may come again.

mod signature;
mod told;

use std::pin::Pin;
use std::sync::Arc;

use alyx_core::document::IdKind;
use alyx_core::identity::{AdminIdentity, Identity, RequestFacts};
use alyx_core::schema::{Inbound, InboundMode, Retry};
use alyx_store::{DueJob, NewJob, Receipt, Received, Store};
use http::HeaderMap;
use jiff::Timestamp;
use serde_json::value::RawValue;

use self::signature::Key;
use crate::catalog::CatalogHandle;
use crate::clock;
use crate::functions::{Answer, Functions, INPUT_MAX_BYTES, Invocation, InvokeError};
use crate::jobs::{Attempt, Handler};
use crate::limits::{INBOUND_AT_ONCE, INBOUND_OPEN_MAX};
use crate::problem::{ApiError, Code, error_chain};
use crate::secrets::Secrets;
use crate::tasks::Tasks;

pub use self::signature::{Signed, Wrong};
pub use self::told::Told;

/// Kind of the jobs of inbound webhooks, and what executions say caused them.
const KIND: &str = "inbound";

/// The inbound webhooks of the schema in force. A cheap clone.
#[derive(Clone)]
pub struct InboundWebhooks(Arc<Service>);

struct Service {
    store: Store,
    catalog: CatalogHandle,
    functions: Functions,
    secrets: Secrets,
}

/// An inbound webhook as administrators see it.
pub struct Shown {
    /// As it is declared.
    pub inbound: Inbound,
    /// Why not everything that is signed as agreed is taken.
    pub problem: Option<String>,
}

/// One that can check signatures.
pub struct Door {
    pub inbound: Inbound,
    keys: Vec<Key>,
}

/// What came, with a right signature.
pub struct Delivery {
    pub signed: Signed,
    pub told: Told,
    pub facts: RequestFacts,
}

/// What becomes of it.
pub enum Outcome {
    /// It is a job now.
    Owed,
    /// It came before.
    Repeated,
    /// This is what the function says.
    Answered(Result<Answer, InvokeError>),
}

impl InboundWebhooks {
    /// Those of whatever catalog is in force.
    pub fn new(
        (store, catalog): (&Store, &CatalogHandle),
        (functions, secrets): (&Functions, &Secrets),
    ) -> Self {
        let (store, catalog) = (store.clone(), catalog.clone());
        let (functions, secrets) = (functions.clone(), secrets.clone());
        Self(Arc::new(Service { store, catalog, functions, secrets }))
    }

    /// All of them, in order of the schema.
    pub fn list(&self) -> Vec<Shown> {
        let shown = |inbound: &Inbound| {
            let problem = self.keys(inbound).1;
            Shown { inbound: inbound.clone(), problem }
        };
        self.0.catalog.load().schema.inbound.iter().map(shown).collect()
    }

    /// The one at a path.
    ///
    /// # Errors
    /// `not_found`; `inbound_not_ready` where no secret can have signed.
    pub fn door(&self, path: &str) -> Result<Door, ApiError> {
        let found = self.0.catalog.load().schema.inbound.iter().find(|one| one.path == path).cloned();
        let Some(inbound) = found else {
            return Err(ApiError::new(Code::NotFound, "There is no such path."));
        };
        let (keys, problem) = self.keys(&inbound);
        if keys.is_empty() {
            let problem = problem.unwrap_or_default();
            tracing::error!(inbound = path, "a request to /hooks/{path} was refused: {problem}");
            return Err(ApiError::new(Code::InboundNotReady, "Nothing can be received here yet."));
        }
        Ok(Door { inbound, keys })
    }

    /// The secrets that can sign, and what is wrong with the first of the others.
    fn keys(&self, inbound: &Inbound) -> (Vec<Key>, Option<String>) {
        let (kept, mut problem, mut keys) = (self.0.secrets.all(), None, Vec::new());
        for name in &inbound.secrets {
            let value = kept.get(name).and_then(|secret| secret.value.clone());
            let key = value.ok_or_else(|| format!("the secret {name} is not set")).and_then(|value| {
                let wrong = || format!("the secret {name} is too short, or not of the form of the scheme");
                Key::read(&inbound.verify, &value).ok_or_else(wrong)
            });
            match key {
                Ok(key) => keys.push(key),
                Err(reason) => {
                    problem.get_or_insert(reason);
                }
            }
        }
        (keys, problem)
    }

    /// Takes a delivery in, as the path says.
    pub async fn take(&self, door: Door, delivery: Delivery, tasks: &Tasks) -> Result<Outcome, ApiError> {
        let Delivery { signed, told, facts } = delivery;
        match door.inbound.mode {
            InboundMode::Async(_) => self.owe(&door.inbound, signed, &told).await,
            InboundMode::Sync => {
                let input = told.input(None).map_err(|error| unreadable(&error))?;
                self.answer(door.inbound, signed, (input, facts), tasks).await
            }
        }
    }

    async fn owe(&self, inbound: &Inbound, signed: Signed, told: &Told) -> Result<Outcome, ApiError> {
        let payload = serde_json::to_string(told).map_err(|error| unreadable(&error))?;
        let job = NewJob {
            id: clock::new_key(IdKind::Id),
            kind: KIND,
            target: inbound.path.clone(),
            key: None,
            payload,
            run_at: None,
        };
        let receipt = Receipt {
            path: inbound.path.clone(),
            keys: signed.keys,
            until: Timestamp::now() + inbound.window,
            job: Some(job),
        };
        Ok(match self.0.store.receive(receipt).await? {
            Received::New => Outcome::Owed,
            Received::Open | Received::Done => Outcome::Repeated,
        })
    }

    async fn answer(
        &self,
        inbound: Inbound,
        signed: Signed,
        (input, facts): (Box<RawValue>, RequestFacts),
        tasks: &Tasks,
    ) -> Result<Outcome, ApiError> {
        let path = inbound.path.clone();
        let until = Timestamp::now() + INBOUND_OPEN_MAX;
        let receipt = Receipt { path: path.clone(), keys: signed.keys.clone(), until, job: None };
        match self.0.store.receive(receipt).await? {
            Received::New => {}
            Received::Done => return Ok(Outcome::Repeated),
            Received::Open => {
                let detail = "The same delivery is being worked on; send it again later.";
                return Err(ApiError::new(Code::DeliveryOpen, detail).retry_after(5));
            }
        }
        let request_id = facts.request_id.clone();
        let invocation = self.0.invocation(&inbound, facts, input, request_id);
        let service = Arc::clone(&self.0);
        // Also if the sender hangs up: it will send it again, and is told then that it is done.
        let work = async move {
            let answer = service.functions.invoke(invocation).await;
            let done = answer.as_ref().is_ok_and(|answer| answer.status < 400);
            let until = done.then(|| Timestamp::now() + inbound.window);
            if let Err(error) = service.store.settle_receipt(path, signed.keys, until).await {
                tracing::warn!("what became of a delivery was not noted: {}", error_chain(&error));
            }
            answer
        };
        let stopping = || ApiError::new(Code::FunctionsUnavailable, "The daemon is stopping. Try again.");
        tasks.finish(work).await.map(Outcome::Answered).ok_or_else(stopping)
    }
}

impl Door {
    /// Checks who sent it, and when.
    pub fn check(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<Signed, Wrong> {
        signature::check(&self.inbound.verify, &self.keys, headers, body, now.as_second())
    }
}

impl Service {
    /// A call of the function, for the project.
    fn invocation(
        &self,
        inbound: &Inbound,
        facts: RequestFacts,
        input: Box<RawValue>,
        request_id: String,
    ) -> Invocation {
        let cause = format!("{KIND}:{}", inbound.path);
        Invocation {
            function: inbound.function.clone(),
            identity: Identity::Admin(AdminIdentity::Project { cause }),
            facts,
            input,
            trigger: KIND,
            request_id,
            trace_id: clock::random_hex::<16>(),
        }
    }

    async fn carry_out(&self, job: DueJob) -> Attempt {
        let found = self.catalog.load().schema.inbound.iter().find(|one| one.path == job.target).cloned();
        let Some(inbound) = found else {
            return Attempt::Hopeless { error: format!("there is no path {:?} any more", job.target) };
        };
        let told: Result<Told, _> = serde_json::from_str(&job.payload);
        let input = match told.and_then(|told| told.input(Some((&job.id, job.attempt)))) {
            Ok(input) => input,
            Err(error) => return Attempt::Hopeless { error: format!("its payload is damaged: {error}") },
        };
        let facts = RequestFacts { time: clock::now_text(), depth: job.depth + 1, ..RequestFacts::default() };
        let invocation = self.invocation(&inbound, facts, input, job.id);
        Attempt::of_function(self.functions.invoke(invocation).await)
    }
}

/// The input of a function is larger than it may be, whatever the size of the body.
pub fn check_size(told: &Told) -> Result<(), ApiError> {
    if told.input_bytes() <= INPUT_MAX_BYTES {
        return Ok(());
    }
    Err(ApiError::new(Code::BodyTooLarge, "The body is too large for a function."))
}

fn unreadable(error: &serde_json::Error) -> ApiError {
    crate::problem::internal("write down a delivery", error).into()
}

impl Handler for InboundWebhooks {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn at_once(&self) -> u32 {
        INBOUND_AT_ONCE
    }

    fn policy(&self, target: &str) -> Retry {
        let catalog = self.0.catalog.load();
        let found = catalog.schema.inbound.iter().find(|inbound| inbound.path == target);
        match found.map(|inbound| inbound.mode) {
            Some(InboundMode::Async(retry)) => retry,
            _ => Retry::default(),
        }
    }

    fn run(&self, job: DueJob) -> Pin<Box<dyn Future<Output = Attempt> + Send>> {
        let service = Arc::clone(&self.0);
        Box::pin(async move { service.carry_out(job).await })
    }
}
