//! One declared function: its directory, its current version, and the task that makes new ones.
//!
//! In dev mode every invocation first looks whether the directory has changed, so that an edited
//! function answers with its new code on the very next call. In production a function is sealed once.
//! One task per function makes versions, so any number of callers wait for one build.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alyx_core::schema::{FunctionConfig, Runtime};
use alyx_protocol::ids::Digest;
use alyx_protocol::worker::LogLevel;
use arc_swap::ArcSwapOption;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::Instant;

use super::bundle::{self, Durability, fingerprint};
use super::ending::Ending;
use super::go_build;
use super::job::FunctionContext;
use super::logs::{FunctionLine, RecentLines};
use super::pool::{Pool, Shared};
use super::recorder::Recorder;
use super::secrets::FunctionSecrets;
use crate::problem::error_chain;
use crate::tasks::Tasks;

/// A failed version is tried again after this, because the cause may have been outside of the code.
const RETRY_FAILED: Duration = Duration::from_secs(5);

/// Callers that may wait for one version; more are told to come again.
const WAITING_MAX: usize = 4_096;

/// Whether edits of the directory are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Before every invocation.
    EveryCall,
    /// Sealed once.
    Sealed,
}

/// Where things are.
#[derive(Clone, Debug)]
pub struct Places {
    /// The project's `functions/`.
    pub functions: PathBuf,
    /// Sealed bundles.
    pub bundles: PathBuf,
    /// Caches of builds.
    pub cache: PathBuf,
    /// The runtimes' own files.
    pub runtimes: PathBuf,
    /// Whether edits are looked for.
    pub freshness: Freshness,
}

/// One declared function.
pub struct Source {
    /// As declared.
    pub config: Arc<FunctionConfig>,
    /// The secrets that it is given.
    pub secrets: Arc<FunctionSecrets>,
    directory: PathBuf,
    freshness: Freshness,
    current: ArcSwapOption<Version>,
    requests: mpsc::Sender<oneshot::Sender<Result<Arc<Pool>, Ending>>>,
    recent: Arc<Mutex<RecentLines>>,
}

/// What the directory became.
struct Version {
    fingerprint: Option<u64>,
    made: Instant,
    pool: Result<Arc<Pool>, Ending>,
}

/// What the task that makes versions works with.
pub struct Maker {
    /// Where things are.
    pub places: Arc<Places>,
    /// What pools share.
    pub shared: Arc<Shared>,
    /// Where records go.
    pub recorder: Recorder,
    /// Who runs the pools.
    pub tasks: Tasks,
}

impl Source {
    /// A function without a version yet. `recent` is handed over from an earlier declaration of it.
    pub fn start(
        config: Arc<FunctionConfig>,
        secrets: FunctionSecrets,
        maker: Arc<Maker>,
        recent: Option<Arc<Mutex<RecentLines>>>,
    ) -> Arc<Self> {
        let (requests, queue) = mpsc::channel(WAITING_MAX);
        let source = Arc::new(Self {
            directory: maker.places.functions.join(&config.name),
            freshness: maker.places.freshness,
            current: ArcSwapOption::empty(),
            secrets: Arc::new(secrets),
            recent: recent.unwrap_or_default(),
            requests,
            config,
        });
        let (tasks, weak) = (maker.tasks.clone(), Arc::downgrade(&source));
        tasks.spawn(make_versions(weak, queue, maker));
        source
    }

    /// The pool of the current version of the code.
    pub async fn pool(&self) -> Result<Arc<Pool>, Ending> {
        if let Some(version) = &*self.current.load()
            && self.is_current(version)
        {
            return version.pool.clone();
        }
        let (reply, made) = oneshot::channel();
        let stopping = || Ending::Unavailable { detail: "the daemon is stopping".to_owned() };
        match self.requests.try_send(reply) {
            Ok(()) => made.await.unwrap_or_else(|_| Err(stopping())),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Ending::QueueFull),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(stopping()),
        }
    }

    /// The pool there is, if there is one.
    pub fn existing(&self) -> Option<Arc<Pool>> {
        self.current.load().as_ref().and_then(|version| version.pool.clone().ok())
    }

    /// Why there is no pool, if the last attempt failed.
    pub fn problem(&self) -> Option<Ending> {
        self.current.load().as_ref().and_then(|version| version.pool.as_ref().err().cloned())
    }

    /// The recent lines, oldest first, and those to come.
    pub fn follow(&self, count: usize) -> (Vec<FunctionLine>, broadcast::Receiver<Arc<FunctionLine>>) {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).follow(count)
    }

    /// The lines for a successor of the same name.
    pub fn share_recent(&self) -> Arc<Mutex<RecentLines>> {
        Arc::clone(&self.recent)
    }

    /// What invocations that never reach a pool are ended with.
    pub fn context(&self, recorder: &Recorder) -> FunctionContext {
        FunctionContext {
            config: Arc::clone(&self.config),
            secrets: Arc::clone(&self.secrets),
            version: None,
            recorder: recorder.clone(),
            recent: Arc::clone(&self.recent),
        }
    }

    fn is_current(&self, version: &Version) -> bool {
        match (self.freshness, &version.pool) {
            (Freshness::Sealed, Ok(_)) => true,
            (Freshness::Sealed, Err(_)) => version.made.elapsed() < RETRY_FAILED,
            (Freshness::EveryCall, pool) => {
                let found = fingerprint(&self.directory);
                found.is_some()
                    && found == version.fingerprint
                    && (pool.is_ok() || version.made.elapsed() < RETRY_FAILED)
            }
        }
    }
}

