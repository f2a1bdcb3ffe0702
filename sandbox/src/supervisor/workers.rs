//! The workers that exist, by slot. A slot is free again only once all its processes are gone, and then
//! under a new generation, so a stale id never reaches another worker.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use alyx_protocol::control::{ExitCause, Usage, WorkerLimits};
use alyx_protocol::ids::{Digest, RuntimeName, WorkerId};
use nix::sys::signal::Signal;

use crate::cgroup::Leaf;
use crate::limits::{SAMPLE_INTERVAL, SAMPLE_INTERVAL_NEAR_LIMIT};
use crate::sample::sample;
use crate::spawn::WorkerEnds;
use crate::spawner::wire::End;
use crate::sys::process::pidfd_signal;

/// One worker from its spawn order until nothing of it is left.
#[derive(Debug)]
pub struct Worker {
    pub id: WorkerId,
    pub runtime: RuntimeName,
    pub bundle: Digest,
    pub limits: WorkerLimits,
    pub started: Instant,
    pub lease_end: Instant,
    pub phase: Phase,
    pub ending: Option<Ending>,
    /// Pid of its init and the descriptor that stands for it; none before the clone.
    pub init: Option<(i32, OwnedFd)>,
    pub cgroup: Option<Leaf>,
    pub next_sample: Instant,
    pub peak_bytes: u64,
    cpu_us: u64,
}

/// How far a worker has come.
#[derive(Debug)]
pub enum Phase {
    /// Not yet executed; the request waits for an answer.
    Starting { request: u64, ends: WorkerEnds, give_up_at: Instant },
    /// Running; the daemon knows it.
    Running,
}

/// A worker that has been told to end.
#[derive(Debug)]
pub struct Ending {
    pub cause: ExitCause,
    /// When patience is over; `None` once it was killed.
    pub kill_at: Option<Instant>,
}

impl Worker {
    /// A worker that has just been ordered.
    pub fn new(
        id: WorkerId,
        runtime: RuntimeName,
        bundle: Digest,
        limits: WorkerLimits,
        now: Instant,
        lease: Duration,
        phase: Phase,
    ) -> Self {
        Self {
            id,
            runtime,
            bundle,
            limits,
            started: now,
            lease_end: now + lease,
            phase,
            ending: None,
            init: None,
            cgroup: None,
            next_sample: now + SAMPLE_INTERVAL,
            peak_bytes: 0,
            cpu_us: 0,
        }
    }

    /// Asks it to end, and kills it at `kill_at`. The first cause stays.
    pub fn stop(&mut self, cause: ExitCause, kill_at: Instant) {
        if self.ending.is_none() {
            self.signal(Signal::SIGTERM);
        }
        let ending = self.ending.get_or_insert(Ending { cause, kill_at: Some(kill_at) });
        ending.kill_at = ending.kill_at.map(|at| at.min(kill_at));
    }

    /// Lets it go on until `kill_at`. The first cause stays.
    pub fn doom(&mut self, cause: ExitCause, kill_at: Instant) {
        self.ending.get_or_insert(Ending { cause, kill_at: Some(kill_at) });
    }

    /// Ends it where a lease, a start or a grace is over.
    pub fn check_deadlines(&mut self, now: Instant) {
        let cause = match (&self.ending, &self.phase) {
            (Some(Ending { kill_at: Some(at), cause }), _) if now >= *at => cause.clone(),
            (Some(_), _) => return,
            (None, Phase::Starting { give_up_at, .. }) if now >= *give_up_at => ExitCause::Killed,
            (None, _) if now >= self.lease_end => ExitCause::LeaseExpired,
            (None, _) => return,
        };
        self.kill(cause);
    }

    /// Kills it. The first cause stays.
    pub fn kill(&mut self, cause: ExitCause) {
        self.ending.get_or_insert(Ending { cause, kill_at: None }).kill_at = None;
        if let Some(leaf) = &self.cgroup {
            // The init's death below ends the same processes.
            drop(leaf.kill());
        }
        self.signal(Signal::SIGKILL);
    }

    /// A worker without an init yet gets its signal when the init is known.
    fn signal(&self, signal: Signal) {
        if let Some((_, pidfd)) = &self.init {
            // It may be gone this moment; the spawner tells.
            drop(pidfd_signal(pidfd.as_fd(), signal));
        }
    }

