//! Functions: from an HTTP request to user code in a confined worker and back.
//!
//! | module | job |
//! |---|---|
//! | [`options`] | where things are and how much there may be |
//! | [`source`] | a declared function, its directory, its current version |
//! | [`bundle`], [`go_build`] | that directory as a sealed, content-addressed bundle |
//! | [`pool`] | the workers of one version, and who waits for them |
//! | [`worker`], [`session`], [`frames`], [`outbox`], [`pipes`] | one worker: its task, its protocol, its bytes |
//! | [`calls`] | what user code asks of the daemon |
//! | [`supervisor`] | the control link |
//! | [`job`], [`ending`], [`respond`] | one invocation and every way it ends |
//! | [`recorder`], [`records`], [`logs`] | what is kept of it |
//! | [`secrets`] | what a function is given and does not log |
//!
//! No user code runs here, and nothing a worker says is believed: identity, deadline and limits come
//! from the daemon's own tables.

mod bundle;
mod calls;
mod document_calls;
mod ending;
#[cfg(test)]
mod fixtures;
mod frames;
mod go_build;
mod job;
mod limits;
mod logs;
mod options;
mod outbox;
mod pipes;
mod pool;
mod recorder;
mod records;
mod respond;
mod rule;
mod secrets;
mod session;
mod source;
mod status;
mod supervisor;
#[cfg(test)]
mod tests;
mod transactions;
mod worker;

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use alyx_core::document::IdKind;
use alyx_core::identity::{Identity, RequestFacts};
use alyx_core::schema::FunctionConfig;
use alyx_store::Store;
use arc_swap::ArcSwap;
use jiff::Timestamp;
use serde_json::value::RawValue;
use tokio::sync::{broadcast, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::ending::{Audience, Ending};
use self::job::Job;
use self::limits::QUEUE_WAIT_MIN;
use self::logs::FunctionLine;
use self::pool::Shared;
use self::recorder::Recorder;
use self::secrets::FunctionSecrets;
use self::source::{Maker, Places, Source};
use self::supervisor::Supervisor;
use crate::catalog::CatalogHandle;
use crate::clock::{new_key, now_text};
use crate::config::Mode;
use crate::documents::Documents;
use crate::problem::{Code, problem};
use crate::secrets::Secrets;
use crate::tasks::Tasks;

pub use self::job::{Answer, InvokeError};
pub use self::limits::INPUT_MAX_BYTES;
pub use self::options::FunctionsOptions;
pub use self::recorder::{Execution, OUTCOMES, TRIGGERS};
pub use self::rule::decide;

/// The function service. A cheap clone.
#[derive(Clone)]
pub struct Functions(Arc<Service>);

struct Service {
    store: Store,
    catalog: CatalogHandle,
    secrets: Secrets,
    sources: ArcSwap<BTreeMap<String, Arc<Source>>>,
    /// One renewal at a time, so that the last one has seen the last change.
    renewing: Mutex<()>,
    supervisor: Supervisor,
    recorder: Recorder,
    maker: Arc<Maker>,
    mode: Mode,
    stopping: AtomicBool,
    /// Lines of invocations that began after this are in memory.
    started: Timestamp,
    /// Ends the supervisor link and the recorder, which outlive everything else.
    stop: watch::Sender<bool>,
}

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A directory of ours cannot be made.
    #[error("create {path}", path = path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// One call of a function.
#[derive(Debug)]
pub struct Invocation {
    /// Name of the function.
    pub function: String,
    /// Who calls.
    pub identity: Identity,
    /// The request behind it.
    pub facts: RequestFacts,
    /// Any JSON.
    pub input: Box<RawValue>,
    /// What caused it: `http`, `hook`.
    pub trigger: &'static str,
    /// Id of the request.
    pub request_id: String,
    /// W3C trace id.
    pub trace_id: String,
}

impl Functions {
    /// Starts the service. Needs no supervisor to be there yet. Must be called inside the runtime.
    /// The task ends with [`Self::shutdown`].
    pub fn start(
        options: FunctionsOptions,
        store: Store,
        catalog: CatalogHandle,
        documents: Documents,
        secrets: Secrets,
    ) -> Result<(Self, JoinHandle<()>), Error> {
        let places = Places {
            functions: options.project_dir.join("functions"),
            bundles: options.data_dir.join("bundles"),
            cache: options.data_dir.join("cache"),
            runtimes: options.runtimes_dir,
            freshness: options.freshness,
        };
        for directory in [&places.bundles, &places.cache] {
            std::fs::create_dir_all(directory)
                .map_err(|source| Error::Directory { path: directory.clone(), source })?;
        }
        go_build::sweep(&places.cache);
        let (supervisor, link) = Supervisor::new(options.supervisor_socket);
        let (recorder, recording) =
            Recorder::new(Arc::new(records::StoreSink(store.clone())), options.metrics);
        let (stop, mut stopped) = watch::channel(false);
        let background = tokio::spawn(async move {
            tokio::select! {
                _ = async { tokio::join!(link, recording) } => {}
                // An error means that the service is gone, which is the same order.
                _ = stopped.wait_for(|stop| *stop) => {}
            }
        });
        let tasks = Tasks::default();
        let shared = Shared::new(
            supervisor.clone(),
            Arc::new(document_calls::DocumentCalls {
                documents,
                tasks: tasks.clone(),
                transaction_timeout: options.transaction_timeout,
            }),
            options.max_workers as usize,
            options.queue as usize,
        );
        let maker =
            Maker { places: Arc::new(places), shared: Arc::new(shared), recorder: recorder.clone(), tasks };
        let functions = Self(Arc::new(Service {
            store,
            catalog,
            secrets,
            sources: ArcSwap::default(),
            renewing: Mutex::default(),
            supervisor,
            recorder,
            maker: Arc::new(maker),
            mode: options.mode,
            stopping: AtomicBool::new(false),
            started: Timestamp::now(),
            stop,
        }));
        functions.renew();
        functions.prepare();
        Ok((functions, background))
    }

    /// Invokes a function and waits for its answer. Dropping this future cancels the invocation.
    pub async fn invoke(&self, call: Invocation) -> Result<Answer, InvokeError> {
        let refused = InvokeError::refused;
        let catalog = self.0.catalog.load_full();
        let (Some(entry), Some(source)) =
            (catalog.function(&call.function), self.0.sources.load().get(&call.function).cloned())
        else {
            let detail = format!("There is no function {:?}.", call.function);
            return Err(refused(problem(Code::FunctionNotFound, detail)));
        };
        let allowed = rule::check(&self.0.store, entry, &call).await;
        allowed.map_err(|error| refused(error.into_problem()))?;
        drop(catalog);
        let (mut job, answer) = self.job(&source, call);
        if self.0.stopping.load(Ordering::Relaxed) {
            let detail = "the daemon is stopping".to_owned();
            source.context(&self.0.recorder).refuse(job, Ending::Unavailable { detail });
        } else {
            match source.pool().await {
                Ok(pool) => {
                    // Making a version is not waiting in the queue: a first build takes minutes.
                    job.deadline = Instant::now() + queue_wait(&source);
                    pool.submit(job);
                }
                Err(ending) => source.context(&self.0.recorder).refuse(job, ending),
            }
        }
        answer.await.unwrap_or_else(|_| {
            // Only a shutdown drops an invocation without an end of its own.
            let detail = "The daemon is stopping. Try again.";
            Err(refused(problem(Code::FunctionsUnavailable, detail)))
        })
    }

    /// Takes the functions of the catalog in force over, and the secrets as they are now. Versions of
    /// what is no longer declared, declared differently or given other secrets serve what waits and end.
    pub fn renew(&self) {
        self.take_over(|source, config, secrets| source.config == *config && *source.secrets == *secrets);
    }

    /// The same, and reads the code of every function again.
    pub fn read_again(&self) {
        self.take_over(|_, _, _| false);
    }

    fn take_over(&self, stays: impl Fn(&Source, &Arc<FunctionConfig>, &FunctionSecrets) -> bool) {
        let service = &self.0;
        let _one = service.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        let (catalog, known) = (service.catalog.load(), service.secrets.all());
        let old = service.sources.load_full();
        let mut sources = BTreeMap::new();
        for (name, config) in &catalog.schema.functions {
            let secrets = FunctionSecrets::new(&config.secrets, &known);
            let source = match old.get(name) {
                Some(source) if stays(source, config, &secrets) => Arc::clone(source),
                changed => {
                    let recent = changed.map(|source| source.share_recent());
                    Source::start(Arc::clone(config), secrets, Arc::clone(&service.maker), recent)
                }
            };
            sources.insert(name.clone(), source);
        }
        let gone: Vec<Arc<Source>> = old
            .iter()
            .filter(|(name, source)| !sources.get(*name).is_some_and(|new| Arc::ptr_eq(new, source)))
            .map(|(_, source)| Arc::clone(source))
            .collect();
        service.sources.store(Arc::new(sources));
        gone.iter().filter_map(|source| source.existing()).for_each(|pool| pool.retire());
    }

    /// The newest lines of a function, oldest first, and those to come, until it is no longer declared;
    /// `None` for an unknown one. What was logged before the start is taken from the records.
    pub async fn lines(
        &self,
        function: &str,
        count: u32,
    ) -> Result<Option<(Vec<FunctionLine>, broadcast::Receiver<Arc<FunctionLine>>)>, alyx_store::Error> {
        let known = self.0.sources.load().get(function).map(|source| source.follow(count as usize));
        let Some((recent, to_come)) = known else { return Ok(None) };
        let missing = count.saturating_sub(u32::try_from(recent.len()).unwrap_or(u32::MAX));
        if missing == 0 {
            return Ok(Some((recent, to_come)));
        }
        let earlier = self.0.store.function_log(function, self.0.started, missing).await?;
        let earlier = earlier.into_iter().map(|(execution, row)| FunctionLine {
            execution: Some(execution.into()),
            line: records::line(row),
        });
        Ok(Some((earlier.chain(recent).collect(), to_come)))
    }

    /// Adds a line about a function to its log: what its author has to know and no invocation tells.
    pub fn complain(&self, function: &str, message: String) {
        if let Some(source) = self.0.sources.load().get(function) {
            source.context(&self.0.recorder).complain(message);
        }
    }

    /// Executions from now on, once they are recorded.
    pub fn follow(&self) -> broadcast::Receiver<Arc<Execution>> {
        self.0.recorder.follow()
    }

    /// Waits until the record of every call that was answered is in the database.
    pub async fn recorded(&self) {
        self.0.recorder.flush().await;
    }

    /// Ends what waits, lets what runs finish within the grace, stops every worker, writes every
    /// record. Nothing of the service is left afterwards.
    pub async fn shutdown(&self, grace: Duration) {
        let until = Instant::now() + grace;
        self.0.stopping.store(true, Ordering::Relaxed);
        let sources = self.0.sources.swap(Arc::default());
        let ending = Ending::Unavailable { detail: "the daemon is stopping".to_owned() };
        sources.values().filter_map(|source| source.existing()).for_each(|pool| pool.close(&ending));
        drop(sources);
        self.0.maker.shared.close_all(&ending);
        self.0.maker.tasks.join(until).await;
        self.recorded().await;
        self.0.stop.send_replace(true);
    }

    /// Seals and builds everything, so that the first call is not the first to meet a problem, and
    /// starts what is to be kept running; then removes old bundles.
    fn prepare(&self) {
        let service = Arc::clone(&self.0);
        self.0.maker.tasks.spawn(async move {
            let mut used = HashSet::new();
            for source in service.sources.load_full().values() {
                // A function with a problem has logged it, and is tried again when it is called.
                if let Ok(pool) = source.pool().await {
                    used.insert(pool.bundle());
                }
            }
            let bundles = service.maker.places.bundles.clone();
            let swept = tokio::task::spawn_blocking(move || {
                bundle::collect_garbage(&bundles, &used, SystemTime::now())
            });
            match swept.await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "{removed} old bundles removed"),
                Err(error) => tracing::error!("removing old bundles did not finish: {error}"),
            }
        });
    }

    fn job(
        &self,
        source: &Source,
        call: Invocation,
    ) -> (Box<Job>, oneshot::Receiver<Result<Answer, InvokeError>>) {
        let (reply, answer) = oneshot::channel();
        let queued = Instant::now();
        let is_author = self.0.mode == Mode::Development || call.identity.is_admin();
        let job = Job {
            execution_id: new_key(IdKind::Id).into(),
            identity: Identity::Function {
                name: call.function,
                on_behalf_of: Box::new(call.identity.effective().clone()),
            },
            facts: Arc::new(call.facts),
            input: call.input,
            trace_id: call.trace_id,
            request_id: call.request_id,
            trigger: call.trigger,
            audience: if is_author { Audience::Author } else { Audience::Caller },
            started_at: now_text(),
            queued,
            deadline: queued + queue_wait(source),
            reply,
        };
        (Box::new(job), answer)
    }
}

/// How long an invocation may wait for a worker.
fn queue_wait(source: &Source) -> Duration {
    source.config.timeout.max(QUEUE_WAIT_MIN)
}
