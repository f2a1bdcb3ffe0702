//! The supervisor: one thread, one poll loop, and no waiting for anybody.
//!
//! It listens to four things: the control socket, the daemon's link, the spawner and signals. It never
//! reads a byte that user code wrote, and it never blocks on a peer. When it goes, all workers go.

mod rate;
mod requests;
pub mod startup;
mod workers;

use std::io;
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use alyx_protocol::control::{ExitCause, FromSupervisor, RefusalCode, RuntimeEntry};
use alyx_protocol::ids::WorkerId;
use alyx_protocol::isolation::{Layer, LayerReport};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;

use crate::bundle::Bundles;
use crate::cgroup::{Cgroups, Leaf};
use crate::config::Config;
use crate::limits::{DAEMON_GONE_GRACE, LINK_TURN, SHUTDOWN_TIMEOUT};
use crate::link::{Link, LinkError};
use crate::listener::Listener;
use crate::log;
use crate::notify::Notifier;
use crate::spawn::{SpawnError, Spawner};
use crate::spawner::wire::{Event, WireError};
use rate::SpawnRate;
use workers::{Phase, Workers};

/// Everything the running supervisor holds.
#[derive(Debug)]
pub struct Supervisor {
    config: Config,
    listener: Listener,
    signals: SignalFd,
    notifier: Notifier,
    spawner: Spawner,
    bundles: Bundles,
    cgroups: Option<Cgroups>,
    layers: Vec<LayerReport>,
    lowered: Vec<Layer>,
    runtimes: Vec<RuntimeEntry>,
    link: Option<Link>,
    workers: Workers,
    rate: SpawnRate,
    /// Cgroups of ended workers that the kernel still holds busy.
    leftover: Vec<Leaf>,
    stop_by: Option<Instant>,
}

