//! A supervisor in this process, on a real seqpacket socket, whose workers are tasks that do what
//! their input says.

use std::collections::HashMap;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alyx_core::schema::FunctionConfig;
use alyx_protocol::control::{ExitCause, FromSupervisor, ToSupervisor, Usage, decode, encode};
use alyx_protocol::ids::{Digest, WorkerId};
use alyx_protocol::worker::ToWorker;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_seqpacket::ancillary::AncillaryMessageWriter;
use tokio_seqpacket::{UnixSeqpacket, UnixSeqpacketListener};

use super::Outcome;
use crate::functions::fixtures::{Records, WhoCalls, job};
use crate::functions::job::FunctionContext;
use crate::functions::pool::{Pool, Shared};
use crate::functions::recorder::{Execution, Recorder};
use crate::functions::supervisor::Supervisor;
use crate::metrics::Metrics;

/// How workers behave beyond their input.
#[derive(Clone, Debug)]
pub struct Script {
    /// Whether their code loads.
    pub load: bool,
    /// What the supervisor says when the input is `"exit"`.
    pub exit: ExitCause,
}

impl Default for Script {
    fn default() -> Self {
        Self { load: true, exit: ExitCause::Exited { code: 1 } }
    }
}

/// A pool with everything around it.
pub struct Rig {
    pub pool: Arc<Pool>,
    directory: tempfile::TempDir,
    script: Script,
    counts: Arc<Counts>,
    records: Arc<Records>,
    recorder: Recorder,
    client: Supervisor,
    supervisor: Option<JoinHandle<()>>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    spawned: AtomicUsize,
    alive: AtomicUsize,
}

impl Rig {
    pub async fn start(config: FunctionConfig, script: Script) -> Self {
        Self::with_queue(config, script, 1_000).await
    }

    pub async fn with_queue(config: FunctionConfig, script: Script, queue_max: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (client, link) = Supervisor::new(directory.path().join("control.sock"));
        let records = Arc::new(Records::default());
        let (recorder, recording) = Recorder::new(Arc::clone(&records) as Arc<_>, Metrics::default());
        let shared = Arc::new(Shared::new(client.clone(), Arc::new(WhoCalls), 32, queue_max));
        let context = FunctionContext {
            config: Arc::new(config),
            secrets: Arc::default(),
            version: Some("v1".to_owned()),
            recorder: recorder.clone(),
            recent: Arc::default(),
        };
        let (pool, managed) = Pool::new(shared, Arc::new(context), Digest::from_bytes([7; 32]));
        let tasks = vec![tokio::spawn(link), tokio::spawn(recording), tokio::spawn(managed)];
        let counts = Arc::default();
        let mut rig =
            Self { pool, directory, script, counts, records, recorder, client, supervisor: None, tasks };
        rig.start_supervisor().await;
        rig
    }

    pub async fn start_supervisor(&mut self) {
        let path = self.directory.path().join("control.sock");
        let listener = UnixSeqpacketListener::bind(&path).unwrap();
        let serving = serve(listener, self.script.clone(), Arc::clone(&self.counts));
        self.supervisor = Some(tokio::spawn(serving));
        self.until("the supervisor is connected", || self.client.state().connected).await;
    }

    pub async fn stop_supervisor(&mut self) {
        let supervisor = self.supervisor.take().unwrap();
        supervisor.abort();
        assert!(supervisor.await.unwrap_err().is_cancelled());
        std::fs::remove_file(self.socket()).unwrap();
        self.until("the supervisor is missed", || !self.client.state().connected).await;
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("control.sock")
    }

    pub async fn invoke(&self, input: &str) -> Outcome {
        let (job, answer) = job(input);
        self.pool.submit(job);
        tokio::time::timeout(Duration::from_secs(20), answer).await.expect("an answer in time").unwrap()
    }

    pub fn spawned(&self) -> usize {
        self.counts.spawned.load(Ordering::SeqCst)
    }

    pub fn alive(&self) -> usize {
        self.counts.alive.load(Ordering::SeqCst)
    }

    /// The records, once there are so many.
    pub async fn executions(&self, count: usize) -> Vec<Arc<Execution>> {
        self.recorder.flush().await;
        let executions = self.records.0.lock().unwrap().clone();
        assert_eq!(executions.len(), count);
        executions
    }

