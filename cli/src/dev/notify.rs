//! The receiving end of `NOTIFY_SOCKET`: how a child says that it is ready.
//!
//! An abstract address is used, so no file is left and a child that changed its user can still
//! reach it. Source: sd_notify(3).

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram as StdDatagram};

use tokio::net::UnixDatagram;

/// A notification is a few short lines.
const MESSAGE_MAX_BYTES: usize = 4 * 1024;

/// Tries before giving up on finding an unused name.
const NAMES_MAX: u32 = 100;

pub struct Notify {
    socket: UnixDatagram,
    name: String,
}

impl Notify {
    pub fn bind(child: &str) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for attempt in 0..NAMES_MAX {
            let name = format!("alyx-dev-{}-{child}-{attempt}", std::process::id());
            match StdDatagram::bind_addr(&SocketAddr::from_abstract_name(&name)?) {
                Ok(socket) => {
                    socket.set_nonblocking(true)?;
                    return Ok(Self { socket: UnixDatagram::from_std(socket)?, name });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The value for the child's `NOTIFY_SOCKET`.
    pub fn address(&self) -> String {
        format!("@{}", self.name)
    }

    /// Returns when a message holds the line `READY=1`. Safe to drop.
    pub async fn ready(&self) -> io::Result<()> {
        let mut buffer = [0; MESSAGE_MAX_BYTES];
        loop {
            let length = self.socket.recv(&mut buffer).await?;
            if buffer[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    use super::Notify;

    #[tokio::test]
    async fn ready_is_one_line_among_others() {
        let notify = Notify::bind("test").unwrap();
        let address = SocketAddr::from_abstract_name(&notify.address()[1..]).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        for message in ["STATUS=READY=1 soon", "WATCHDOG=1", "STATUS=x\nREADY=1\n"] {
            sender.send_to_addr(message.as_bytes(), &address).unwrap();
        }
        notify.ready().await.unwrap();
    }
}