    /// The spawner has cloned its init. What was asked for in the meantime is done now.
    pub fn cloned(&mut self, pid: i32, pidfd: OwnedFd) {
        self.init = Some((pid, pidfd));
        match &self.ending {
            Some(Ending { kill_at: None, .. }) => self.signal(Signal::SIGKILL),
            Some(_) => self.signal(Signal::SIGTERM),
            None => {}
        }
    }

    /// What it uses now.
    pub fn usage(&mut self) -> Usage {
        let (now, peak) = match (&self.cgroup, &self.init) {
            (Some(leaf), _) => {
                let usage = leaf.usage();
                self.cpu_us = self.cpu_us.max(usage.cpu_us);
                ((usage.memory_bytes, usage.processes), usage.memory_peak_bytes)
            }
            (None, Some((pid, _))) => {
                let found = sample(*pid);
                self.cpu_us = self.cpu_us.max(found.cpu_us);
                ((found.memory_bytes, found.processes), found.memory_bytes)
            }
            (None, None) => ((0, 0), 0),
        };
        self.peak_bytes = self.peak_bytes.max(peak);
        Usage {
            cpu_us: self.cpu_us,
            memory_peak_bytes: self.peak_bytes,
            memory_bytes: now.0,
            processes: now.1,
        }
    }

    /// Looks at its memory where no cgroup does, and kills it over its limit.
    pub fn check_memory(&mut self, now: Instant) {
        if self.cgroup.is_some() || self.init.is_none() || now < self.next_sample {
            return;
        }
        let limit_bytes = self.limits.memory_max_bytes;
        let seen_bytes = self.usage().memory_bytes;
        let near = seen_bytes > limit_bytes / 2;
        self.next_sample = now + if near { SAMPLE_INTERVAL_NEAR_LIMIT } else { SAMPLE_INTERVAL };
        if seen_bytes > limit_bytes {
            self.kill(ExitCause::OutOfMemory { limit_bytes, seen_bytes });
        }
    }

    /// The next moment at which something is due for it.
    pub fn next_deadline(&self, now: Instant) -> Instant {
        let next = match (&self.ending, &self.phase) {
            (Some(Ending { kill_at: Some(at), .. }), _) => *at,
            // Dying takes its time; nothing is due.
            (Some(Ending { kill_at: None, .. }), _) => return now + SAMPLE_INTERVAL * 20,
            (None, Phase::Starting { give_up_at, .. }) => self.lease_end.min(*give_up_at),
            (None, Phase::Running) => self.lease_end,
        };
        if self.cgroup.is_none() && self.init.is_some() { next.min(self.next_sample) } else { next }
    }

    /// Why it ended and what it used, once the spawner says that it has.
    pub fn ended(&mut self, end: End) -> (ExitCause, Usage) {
        let leaf = self.cgroup.as_ref().map(Leaf::usage).unwrap_or_default();
        let cpu_us = end.cpu_us.max(leaf.cpu_us).max(self.cpu_us);
        let mut peak = self.peak_bytes.max(leaf.memory_peak_bytes);
        if peak == 0 {
            // It lived shorter than one look; the kernel's own number includes mapped files.
            peak = end.rss_peak_bytes;
        }
        let usage = Usage { cpu_us, memory_peak_bytes: peak, memory_bytes: 0, processes: 0 };
        let cause = match self.ending.take() {
            Some(ending) => ending.cause,
            None => natural_cause(end, leaf.oom_kills, self.limits.memory_max_bytes, peak),
        };
        (cause, usage)
    }
}

/// Why a worker ended that nobody told to.
fn natural_cause(end: End, oom_kills: u64, limit_bytes: u64, peak_bytes: u64) -> ExitCause {
    match (end.code, end.signal) {
        _ if oom_kills > 0 => ExitCause::OutOfMemory { limit_bytes, seen_bytes: peak_bytes },
        (_, Some(libc::SIGSYS)) => ExitCause::Seccomp,
        // A runtime that gives up because an allocation failed aborts. Only one that was at its limit
        // when last looked at is said to have run out of memory.
        (_, Some(libc::SIGABRT | libc::SIGTRAP)) if peak_bytes >= limit_bytes / 100 * 95 => {
            ExitCause::OutOfMemory { limit_bytes, seen_bytes: peak_bytes }
        }
        (_, Some(signal)) => ExitCause::Signalled { signal },
        (code, None) => ExitCause::Exited { code: code.unwrap_or(-1) },
    }
}

/// All slots.
#[derive(Debug)]
pub struct Workers {
    slots: Vec<(u32, Option<Worker>)>,
}

