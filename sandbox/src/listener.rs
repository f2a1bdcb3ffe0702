//! The control socket: made here or passed by systemd, and who may speak on it.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, accept4, bind, connect, getsockopt, listen, socket,
    sockopt,
};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Uid, geteuid};

use crate::sys::fd;

/// First descriptor that systemd passes, see sd_listen_fds(3).
const LISTEN_FDS_START: i32 = 3;

/// A listening control socket.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    daemon_uid: u32,
    /// Path that we made and so remove.
    own: Option<PathBuf>,
}

/// The control socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("listen on {path}")]
    Path {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("listen on {0}: another supervisor is running")]
    Taken(PathBuf),
    #[error("listen on {0}: something that is not a socket is there")]
    Occupied(PathBuf),
    #[error("take the control socket from systemd")]
    Passed(#[source] io::Error),
}

impl Listener {
    /// Takes the socket that systemd passes, or makes one.
    pub fn open(path: &Path, daemon_uid: u32) -> Result<Self, ListenError> {
        let (socket, own) = match passed().map_err(ListenError::Passed)? {
            Some(socket) => (socket, None),
            None => (make(path, daemon_uid)?, Some(path.to_owned())),
        };
        Ok(Self { socket, daemon_uid, own })
    }

    /// The socket to wait on.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Accepts a waiting connection; `Err` with the uid where the peer is not the daemon.
    pub fn accept(&self) -> io::Result<Result<OwnedFd, u32>> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let number = accept4(self.socket.as_raw_fd(), flags)?;
        let connection = fd::adopt_received(number);
        let peer = getsockopt(&connection, sockopt::PeerCredentials)?;
        Ok(if peer.uid() == self.daemon_uid { Ok(connection) } else { Err(peer.uid()) })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(path) = &self.own {
            // Out of reach where root made it in a directory of root's; the next start replaces it.
            drop(fs::remove_file(path));
        }
    }
}

/// The socket of socket activation, if there is one.
fn passed() -> io::Result<Option<OwnedFd>> {
    let ours = std::env::var("LISTEN_PID").is_ok_and(|pid| pid.parse() == Ok(std::process::id()));
    if !ours || std::env::var("LISTEN_FDS").as_deref() != Ok("1") {
        return Ok(None);
    }
    let socket = fd::take_inherited(LISTEN_FDS_START)?;
    let kind = getsockopt(&socket, sockopt::SockType)?;
    if kind != SockType::SeqPacket || !getsockopt(&socket, sockopt::AcceptConn)? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a listening SOCK_SEQPACKET socket"));
    }
    Ok(Some(socket))
}

fn make(path: &Path, daemon_uid: u32) -> Result<OwnedFd, ListenError> {
    let failed = |source: io::Error| ListenError::Path { path: path.to_owned(), source };
    let address = UnixAddr::new(path).map_err(|error| failed(error.into()))?;
    clear_stale(path, &address)?;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)
        .map_err(|error| failed(error.into()))?;
    // Nobody can connect between bind and the final mode.
    let old = umask(Mode::from_bits_truncate(0o177));
    let bound = bind(socket.as_raw_fd(), &address);
    umask(old);
    bound.map_err(|error| failed(error.into()))?;
    let own_uid = geteuid();
    if own_uid.is_root() {
        nix::unistd::chown(path, Some(Uid::from_raw(daemon_uid)), None)
            .map_err(|error| failed(error.into()))?;
    } else if own_uid.as_raw() != daemon_uid {
        // The group is the directory's or ours; the peer's uid is checked on every connection.
        fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(failed)?;
    }
    let backlog = Backlog::new(8).map_err(|error| failed(error.into()))?;
    listen(&socket, backlog).map_err(|error| failed(error.into()))?;
    Ok(socket)
}

/// Removes what a killed supervisor left.
fn clear_stale(path: &Path, address: &UnixAddr) -> Result<(), ListenError> {
    let failed = |source: io::Error| ListenError::Path { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(ListenError::Occupied(path.to_owned())),
        Ok(_) => {}
    }
    let probe = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)
        .map_err(|error| failed(error.into()))?;
    match connect(probe.as_raw_fd(), address) {
        Ok(()) => Err(ListenError::Taken(path.to_owned())),
        Err(_) => fs::remove_file(path).map_err(failed),
    }
}
