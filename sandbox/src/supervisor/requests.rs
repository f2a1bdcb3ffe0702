//! What the daemon may ask for, and what it is answered.
//!
//! A request can name a runtime and a bundle, lower limits, and end workers. Everything else follows
//! from the configuration. Whatever is refused has left nothing behind.

use std::time::{Duration, Instant};

use alyx_protocol::control::{
    ExitCause, FromSupervisor, RefusalCode, ToSupervisor, WorkerEntry, WorkerLimits,
};
use alyx_protocol::ids::{Digest, RuntimeName, WorkerId};
use alyx_protocol::limits::{LEASE_MAX_MS, RENEW_MAX_WORKERS, STOP_GRACE_MAX_MS};

use super::Supervisor;
use super::workers::{Phase, Worker};
use crate::bundle::BundleError;
use crate::limits::SETUP_TIMEOUT;
use crate::log;
use crate::spawner::wire::{CheckedBundle, SpawnOrder};

/// A refusal before it has its request's id.
struct Refusal {
    code: RefusalCode,
    detail: String,
}

fn refusal(code: RefusalCode, detail: impl Into<String>) -> Refusal {
    Refusal { code, detail: detail.into() }
}

/// A spawn request after parsing.
struct Spawn {
    request: u64,
    runtime: RuntimeName,
    bundle: Digest,
    limits: WorkerLimits,
    lease_ms: u64,
}

impl Supervisor {
    /// Carries a request out. A spawn that was begun is answered later.
    pub(super) fn answer(&mut self, request: ToSupervisor, now: Instant) -> Option<FromSupervisor> {
        let (id, outcome) = match request {
            // The link lets only the first one through, and keeps that to itself.
            ToSupervisor::Hello { .. } => return None,
            ToSupervisor::Spawn { id, runtime, bundle, limits, lease_ms } => {
                match self.spawn(Spawn { request: id, runtime, bundle, limits, lease_ms }, now) {
                    Ok(()) => return None,
                    Err(refusal) => (id, Err(refusal)),
                }
            }
            ToSupervisor::Stop { id, worker, grace_ms } => (id, self.stop(id, worker, grace_ms, now)),
            ToSupervisor::Kill { id, worker } => (id, self.kill(id, worker)),
            ToSupervisor::Renew { id, workers, lease_ms } => (id, self.renew(id, &workers, lease_ms, now)),
            ToSupervisor::Stats { id, worker } => {
                let stats = self.worker(worker).map(|found| FromSupervisor::Stats {
                    id,
                    worker,
                    usage: found.usage(),
                });
                (id, stats)
            }
            ToSupervisor::List { id } => (id, Ok(self.list(id, now))),
            ToSupervisor::Capabilities { id } => {
                let (layers, runtimes) = (self.layers.clone(), self.runtimes.clone());
                (id, Ok(FromSupervisor::Capabilities { id, layers, runtimes }))
            }
        };
        Some(outcome.unwrap_or_else(|Refusal { code, detail }| FromSupervisor::Refused { id, code, detail }))
    }

    fn worker(&mut self, worker: WorkerId) -> Result<&mut Worker, Refusal> {
        self.workers
            .get_mut(worker)
            .filter(|worker| matches!(worker.phase, Phase::Running))
            .ok_or_else(|| refusal(RefusalCode::WorkerGone, format!("worker {worker} is not alive")))
    }

    fn stop(
        &mut self,
        id: u64,
        worker: WorkerId,
        grace_ms: u64,
        now: Instant,
    ) -> Result<FromSupervisor, Refusal> {
        if grace_ms > STOP_GRACE_MAX_MS {
            let detail = format!("grace_ms is above {STOP_GRACE_MAX_MS}");
            return Err(refusal(RefusalCode::LimitOutOfRange, detail));
        }
        let found = self.worker(worker)?;
        if grace_ms == 0 {
            found.kill(ExitCause::Stopped);
        } else {
            found.stop(ExitCause::Stopped, now + Duration::from_millis(grace_ms));
        }
        Ok(FromSupervisor::Done { id })
    }

    fn kill(&mut self, id: u64, worker: WorkerId) -> Result<FromSupervisor, Refusal> {
        self.worker(worker)?.kill(ExitCause::Killed);
        Ok(FromSupervisor::Done { id })
    }

    fn renew(
        &mut self,
        id: u64,
        workers: &[WorkerId],
        lease_ms: u64,
        now: Instant,
    ) -> Result<FromSupervisor, Refusal> {
        let lease = lease(lease_ms)?;
        if workers.len() > RENEW_MAX_WORKERS {
            let detail = format!("more than {RENEW_MAX_WORKERS} workers");
            return Err(refusal(RefusalCode::LimitOutOfRange, detail));
        }
        for worker in workers {
            if let Some(worker) = self.workers.get_mut(*worker) {
                worker.lease_end = now + lease;
            }
        }
        Ok(FromSupervisor::Done { id })
    }

    fn list(&self, id: u64, now: Instant) -> FromSupervisor {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let workers = self
            .workers
            .iter()
            .filter(|worker| matches!(worker.phase, Phase::Running))
            .map(|worker| WorkerEntry {
                worker: worker.id,
                runtime: worker.runtime.clone(),
                bundle: worker.bundle,
                age_ms: millis(now.saturating_duration_since(worker.started)),
                lease_ms: millis(worker.lease_end.saturating_duration_since(now)),
            })
            .collect();
        FromSupervisor::Workers { id, workers }
    }

