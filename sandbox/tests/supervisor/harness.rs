//! Starts the real supervisor in a directory of its own and speaks to it as the daemon would.
//!
//! Each test has its own block of host ids, so what is left of its workers can be found in `/proc`.

use std::fs;
use std::io::{BufRead, BufReader, IoSlice, IoSliceMut, Read};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use alyx_protocol::control::{
    ExitCause, FromSupervisor, RefusalCode, ToSupervisor, Usage, WorkerLimits, decode, encode,
};
use alyx_protocol::ids::{Digest, WorkerId};
use alyx_protocol::limits::{CONTROL_PACKET_MAX_BYTES, CONTROL_PROTOCOL};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, connect,
    recvmsg, send, sendmsg, socket, sockopt,
};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// Longest wait for anything that should happen at once.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who starts the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Root,
    /// A service user with the two capabilities.
    Service,
    /// The same user without.
    Rootless,
}

pub const MIB: u64 = 1024 * 1024;

pub const LIMITS: WorkerLimits = WorkerLimits {
    memory_max_bytes: 128 * MIB,
    processes_max: 16,
    files_max: 64,
    tmp_max_bytes: 4 * MIB,
    cpu_percent: 100,
};

/// Into the output of the test.
#[expect(clippy::print_stderr, reason = "tests speak on standard error")]
pub fn say(line: &str) {
    eprintln!("{line}");
}

/// Whether this run may skip tests that need root. CI must not.
pub fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    assert!(root || std::env::var_os("CI").is_none(), "sandbox tests need root in CI");
    if !root {
        say("SKIPPED: needs root");
    }
    root
}

/// A running supervisor with one Python runtime whose shim is the test's script.
pub struct Supervisor {
    dir: tempfile::TempDir,
    process: Child,
    pub first_id: u32,
    log: std::sync::mpsc::Receiver<String>,
}

/// Ids for one more supervisor of this test run.
fn next_block() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let run = std::process::id() % 64;
    0x1000_0000 + (run * 48 + NEXT.fetch_add(1, Ordering::Relaxed)) * 0x8_0000
}

pub struct Setup {
    pub start: Start,
    pub script: String,
    pub isolation: &'static str,
    pub daemon_uid: u32,
    pub max_workers: u16,
}

impl Setup {
    pub fn new(script: &str) -> Self {
        Self {
            start: Start::Root,
            script: script.to_owned(),
            isolation: "available",
            daemon_uid: 0,
            max_workers: 4,
        }
    }
}

impl Supervisor {
    pub fn start(script: &str) -> Self {
        Self::with(&Setup::new(script))
    }

    pub fn with(setup: &Setup) -> Self {
        let mut supervisor = Self::launch(setup);
        supervisor.wait_ready();
        supervisor
    }

