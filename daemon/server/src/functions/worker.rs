//! One worker, seen from the daemon: the task that owns its link and its log pipes for its whole life.
//!
//! Everything the worker sends is hostile. Whatever goes wrong ends this worker and nothing else:
//! its open invocations are answered, its place in the pool is given back. Descriptors that a worker
//! passes are never received, because the link is read without room for them.

mod drive;
mod end;

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use alyx_protocol::control::Usage;
use alyx_protocol::ids::WorkerId;
use alyx_protocol::isolation::Layer;
use alyx_protocol::limits::HELLO_TIMEOUT_MS;
use alyx_protocol::worker::{Failed, Init, Shutdown, ToWorker};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};

use super::calls::CallResult;
use super::frames::FrameBuffer;
use super::job::Job;
use super::limits::INIT_TIMEOUT;
use super::logs::Stream;
use super::outbox::Outbox;
use super::pipes::Pipe;
use super::pool::Pool;
use super::session::Session;
use super::supervisor::{Exit, Spawned};

/// What a pool tells a worker.
#[derive(Debug)]
pub enum Command {
    /// Run this; the pool has counted it already.
    Run(Box<Job>),
    /// Nothing more will come: end.
    Retire,
}

/// Why a worker's life is over.
#[derive(Debug)]
enum Over {
    /// The pool does not need it any more.
    Retired,
    /// Its link broke.
    LinkBroken,
    /// The supervisor says that it has ended.
    Exited(Exit),
    /// It broke the protocol.
    Violation(String),
    /// The user's code could not be loaded.
    LoadFailed(Failed),
    /// Loading took too long.
    LoadTimeout,
    /// It did not let go of an invocation that was over.
    Stuck,
    /// It used too much processor time.
    CpuTime,
}

/// What the tasks of a worker come back with.
#[derive(Debug)]
enum TaskDone {
    Call { call: u64, invocation: u64, result: CallResult },
    Usage { invocation: u64, usage: Option<Usage> },
}

/// The running task's state.
pub struct Worker {
    pool: Arc<Pool>,
    key: u64,
    id: WorkerId,
    lowered: Arc<[Layer]>,
    stream: UnixStream,
    inbox: FrameBuffer,
    outbox: Outbox,
    session: Session,
    commands: mpsc::Receiver<Command>,
    handle: mpsc::Sender<Command>,
    exited: Option<oneshot::Receiver<Exit>>,
    stdout: Pipe,
    stderr: Pipe,
    tasks: JoinSet<TaskDone>,
    /// Held until the shim has spoken, so that user code cannot hold it.
    spawning: Option<OwnedSemaphorePermit>,
    /// By when the current step of the start must be done.
    start_due: Option<Instant>,
    /// By when the frame that has begun must be whole.
    partial_due: Option<Instant>,
    /// By when the worker must have taken something.
    stalled_due: Option<Instant>,
    /// When processor time is looked at next; none while an answer is awaited.
    cpu_due: Option<Instant>,
    sleep: Pin<Box<Sleep>>,
    memory_peak_bytes: Option<u64>,
    /// Whether it answered anything.
    served: bool,
    /// It has ended already; nothing new is given to it.
    ending: bool,
}

/// Until the timer of a worker with nothing due; any time that is not soon.
const IDLE_TIMER: Duration = Duration::from_secs(3_600);

/// What a turn of reading found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    Some,
    Nothing,
}

/// What woke the task.
enum Wake {
    Exited(Option<Exit>),
    Time,
    Command(Option<Command>),
    Ready(io::Result<tokio::io::Ready>),
    Task(TaskDone),
    ClientGone(u64),
    Stdout,
    Stderr,
}

impl Worker {
    /// Takes a spawned worker over. Must be called inside the runtime.
    pub fn new(
        pool: Arc<Pool>,
        key: u64,
        spawned: Spawned,
        spawning: OwnedSemaphorePermit,
    ) -> io::Result<Self> {
        let capacity = pool.context.config.concurrency.0 as usize + 8;
        let (handle, commands) = mpsc::channel(capacity);
        Ok(Self {
            session: Session::new(Arc::clone(&pool.context.config)),
            pool,
            key,
            id: spawned.worker,
            lowered: spawned.lowered.into(),
            stream: stream(spawned.link)?,
            inbox: FrameBuffer::default(),
            outbox: Outbox::default(),
            commands,
            handle,
            exited: Some(spawned.exited),
            stdout: Pipe::new(spawned.stdout, Stream::Stdout)?,
            stderr: Pipe::new(spawned.stderr, Stream::Stderr)?,
            tasks: JoinSet::new(),
            spawning: Some(spawning),
            start_due: Some(Instant::now() + Duration::from_millis(HELLO_TIMEOUT_MS)),
            partial_due: None,
            stalled_due: None,
            cpu_due: None,
            sleep: Box::pin(tokio::time::sleep(Duration::from_millis(HELLO_TIMEOUT_MS))),
            memory_peak_bytes: None,
            served: false,
            ending: false,
        })
    }

