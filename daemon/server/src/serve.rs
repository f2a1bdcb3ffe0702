//! Start and stop of the daemon, in order.
//!
//! Start: data directory, database, schema, accounts, functions, sockets; ready is told when requests
//! are answered. Stop: no new connections, requests in flight finish, functions end, the database is
//! closed. Every task has an owner here that joins it.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alyx_store::{OnChange, OnCommit, OnJobs, Options, Shipping, Store};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::app::{App, Parts};
use crate::auth::{Auth, OAuth, Party, StartError, UserCache};
use crate::backups::{BackupError, Backups};
use crate::catalog::{CatalogError, CatalogHandle, Catalogs, Places, WatchError, Watcher};
use crate::changes::Feed;
use crate::clock_watch::ClockWatch;
use crate::config::{Config, Mode, Synchronous};
use crate::documents::Documents;
use crate::functions::{Functions, FunctionsOptions};
use crate::hooks::{Hooks, WaitedHooks};
use crate::http::{
    AdminPeers, Bodies, Doors, ListenError, Listeners, Passed, UnknownGroup, metrics_router, routes, serve,
};
use crate::inbound::InboundWebhooks;
use crate::jobs::{self, Handler, Jobs};
use crate::limits;
use crate::logging;
use crate::mail::{self, Mail, MailJobs};
use crate::metrics::Metrics;
use crate::notify::{State, notify, watchdog_period};
use crate::openapi::OpenApi;
use crate::orders::Orders;
use crate::print;
use crate::problem::error_chain;
use crate::realtime::{Connection, Doubts, Hub};
use crate::retention;
use crate::schedules::Schedules;
use crate::seal::{KeyFileError, Sealer};
use crate::secrets::Secrets;
use crate::tasks::Tasks;
use crate::throttle::{Rates, Throttle};
use crate::triggers::Triggers;
use crate::webhooks::Webhooks;

/// What is watched for edits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// The project's files.
    Project,
    /// Nothing.
    Nothing,
}

