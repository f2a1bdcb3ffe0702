//! From the configuration to a running supervisor, or to the list of everything that is in the way.
//!
//! Order matters and is visible in [`prepare`]: what needs root's view of paths comes first, then root is
//! given up for good, then the spawner starts, then trial workers prove every layer.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use alyx_protocol::control::RuntimeEntry;
use alyx_protocol::ids::{RuntimeName, WorkerId};
use alyx_protocol::isolation::{IsolationMode, LayerReport, LayerState};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::{Mode, umask};
use nix::unistd::geteuid;

use super::Supervisor;
use super::rate::SpawnRate;
use super::workers::Workers;
use crate::bundle::Bundles;
use crate::cgroup::Cgroups;
use crate::config::{Config, RunAs, RuntimeConfig};
use crate::layers::{self, Facts};
use crate::limits::SETUP_TIMEOUT;
use crate::listener::{ListenError, Listener};
use crate::log;
use crate::notify::Notifier;
use crate::plan::{IdPlan, SpawnerPlan};
use crate::privilege::{self, PrivilegeError, Start};
use crate::spawn::{SpawnError, Spawner};
use crate::spawner::wire::{Event, Reached, SpawnOrder, WireError};
use crate::staging::{self, Host, StagingError};
use crate::sys::kernel;
use crate::sys::process::pidfd_signal;