    /// Waits for a condition.
    pub async fn until(&self, what: &str, condition: impl Fn() -> bool) {
        let patience = tokio::time::Instant::now() + Duration::from_secs(10);
        while !condition() {
            assert!(tokio::time::Instant::now() < patience, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.tasks.iter().chain(&self.supervisor).for_each(JoinHandle::abort);
    }
}

/// What one connection knows.
struct Workers {
    kill: HashMap<WorkerId, oneshot::Sender<ExitCause>>,
}

async fn serve(mut listener: UnixSeqpacketListener, script: Script, counts: Arc<Counts>) {
    loop {
        let socket = listener.accept().await.unwrap();
        connection(&socket, &script, &counts).await;
    }
}

async fn connection(socket: &UnixSeqpacket, script: &Script, counts: &Arc<Counts>) {
    let mut tasks = tokio::task::JoinSet::new();
    let mut workers = Workers { kill: HashMap::new() };
    let (exits, mut exited) = mpsc::unbounded_channel();
    let mut packet = vec![0; 64 * 1024];
    loop {
        tokio::select! {
            received = socket.recv(&mut packet) => {
                let size = received.unwrap().bytes_read();
                if size == 0 {
                    return;
                }
                let message: ToSupervisor = decode(&packet[..size]).unwrap();
                let ToSupervisor::Spawn { id, .. } = message else {
                    if let Some(answer) = answer(message, &mut workers) {
                        socket.send(&encode(&answer).unwrap()).await.unwrap();
                    }
                    continue;
                };
                let number = counts.spawned.fetch_add(1, Ordering::SeqCst);
                counts.alive.fetch_add(1, Ordering::SeqCst);
                let worker = WorkerId { slot: u16::try_from(number).unwrap(), generation: 1 };
                let (kill, killed) = oneshot::channel();
                workers.kill.insert(worker, kill);
                let running = spawn(socket, id, worker, script.clone()).await;
                let (exits, counts) = (exits.clone(), Arc::clone(counts));
                tasks.spawn(async move {
                    let cause = tokio::select! {
                        cause = running => cause,
                        Ok(cause) = killed => cause,
                    };
                    counts.alive.fetch_sub(1, Ordering::SeqCst);
                    exits.send((worker, cause)).ok();
                });
            }
            Some((worker, cause)) = exited.recv() => {
                workers.kill.remove(&worker);
                let message = FromSupervisor::Exited { worker, cause, usage: Usage::default() };
                socket.send(&encode(&message).unwrap()).await.unwrap();
            }
        }
    }
}

fn answer(message: ToSupervisor, workers: &mut Workers) -> Option<FromSupervisor> {
    let mut end = |worker: WorkerId, cause: ExitCause| {
        if let Some(kill) = workers.kill.remove(&worker) {
            kill.send(cause).ok();
        }
    };
    Some(match message {
        ToSupervisor::Hello { protocol } => FromSupervisor::Hello { protocol },
        ToSupervisor::Capabilities { id } => {
            FromSupervisor::Capabilities { id, layers: Vec::new(), runtimes: Vec::new() }
        }
        ToSupervisor::List { id } => FromSupervisor::Workers { id, workers: Vec::new() },
        ToSupervisor::Kill { id, worker } => {
            end(worker, ExitCause::Killed);
            FromSupervisor::Done { id }
        }
        ToSupervisor::Stop { id, worker, .. } => {
            end(worker, ExitCause::Stopped);
            FromSupervisor::Done { id }
        }
        ToSupervisor::Stats { id, worker } => FromSupervisor::Stats { id, worker, usage: Usage::default() },
        ToSupervisor::Renew { id, .. } => FromSupervisor::Done { id },
        ToSupervisor::Spawn { .. } => return None,
    })
}

/// Sends `spawned` with its descriptors and gives the life of the worker.
async fn spawn(
    socket: &UnixSeqpacket,
    id: u64,
    worker: WorkerId,
    script: Script,
) -> impl Future<Output = ExitCause> + Send + 'static {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let theirs = OwnedFd::from(theirs.into_std().unwrap());
    let (stdout, print) = std::io::pipe().unwrap();
    let (stderr, _complain) = std::io::pipe().unwrap();
    let message = FromSupervisor::Spawned { id, worker, lowered: Vec::new(), setup_us: 1 };
    let packet = encode(&message).unwrap();
    let mut space = [0; 128];
    let mut ancillary = AncillaryMessageWriter::new(&mut space);
    ancillary.add_fds([theirs.as_fd(), stdout.as_fd(), stderr.as_fd()]).unwrap();
    let parts = [std::io::IoSlice::new(&packet)];
    socket.send_vectored_with_ancillary(&parts, &mut ancillary).await.unwrap();
    live(ours, print, script)
}

async fn live(mut link: UnixStream, print: std::io::PipeWriter, script: Script) -> ExitCause {
    let out = Arc::new(Mutex::new(print));
    send(&mut link, 0x80, &json!({"protocol": 1, "runtime": "node", "version": "v20"})).await;
    let mut waiting = None;
    loop {
        let Some(message) = receive(&mut link).await else { return ExitCause::Exited { code: 0 } };
        match message {
            ToWorker::Init(_) if script.load => send(&mut link, 0x81, &json!({})).await,
            ToWorker::Init(_) => {
                let failed = json!({"invocation": null, "code": "load", "message": "no such module"});
                send(&mut link, 0x86, &failed).await;
                // As the shims do: what they said and their end arrive together.
                return script.exit;
            }
            ToWorker::Invoke(invoke) => {
                let input: Value = serde_json::from_str(invoke.input.get()).unwrap();
                match input.as_str() {
                    Some("exit") => return script.exit,
                    Some("hang") => std::future::pending().await,
                    Some("silent") => {}
                    Some("wait") => waiting = Some(invoke.invocation),
                    Some("call") => {
                        waiting = Some(invoke.invocation);
                        let args = json!({"collection": "posts", "id": "1"});
                        let call =
                            json!({"call": 1, "invocation": invoke.invocation, "op": "db.get", "args": args});
                        send(&mut link, 0x82, &call).await;
                    }
                    Some(trick) if misbehave(&mut link, trick, invoke.invocation, &out).await => {}
                    _ => reply(&mut link, invoke.invocation, &input).await,
                }
            }
            ToWorker::Reply(answer) => {
                let value: Value = serde_json::from_str(answer.ok.unwrap().get()).unwrap();
                let invocation = waiting.take().unwrap();
                send(&mut link, 0x85, &json!({"invocation": invocation, "value": value})).await;
            }
            ToWorker::Cancel(cancel) => {
                if waiting.take() == Some(cancel.invocation) {
                    send(&mut link, 0x85, &json!({"invocation": cancel.invocation})).await;
                }
            }
            ToWorker::Shutdown(_) => return ExitCause::Stopped,
        }
    }
}

async fn reply(link: &mut UnixStream, invocation: u64, input: &Value) {
    match input.get("fail") {
        Some(failure) => {
            let mut failed = failure.clone();
            failed["invocation"] = invocation.into();
            send(link, 0x86, &failed).await;
        }
        None => send(link, 0x85, &json!({"invocation": invocation, "value": input})).await,
    }
}

/// Does what a named trick says; `false` for a name that is none.
async fn misbehave(
    link: &mut UnixStream,
    trick: &str,
    invocation: u64,
    out: &Arc<Mutex<std::io::PipeWriter>>,
) -> bool {
    match trick {
        "garbage" => raw(link, b"HTTP/1.1 200 OK\r\n\r\n").await,
        "giant" => raw(link, &[0xff; 8]).await,
        "zero" => raw(link, &[0; 4]).await,
        "unknown" => send(link, 0x85, &json!({"invocation": invocation + 1, "value": 1})).await,
        "stranger" => {
            let log = json!({"invocation": 99, "level": "info", "message": "x"});
            send(link, 0x83, &log).await;
        }
        "deep" => {
            let text = format!("{{\"invocation\":{invocation},\"value\":{}", "[".repeat(1_000));
            let mut frame = u32::try_from(text.len() + 1).unwrap().to_le_bytes().to_vec();
            frame.push(0x85);
            frame.extend_from_slice(text.as_bytes());
            raw(link, &frame).await;
        }
        "print" => {
            send(link, 0x83, &json!({"invocation": invocation, "level": "info", "message": "logged"})).await;
            out.lock().unwrap().write_all(b"printed\nno line break").unwrap();
            send(link, 0x85, &json!({"invocation": invocation, "value": "print"})).await;
        }
        _ => return false,
    }
    true
}

async fn send(link: &mut UnixStream, kind: u8, body: &Value) {
    let text = body.to_string();
    let mut frame = u32::try_from(text.len() + 1).unwrap().to_le_bytes().to_vec();
    frame.push(kind);
    frame.extend_from_slice(text.as_bytes());
    raw(link, &frame).await;
}

async fn raw(link: &mut UnixStream, bytes: &[u8]) {
    // The daemon may have closed the link, which the next read tells.
    link.write_all(bytes).await.ok();
}

async fn receive(link: &mut UnixStream) -> Option<ToWorker> {
    let length = link.read_u32_le().await.ok()?;
    let mut frame = vec![0; length as usize];
    link.read_exact(&mut frame).await.ok()?;
    Some(ToWorker::decode(&frame).unwrap())
}