    /// Lives until the worker has ended and everything about it is settled.
    pub async fn run(mut self) {
        let over = loop {
            if let Err(over) = self.flush() {
                break over;
            }
            self.arm();
            let wake = self.wait().await;
            if let Err(over) = self.handle(wake) {
                break over;
            }
        };
        self.finish(over).await;
    }

    /// Waits for the next thing to do. Nothing is lost if this future is dropped.
    async fn wait(&mut self) -> Wake {
        let interest = if self.outbox.bytes.is_empty() {
            Interest::READABLE
        } else {
            Interest::READABLE | Interest::WRITABLE
        };
        let (exited, session) = (&mut self.exited, &mut self.session);
        tokio::select! {
            biased;
            exit = async {
                match exited {
                    Some(exited) => exited.await.ok(),
                    None => std::future::pending().await,
                }
            } => Wake::Exited(exit),
            () = self.sleep.as_mut() => Wake::Time,
            command = self.commands.recv() => Wake::Command(command),
            ready = self.stream.ready(interest) => Wake::Ready(ready),
            Some(Ok(done)) = self.tasks.join_next() => Wake::Task(done),
            invocation = client_gone(session) => Wake::ClientGone(invocation),
            () = self.stdout.readable() => Wake::Stdout,
            () = self.stderr.readable() => Wake::Stderr,
        }
    }

    fn handle(&mut self, wake: Wake) -> Result<(), Over> {
        match wake {
            Wake::Exited(Some(exit)) => {
                self.exited = None;
                self.ending = true;
                self.keep_usage(&exit);
                // What it sent before its end still counts, above all why its code does not load.
                loop {
                    match self.read() {
                        Ok(Read::Some) => {}
                        Err(Over::LoadFailed(failed)) => return Err(Over::LoadFailed(failed)),
                        Ok(Read::Nothing) | Err(_) => return Err(Over::Exited(exit)),
                    }
                }
            }
            // The supervisor is gone; the worker may finish what is open until its link breaks.
            Wake::Exited(None) => {
                self.exited = None;
                Ok(())
            }
            Wake::Time => self.on_time(),
            Wake::Command(Some(Command::Run(job))) => self.start_invocation(job),
            Wake::Command(Some(Command::Retire) | None) => Err(Over::Retired),
            Wake::Ready(Ok(ready)) if ready.is_readable() => self.read().map(drop),
            // Writing happens before every wait.
            Wake::Ready(Ok(_)) => Ok(()),
            Wake::Ready(Err(_)) => Err(Over::LinkBroken),
            Wake::Task(done) => self.on_task(done),
            Wake::ClientGone(invocation) => {
                self.cancel_for_client(invocation);
                Ok(())
            }
            Wake::Stdout => {
                let mut lines = Vec::new();
                self.stdout.read_some(&mut lines);
                self.print(Stream::Stdout, lines);
                Ok(())
            }
            Wake::Stderr => {
                let mut lines = Vec::new();
                self.stderr.read_some(&mut lines);
                self.print(Stream::Stderr, lines);
                Ok(())
            }
        }
    }

    /// Sets the timer, if something is due before it fires. It may fire too early, which is harmless.
    fn arm(&mut self) {
        let due = [
            self.session.next_due(),
            self.start_due,
            self.partial_due,
            self.stalled_due,
            self.cpu_due.filter(|_| self.session.len() > 0),
        ];
        let due = due.into_iter().flatten().min();
        if self.sleep.is_elapsed() {
            // A timer that has fired would fire again at once, so an idle worker gets a far one.
            self.sleep.as_mut().reset(due.unwrap_or_else(|| Instant::now() + IDLE_TIMER));
        } else if let Some(due) = due.filter(|due| *due < self.sleep.deadline()) {
            self.sleep.as_mut().reset(due);
        }
    }

    fn init(&mut self) -> Result<(), Over> {
        self.spawning = None;
        self.start_due = Some(Instant::now() + INIT_TIMEOUT);
        let config = &self.pool.context.config;
        let init = Init {
            function: config.name.clone(),
            entrypoint: config.entrypoint.clone(),
            env: config.env.clone(),
            secrets: self.pool.context.secrets.values(),
            concurrency: config.concurrency.0,
        };
        let queued = self.outbox.message(&ToWorker::Init(init));
        queued.map_err(|error| Over::Violation(error.to_string()))
    }

    fn say_goodbye(&mut self) {
        if self.outbox.message(&ToWorker::Shutdown(Shutdown {})).is_ok() {
            // A worker that cannot take it is stopped by the supervisor.
            drop(self.stream.try_write(&self.outbox.bytes));
        }
    }
}

fn stream(fd: OwnedFd) -> io::Result<UnixStream> {
    let stream = std::os::unix::net::UnixStream::from(fd);
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

/// Waits until a caller of an open invocation goes away.
async fn client_gone(session: &mut Session) -> u64 {
    poll_fn(|context| {
        for (invocation, open) in session.opened() {
            if open.job.reply.poll_closed(context).is_ready() {
                return Poll::Ready(invocation);
            }
        }
        Poll::Pending
    })
    .await
}
