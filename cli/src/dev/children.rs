//! The two child processes: how they are started, waited for and stopped.
//!
//! Each runs in a process group of its own, so that Ctrl-C reaches only us and the order of stopping
//! stays ours. Both are told to die with us (`--die-with-parent`). Their output goes to our stderr.

use std::fmt;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Command;
use tokio::time::timeout;

use super::layout::Layout;
use super::notify::Notify;
use crate::args::Dev;
use crate::exit::Failure;
use crate::{locate, print};

/// The daemon's own bound for requests in flight, and some more.
const STOP_TIMEOUT: Duration = Duration::from_secs(40);

pub struct Child {
    name: &'static str,
    process: tokio::process::Child,
    notify: Notify,
    pid: u32,
}

impl Child {
    pub fn supervisor(layout: &Layout) -> Result<Self, Failure> {
        Self::start("alyx-supervisor", |command| {
            command.arg("--config").arg(layout.supervisor_config()).arg("--die-with-parent");
        })
    }

    pub fn daemon(args: &Dev, layout: &Layout, runtimes_dir: &Path) -> Result<Self, Failure> {
        Self::start("alyxd", |command| {
            command.args(["serve", "--dev", "--die-with-parent"]);
            command.arg("--project").arg(&layout.project).arg("--data").arg(&layout.data);
            command.arg("--listen").arg(args.listen.to_string());
            command.arg("--admin-socket").arg(layout.admin_socket());
            command.arg("--supervisor-socket").arg(layout.control_socket());
            if args.no_watch {
                command.arg("--no-watch");
            }
            command.env("ALYX_RUNTIMES_DIR", runtimes_dir);
        })
    }

    fn start(name: &'static str, arguments: impl FnOnce(&mut Command)) -> Result<Self, Failure> {
        let program = locate::program(name)?;
        let failed = |error: std::io::Error| Failure::new(format!("failed to start {name}: {error}"));
        let notify = Notify::bind(name).map_err(failed)?;
        let output = std::io::stderr().as_fd().try_clone_to_owned().map_err(failed)?;
        let mut command = Command::new(&program);
        arguments(&mut command);
        let process = command
            .env("NOTIFY_SOCKET", notify.address())
            .env_remove("WATCHDOG_USEC")
            .stdin(Stdio::null())
            .stdout(output)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let pid = process.id().unwrap_or(0);
        Ok(Self { name, process, notify, pid })
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until the child says that it is ready.
    pub async fn ready(&mut self, within: Duration) -> Result<(), Failure> {
        let name = self.name;
        tokio::select! {
            ready = timeout(within, self.notify.ready()) => match ready {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(Failure::new(format!("failed to hear from {name}: {error}"))),
                Err(_) => Err(Failure::new(format!("{name} was not ready within {} s", within.as_secs()))),
            },
            status = self.process.wait() => {
                let ended = Ended::from(status);
                Err(Failure::new(format!("{name} did not start ({ended})")).hint("its lines above say why"))
            }
        }
    }

    /// Returns when the child has ended. Safe to drop.
    pub async fn ended(&mut self) -> Ended {
        Ended::from(self.process.wait().await)
    }

    /// SIGTERM, then SIGKILL if that is not enough.
    pub async fn stop(mut self) {
        if self.process.id().is_none() {
            return;
        }
        let Ok(pid) = i32::try_from(self.pid) else { return };
        // The child is not reaped yet, so the id is still its own. A failure means that it has ended.
        let asked = kill(Pid::from_raw(pid), Signal::SIGTERM).is_ok();
        if asked && timeout(STOP_TIMEOUT, self.process.wait()).await.is_err() {
            print::note(&format!(
                "{} did not stop within {} s; killing it",
                self.name,
                STOP_TIMEOUT.as_secs()
            ));
            drop(self.process.kill().await);
        }
    }
}

/// How a child ended, for messages.
#[derive(Debug)]
pub struct Ended(Option<ExitStatus>);

impl From<std::io::Result<ExitStatus>> for Ended {
    fn from(status: std::io::Result<ExitStatus>) -> Self {
        Self(status.ok())
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(status) => match (status.code(), status.signal()) {
                (Some(code), _) => write!(out, "exit code {code}"),
                (None, Some(signal)) => write!(out, "signal {signal}"),
                (None, None) => out.write_str("unknown status"),
            },
            None => out.write_str("unknown status"),
        }
    }
}
