//! The one connection to the daemon: packets in, packets out, never waiting for the peer.
//!
//! Anything malformed, a message out of turn, a descriptor from the daemon or a full send queue ends
//! the link. What it sends is never larger than the protocol's bound, because nothing it answers is.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use alyx_protocol::control::{FromSupervisor, PacketError, ToSupervisor, decode, encode};
use alyx_protocol::limits::{CONTROL_PACKET_MAX_BYTES, CONTROL_PROTOCOL};

use crate::limits::SEND_QUEUE_MAX;
use crate::packet::{self, Descriptors};

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("the daemon closed the link")]
    Closed,
    #[error("use the control link")]
    Io(#[from] io::Error),
    #[error("understand a packet")]
    Packet(#[from] PacketError),
    #[error("expect hello first and once")]
    Hello,
    #[error("speak version {0} of the control protocol")]
    Version(u32),
    #[error("queue a message: the daemon does not read")]
    Full,
}

/// A live connection.
#[derive(Debug)]
pub struct Link {
    socket: OwnedFd,
    greeted: bool,
    queue: VecDeque<(Vec<u8>, Vec<OwnedFd>)>,
}

impl Link {
    /// Greets a daemon that has just connected.
    pub fn new(socket: OwnedFd) -> Result<Self, LinkError> {
        let mut link = Self { socket, greeted: false, queue: VecDeque::new() };
        link.send(&FromSupervisor::Hello { protocol: CONTROL_PROTOCOL }, Vec::new())?;
        Ok(link)
    }

    /// The socket to wait on.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether something waits to be sent.
    pub fn has_queue(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The next request; `None` where none is waiting. A daemon that does not read its answers is not
    /// listened to, so it cannot make them pile up.
    pub fn receive(&mut self) -> Result<Option<ToSupervisor>, LinkError> {
        self.flush()?;
        if self.has_queue() {
            return Ok(None);
        }
        let packet =
            match packet::receive(self.socket.as_fd(), CONTROL_PACKET_MAX_BYTES, Descriptors::Forbidden) {
                Ok(packet) => packet,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(LinkError::Closed);
                }
                Err(error) => return Err(error.into()),
            };
        if packet.bytes.is_empty() {
            return Err(LinkError::Closed);
        }
        match (decode(&packet.bytes)?, self.greeted) {
            (ToSupervisor::Hello { protocol: CONTROL_PROTOCOL }, false) => {
                self.greeted = true;
                self.receive()
            }
            (ToSupervisor::Hello { protocol }, false) => Err(LinkError::Version(protocol)),
            (ToSupervisor::Hello { .. }, true) | (_, false) => Err(LinkError::Hello),
            (request, true) => Ok(Some(request)),
        }
    }

    /// Sends a message, or queues it where the daemon is behind.
    pub fn send(&mut self, message: &FromSupervisor, fds: Vec<OwnedFd>) -> Result<(), LinkError> {
        if self.queue.len() >= SEND_QUEUE_MAX {
            return Err(LinkError::Full);
        }
        self.queue.push_back((encode(message)?, fds));
        self.flush()
    }

    /// Sends what waits, as far as the daemon reads.
    fn flush(&mut self) -> Result<(), LinkError> {
        while let Some((bytes, fds)) = self.queue.front() {
            let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
            match packet::send(self.socket.as_fd(), bytes, &fds) {
                Ok(()) => drop(self.queue.pop_front()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Err(LinkError::Closed),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, OwnedFd};

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    use super::{Link, LinkError};
    use crate::packet;

    fn link() -> (Link, OwnedFd) {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap();
        (Link::new(ours).unwrap(), theirs)
    }

    #[test]
    fn hello_comes_first_and_once() {
        const HELLO: &str = r#"{"type":"hello","protocol":1}"#;
        const LIST: &str = r#"{"type":"list","id":1}"#;
        let check = |packets: &[&str], fault: fn(&LinkError) -> bool| {
            let (mut link, daemon) = link();
            for packet in packets {
                packet::send(daemon.as_fd(), packet.as_bytes(), &[]).unwrap();
            }
            let fault_found = loop {
                match link.receive() {
                    Ok(Some(_)) => {}
                    Ok(None) => break false,
                    Err(error) => break fault(&error),
                }
            };
            assert!(fault_found, "{packets:?}");
        };
        check(&[LIST], |error| matches!(error, LinkError::Hello));
        check(&[HELLO, LIST, HELLO], |error| matches!(error, LinkError::Hello));
        check(&[HELLO, "{}"], |error| matches!(error, LinkError::Packet(_)));
        check(&[HELLO, "\u{0}"], |error| matches!(error, LinkError::Packet(_)));
        check(&[r#"{"type":"hello","protocol":2}"#], |error| matches!(error, LinkError::Version(2)));
    }

    #[test]
    fn descriptors_from_the_daemon_end_the_link() {
        let (mut link, daemon) = link();
        packet::send(daemon.as_fd(), br#"{"type":"hello","protocol":1}"#, &[daemon.as_fd()]).unwrap();
        assert!(matches!(link.receive(), Err(LinkError::Io(_))));
    }

    #[test]
    fn a_daemon_that_does_not_read_loses_the_link() {
        let (mut link, _daemon) = link();
        let message = alyx_protocol::control::FromSupervisor::Done { id: 1 };
        let full = (0..1_000_000).find_map(|_| link.send(&message, Vec::new()).err());
        assert!(matches!(full, Some(LinkError::Full)));
    }
}