/// Why the supervisor cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("wait for events")]
    Poll(#[source] io::Error),
    #[error("keep the spawner")]
    Spawner(#[from] SpawnError),
}

/// What woke the loop.
#[derive(Debug, Default)]
struct Woken {
    signal: bool,
    spawner: bool,
    listener: bool,
    link: bool,
}

impl Supervisor {
    /// Serves until a signal says stop.
    pub fn run(mut self) -> Result<(), RunError> {
        self.notifier.say("READY=1");
        log::info("ready");
        loop {
            let now = Instant::now();
            self.check_deadlines(now);
            if self.stop_by.is_some_and(|stop_by| self.workers.is_empty() || now >= stop_by) {
                break;
            }
            let woken = self.wait(now)?;
            if woken.signal {
                self.on_signal();
            }
            if woken.spawner {
                self.on_spawner()?;
            }
            if woken.link {
                self.on_link();
            }
            if woken.listener {
                self.on_listener();
            }
        }
        if let Err(error) = self.spawner.stop() {
            log::warning(&format!("cannot end the spawner: {error}"));
        }
        log::info("stopped");
        Ok(())
    }

    fn is_stopping(&self) -> bool {
        self.stop_by.is_some()
    }

    /// Does what is due and forgets cgroups that can go now.
    fn check_deadlines(&mut self, now: Instant) {
        for worker in self.workers.iter_mut() {
            worker.check_deadlines(now);
            worker.check_memory(now);
        }
        self.leftover =
            mem::take(&mut self.leftover).into_iter().filter_map(|leaf| leaf.remove().err()).collect();
    }

    fn wait(&mut self, now: Instant) -> Result<Woken, RunError> {
        let watchdog = self.notifier.tick(now);
        let retry = (!self.leftover.is_empty()).then(|| now + Duration::from_millis(100));
        let next = self
            .workers
            .iter()
            .map(|worker| worker.next_deadline(now))
            .chain(watchdog)
            .chain(retry)
            .chain(self.stop_by)
            .min();
        let timeout = match next {
            // One more millisecond, because the kernel rounds down and would wake us early.
            Some(next) => {
                let left = next.saturating_duration_since(now) + Duration::from_millis(1);
                PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
            }
            None => PollTimeout::NONE,
        };
        let mut polled = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.spawner.link(), PollFlags::POLLIN),
            PollFd::new(self.listener.fd(), PollFlags::POLLIN),
        ];
        if let Some(link) = &self.link {
            let wanted = if link.has_queue() { PollFlags::POLLOUT } else { PollFlags::POLLIN };
            polled.push(PollFd::new(link.fd(), wanted));
        }
        match poll(&mut polled, timeout) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(RunError::Poll(error.into())),
        }
        let woken = |index: usize| {
            polled.get(index).and_then(PollFd::revents).is_some_and(|events| !events.is_empty())
        };
        Ok(Woken { signal: woken(0), spawner: woken(1), listener: woken(2), link: woken(3) })
    }

    /// SIGTERM or SIGINT: every worker ends now.
    fn on_signal(&mut self) {
        if let Err(error) = self.signals.read_signal() {
            log::warning(&format!("cannot read a signal: {error}"));
        }
        if self.stop_by.is_none() {
            log::info("stopping");
            self.notifier.say("STOPPING=1");
            self.stop_by = Some(Instant::now() + SHUTDOWN_TIMEOUT);
        }
        for worker in self.workers.iter_mut() {
            worker.kill(ExitCause::Shutdown);
        }
    }

    fn on_listener(&mut self) {
        match self.listener.accept() {
            Ok(Err(uid)) => log::warning(&format!("refused a control connection of uid {uid}")),
            Ok(Ok(_)) if self.link.is_some() => log::warning("refused a second control connection"),
            Ok(Ok(socket)) => match Link::new(socket) {
                Ok(link) => {
                    log::info("the daemon is connected");
                    self.link = Some(link);
                }
                Err(error) => log::warning(&format!("cannot greet the daemon: {}", log::chain(&error))),
            },
            // Gone again before we came, or not worth more than a line.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => log::warning(&format!("cannot accept a control connection: {error}")),
        }
    }

    fn on_link(&mut self) {
        // A look at a large bundle takes long; memory and leases wait for one of them, not for many.
        let end = Instant::now() + LINK_TURN;
        while Instant::now() < end {
            let Some(link) = &mut self.link else { return };
            let answer = match link.receive() {
                Ok(Some(request)) => self.answer(request, Instant::now()),
                Ok(None) => return,
                Err(error) => return self.drop_link(&error),
            };
            if let Some(answer) = answer {
                self.send(&answer, Vec::new());
            }
        }
    }

    /// Sends to the daemon, if there is one that reads.
    fn send(&mut self, message: &FromSupervisor, fds: Vec<OwnedFd>) {
        if let Some(link) = &mut self.link
            && let Err(error) = link.send(message, fds)
        {
            self.drop_link(&error);
        }
    }

    /// Without the daemon nobody can use its workers; they get a moment to finish.
    fn drop_link(&mut self, error: &LinkError) {
        match error {
            LinkError::Closed => log::info("the daemon is gone"),
            error => log::warning(&format!("ended the control link: {}", log::chain(error))),
        }
        self.link = None;
        let kill_at = Instant::now() + DAEMON_GONE_GRACE;
        for worker in self.workers.iter_mut() {
            worker.doom(ExitCause::DaemonGone, kill_at);
        }
    }

    fn on_spawner(&mut self) -> Result<(), SpawnError> {
        while let Some((event, mut fds)) = self.spawner.next_event()? {
            match event {
                Event::Cloned { worker, pid } => {
                    if let (Some(worker), Some(pidfd)) = (self.workers.get_mut(worker), fds.pop()) {
                        worker.cloned(pid, pidfd);
                    }
                }
                Event::Running { worker } => self.on_running(worker),
                Event::Refused { worker, detail, .. } => {
                    let Some(mut gone) = self.workers.remove(worker) else { continue };
                    self.leftover.extend(gone.cgroup.take());
                    if let Phase::Starting { request: id, .. } = gone.phase {
                        log::warning(&format!("worker {worker} was not started: {detail}"));
                        self.send(
                            &FromSupervisor::Refused { id, code: RefusalCode::SetupFailed, detail },
                            Vec::new(),
                        );
                    }
                }
                Event::Ended { worker, end } => {
                    let Some(mut gone) = self.workers.remove(worker) else { continue };
                    let (cause, usage) = gone.ended(end);
                    self.leftover.extend(gone.cgroup.take());
                    self.send(&FromSupervisor::Exited { worker, cause, usage }, Vec::new());
                }
                Event::Unshared | Event::Ready | Event::Broken { .. } => {
                    return Err(WireError::Unexpected.into());
                }
            }
        }
        Ok(())
    }

    fn on_running(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(id) else { return };
        let Phase::Starting { request, ends, .. } = mem::replace(&mut worker.phase, Phase::Running) else {
            return;
        };
        let setup_us = u64::try_from(worker.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let message =
            FromSupervisor::Spawned { id: request, worker: id, lowered: self.lowered.clone(), setup_us };
        self.send(&message, vec![ends.link, ends.stdout, ends.stderr]);
    }
}