/// Why the supervisor does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("outlive the process that started us")]
    Orphan,
    #[error("use {path}")]
    Path {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{0}")]
    Call(&'static str, #[source] io::Error),
    #[error("build the spawner's tree")]
    Staging(#[from] StagingError),
    #[error("give up privileges")]
    Privilege(#[from] PrivilegeError),
    #[error("open the control socket")]
    Listen(#[from] ListenError),
    #[error("start as root without run_as or id_block: workers must not be root")]
    WouldBeRoot,
    #[error("make any worker; the lines above say why")]
    NoWorkers,
    #[error("start in strict isolation: {0} of the layers are not active")]
    NotStrict(usize),
}

/// Whether a supervisor is to serve or only to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Listen and serve.
    Serve,
    /// Report the layers.
    Probe,
}

/// What the supervisor does when its parent ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent {
    /// Nothing.
    Ignored,
    /// It stops too.
    DieWith,
}

/// What start-up leads to.
#[derive(Debug)]
pub struct Prepared {
    spawner: Option<Spawner>,
    listener: Option<Listener>,
    bundles: Bundles,
    cgroups: Option<Cgroups>,
    notifier: Notifier,
    signals: SignalFd,
    /// One per layer.
    pub layers: Vec<LayerReport>,
    /// One per configured runtime.
    pub runtimes: Vec<RuntimeEntry>,
}

impl Prepared {
    /// Ends what a probe started.
    pub fn discard(self) {
        if let Some(Err(error)) = self.spawner.map(Spawner::stop) {
            log::warning(&format!("cannot end the spawner: {error}"));
        }
    }
}

/// Starts a supervisor that serves.
pub fn start(config: Config, parent: Parent) -> Result<Supervisor, StartError> {
    let prepared = prepare(&config, Purpose::Serve, parent)?;
    log_layers(&prepared, config.isolation);
    let lowered = layers::lowered(&prepared.layers);
    if config.isolation == IsolationMode::Strict && !lowered.is_empty() {
        prepared.discard();
        return Err(StartError::NotStrict(lowered.len()));
    }
    let (Some(spawner), Some(listener)) = (prepared.spawner, prepared.listener) else {
        return Err(StartError::NoWorkers);
    };
    Ok(Supervisor {
        workers: Workers::new(config.max_workers),
        lowered,
        listener,
        signals: prepared.signals,
        notifier: prepared.notifier,
        spawner,
        bundles: prepared.bundles,
        cgroups: prepared.cgroups,
        layers: prepared.layers,
        runtimes: prepared.runtimes,
        link: None,
        rate: SpawnRate::new(Instant::now()),
        leftover: Vec::new(),
        stop_by: None,
        config,
    })
}

/// Everything up to and with the trial workers.
pub fn prepare(config: &Config, purpose: Purpose, parent: Parent) -> Result<Prepared, StartError> {
    let started_by = nix::unistd::getppid();
    umask(Mode::from_bits_truncate(0o022));
    let signals = block_signals()?;
    raise_files_limit()?;
    let start = Start::detect();
    let ids = IdPlan::new(config.id_block.filter(|_| start != Start::Rootless));
    let runtimes: Vec<RuntimeEntry> = config
        .runtimes
        .iter()
        .map(|(name, runtime)| RuntimeEntry { name: name.clone(), problem: missing_path(runtime) })
        .collect();
    let usable: Vec<RuntimeName> =
        runtimes.iter().filter(|entry| entry.problem.is_none()).map(|entry| entry.name.clone()).collect();

    // Paths as whoever started us sees them.
    let notifier = Notifier::from_env();
    let listener = match purpose {
        Purpose::Serve => Some(Listener::open(&config.socket, config.daemon_uid)?),
        Purpose::Probe => None,
    };
    let bundles = Bundles::open(&config.bundles_dir).map_err(path_failed(&config.bundles_dir))?;
    make_work_dir(&config.work_dir)?;
    let cgroups = Cgroups::detect((start == Start::Root).then(|| run_as(config)).transpose()?);
    let mut plan = SpawnerPlan::new(config, ids, &usable, &Host);
    match start {
        Start::Root => stop_being_root(config, &mut plan)?,
        _ => privilege::keep_two()?,
    }
    if geteuid().is_root() {
        return Err(StartError::WouldBeRoot);
    }
    if parent == Parent::DieWith {
        // A change of ids clears it, so not earlier.
        prctl::set_pdeathsig(Signal::SIGTERM).map_err(call("ask for the death signal"))?;
        if nix::unistd::getppid() != started_by {
            return Err(StartError::Orphan);
        }
    }
    let mut prepared = Prepared {
        spawner: None,
        listener,
        bundles,
        cgroups: None,
        notifier,
        signals,
        layers: Vec::new(),
        runtimes,
    };
    let trial = match Spawner::start(plan) {
        Ok(spawner) => {
            let trial = try_runtimes(&spawner, config, &mut prepared.runtimes);
            prepared.spawner = Some(spawner);
            trial
        }
        Err(error) => Err(log::chain(&error)),
    };
    let facts = Facts {
        ids,
        cgroups: cgroups.as_ref().map(drop).map_err(|error| log::chain(error)),
        landlock_abi: kernel::landlock_abi(),
        trial,
    };
    prepared.layers = layers::report(&facts);
    prepared.cgroups = cgroups.ok();
    Ok(prepared)
}

/// Builds what only root can reach, then becomes the configured user.
fn stop_being_root(config: &Config, plan: &mut SpawnerPlan) -> Result<(), StartError> {
    let run_as = run_as(config)?;
    unshare(CloneFlags::CLONE_NEWNS).map_err(call("make a mount namespace"))?;
    staging::make_private()?;
    staging::build(&config.work_dir, &plan.entries)?;
    // The spawner inherits the working directory, so it needs no right on the path to it.
    nix::unistd::chdir(&config.work_dir).map_err(call("enter the work directory"))?;
    plan.work_dir = None;
    privilege::drop_root(run_as)?;
    Ok(())
}

fn call<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> StartError {
    move |source| StartError::Call(what, source.into())
}

fn path_failed(path: &Path) -> impl FnOnce(io::Error) -> StartError {
    let path = path.to_owned();
    move |source| StartError::Path { path, source }
}

/// SIGTERM and SIGINT are read, not delivered.
fn block_signals() -> Result<SignalFd, StartError> {
    let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&signals), None).map_err(call("block signals"))?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
        .map_err(call("read signals"))
}

/// Each worker costs the spawner a handful of descriptors; its own limit is set later.
fn raise_files_limit() -> Result<(), StartError> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(call("read the descriptor limit"))?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_err(call("raise the descriptor limit"))
}

