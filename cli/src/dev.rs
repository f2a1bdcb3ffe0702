//! `alyx dev`: supervisor and daemon for one project under one terminal.
//!
//! Order: lock the data folder, write the supervisor's configuration, start the supervisor, start
//! the daemon, make the first admin, write `run/dev.json`, print what to try. On Ctrl-C or SIGTERM
//! the daemon stops first, then the supervisor, then the files in `run/` go. Both children also die
//! with this process, so a `kill -9` leaves nothing but files, which the next start removes.

mod admin;
mod banner;
mod bytecode;
mod children;
pub mod config;
mod layout;
mod notify;

use std::fs;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use self::children::{Child, Ended};
use self::layout::Layout;
use crate::args::Dev;
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::locate::{self, DevFile};
use crate::print;

/// A cold start takes well under a second; a first Go build does not hold up the start.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// Times the supervisor is started again after it died by itself, before we give up.
const SUPERVISOR_RESTARTS_MAX: u32 = 5;

pub async fn run(args: Dev) -> Result<Exit, Failure> {
    let layout = Layout::prepare(&args)?;
    let mut stop = StopSignals::new()?;
    let mut running = Running::default();
    let result = match running.start(&args, &layout, &mut stop).await {
        Ok(()) => running.watch(&layout, &mut stop).await,
        Err(failure) => Err(failure),
    };
    running.stop().await;
    layout.clean();
    match result {
        Err(failure) if failure.silent && failure.exit == Exit::Ok => Ok(Exit::Ok),
        other => other.map(|()| Exit::Ok),
    }
}

/// The two children; either may be missing while starting or stopping.
#[derive(Default)]
struct Running {
    supervisor: Option<Child>,
    daemon: Option<Child>,
}

impl Running {
    async fn start(&mut self, args: &Dev, layout: &Layout, stop: &mut StopSignals) -> Result<(), Failure> {
        let runtimes_dir = locate::runtimes_dir()?;
        bytecode::refresh(&runtimes_dir);
        let missing = config::write(layout, &runtimes_dir)?;
        self.start_supervisor(layout, stop).await?;
        let mut daemon = Child::daemon(args, layout, &runtimes_dir)?;
        let ready = tokio::select! {
            ready = daemon.ready(READY_TIMEOUT) => ready,
            () = stop.received() => Err(Failure::silent(Exit::Ok)),
        };
        self.daemon = Some(daemon);
        ready?;
        let client = Client::to_socket(&layout.admin_socket())?;
        let admin = admin::first(&client, layout).await?;
        let url = banner::url(&client, args.listen).await?;
        self.write_dev_file(layout, &url, &admin)?;
        banner::print(&client, &url, &admin, &missing, layout).await
    }

    async fn start_supervisor(&mut self, layout: &Layout, stop: &mut StopSignals) -> Result<(), Failure> {
        let mut supervisor = Child::supervisor(layout)?;
        let ready = tokio::select! {
            ready = supervisor.ready(READY_TIMEOUT) => ready,
            () = stop.received() => Err(Failure::silent(Exit::Ok)),
        };
        self.supervisor = Some(supervisor);
        ready
    }

    fn write_dev_file(&self, layout: &Layout, url: &str, admin: &admin::Admin) -> Result<(), Failure> {
        let pid = |child: &Option<Child>| child.as_ref().map_or(0, Child::pid);
        layout.write_private(
            "dev.json",
            &DevFile {
                url: url.to_owned(),
                admin_socket: layout.admin_socket(),
                admin_email: Some(admin.email.clone()),
                admin_password: admin.password.clone(),
                daemon_pid: pid(&self.daemon),
                supervisor_pid: pid(&self.supervisor),
            },
        )
    }

    /// Waits for a signal, or for a child that ended by itself. A supervisor is started again: the
    /// daemon goes on without it and connects to the new one.
    async fn watch(&mut self, layout: &Layout, stop: &mut StopSignals) -> Result<(), Failure> {
        let mut restarts = 0;
        loop {
            let (Some(daemon), Some(supervisor)) = (&mut self.daemon, &mut self.supervisor) else {
                return Err(Failure::new("a child is missing"));
            };
            tokio::select! {
                () = stop.received() => {
                    print::note("stopping");
                    return Ok(());
                }
                () = layout.removed() => return Err(removed(layout)),
                ended = daemon.ended() => return Err(unexpected("alyxd", &ended)),
                ended = supervisor.ended() => {
                    restarts += 1;
                    if restarts > SUPERVISOR_RESTARTS_MAX {
                        return Err(unexpected("alyx-supervisor", &ended));
                    }
                    print::note(&format!("alyx-supervisor ended ({ended}); starting it again"));
                }
            }
            layout.remove_control_socket();
            self.start_supervisor(layout, stop).await?;
            self.rewrite_supervisor_pid(layout)?;
        }
    }

    fn rewrite_supervisor_pid(&self, layout: &Layout) -> Result<(), Failure> {
        let text = fs::read(layout.run_file("dev.json"))
            .map_err(|error| Failure::new(format!("failed to read dev.json: {error}")))?;
        let mut file: DevFile = serde_json::from_slice(&text)
            .map_err(|error| Failure::new(format!("failed to read dev.json: {error}")))?;
        file.supervisor_pid = self.supervisor.as_ref().map_or(0, Child::pid);
        layout.write_private("dev.json", &file)
    }

    /// The daemon first, so that its workers finish or are told; then the supervisor.
    async fn stop(&mut self) {
        for child in [self.daemon.take(), self.supervisor.take()].into_iter().flatten() {
            child.stop().await;
        }
    }
}

/// The database of the daemon is a file without a name now: what it still takes would be lost.
fn removed(layout: &Layout) -> Failure {
    Failure::new(format!("{} was removed while it was in use", layout.data.display()))
        .hint("stop `alyx dev` before you remove its data; start it again for an empty database")
}

fn unexpected(name: &str, ended: &Ended) -> Failure {
    Failure::new(format!("{name} ended by itself ({ended})")).hint("its last lines above say why")
}

/// Ctrl-C, `kill`, and a terminal that went away all mean: stop.
struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl StopSignals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::new(format!("failed to listen for signals: {error}")))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