    /// Starts it without waiting.
    pub fn launch(setup: &Setup) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let first_id = next_block();
        let config = write_files(dir.path(), setup, first_id);
        let mut command = starter(setup.start, first_id);
        let mut process = command
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .env("SECRET_OF_THE_HOST", "1")
            .spawn()
            .expect("the supervisor starts");
        let stderr = process.stderr.take().expect("stderr is piped");
        let (lines, log) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                say(&line);
                if lines.send(line).is_err() {
                    break;
                }
            }
        });
        Self { dir, process, first_id, log }
    }

    fn wait_ready(&mut self) {
        self.wait_log("ready");
    }

    /// Waits for a line of the log.
    pub fn wait_log(&mut self, wanted: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.log.recv_timeout(left) {
                Ok(line) if line.contains(wanted) => return line,
                Ok(_) => {}
                Err(error) => panic!("no log line with {wanted:?}: {error}"),
            }
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn bundle(&self) -> Digest {
        Digest::from_bytes([0xab; 32])
    }

    /// Makes a bundle with one more file tree.
    pub fn make_bundle(&self, byte: u8, make: impl Fn(&Path)) -> Digest {
        let digest = Digest::from_bytes([byte; 32]);
        let path = self.path("bundles").join(digest.to_string());
        fs::create_dir(&path).expect("a new bundle");
        make(&path);
        digest
    }

    pub fn connect(&self) -> Daemon {
        let mut daemon = self.connect_silently();
        daemon.send(&ToSupervisor::Hello { protocol: CONTROL_PROTOCOL });
        assert_eq!(daemon.receive().0, FromSupervisor::Hello { protocol: CONTROL_PROTOCOL });
        daemon
    }

    pub fn connect_silently(&self) -> Daemon {
        let socket =
            socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
        let address = UnixAddr::new(&self.path("control.sock")).expect("a short path");
        connect(socket.as_raw_fd(), &address).expect("the supervisor listens");
        let timeout = nix::sys::time::TimeVal::new(PATIENCE.as_secs().cast_signed(), 0);
        nix::sys::socket::setsockopt(&socket, sockopt::ReceiveTimeout, &timeout).expect("a timeout");
        Daemon { socket, next: 1, early: Vec::new() }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id().cast_signed()), signal).expect("it is alive");
    }

    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the supervisor ends", || {
            status = self.process.try_wait().expect("it is our child");
            status.is_some()
        });
        status.expect("just seen")
    }

    /// Resident memory and open descriptors of the supervisor itself.
    pub fn footprint(&self) -> (u64, usize) {
        let proc = PathBuf::from(format!("/proc/{}", self.process.id()));
        let status = fs::read_to_string(proc.join("status")).expect("it is alive");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        (kib * 1024, fs::read_dir(proc.join("fd")).expect("it is alive").count())
    }

    /// How many descriptors the supervisor may have from now on.
    pub fn limit_descriptors(&self, count: usize) {
        let id = self.first_id;
        // As the supervisor's own user, who may do that without a capability; the soft limit only.
        let set = Command::new("setpriv")
            .args([&format!("--reuid={id}"), &format!("--regid={id}"), "--clear-groups", "prlimit"])
            .args(["--pid", &self.process.id().to_string(), &format!("--nofile={count}:")])
            .status();
        assert!(set.expect("setpriv and prlimit are installed").success());
    }

    /// Host processes that run under an id of this supervisor's block.
    pub fn processes(&self) -> Vec<i32> {
        let block = self.first_id..self.first_id + 0x8_0000;
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").expect("there is /proc").flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
            let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            let uid =
                status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_ascii_whitespace().next());
            if uid.and_then(|uid| uid.parse().ok()).is_some_and(|uid: u32| block.contains(&uid)) {
                found.push(pid);
            }
        }
        found
    }

    /// Waits until no process of the block is left and no mount of the directory either.
    pub fn expect_nothing_left(&self) {
        eventually("all processes are gone", || self.processes().is_empty());
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("there is /proc");
        let path = self.dir.path().to_string_lossy().into_owned();
        assert!(!mounts.contains(&path), "a mount is left");
        let left: Vec<_> = fs::read_dir(self.path("work")).expect("it is there").collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The supervisor's command as a certain user.
fn starter(start: Start, uid: u32) -> Command {
    let binary = env!("CARGO_BIN_EXE_alyx-supervisor");
    if start == Start::Root {
        return Command::new(binary);
    }
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={uid}")).arg(format!("--regid={uid}")).arg("--clear-groups");
    if start == Start::Service {
        command.args(["--inh-caps=+setuid,+setgid", "--ambient-caps=+setuid,+setgid"]);
    } else {
        command.args(["--inh-caps=-all", "--bounding-set=-all"]);
    }
    command.arg(binary);
    command
}

fn write_files(dir: &Path, setup: &Setup, first_id: u32) -> PathBuf {
    let make = |name: &str| {
        let path = dir.join(name);
        fs::create_dir(&path).expect("a new directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("our directory");
        path
    };
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).expect("our directory");
    let (bundles, shim, work) = (make("bundles"), make("shim"), make("work"));
    let bundle = bundles.join(Digest::from_bytes([0xab; 32]).to_string());
    fs::create_dir(&bundle).expect("a new bundle");
    fs::write(bundle.join("hello.txt"), "from the bundle").expect("our bundle");
    fs::write(shim.join("main.py"), &setup.script).expect("our shim");
    if setup.start != Start::Root {
        for path in [dir, &work] {
            chown(path, Some(first_id), Some(first_id)).expect("we are root");
        }
    }
    let arguments = ["-I", "-S", "-B", "/alyx/shim/main.py"];
    let config = json!({
        "isolation": setup.isolation,
        "socket": dir.join("control.sock"),
        "daemon_uid": setup.daemon_uid,
        "bundles_dir": bundles,
        "work_dir": work,
        "id_block": { "first": first_id, "slots": setup.max_workers },
        "run_as": { "uid": first_id, "gid": first_id },
        "max_workers": setup.max_workers,
        "ceiling": LIMITS,
        "runtimes": {
            "python": {
                "executable": "/usr/bin/python3",
                "arguments": arguments,
                "shim": shim,
                "binds": ["/usr/lib"],
                "environment": { "OWN": "yes" },
            },
            "broken": { "executable": "/no/such/program" },
        },
    });
    let path = dir.join("supervisor.json");
    fs::write(&path, config.to_string()).expect("our directory");
    path
}

/// Waits for a condition.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The daemon's side of a control link.
pub struct Daemon {
    socket: OwnedFd,
    next: u64,
    early: Vec<FromSupervisor>,
}

/// A spawned worker with the daemon's ends of its descriptors.
#[derive(Debug)]
pub struct Worker {
    pub id: WorkerId,
    pub setup_us: u64,
    fds: Vec<RawFd>,
}

impl Worker {
    /// Reads what the worker sent on its link, up to this many bytes at once.
    pub fn read_link(&self) -> Vec<u8> {
        let mut buffer = vec![0; 65_536];
        let length =
            nix::sys::socket::recv(self.fds[0], &mut buffer, MsgFlags::empty()).expect("the link works");
        buffer.truncate(length);
        buffer
    }

    /// Everything it wrote to standard output and standard error until it ended.
    pub fn output(&self) -> String {
        let mut text = String::new();
        for fd in &self.fds[1..] {
            // A name of the same pipe that this process owns.
            let mut file = fs::File::open(format!("/proc/self/fd/{fd}")).expect("it is open");
            file.read_to_string(&mut text).expect("it is text");
        }
        text
    }

    /// Waits for a line that starts with a word on standard output.
    pub fn wait_line(&self, word: &str) -> String {
        let file = fs::File::open(format!("/proc/self/fd/{}", self.fds[1])).expect("it is open");
        BufReader::new(file)
            .lines()
            .map_while(Result::ok)
            .find(|line| line.starts_with(word))
            .unwrap_or_else(|| panic!("no line {word:?}: {}", self.output()))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        for fd in &self.fds {
            nix::unistd::close(*fd).expect("it is open");
        }
    }
}

impl Daemon {
    pub fn send(&mut self, message: &ToSupervisor) {
        self.send_bytes(&encode(message).expect("a small message"));
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        send(self.socket.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL).expect("the link is open");
    }

    /// Sends bytes with copies of a descriptor attached.
    pub fn send_with_descriptors(&mut self, bytes: &[u8], count: usize) {
        let fds = vec![self.socket.as_raw_fd(); count];
        let rights = [ControlMessage::ScmRights(&fds)];
        let iov = [IoSlice::new(bytes)];
        sendmsg::<()>(self.socket.as_raw_fd(), &iov, &rights, MsgFlags::MSG_NOSIGNAL, None)
            .expect("the link is open");
    }

    /// Sends bytes if the supervisor has room for them now.
    pub fn send_if_room(&mut self, bytes: &[u8]) -> bool {
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        match send(self.socket.as_raw_fd(), bytes, flags) {
            Ok(_) => true,
            Err(nix::Error::EAGAIN) => false,
            Err(error) => panic!("the link is closed: {error}"),
        }
    }

    pub fn try_receive(&mut self) -> Option<(FromSupervisor, Vec<RawFd>)> {
        let mut buffer = vec![0; CONTROL_PACKET_MAX_BYTES];
        let mut space = nix::cmsg_space!([RawFd; 3]);
        let mut iov = [IoSliceMut::new(&mut buffer)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = match recvmsg::<()>(self.socket.as_raw_fd(), &mut iov, Some(&mut space), flags) {
            Err(nix::Error::ECONNRESET) => return None,
            message => message.expect("an answer in time"),
        };
        let fds = message
            .cmsgs()
            .expect("whole control messages")
            .filter_map(|part| match part {
                ControlMessageOwned::ScmRights(fds) => Some(fds),
                _ => None,
            })
            .flatten()
            .collect();
        let length = message.bytes;
        (length > 0).then(|| (decode(&buffer[..length]).expect("a message"), fds))
    }

    pub fn receive(&mut self) -> (FromSupervisor, Vec<RawFd>) {
        self.try_receive().expect("the link is open")
    }

    /// Sends a request and waits for its answer; ends of workers that come first are kept.
    pub fn ask(&mut self, request: impl FnOnce(u64) -> ToSupervisor) -> (FromSupervisor, Vec<RawFd>) {
        let id = self.next;
        self.next += 1;
        self.send(&request(id));
        loop {
            let (message, fds) = self.receive();
            if matches!(message, FromSupervisor::Exited { .. }) {
                self.early.push(message);
                continue;
            }
            return (message, fds);
        }
    }

    pub fn try_spawn(
        &mut self,
        runtime: &str,
        bundle: Digest,
        limits: WorkerLimits,
        lease_ms: u64,
    ) -> Result<Worker, (RefusalCode, String)> {
        let runtime = runtime.parse().expect("a runtime name");
        match self.ask(|id| ToSupervisor::Spawn { id, runtime, bundle, limits, lease_ms }) {
            (FromSupervisor::Spawned { worker, setup_us, .. }, fds) => {
                assert_eq!(fds.len(), 3);
                Ok(Worker { id: worker, setup_us, fds })
            }
            (FromSupervisor::Refused { code, detail, .. }, fds) => {
                assert!(fds.is_empty());
                Err((code, detail))
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn spawn(&mut self) -> Worker {
        self.try_spawn("python", Digest::from_bytes([0xab; 32]), LIMITS, 60_000).expect("a worker")
    }

    pub fn kill(&mut self, worker: &Worker) -> FromSupervisor {
        let worker = worker.id;
        self.ask(|id| ToSupervisor::Kill { id, worker }).0
    }

    /// Waits for the end of a worker.
    pub fn expect_exit(&mut self, worker: &Worker) -> (ExitCause, Usage) {
        let wanted = worker.id;
        let is_it = |message: &FromSupervisor| matches!(message, FromSupervisor::Exited { worker, .. } if *worker == wanted);
        let message = match self.early.iter().position(is_it) {
            Some(index) => self.early.remove(index),
            None => loop {
                let (message, _) = self.receive();
                if is_it(&message) {
                    break message;
                }
            },
        };
        match message {
            FromSupervisor::Exited { cause, usage, .. } => (cause, usage),
            other => panic!("{other:?}"),
        }
    }
}

/// The facts that a script printed as one line of JSON.
pub fn facts(worker: &Worker) -> Value {
    let line = worker.wait_line("{");
    serde_json::from_str(&line).expect("one line of JSON")
}