/// Why the daemon did not start, or did not stop well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("prepare the place of backups")]
    Backups(#[from] BackupError),
    #[error("make the directory {path}", path = path.display())]
    Directory {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("there is no directory {path}", path = .0.display())]
    NoProject(PathBuf),
    #[error("start the runtime")]
    Runtime(#[source] io::Error),
    #[error("open the database")]
    Store(#[source] alyx_store::Error),
    #[error("close the database")]
    Close(#[source] alyx_store::Error),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("start accounts")]
    Auth(#[from] StartError),
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    #[error(transparent)]
    Mail(#[from] mail::StartError),
    #[error("start functions")]
    Functions(#[from] crate::functions::Error),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Group(#[from] UnknownGroup),
    #[error(transparent)]
    Watch(#[from] WatchError),
    #[error("listen for signals")]
    Signals(#[source] io::Error),
}

/// Serves until it is told to stop.
pub fn run(config: Config, mode: Mode, watch: Watch) -> Result<(), ServeError> {
    logging::start(&config.logging);
    let passed = Passed::take().map_err(ListenError::from)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ServeError::Runtime)?;
    let outcome = runtime.block_on(run_until_told(config, mode, watch, passed));
    // Everything was joined above; only a blocking call that outlived its caller may be left.
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

async fn run_until_told(config: Config, mode: Mode, watch: Watch, passed: Passed) -> Result<(), ServeError> {
    // First, so that an order during the start is not missed.
    let mut orders = Orders::new().map_err(ServeError::Signals)?;
    let config = Arc::new(config);
    prepare_directories(&config)?;
    let (wake, latest) = watch::channel(0);
    let mut options = store_options(&config);
    options.on_change = OnChange(Arc::new(move |seq| {
        wake.send_replace(seq);
    }));
    let (wake, jobs) = watch::channel(0);
    options.on_jobs = OnJobs(Arc::new(move || wake.send_modify(|count| *count += 1)));
    let users = UserCache::default();
    let doubts = Doubts::new();
    let metrics = Metrics::default();
    let counted = metrics.clone();
    options.on_commit = OnCommit(Arc::new(move |commit| counted.commit(commit)));
    options.on_accounts = doubts.0.listener(users.listener());
    let given = Given { changes: latest, jobs, users, doubts, passed, metrics };
    let store = Store::open(&options).map_err(ServeError::Store)?;
    let served = serve_store(&config, mode, watch, (store.clone(), given), &mut orders).await;
    let closed = tokio::task::spawn_blocking(move || store.close()).await;
    served?;
    // The task is not cancelled and `close` does not panic: it reports.
    closed.expect("closing reports instead of panicking").map_err(ServeError::Close)?;
    tracing::info!("stopped");
    Ok(())
}

/// What the parts are given beside the database: what the writer tells of its commits, and sockets.
struct Given {
    /// The highest sequence number of a change that was heard of.
    changes: watch::Receiver<u64>,
    /// Changes when there may be jobs or events that were not there before.
    jobs: watch::Receiver<u64>,
    /// What is kept in memory of accounts.
    users: UserCache,
    /// Whose rights may be different, and where they come out.
    doubts: (Doubts, UnboundedReceiver<Arc<Connection>>),
    /// Sockets of the service manager.
    passed: Passed,
    /// What is counted as it happens.
    metrics: Metrics,
}

async fn serve_store(
    config: &Arc<Config>,
    mode: Mode,
    watch: Watch,
    (store, given): (Store, Given),
    orders: &mut Orders,
) -> Result<(), ServeError> {
    let Given { changes, jobs, users, doubts, passed, metrics } = given;
    let catalogs = Catalogs::start(places(config), store.clone(), users.clone(), mode).await?;
    let (catalog, throttle) = (catalogs.handle(), Throttle::new(Rates::new(&config.limits, &config.auth)));
    let admin_peers = AdminPeers::new(config.server.admin_group.as_deref())?;
    let listeners = Listeners::open(config, passed, &admin_peers).await?;
    let address = listeners.address().unwrap_or(config.server.listen);
    let sealer = Sealer::load(&config.server.data.join("secret.key"))?;
    let backups = Backups::new(store.clone(), config, sealer.name().to_owned(), metrics.clone())?;
    let mail = Mail::start(config, mode, address, sealer.clone())?;
    let secrets = Secrets::load(store.clone(), sealer.clone()).await.map_err(ServeError::Store)?;
    let elsewhere = (OAuth::new(config, address), Party::new(config, address));
    let (places, waited) = ((store.clone(), catalog.clone(), users), WaitedHooks::default());
    let hands = (mail.clone(), sealer, waited.clone());
    let auth = Auth::start(config.auth.clone(), places, throttle.clone(), elsewhere, hands).await?;
    let documents = Documents::new(store.clone(), catalog.clone(), waited.clone());
    let watcher = (watch == Watch::Project).then(|| Watcher::new(&config.server.project)).transpose()?;
    let options = FunctionsOptions::new(config, mode, watch, metrics.clone());
    let (functions, functions_task) =
        Functions::start(options, store.clone(), catalog.clone(), documents.clone(), secrets.clone())?;
    let ((stop, stopped), work) = (watch::channel(false), Tasks::default());
    let told = (doubts, changes.clone(), jobs.clone(), stopped.clone());
    let tools = (&work, metrics.clone());
    let realtime = Hub::start(config.realtime.clone(), (&store, &catalog, &auth), told, tools).await;
    let (hooks, webhooks) = start_told(config, (&store, &catalog), (&functions, &waited, &secrets)).await?;
    let app = App::new(Parts {
        config: Arc::clone(config),
        mode,
        store: store.clone(),
        catalog: catalog.clone(),
        auth,
        catalogs,
        mail,
        inbound: InboundWebhooks::new((&store, &catalog), (&functions, &secrets)),
        secrets,
        bodies: Bodies::new(config.server.body_limit_bytes),
        documents,
        backups,
        changes: Feed::new(store.clone(), catalog.clone(), changes, stopped.clone()),
        hooks,
        functions: functions.clone(),
        realtime: realtime.map_err(ServeError::Store)?,
        webhooks,
        schedules: Schedules::new(store.clone(), catalog.clone(), functions.clone()),
        throttle,
        metrics,
        tasks: work.clone(),
        openapi: OpenApi::new(catalog),
        clock_watch: ClockWatch::default(),
        started: Instant::now(),
        listen: address,
        tls_listen: listeners.tls_address(),
        metrics_listen: listeners.metrics_address(),
        stopped: stopped.clone(),
    });
    let tasks = background(&app, watcher, jobs);
    let door = tokio::spawn(serve(listeners, doors(&app, admin_peers), stopped));
    tell_ready(&app).await?;
    orders.obey(&app).await;
    stop.send_replace(true);
    join("the door", door.await);
    end(&functions, functions_task, &work, tasks).await;
    Ok(())
}

/// What is behind the sockets.
fn doors(app: &App, admin_peers: AdminPeers) -> Doors {
    Doors {
        router: routes::router(app.clone()),
        scraped: metrics_router(app.clone()),
        config: Arc::clone(&app.config),
        mode: app.mode,
        admin_peers,
        throttle: app.throttle.clone(),
        metrics: app.metrics.clone(),
    }
}

/// Who is told of what happens. Nobody waits for a delivery yet.
async fn start_told(
    config: &Config,
    (store, catalog): (&Store, &CatalogHandle),
    (functions, waited, secrets): (&Functions, &WaitedHooks, &Secrets),
) -> Result<(Hooks, Webhooks), ServeError> {
    store.forget_open_receipts().await.map_err(ServeError::Store)?;
    let (triggers, places) = (Triggers::new(store.clone()), (store.clone(), catalog.clone()));
    let hooks = Hooks::start(places, functions.clone(), triggers.clone(), waited).await;
    let webhooks = Webhooks::start((store, catalog, secrets), triggers, &config.webhooks).await;
    Ok((hooks.map_err(ServeError::Store)?, webhooks.map_err(ServeError::Store)?))
}

/// What goes on by itself until the order to stop.
fn background(app: &App, watcher: Option<Watcher>, wake: watch::Receiver<u64>) -> JoinSet<()> {
    let (mut tasks, config, stopped) = (JoinSet::new(), &app.config, || app.stopped.clone());
    if let Some(watcher) = watcher {
        let renewed = app.clone();
        tasks.spawn(watcher.run(app.catalogs.clone(), move || renewed.renew(), stopped()));
    }
    tasks.spawn(app.backups.clone().run(stopped()));
    tasks.spawn(app.backups.clone().ship(config.backup.ship_every, stopped()));
    let (hooks, webhooks, schedules) = (app.hooks.clone(), app.webhooks.clone(), app.schedules.clone());
    let mut handlers: Vec<Arc<dyn Handler>> =
        vec![Arc::new(hooks), Arc::new(webhooks), Arc::new(app.inbound.clone()), Arc::new(schedules)];
    if app.mail.is_on() {
        handlers.push(Arc::new(MailJobs { mail: app.mail.clone(), store: app.store.clone() }));
    }
    tasks.spawn(jobs::run(
        Jobs { store: app.store.clone(), wake, handlers, metrics: app.metrics.clone() },
        stopped(),
    ));
    tasks.spawn(retention::run(app.store.clone(), Arc::clone(config), stopped()));
    tasks.spawn(app.realtime.clone().run(stopped()));
    tasks.spawn(app.clock_watch.clone().run(stopped()));
    tasks.spawn(app.schedules.clone().run(stopped()));
    tasks.spawn(feed_watchdog(stopped()));
    tasks
}

/// Once nobody comes in any more.
async fn end(functions: &Functions, task: JoinHandle<()>, work: &Tasks, mut tasks: JoinSet<()>) {
    functions.shutdown(limits::SHUTDOWN_GRACE).await;
    join("functions", task.await);
    work.join(tokio::time::Instant::now() + limits::SHUTDOWN_GRACE).await;
    while let Some(joined) = tasks.join_next().await {
        join("a task", joined);
    }
}

/// Tells that requests are answered; and whoever watches the start, how to make the first administrator.
/// Not a log line: those are kept.
async fn tell_ready(app: &App) -> Result<(), ServeError> {
    // `alyx dev` makes one itself.
    let token = match app.mode {
        Mode::Development => None,
        Mode::Production => app.auth.offer_setup().await.map_err(ServeError::Store)?,
    };
    if let Some(token) = token {
        print::words(&format!(
            "There is no administrator yet. Make one with `alyx users create EMAIL --role admin` on this \
             host, or within an hour by POST /api/auth/setup with this token:\n{token}"
        ));
    }
    notify(State::Ready);
    tracing::info!("serving {} at http://{}", app.config.server.project.display(), app.listen);
    Ok(())
}

fn places(config: &Config) -> Places {
    Places {
        project: config.server.project.clone(),
        backups: config.server.data.join("backups"),
        backups_kept: config.database.migration_backups,
    }
}

fn join(what: &str, joined: Result<(), tokio::task::JoinError>) {
    if let Err(error) = joined {
        tracing::error!("{what} ended badly: {}", error_chain(&error));
    }
}

fn prepare_directories(config: &Config) -> Result<(), ServeError> {
    let server = &config.server;
    if !server.project.is_dir() {
        return Err(ServeError::NoProject(server.project.clone()));
    }
    let parents = [server.admin_socket.parent(), config.database.path.parent()];
    let own = [
        server.data.clone(),
        server.data.join("run"),
        server.data.join("cache"),
        server.data.join("bundles"),
        server.data.join("backups"),
    ];
    for path in own.iter().map(PathBuf::as_path).chain(parents.into_iter().flatten()) {
        make_directory(path).map_err(|source| ServeError::Directory { path: path.to_owned(), source })?;
    }
    Ok(())
}

fn make_directory(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn store_options(config: &Config) -> Options {
    let database = &config.database;
    let mut options = Options::new(&database.path);
    options.synchronous = match database.synchronous {
        Synchronous::Full => alyx_store::Synchronous::Full,
        Synchronous::Normal => alyx_store::Synchronous::Normal,
    };
    options.readers = database.readers;
    options.secure_delete = database.secure_delete;
    options.read_timeout = database.statement_timeout;
    options.shipping = config.backup.ship_every.map(|_| Shipping {
        log_bytes_max: limits::UNKEPT_LOG_MAX,
        waiting_bytes_max: config.backup.ship_limit_bytes as u64,
    });
    options
}

/// Resolves when the order to stop was given, or its giver is gone.
pub async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

async fn feed_watchdog(mut stopped: watch::Receiver<bool>) {
    let Some(period) = watchdog_period() else { return };
    let mut due = tokio::time::interval(period);
    loop {
        tokio::select! {
            () = told_to_stop(&mut stopped) => return,
            _ = due.tick() => notify(State::Watchdog),
        }
    }
}
