//! The spawner's children: cloning one, writing its id maps, and noticing how it goes on.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use alyx_protocol::ids::WorkerId;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags};
use nix::sched::CloneFlags;
use nix::unistd::{Pid, pipe2};

use super::Ground;
use super::network::Network;
use super::wire::{End, Event, Reached, SpawnOrder};
use crate::confine::{Confinement, RUNNING_MARK, StepFailure};
use crate::init::{self, InitPipes, RuntimeEnd};
use crate::plan::{IdPlan, WorkerPlan};
use crate::sys::fd;
use crate::sys::process::{self, CLONE_CLEAR_SIGHAND, Cloned, Ended};

/// Every namespace a worker has of its own, but for the network's: it is born into that.
const NAMESPACES: CloneFlags = CloneFlags::CLONE_NEWUSER
    .union(CloneFlags::CLONE_NEWPID)
    .union(CloneFlags::CLONE_NEWNS)
    .union(CloneFlags::CLONE_NEWIPC)
    .union(CloneFlags::CLONE_NEWUTS)
    .union(CloneFlags::CLONE_NEWCGROUP);

/// How eagerly the kernel's global OOM killer takes a worker.
const OOM_SCORE_ADJ: &str = "500";

/// First of the six descriptors that a child keeps; 0 to 3 are the spawner's own.
const FIRST_OWN: i32 = 4;

/// An event for the supervisor, perhaps with a descriptor.
pub type Report = (Event, Option<OwnedFd>);

/// All children by worker, and the network of the next.
#[derive(Debug, Default)]
pub struct Children {
    living: BTreeMap<WorkerId, Child>,
    network: Network,
}

#[derive(Debug)]
struct Child {
    pidfd: OwnedFd,
    /// Closing it ends the init.
    _lifeline: File,
    /// Open until the runtime runs or has failed to.
    failure: Option<File>,
    said: Vec<u8>,
    report: File,
}

/// Both sides of the three pipes between spawner and init.
struct Pipes {
    lifeline: (OwnedFd, OwnedFd),
    failure: (OwnedFd, OwnedFd),
    report: (OwnedFd, OwnedFd),
}

impl Pipes {
    fn new() -> io::Result<Self> {
        let plain = OFlag::O_CLOEXEC;
        Ok(Self {
            lifeline: pipe2(plain)?,
            failure: pipe2(plain | OFlag::O_NONBLOCK)?,
            report: pipe2(plain | OFlag::O_NONBLOCK)?,
        })
    }
}

impl Children {
    /// Adds what to wait for.
    pub fn add_polled<'a>(&'a self, polled: &mut Vec<PollFd<'a>>) {
        for child in self.living.values() {
            polled.push(PollFd::new(child.pidfd.as_fd(), PollFlags::POLLIN));
            if let Some(failure) = &child.failure {
                polled.push(PollFd::new(failure.as_fd(), PollFlags::POLLIN));
            }
        }
    }

    /// Clones a worker. What is wrong before the clone is answered at once.
    pub fn spawn(&mut self, ground: &Ground, order: SpawnOrder, fds: Vec<OwnedFd>) -> Report {
        let worker = order.worker;
        let given = self.network.give().map_err(failed("making a network namespace"));
        match given.and_then(|()| start(ground, order, fds)) {
            Ok((pid, child, pidfd)) => {
                self.living.insert(worker, child);
                (Event::Cloned { worker, pid: pid.as_raw() }, Some(pidfd))
            }
            Err(Failed { what, error }) => {
                let detail = format!("{what} failed: {error}");
                (Event::Refused { worker, reached: Reached::Confinement, detail }, None)
            }
        }
    }

    /// Gets ready for the next worker.
    pub fn prepare(&mut self) {
        self.network.prepare();
    }

    /// Reports every child that has come further.
    pub fn collect(&mut self) -> Vec<Report> {
        let mut reports = Vec::new();
        self.living.retain(|worker, child| {
            if let Some(event) = child.check_start(*worker) {
                reports.push((event, None));
            }
            match child.check_end(*worker) {
                Some(event) => {
                    reports.push((event, None));
                    false
                }
                None => true,
            }
        });
        reports
    }
}