/// Answers requests for the current version until the function is no longer declared.
async fn make_versions(
    source: std::sync::Weak<Source>,
    mut queue: mpsc::Receiver<oneshot::Sender<Result<Arc<Pool>, Ending>>>,
    maker: Arc<Maker>,
) {
    while let Some(first) = queue.recv().await {
        let Some(source) = source.upgrade() else { return };
        // Whoever asked before the look at the directory is served by it, later ones look again.
        let mut waiting = vec![first];
        while let Ok(reply) = queue.try_recv() {
            waiting.push(reply);
        }
        let current = source.current.load_full().filter(|version| source.is_current(version));
        let pool = match current {
            Some(version) => version.pool.clone(),
            None => {
                let version = maker.version(&source).await;
                let pool = version.pool.clone();
                source.current.store(Some(Arc::new(version)));
                pool
            }
        };
        // A caller may have gone away.
        waiting.into_iter().for_each(|reply| drop(reply.send(pool.clone())));
    }
}

impl Maker {
    async fn version(&self, source: &Source) -> Version {
        let fingerprint = fingerprint(&source.directory);
        let old = source.existing();
        let pool = match self.seal(source).await {
            Ok(digest) => match &old {
                Some(pool) if pool.bundle() == digest => Ok(Arc::clone(pool)),
                _ => Ok(self.open(source, digest)),
            },
            Err(ending) => {
                let context = source.context(&self.recorder);
                context.note(LogLevel::Error, ending.log_text(&source.config));
                tracing::warn!("{}", ending.log_text(&source.config));
                Err(ending)
            }
        };
        if let Some(old) = old
            && !pool.as_ref().is_ok_and(|pool| Arc::ptr_eq(pool, &old))
        {
            old.retire();
        }
        Version { fingerprint, made: Instant::now(), pool }
    }

    async fn seal(&self, source: &Source) -> Result<Digest, Ending> {
        let config = &source.config;
        if let Some(detail) = source.secrets.lack() {
            return Err(Ending::LoadFailed { detail });
        }
        let directory = match config.runtime {
            Runtime::Node | Runtime::Python => {
                let entrypoint = source.directory.join(&config.entrypoint);
                if !entrypoint.is_file() {
                    let detail = format!("functions/{}/{} is not there.", config.name, config.entrypoint);
                    return Err(Ending::LoadFailed { detail });
                }
                source.directory.clone()
            }
            Runtime::Go => {
                let built =
                    go_build::build(&source.directory, &self.places.runtimes, &self.places.cache).await;
                built.map_err(|error| Ending::BuildFailed {
                    hint: error.hint().map(str::to_owned),
                    detail: error.to_string(),
                })?
            }
        };
        let bundles = self.places.bundles.clone();
        let durability = match self.places.freshness {
            Freshness::EveryCall => Durability::Relaxed,
            Freshness::Sealed => Durability::Durable,
        };
        let sealed = tokio::task::spawn_blocking(move || bundle::seal(&directory, &bundles, durability));
        match sealed.await {
            Ok(Ok(digest)) => Ok(digest),
            Ok(Err(error)) => Err(Ending::LoadFailed { detail: format!("{}.", error_chain(&error)) }),
            Err(error) => Err(Ending::LoadFailed { detail: format!("sealing did not finish: {error}.") }),
        }
    }

    fn open(&self, source: &Source, digest: Digest) -> Arc<Pool> {
        let context = FunctionContext { version: Some(digest.to_string()), ..source.context(&self.recorder) };
        let (pool, managed) = Pool::new(Arc::clone(&self.shared), Arc::new(context), digest);
        self.tasks.spawn(managed);
        pool
    }
}
