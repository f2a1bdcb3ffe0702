//! Tells systemd, or whoever set `NOTIFY_SOCKET`, how the supervisor is doing.
//!
//! One datagram per message, as sd_notify(3) describes. The socket is connected at start, because its
//! path may be out of reach after root is given up.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, send, socket};

use crate::log;

/// Where messages go, and how often the watchdog wants one.
#[derive(Debug)]
pub struct Notifier {
    socket: Option<OwnedFd>,
    interval: Option<Duration>,
    next: Instant,
}

impl Notifier {
    /// From the environment.
    pub fn from_env() -> Self {
        let socket = std::env::var("NOTIFY_SOCKET").ok().and_then(|address| match open(&address) {
            Ok(socket) => Some(socket),
            Err(error) => {
                log::warning(&format!("cannot use NOTIFY_SOCKET: {error}"));
                None
            }
        });
        let watched = std::env::var("WATCHDOG_PID").map_or(true, |pid| pid.parse() == Ok(std::process::id()));
        let interval = std::env::var("WATCHDOG_USEC")
            .ok()
            .and_then(|text| text.parse().ok())
            .filter(|micros| watched && *micros > 0)
            .map(|micros| Duration::from_micros(micros) / 2);
        Self { socket, interval, next: Instant::now() }
    }

    /// Sends a message such as `READY=1`.
    pub fn say(&self, message: &str) {
        let Some(socket) = &self.socket else { return };
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        if let Err(error) = send(socket.as_raw_fd(), message.as_bytes(), flags) {
            log::warning(&format!("cannot notify {message}: {error}"));
        }
    }

    /// Sends the watchdog's message when it is due; tells when the next is.
    pub fn tick(&mut self, now: Instant) -> Option<Instant> {
        let interval = self.interval?;
        if now >= self.next {
            self.say("WATCHDOG=1");
            self.next = now + interval;
        }
        Some(self.next)
    }
}

fn open(address: &str) -> io::Result<OwnedFd> {
    let address = match address.strip_prefix('@') {
        Some(name) => UnixAddr::new_abstract(name.as_bytes())?,
        None => UnixAddr::new(address)?,
    };
    let socket = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    connect(socket.as_raw_fd(), &address)?;
    Ok(socket)
}
