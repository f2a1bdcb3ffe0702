//! The supervisor's side of the spawner: starting it, mapping its ids, ordering workers.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{getegid, geteuid, getpid, pipe2};

use crate::limits::SPAWNER_START_TIMEOUT;
use crate::plan::{IdPlan, SpawnerPlan};
use crate::spawner::wire::{self, Event, Order, SpawnOrder, WireError};

/// A spawner that is ready.
#[derive(Debug)]
pub struct Spawner {
    link: OwnedFd,
    process: Child,
}

/// The daemon's ends of what a worker talks through.
#[derive(Debug)]
pub struct WorkerEnds {
    /// Worker link.
    pub link: OwnedFd,
    /// Read end of its standard output.
    pub stdout: OwnedFd,
    /// Read end of its standard error.
    pub stderr: OwnedFd,
}

/// Why there is no spawner.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    #[error("{0}")]
    Call(&'static str, #[source] io::Error),
    #[error("talk to the spawner")]
    Wire(#[from] WireError),
    #[error("start the spawner: {0}")]
    Broken(String),
    #[error("start the spawner: it {0}")]
    Silent(&'static str),
}

fn call<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> SpawnError {
    move |source| SpawnError::Call(what, source.into())
}

impl Spawner {
    /// Starts the spawner and waits until it can spawn.
    pub fn start(plan: SpawnerPlan) -> Result<Self, SpawnError> {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
                .map_err(call("make the spawner's link"))?;
        // Only for the moment of this exec; there is one thread, so nothing else can inherit it.
        fcntl(&theirs, FcntlArg::F_SETFD(FdFlag::empty())).map_err(call("pass the spawner's link"))?;
        let process = Command::new("/proc/self/exe")
            .arg0("alyx-spawner")
            .arg("spawner")
            .arg(theirs.as_raw_fd().to_string())
            .arg(getpid().to_string())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(call("execute the spawner"))?;
        drop(theirs);
        let ids = plan.ids;
        let spawner = Self { link: ours, process };
        spawner.order(&Order::SetUp(Box::new(plan)), &[])?;
        spawner.expect(|event| matches!(event, Event::Unshared))?;
        write_maps(spawner.process.id(), ids).map_err(call("write the spawner's id maps"))?;
        spawner.order(&Order::MapsWritten, &[])?;
        spawner.expect(|event| matches!(event, Event::Ready))?;
        fcntl(&spawner.link, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
            .map_err(call("set up the spawner's link"))?;
        Ok(spawner)
    }

    fn expect(&self, wanted: fn(&Event) -> bool) -> Result<(), SpawnError> {
        let deadline = Instant::now() + SPAWNER_START_TIMEOUT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            match poll(&mut [PollFd::new(self.link.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(0) => return Err(SpawnError::Silent("said nothing in time")),
                Ok(_) => break,
                Err(nix::Error::EINTR) => {}
                Err(error) => return Err(call("wait for the spawner")(error)),
            }
        }
        match wire::receive(self.link.as_fd())? {
            Some((event, _)) if wanted(&event) => Ok(()),
            Some((Event::Broken { detail }, _)) => Err(SpawnError::Broken(detail)),
            Some(_) => Err(WireError::Unexpected.into()),
            None => Err(SpawnError::Silent("ended")),
        }
    }

    /// The socket to wait on.
    pub fn link(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }

    fn order(&self, order: &Order, fds: &[BorrowedFd<'_>]) -> Result<(), WireError> {
        wire::send(self.link.as_fd(), order, fds)
    }

    /// Orders a worker and returns the daemon's ends of its descriptors.
    pub fn spawn(&self, order: SpawnOrder, cgroup: Option<BorrowedFd<'_>>) -> Result<WorkerEnds, WireError> {
        let (link, worker_link) =
            socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)
                .map_err(io::Error::from)?;
        let (stdout, worker_stdout) = pipe2(OFlag::O_CLOEXEC).map_err(io::Error::from)?;
        let (stderr, worker_stderr) = pipe2(OFlag::O_CLOEXEC).map_err(io::Error::from)?;
        let mut fds = vec![worker_link.as_fd(), worker_stdout.as_fd(), worker_stderr.as_fd()];
        fds.extend(cgroup);
        self.order(&Order::Spawn(order), &fds)?;
        Ok(WorkerEnds { link, stdout, stderr })
    }

    /// The next event; `None` where none is waiting.
    pub fn next_event(&self) -> Result<Option<(Event, Vec<OwnedFd>)>, SpawnError> {
        match wire::receive(self.link.as_fd()) {
            Ok(Some(event)) => Ok(Some(event)),
            Ok(None) => Err(SpawnError::Silent("ended")),
            Err(WireError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends the spawner, and with it whatever is left of its workers.
    pub fn stop(mut self) -> io::Result<()> {
        drop(self.link);
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }
}

/// Maps ids of the spawner's namespace; it waits for this.
fn write_maps(pid: u32, ids: IdPlan) -> io::Result<()> {
    let write = |file: &str, text: &str| std::fs::write(format!("/proc/{pid}/{file}"), text);
    if ids == IdPlan::Own {
        // Without CAP_SETGID the kernel wants this before it takes a gid map.
        write("setgroups", "deny")?;
    }
    write("gid_map", &ids.spawner_map(getegid().as_raw()))?;
    write("uid_map", &ids.spawner_map(geteuid().as_raw()))
}
