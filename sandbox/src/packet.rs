//! One packet with descriptors over a `SOCK_SEQPACKET` socket.
//!
//! Received descriptors are close-on-exec. A packet or a descriptor list that was cut is an error, not
//! a shorter packet.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recv, recvmsg, sendmsg};

use crate::sys::fd::adopt_received;

/// Most descriptors in one packet: worker link, two log pipes, cgroup leaf.
const DESCRIPTORS_MAX: usize = 4;

/// What arrived.
#[derive(Debug, Default)]
pub struct Packet {
    /// The message; empty where the peer is gone.
    pub bytes: Vec<u8>,
    /// With these.
    pub fds: Vec<OwnedFd>,
}

/// Whether a socket may hand us descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Descriptors {
    /// Up to four.
    Accepted,
    /// None; a packet with one is an error.
    Forbidden,
}

/// Sends one packet.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let numbers: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let control: &[ControlMessage<'_>] = if numbers.is_empty() { &[] } else { &rights };
    let iov = [IoSlice::new(bytes)];
    sendmsg::<()>(socket.as_raw_fd(), &iov, control, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}

/// Receives one packet of at most `max` bytes.
pub fn receive(socket: BorrowedFd<'_>, max: usize, descriptors: Descriptors) -> io::Result<Packet> {
    // As long as the packet: of `max` bytes, clearing would cost more than everything else.
    let length = recv(socket.as_raw_fd(), &mut [], MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC)?;
    let mut buffer = vec![0; length.min(max)];
    let mut iov = [IoSliceMut::new(&mut buffer)];
    let mut space = nix::cmsg_space!([RawFd; DESCRIPTORS_MAX]);
    let control = (descriptors == Descriptors::Accepted).then_some(space.as_mut_slice());
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut iov, control, MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut fds = Vec::new();
    if descriptors == Descriptors::Accepted {
        for part in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(numbers) = part {
                fds.extend(numbers.into_iter().map(adopt_received));
            }
        }
    }
    if message.flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "packet or descriptors over the bound"));
    }
    Ok(Packet { bytes: buffer, fds })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    use super::{Descriptors, receive, send};

    #[test]
    fn packets_are_whole_or_refused() {
        let (one, two) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let fds = [one.as_fd()];
        let check = |bytes: &[u8], fds: &[_], descriptors, accepted: bool| {
            send(one.as_fd(), bytes, fds).unwrap();
            let packet = receive(two.as_fd(), 4, descriptors);
            assert_eq!(packet.is_ok(), accepted, "{bytes:?} {descriptors:?}");
            if let Ok(packet) = packet {
                assert_eq!((packet.bytes.as_slice(), packet.fds.len()), (bytes, fds.len()));
            }
        };
        check(b"abcd", &[], Descriptors::Forbidden, true);
        check(b"abcd", &fds, Descriptors::Accepted, true);
        check(b"abcd", &fds, Descriptors::Forbidden, false);
        check(b"abcde", &[], Descriptors::Accepted, false);
        drop(one);
        assert!(receive(two.as_fd(), 4, Descriptors::Forbidden).unwrap().bytes.is_empty());
    }
}
