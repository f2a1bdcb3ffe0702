//! `alyx-supervisor` alone, spoken to over its control link, for what no daemon would ask.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use alyx_protocol::control::{FromSupervisor, ToSupervisor, WorkerLimits, decode, encode};
use alyx_protocol::ids::WorkerId;
use alyx_protocol::limits::{CONTROL_PACKET_MAX_BYTES, CONTROL_PROTOCOL};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio_seqpacket::UnixSeqpacket;
use tokio_seqpacket::ancillary::OwnedAncillaryMessage;

use crate::tree;
use crate::wait::wait_for;

const PATIENCE: Duration = Duration::from_secs(30);

/// Ancillary data must be aligned like a `cmsghdr`.
#[repr(align(8))]
struct AncillarySpace([u8; 256]);

/// A supervisor and the one link to it.
#[derive(Debug)]
pub struct Supervisor {
    child: Child,
    socket: PathBuf,
    link: UnixSeqpacket,
    next_id: u64,
    /// Messages that came while another was waited for.
    waiting: VecDeque<FromSupervisor>,
    /// Links and pipes of workers: a worker ends when its link is closed.
    held: Vec<OwnedFd>,
}

impl Supervisor {
    /// Starts it with this configuration, on a socket of its own in `folder`, and greets it.
    pub async fn start(folder: &Path, mut config: Value) -> Self {
        let socket = folder.join("raw.sock");
        config["socket"] = json!(socket);
        config["work_dir"] = json!(folder.join("raw-root"));
        let file = folder.join("raw-supervisor.json");
        std::fs::write(&file, config.to_string()).expect("write the configuration");
        let child = Command::new(tree::program("alyx-supervisor"))
            .arg("--config")
            .arg(&file)
            .arg("--die-with-parent")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("start alyx-supervisor");
        let link = connect(&socket).await;
        let held = Vec::new();
        let mut supervisor = Self { child, socket, link, next_id: 1, waiting: VecDeque::new(), held };
        supervisor.send(&ToSupervisor::Hello { protocol: CONTROL_PROTOCOL }).await;
        let hello = supervisor.receive().await;
        assert_eq!(hello, Some(FromSupervisor::Hello { protocol: CONTROL_PROTOCOL }));
        supervisor
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.child.id().and_then(|pid| i32::try_from(pid).ok()).expect("the supervisor runs")
    }

    /// Another link to the same supervisor, not greeted.
    pub async fn another_link(&self) -> UnixSeqpacket {
        connect(&self.socket).await
    }

    pub async fn send(&self, message: &ToSupervisor) {
        self.send_packet(&encode(message).expect("a message is a packet")).await;
    }

    /// Sends any bytes as one packet.
    pub async fn send_packet(&self, packet: &[u8]) {
        self.link.send(packet).await.expect("send a packet");
    }

    /// The next message; `None` where the supervisor has closed the link.
    pub async fn receive(&mut self) -> Option<FromSupervisor> {
        let mut packet = vec![0; CONTROL_PACKET_MAX_BYTES];
        let mut space = AncillarySpace([0; 256]);
        let received = self.link.recv_with_ancillary(&mut packet, &mut space.0);
        let received = tokio::time::timeout(PATIENCE, received).await.expect("the supervisor says something");
        let (info, ancillary) = received.ok()?;
        for message in ancillary.into_messages() {
            if let OwnedAncillaryMessage::FileDescriptors(descriptors) = message {
                self.held.extend(descriptors);
            }
        }
        if info.bytes_read() == 0 {
            return None;
        }
        Some(decode(&packet[..info.bytes_read()]).expect("the supervisor speaks the protocol"))
    }

    /// A fresh request id.
    pub fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Spawns a worker of this bundle; how long that took, says the supervisor.
    pub async fn spawn(&mut self, runtime: &str, bundle: &str) -> (WorkerId, Duration) {
        let id = self.id();
        let request = ToSupervisor::Spawn {
            id,
            runtime: runtime.parse().expect("a runtime's name"),
            bundle: bundle.parse().expect("a digest"),
            limits: modest_limits(),
            lease_ms: 60_000,
        };
        self.send(&request).await;
        loop {
            match self.receive().await {
                Some(FromSupervisor::Spawned { id: answered, worker, setup_us, .. }) if answered == id => {
                    return (worker, Duration::from_micros(setup_us));
                }
                Some(FromSupervisor::Refused { code, detail, .. }) => panic!("refused: {code:?}: {detail}"),
                Some(other) => self.waiting.push_back(other),
                None => panic!("the supervisor closed the link"),
            }
        }
    }

    /// Kills a worker and waits for its end.
    pub async fn kill_worker(&mut self, worker: WorkerId) {
        let id = self.id();
        self.send(&ToSupervisor::Kill { id, worker }).await;
        let is_end = |message: &FromSupervisor| matches!(message, FromSupervisor::Exited { worker: ended, .. } if *ended == worker);
        while !self.waiting.iter().any(is_end) {
            let message = self.receive().await.expect("the link stays open");
            self.waiting.push_back(message);
        }
        self.waiting.retain(|message| !is_end(message));
        self.held.clear();
    }

    /// Stops it as systemd does.
    pub async fn stop(mut self) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), nix::sys::signal::Signal::SIGTERM)
            .expect("signal the supervisor");
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("the supervisor stops");
        assert!(ended.is_ok_and(|status| status.success()), "the supervisor stops without an error");
    }
}

/// Limits that every configuration allows.
#[must_use]
pub fn modest_limits() -> WorkerLimits {
    WorkerLimits {
        memory_max_bytes: 128 << 20,
        processes_max: 64,
        files_max: 128,
        tmp_max_bytes: 16 << 20,
        cpu_percent: 100,
    }
}

async fn connect(socket: &Path) -> UnixSeqpacket {
    wait_for("the supervisor to listen", PATIENCE, async || UnixSeqpacket::connect(socket).await.ok()).await
}