    fn spawn(&mut self, spawn: Spawn, now: Instant) -> Result<(), Refusal> {
        let Spawn { request, runtime, bundle, limits, lease_ms } = spawn;
        if self.is_stopping() {
            return Err(refusal(RefusalCode::ShuttingDown, "the supervisor is stopping"));
        }
        self.check_runtime(&runtime)?;
        let lease = lease(lease_ms)?;
        check_limits(&limits, &self.config.ceiling)?;
        let Some(id) = self.workers.next_id() else {
            return Err(refusal(RefusalCode::TooManyWorkers, "all worker slots are taken"));
        };
        if !self.rate.take(now) {
            return Err(refusal(RefusalCode::RateLimited, "too many spawns in a short time"));
        }
        let inode = self.bundles.check(bundle).map_err(bundle_refusal)?;
        let leaf = match &self.cgroups {
            Some(cgroups) => Some(cgroups.leaf(&id.to_string(), &limits).map_err(|error| {
                refusal(RefusalCode::SetupFailed, format!("making the cgroup failed: {}", log::chain(&error)))
            })?),
            None => None,
        };
        let order = SpawnOrder {
            worker: id,
            runtime: runtime.clone(),
            bundle: Some(CheckedBundle { digest: bundle, inode }),
            limits,
        };
        match self.spawner.spawn(order, leaf.as_ref().map(|leaf| leaf.fd())) {
            Ok(ends) => {
                let phase = Phase::Starting { request, ends, give_up_at: now + SETUP_TIMEOUT };
                let mut worker = Worker::new(id, runtime, bundle, limits, now, lease, phase);
                worker.cgroup = leaf;
                self.workers.insert(worker);
                Ok(())
            }
            Err(error) => {
                self.leftover.extend(leaf);
                let detail = format!("ordering the worker failed: {}", log::chain(&error));
                Err(refusal(RefusalCode::SetupFailed, detail))
            }
        }
    }

    fn check_runtime(&self, runtime: &RuntimeName) -> Result<(), Refusal> {
        let unavailable = |detail: String| refusal(RefusalCode::RuntimeUnavailable, detail);
        match self.runtimes.iter().find(|entry| entry.name == *runtime) {
            None => Err(unavailable(format!("runtime {runtime} is not configured"))),
            Some(entry) => match &entry.problem {
                Some(problem) => Err(unavailable(problem.clone())),
                None => Ok(()),
            },
        }
    }
}

fn lease(lease_ms: u64) -> Result<Duration, Refusal> {
    if (1..=LEASE_MAX_MS).contains(&lease_ms) {
        Ok(Duration::from_millis(lease_ms))
    } else {
        Err(refusal(RefusalCode::LimitOutOfRange, format!("lease_ms must be 1 to {LEASE_MAX_MS}")))
    }
}

/// A request may only lower limits, and none may be zero.
fn check_limits(limits: &WorkerLimits, ceiling: &WorkerLimits) -> Result<(), Refusal> {
    let check = |name: &str, value: u64, ceiling: u64| {
        if (1..=ceiling).contains(&value) {
            Ok(())
        } else {
            Err(refusal(RefusalCode::LimitOutOfRange, format!("{name} must be 1 to {ceiling}")))
        }
    };
    check("memory_max_bytes", limits.memory_max_bytes, ceiling.memory_max_bytes)?;
    check("processes_max", limits.processes_max.into(), ceiling.processes_max.into())?;
    check("files_max", limits.files_max.into(), ceiling.files_max.into())?;
    check("tmp_max_bytes", limits.tmp_max_bytes, ceiling.tmp_max_bytes)?;
    check("cpu_percent", limits.cpu_percent.into(), ceiling.cpu_percent.into())
}

fn bundle_refusal(error: BundleError) -> Refusal {
    let code = match &error {
        BundleError::NotFound => RefusalCode::BundleNotFound,
        // The host is short of something, which says nothing about the bundle.
        BundleError::Io { source, .. }
            if matches!(source.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM)) =>
        {
            RefusalCode::SetupFailed
        }
        BundleError::Rejected { .. } | BundleError::Io { .. } => RefusalCode::BundleRejected,
    };
    refusal(code, error.to_string())
}

#[cfg(test)]
mod tests {
    use alyx_protocol::control::WorkerLimits;

    use super::{check_limits, lease};

    #[test]
    fn limits_end_at_the_ceiling() {
        let ceiling = WorkerLimits {
            memory_max_bytes: 10,
            processes_max: 10,
            files_max: 10,
            tmp_max_bytes: 10,
            cpu_percent: 10,
        };
        let check = |change: fn(&mut WorkerLimits, u32), name: &str| {
            for (value, accepted) in [(0, false), (1, true), (9, true), (10, true), (11, false)] {
                let mut limits = ceiling;
                change(&mut limits, value);
                assert_eq!(check_limits(&limits, &ceiling).is_ok(), accepted, "{name} {value}");
            }
        };
        check(|limits, value| limits.memory_max_bytes = value.into(), "memory");
        check(|limits, value| limits.processes_max = value, "processes");
        check(|limits, value| limits.files_max = value, "files");
        check(|limits, value| limits.tmp_max_bytes = value.into(), "tmp");
        check(|limits, value| limits.cpu_percent = value, "cpu");
    }

    #[test]
    fn leases_end() {
        for (lease_ms, accepted) in [(0, false), (1, true), (120_000, true), (120_001, false)] {
            assert_eq!(lease(lease_ms).is_ok(), accepted, "{lease_ms}");
        }
    }
}