impl Workers {
    /// This many free slots.
    pub fn new(count: u16) -> Self {
        Self { slots: (0..count).map(|_| (0, None)).collect() }
    }

    /// The id that the next worker would have, where a slot is free.
    pub fn next_id(&self) -> Option<WorkerId> {
        // The slot used least comes first, so that ids and id ranges rest as long as possible.
        let (slot, (generation, _)) = self
            .slots
            .iter()
            .enumerate()
            .filter(|(_, (_, worker))| worker.is_none())
            .min_by_key(|(_, (generation, _))| *generation)?;
        Some(WorkerId { slot: u16::try_from(slot).ok()?, generation: generation.checked_add(1)? })
    }

    /// Takes a slot for a worker with an id from [`Self::next_id`].
    pub fn insert(&mut self, worker: Worker) {
        let slot = &mut self.slots[usize::from(worker.id.slot)];
        *slot = (worker.id.generation, Some(worker));
    }

    /// The worker of an id, if it is still this one.
    pub fn get_mut(&mut self, id: WorkerId) -> Option<&mut Worker> {
        self.slots.get_mut(usize::from(id.slot))?.1.as_mut().filter(|worker| worker.id == id)
    }

    /// Frees the slot of a worker whose processes are gone.
    pub fn remove(&mut self, id: WorkerId) -> Option<Worker> {
        let (_, worker) = self.slots.get_mut(usize::from(id.slot))?;
        worker.take_if(|worker| worker.id == id)
    }

    /// Every worker.
    pub fn iter(&self) -> impl Iterator<Item = &Worker> {
        self.slots.iter().filter_map(|(_, worker)| worker.as_ref())
    }

    /// Every worker, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Worker> {
        self.slots.iter_mut().filter_map(|(_, worker)| worker.as_mut())
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use alyx_protocol::control::{ExitCause, WorkerLimits};
    use alyx_protocol::ids::Digest;

    use super::{Phase, Worker, Workers, natural_cause};
    use crate::spawner::wire::End;

    fn worker(workers: &Workers) -> Worker {
        let limits = WorkerLimits {
            memory_max_bytes: 1,
            processes_max: 1,
            files_max: 1,
            tmp_max_bytes: 1,
            cpu_percent: 1,
        };
        let id = workers.next_id().unwrap();
        let digest = Digest::from_bytes([0; 32]);
        Worker::new(id, "r".parse().unwrap(), digest, limits, Instant::now(), Duration::ZERO, Phase::Running)
    }

    #[test]
    fn a_stale_id_reaches_nobody() {
        let mut workers = Workers::new(1);
        let first = worker(&workers);
        let id = first.id;
        workers.insert(first);
        assert!(workers.next_id().is_none(), "the slot is taken");
        assert!(workers.get_mut(id).is_some());
        assert!(workers.remove(id).is_some());
        let second = worker(&workers);
        assert_ne!(second.id, id);
        workers.insert(second);
        assert!(workers.get_mut(id).is_none());
        assert!(workers.remove(id).is_none());
    }

    #[test]
    fn the_first_cause_stays() {
        let mut worker = worker(&Workers::new(1));
        worker.stop(ExitCause::Stopped, Instant::now() + Duration::from_secs(9));
        worker.kill(ExitCause::LeaseExpired);
        let end = End { code: None, signal: Some(9), cpu_us: 0, rss_peak_bytes: 0 };
        assert_eq!(worker.ended(end).0, ExitCause::Stopped);
    }

    #[test]
    fn ends_have_causes() {
        let check = |code, signal, oom_kills, peak, expected: ExitCause| {
            let end = End { code, signal, cpu_us: 0, rss_peak_bytes: 0 };
            assert_eq!(natural_cause(end, oom_kills, 100, peak), expected);
        };
        let out_of_memory = |seen_bytes| ExitCause::OutOfMemory { limit_bytes: 100, seen_bytes };
        check(Some(3), None, 0, 0, ExitCause::Exited { code: 3 });
        check(None, Some(libc::SIGSYS), 0, 0, ExitCause::Seccomp);
        check(None, Some(libc::SIGKILL), 1, 7, out_of_memory(7));
        check(None, Some(libc::SIGSEGV), 0, 100, ExitCause::Signalled { signal: libc::SIGSEGV });
        check(None, Some(libc::SIGABRT), 0, 50, ExitCause::Signalled { signal: libc::SIGABRT });
        check(None, Some(libc::SIGABRT), 0, 99, out_of_memory(99));
    }
}