impl Child {
    /// Reads the failure pipe; closed after the mark alone means that the runtime runs.
    fn check_start(&mut self, worker: WorkerId) -> Option<Event> {
        let failure = self.failure.as_mut()?;
        let mut buffer = [0; 16];
        loop {
            match failure.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => self.said.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        self.failure = None;
        (self.said == [RUNNING_MARK]).then_some(Event::Running { worker })
    }

    /// Reaps the init; all processes of the worker are gone by then.
    fn check_end(&mut self, worker: WorkerId) -> Option<Event> {
        let ended = process::reap(self.pidfd.as_fd()).ok()??;
        if self.failure.is_some() {
            // Both happened at once: the pipe closed with the last process.
            if let Some(Event::Running { .. }) = self.check_start(worker) {
                self.said = vec![RUNNING_MARK];
            }
        }
        if self.said == [RUNNING_MARK] {
            return Some(Event::Ended { worker, end: self.end(ended) });
        }
        let step = self.said.strip_prefix(&[RUNNING_MARK]).unwrap_or(&self.said);
        let failure = StepFailure::from_bytes(step);
        let reached = match failure {
            Some(failure) if failure.is_execution() => Reached::Execution,
            _ => Reached::Confinement,
        };
        let detail = match failure {
            Some(failure) => failure.describe(),
            None => "the worker was ended before its runtime ran".to_owned(),
        };
        Some(Event::Refused { worker, reached, detail })
    }

    fn end(&mut self, ended: Ended) -> End {
        let mut bytes = Vec::new();
        // The init is gone, so the pipe is at its end: either a whole report or nothing.
        let read = self.report.read_to_end(&mut bytes);
        let (code, signal) = match read.ok().and_then(|_| RuntimeEnd::from_bytes(&bytes)) {
            Some(RuntimeEnd::Exited(code)) => (Some(code), None),
            Some(RuntimeEnd::Signalled(signal)) => (None, Some(signal)),
            None => (None, Some(ended.signal.unwrap_or(libc::SIGKILL))),
        };
        End { code, signal, cpu_us: ended.cpu_us, rss_peak_bytes: ended.rss_peak_bytes }
    }
}

struct Failed {
    what: &'static str,
    error: io::Error,
}

fn failed<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Failed {
    move |error| Failed { what, error: error.into() }
}

fn start(ground: &Ground, order: SpawnOrder, fds: Vec<OwnedFd>) -> Result<(Pid, Child, OwnedFd), Failed> {
    let unknown = || Failed { what: "finding the runtime", error: io::ErrorKind::NotFound.into() };
    let runtime = ground.plan.runtimes.get(&order.runtime).ok_or_else(unknown)?;
    let filter = ground.filters.get(&order.runtime).ok_or_else(unknown)?;
    let [link, stdout, stderr, cgroup @ ..] = fds.as_slice() else {
        return Err(Failed { what: "taking the descriptors", error: io::ErrorKind::InvalidInput.into() });
    };
    let bundle_name = order.bundle.map(|bundle| bundle.digest.to_string());
    let plan = WorkerPlan::new(&ground.plan, &order.runtime, runtime, bundle_name, &order.limits);
    let pipes = Pipes::new().map_err(failed("making pipes"))?;
    let flags = NAMESPACES.bits() as u32;
    let cloned = process::clone3(u64::from(flags) | CLONE_CLEAR_SIGHAND, cgroup.first().map(AsFd::as_fd))
        .map_err(failed("cloning into new namespaces"))?;
    match cloned {
        Cloned::Child => {
            let own = [
                link.as_fd(),
                stdout.as_fd(),
                stderr.as_fd(),
                pipes.failure.1.as_fd(),
                pipes.report.1.as_fd(),
                pipes.lifeline.0.as_fd(),
            ];
            if fd::keep_only(own, FIRST_OWN).is_err() {
                process::exit_now(1);
            }
            let [link, stdout, stderr, failure, report, lifeline] =
                std::array::from_fn(|index| fd::borrow(FIRST_OWN + index as i32));
            let confinement = Confinement {
                plan: &plan,
                filter,
                bundle_inode: order.bundle.map(|bundle| bundle.inode),
                landlock_abi: ground.landlock_abi,
                link,
                stdout,
                stderr,
                failure,
            };
            init::run(&confinement, &InitPipes { lifeline, report }, &ground.init_filter)
        }
        Cloned::Parent { pid, pidfd } => {
            let mut lifeline = File::from(pipes.lifeline.1);
            let copy = pidfd.try_clone().map_err(failed("copying the pidfd"))?;
            let released =
                write_maps(pid, ground.plan.ids, order.worker.slot).and_then(|()| lifeline.write_all(&[1]));
            if let Err(error) = released {
                // The child sees the lifeline close and ends before its first step.
                drop(lifeline);
                process::wait(pidfd.as_fd()).map_err(failed("reaping the worker"))?;
                return Err(Failed { what: "writing the id maps", error });
            }
            let child = Child {
                pidfd,
                _lifeline: lifeline,
                failure: Some(File::from(pipes.failure.0)),
                said: Vec::new(),
                report: File::from(pipes.report.0),
            };
            Ok((pid, child, copy))
        }
    }
}

fn write_maps(pid: Pid, ids: IdPlan, slot: u16) -> io::Result<()> {
    let map = ids.worker_map(slot);
    let write = |file: &str, text: &str| fs::write(format!("/proc/{pid}/{file}"), text);
    write("oom_score_adj", OOM_SCORE_ADJ)?;
    write("setgroups", "deny")?;
    write("gid_map", &map)?;
    write("uid_map", &map)
}
