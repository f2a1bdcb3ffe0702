//! Packets and descriptors on the control link.
//!
//! Exactly `spawned` carries descriptors, exactly three. Anything else ends the link; descriptors
//! that came with it are closed.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use alyx_protocol::control::{FromSupervisor, PacketError, ToSupervisor, decode, encode};
use alyx_protocol::limits::{CONTROL_PACKET_MAX_BYTES, CONTROL_PROTOCOL};
use tokio_seqpacket::UnixSeqpacket;
use tokio_seqpacket::ancillary::OwnedAncillaryMessage;

/// Wait for the supervisor to take a packet or to say hello.
const PATIENCE: Duration = Duration::from_secs(5);

/// Descriptors of `spawned`: link, stdout, stderr.
pub type WorkerFds = [OwnedFd; 3];

/// Why the link is over.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The socket failed.
    #[error("control socket")]
    Io(#[from] io::Error),
    /// The other end closed it.
    #[error("the supervisor closed the link")]
    Closed,
    /// The other end does not take or send what it must.
    #[error("the supervisor does not answer")]
    Silent,
    /// Not a message.
    #[error("packet")]
    Packet(#[from] PacketError),
    /// A message that must not come here, or descriptors that must not come with it.
    #[error("protocol violation: {0}")]
    Violation(&'static str),
    /// The other end speaks another version.
    #[error("the supervisor speaks protocol {0}, we speak {CONTROL_PROTOCOL}")]
    Version(u32),
}

/// The control link after both hellos.
#[derive(Debug)]
pub struct Link {
    socket: UnixSeqpacket,
    packet: Vec<u8>,
}

/// Ancillary data must be aligned like a `cmsghdr`.
#[repr(align(8))]
struct AncillarySpace([u8; 128]);

impl Link {
    /// Connects and greets.
    pub async fn open(path: &Path) -> Result<Self, LinkError> {
        let greet = async {
            let socket = UnixSeqpacket::connect(path).await?;
            let mut link = Self { socket, packet: vec![0; CONTROL_PACKET_MAX_BYTES + 1] };
            link.send(&ToSupervisor::Hello { protocol: CONTROL_PROTOCOL }).await?;
            match link.receive().await? {
                (FromSupervisor::Hello { protocol: CONTROL_PROTOCOL }, None) => Ok(link),
                (FromSupervisor::Hello { protocol }, None) => Err(LinkError::Version(protocol)),
                _ => Err(LinkError::Violation("the first message is not hello")),
            }
        };
        tokio::time::timeout(PATIENCE, greet).await.unwrap_or(Err(LinkError::Silent))
    }

    /// Sends one message.
    pub async fn send(&self, message: &ToSupervisor) -> Result<(), LinkError> {
        let packet = encode(message)?;
        match tokio::time::timeout(PATIENCE, self.socket.send(&packet)).await {
            Ok(sent) => Ok(sent.map(drop)?),
            Err(_) => Err(LinkError::Silent),
        }
    }

    /// The next message. Safe to drop: nothing is lost before it is ready.
    pub async fn receive(&mut self) -> Result<(FromSupervisor, Option<WorkerFds>), LinkError> {
        let mut space = AncillarySpace([0; 128]);
        let (info, ancillary) = self.socket.recv_with_ancillary(&mut self.packet, &mut space.0).await?;
        let mut fds = Vec::new();
        let mut strange = info.ancillary_truncated();
        for message in ancillary.into_messages() {
            match message {
                OwnedAncillaryMessage::FileDescriptors(descriptors) => fds.extend(descriptors),
                _ => strange = true,
            }
        }
        if strange {
            return Err(LinkError::Violation("unexpected ancillary data"));
        }
        if info.bytes_read() == 0 {
            return Err(LinkError::Closed);
        }
        if info.truncated() {
            return Err(PacketError::TooLarge(CONTROL_PACKET_MAX_BYTES + 1).into());
        }
        let message = decode(&self.packet[..info.bytes_read()])?;
        let spawned = matches!(message, FromSupervisor::Spawned { .. });
        match (spawned, fds.is_empty()) {
            (false, true) => Ok((message, None)),
            (false, false) => Err(LinkError::Violation("descriptors with a message that has none")),
            (true, _) => fds
                .try_into()
                .map(|fds| (message, Some(fds)))
                .map_err(|_| LinkError::Violation("spawned without its three descriptors")),
        }
    }
}
