//! The task that owns the control link: connects, matches answers to requests, renews leases.
//!
//! After a reconnect the supervisor is asked what still runs: workers we do not know are killed,
//! workers it does not know are gone.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alyx_protocol::control::{FromSupervisor, ToSupervisor, Usage};
use alyx_protocol::ids::WorkerId;
use alyx_protocol::limits::RENEW_MAX_WORKERS;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::link::{Link, LinkError, WorkerFds};
use super::{CallError, Exit, Request, Spawned, SupervisorState};
use crate::functions::limits::{LEASE, RECONNECT_FIRST, RECONNECT_MAX, RENEW_EVERY};
use crate::problem::error_chain;

/// Runs until every handle is gone.
pub async fn run(
    path: PathBuf,
    mut queue: mpsc::Receiver<Request>,
    publish: watch::Sender<Arc<SupervisorState>>,
) {
    let mut session = Session { workers: HashMap::new(), pending: HashMap::new(), next_id: 1, publish };
    let mut pause = RECONNECT_FIRST;
    loop {
        let error = match Link::open(&path).await {
            Ok(mut link) => {
                pause = RECONNECT_FIRST;
                match session.serve(&mut link, &mut queue).await {
                    Ok(()) => return,
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        session.disconnected(&path, &error);
        let wake = Instant::now() + pause;
        pause = (pause * 2).min(RECONNECT_MAX);
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(wake) => break,
                request = queue.recv() => match request {
                    Some(Request::Spawn(_, reply)) => drop(reply.send(Err(CallError::Unavailable))),
                    Some(_) => {}
                    None => return,
                },
            }
        }
    }
}

/// What waits for an answer.
#[derive(Debug)]
enum Pending {
    Spawn(oneshot::Sender<Result<Spawned, CallError>>),
    Done,
    Stats(oneshot::Sender<Usage>),
    List,
    Capabilities,
}

struct Session {
    /// Workers alive as far as we know, with who wants to hear of their end.
    workers: HashMap<WorkerId, oneshot::Sender<Exit>>,
    pending: HashMap<u64, Pending>,
    next_id: u64,
    publish: watch::Sender<Arc<SupervisorState>>,
}

impl Session {
    /// Serves one connection. `Ok` means that nobody needs it any more.
    async fn serve(&mut self, link: &mut Link, queue: &mut mpsc::Receiver<Request>) -> Result<(), LinkError> {
        let id = self.expect(Pending::Capabilities);
        link.send(&ToSupervisor::Capabilities { id }).await?;
        let id = self.expect(Pending::List);
        link.send(&ToSupervisor::List { id }).await?;
        let mut renewal = tokio::time::interval(RENEW_EVERY);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                received = link.receive() => {
                    let (message, fds) = received?;
                    for answer in self.handle(message, fds)? {
                        link.send(&answer).await?;
                    }
                }
                request = queue.recv() => match request {
                    Some(request) => {
                        let message = self.message(request);
                        link.send(&message).await?;
                    }
                    None => return Ok(()),
                },
                _ = renewal.tick() => {
                    for message in self.renewals() {
                        link.send(&message).await?;
                    }
                }
            }
        }
    }

    fn expect(&mut self, pending: Pending) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.pending.insert(id, pending);
        id
    }

    fn message(&mut self, request: Request) -> ToSupervisor {
        match request {
            Request::Spawn(order, reply) => ToSupervisor::Spawn {
                id: self.expect(Pending::Spawn(reply)),
                runtime: order.runtime,
                bundle: order.bundle,
                limits: order.limits,
                lease_ms: millis(LEASE),
            },
            Request::Stop(worker, grace) => {
                ToSupervisor::Stop { id: self.expect(Pending::Done), worker, grace_ms: millis(grace) }
            }
            Request::Kill(worker) => ToSupervisor::Kill { id: self.expect(Pending::Done), worker },
            Request::Stats(worker, reply) => {
                ToSupervisor::Stats { id: self.expect(Pending::Stats(reply)), worker }
            }
        }
    }

    fn renewals(&mut self) -> Vec<ToSupervisor> {
        let workers: Vec<WorkerId> = self.workers.keys().copied().collect();
        let renew = |chunk: &[WorkerId]| ToSupervisor::Renew {
            id: self.expect(Pending::Done),
            workers: chunk.to_vec(),
            lease_ms: millis(LEASE),
        };
        workers.chunks(RENEW_MAX_WORKERS / 2).map(renew).collect()
    }

    /// Takes one message; gives what must be sent in return.
    fn handle(
        &mut self,
        message: FromSupervisor,
        fds: Option<WorkerFds>,
    ) -> Result<Vec<ToSupervisor>, LinkError> {
        let id = match &message {
            FromSupervisor::Exited { worker, cause, usage } => {
                if let Some(waiting) = self.workers.remove(worker) {
                    // Nobody listens once the worker's own task has ended.
                    drop(waiting.send(Exit { cause: cause.clone(), usage: *usage }));
                }
                return Ok(Vec::new());
            }
            FromSupervisor::Hello { .. } => return Err(LinkError::Violation("second hello")),
            FromSupervisor::Spawned { id, .. }
            | FromSupervisor::Refused { id, .. }
            | FromSupervisor::Done { id }
            | FromSupervisor::Stats { id, .. }
            | FromSupervisor::Workers { id, .. }
            | FromSupervisor::Capabilities { id, .. } => *id,
        };
        let pending = self.pending.remove(&id).ok_or(LinkError::Violation("answer to no request"))?;
        match (pending, message, fds) {
            (Pending::Spawn(reply), FromSupervisor::Spawned { worker, lowered, .. }, Some(fds)) => {
                return Ok(self.spawned(reply, worker, lowered, fds));
            }
            (Pending::Spawn(reply), FromSupervisor::Refused { code, detail, .. }, _) => {
                drop(reply.send(Err(CallError::Refused { code, detail })));
            }
            (Pending::Stats(reply), FromSupervisor::Stats { usage, .. }, _) => drop(reply.send(usage)),
            (Pending::List, FromSupervisor::Workers { workers, .. }, _) => {
                let alive: HashSet<WorkerId> = workers.iter().map(|entry| entry.worker).collect();
                return Ok(self.reconcile(&alive));
            }
            (Pending::Capabilities, FromSupervisor::Capabilities { layers, runtimes, .. }, _) => {
                tracing::info!("supervisor connected");
                let state = SupervisorState { connected: true, problem: None, layers, runtimes };
                self.publish.send_replace(Arc::new(state));
            }
            // A refusal of the others means that the worker is gone, which `exited` tells as well.
            (Pending::Done, FromSupervisor::Done { .. }, _)
            | (Pending::Done | Pending::Stats(_), FromSupervisor::Refused { .. }, _) => {}
            _ => return Err(LinkError::Violation("answer of the wrong kind")),
        }
        Ok(Vec::new())
    }

    fn spawned(
        &mut self,
        reply: oneshot::Sender<Result<Spawned, CallError>>,
        worker: WorkerId,
        lowered: Vec<alyx_protocol::isolation::Layer>,
        [link, stdout, stderr]: WorkerFds,
    ) -> Vec<ToSupervisor> {
        let (ended, exited) = oneshot::channel();
        let spawned = Spawned { worker, lowered, link, stdout, stderr, exited };
        if reply.send(Ok(spawned)).is_err() {
            let id = self.expect(Pending::Done);
            return vec![ToSupervisor::Kill { id, worker }];
        }
        self.workers.insert(worker, ended);
        Vec::new()
    }

    /// Makes our table and the supervisor's agree.
    fn reconcile(&mut self, alive: &HashSet<WorkerId>) -> Vec<ToSupervisor> {
        self.workers.retain(|worker, _| alive.contains(worker));
        let strangers: Vec<WorkerId> =
            alive.iter().filter(|worker| !self.workers.contains_key(worker)).copied().collect();
        strangers
            .into_iter()
            .map(|worker| ToSupervisor::Kill { id: self.expect(Pending::Done), worker })
            .collect()
    }

    /// Fails what was in flight and says why we are degraded.
    fn disconnected(&mut self, path: &Path, error: &LinkError) {
        for (_, pending) in self.pending.drain() {
            if let Pending::Spawn(reply) = pending {
                drop(reply.send(Err(CallError::Unavailable)));
            }
        }
        let before = Arc::clone(&self.publish.borrow());
        let text = error_chain(error);
        if before.connected || before.problem.as_deref() != Some(&text) {
            tracing::warn!("no supervisor at {}: {text}", path.display());
        }
        self.publish.send_replace(Arc::new(SupervisorState {
            connected: false,
            problem: Some(text),
            ..SupervisorState::clone(&before)
        }));
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