/// What the configuration names for a runtime and is not there.
fn missing_path(runtime: &RuntimeConfig) -> Option<String> {
    let executable = (!runtime.is_bundled()).then_some(&runtime.executable);
    executable
        .into_iter()
        .chain(&runtime.shim)
        .chain(&runtime.binds)
        .find_map(|path| fs::metadata(path).err().map(|error| format!("{}: {error}", path.display())))
}

fn make_work_dir(path: &Path) -> Result<(), StartError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(path_failed(path))
}

fn run_as(config: &Config) -> Result<RunAs, StartError> {
    match (config.run_as, config.id_block) {
        (Some(run_as), _) => Ok(run_as),
        (None, Some(block)) => Ok(RunAs { uid: block.first, gid: block.first }),
        (None, None) => Err(StartError::WouldBeRoot),
    }
}

fn log_layers(prepared: &Prepared, mode: IsolationMode) {
    for report in prepared.layers.iter().filter(|report| report.state != LayerState::Active) {
        let hint = report.hint.as_deref().map(|hint| format!(" (hint: {hint})")).unwrap_or_default();
        let text = format!("layer {} is {}: {}{hint}", report.layer, report.state, report.detail);
        match mode {
            IsolationMode::Strict => log::error(&text),
            IsolationMode::Available => log::warning(&text),
        }
    }
    for entry in &prepared.runtimes {
        if let Some(problem) = &entry.problem {
            log::warning(&format!("runtime {} cannot be used: {problem}", entry.name));
        }
    }
}

/// Runs one worker of each runtime through every step and kills it. `Err` where not one could be
/// confined; otherwise the problem stands at the runtime.
fn try_runtimes(spawner: &Spawner, config: &Config, runtimes: &mut [RuntimeEntry]) -> Result<(), String> {
    let mut confined = Err("no runtime to try it with".to_owned());
    for (number, entry) in runtimes.iter_mut().enumerate().filter(|(_, entry)| entry.problem.is_none()) {
        let bundled = config.runtimes.get(&entry.name).is_some_and(RuntimeConfig::is_bundled);
        let worker = WorkerId { slot: 0, generation: u32::try_from(number).unwrap_or(0) };
        let order = SpawnOrder { worker, runtime: entry.name.clone(), bundle: None, limits: config.ceiling };
        match try_one(spawner, order) {
            Ok(None) => confined = Ok(()),
            // Its program comes with the bundle, and a trial has none.
            Ok(Some((Reached::Execution, _))) if bundled => confined = Ok(()),
            Ok(Some((reached, problem))) => {
                if reached == Reached::Execution {
                    confined = Ok(());
                } else if confined.is_err() {
                    confined = Err(problem.clone());
                }
                entry.problem = Some(problem);
            }
            Err(error) => return Err(log::chain(&error)),
        }
    }
    confined
}

/// One trial worker; where it did not run, how far it came and why.
fn try_one(spawner: &Spawner, order: SpawnOrder) -> Result<Option<(Reached, String)>, SpawnError> {
    let _ends = spawner.spawn(order, None)?;
    let deadline = Instant::now() + SETUP_TIMEOUT;
    let mut init = None;
    while Instant::now() < deadline {
        match spawner.next_event()? {
            Some((Event::Cloned { .. }, mut fds)) => init = fds.pop(),
            Some((Event::Running { .. }, _)) => {
                if let Some(init) = &init {
                    // It may have ended by itself; the next event tells.
                    drop(pidfd_signal(init.as_fd(), Signal::SIGKILL));
                }
            }
            Some((Event::Ended { .. }, _)) => return Ok(None),
            Some((Event::Refused { reached, detail, .. }, _)) => return Ok(Some((reached, detail))),
            Some(_) => return Err(WireError::Unexpected.into()),
            None => {
                let left = deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
                let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
                match poll(&mut [PollFd::new(spawner.link(), PollFlags::POLLIN)], timeout) {
                    Ok(_) | Err(nix::Error::EINTR) => {}
                    Err(error) => return Err(SpawnError::Call("wait for a trial worker", error.into())),
                }
            }
        }
    }
    Err(SpawnError::Silent("did not finish a trial worker in time"))
}
