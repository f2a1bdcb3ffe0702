//! Tells the service manager how we do: one datagram per state on `$NOTIFY_SOCKET` (sd_notify(3)).
//! Without that variable nothing is sent.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Requests are answered.
    Ready,
    /// The project is read again; [`State::Ready`] follows.
    Reloading,
    /// The order to stop has arrived.
    Stopping,
    /// Still alive.
    Watchdog,
}

/// Sends a state. A manager that does not listen is its own problem; it is logged.
pub fn notify(state: State) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(path.as_bytes(), message(state)) {
        tracing::warn!(%error, "cannot notify the service manager: {error}");
    }
}

/// How often [`State::Watchdog`] is due: half of what the manager waits.
pub fn watchdog_period() -> Option<Duration> {
    period(
        std::env::var("WATCHDOG_USEC").ok().as_deref(),
        std::env::var("WATCHDOG_PID").ok().as_deref(),
        std::process::id(),
    )
}

fn period(microseconds: Option<&str>, pid: Option<&str>, own: u32) -> Option<Duration> {
    if pid.is_some_and(|pid| pid != own.to_string()) {
        return None;
    }
    let microseconds: u64 = microseconds?.parse().ok()?;
    (microseconds > 0).then(|| Duration::from_micros(microseconds) / 2)
}

fn message(state: State) -> &'static [u8] {
    match state {
        State::Ready => b"READY=1",
        State::Reloading => b"RELOADING=1",
        State::Stopping => b"STOPPING=1",
        State::Watchdog => b"WATCHDOG=1",
    }
}

fn send(path: &[u8], message: &[u8]) -> std::io::Result<()> {
    let address = match path.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(message, &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::UnixDatagram;
    use std::time::Duration;

    use super::{State, message, period, send};

    #[test]
    fn states_arrive() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str().as_bytes(), message(State::Ready)).unwrap();
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"READY=1");
        assert!(send(b"/nonexistent/notify", b"x").is_err());
    }

    #[test]
    fn the_watchdog_is_fed_twice_as_often_as_needed() {
        let check = |microseconds, pid, expected: Option<u64>| {
            assert_eq!(period(microseconds, pid, 7), expected.map(Duration::from_millis));
        };
        check(Some("2000000"), None, Some(1_000));
        check(Some("2000000"), Some("7"), Some(1_000));
        check(Some("2000000"), Some("8"), None);
        check(Some("0"), None, None);
        check(Some("x"), None, None);
        check(None, None, None);
    }
}
