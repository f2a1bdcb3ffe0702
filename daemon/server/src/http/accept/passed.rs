//! Sockets that the service manager listens on and passes at start, told apart by name (sd_listen_fds(3)).
//! They stay open between two daemons, so that nobody is refused during a restart.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;

/// Plain HTTP.
const HTTP: &str = "http";
/// HTTP with TLS.
const HTTPS: &str = "https";
/// Administrators of this host.
const ADMIN: &str = "admin";

/// What was passed. What was not is bound by ourselves.
#[derive(Debug, Default)]
pub struct Passed {
    pub http: Option<TcpListener>,
    pub https: Option<TcpListener>,
    pub admin: Option<UnixListener>,
}

/// Why a passed socket cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PassedError {
    #[error(
        "the service manager passed a socket named {0:?}; FileDescriptorName= must be {HTTP}, {HTTPS} or {ADMIN}"
    )]
    Unknown(String),
    #[error("the service manager passed two sockets named {0}")]
    Twice(&'static str),
    #[error("the service manager passed a socket named {HTTPS}, but section `tls` names no certificate")]
    NoCertificate,
    #[error("take over the socket named {name} that the service manager passed")]
    Take {
        name: String,
        #[source]
        source: std::io::Error,
    },
}

impl Passed {
    /// Takes them over; once, and before there are threads, because it changes the environment.
    pub fn take() -> Result<Self, PassedError> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let (mut sockets, mut passed) = (ListenFd::from_env(), Self::default());
        let names = names.split(':').map(str::to_owned).chain(std::iter::repeat(String::new()));
        for (index, name) in (0..sockets.len()).zip(names) {
            let failed = |source| PassedError::Take { name: name.clone(), source };
            match name.as_str() {
                HTTP => keep(&mut passed.http, HTTP, sockets.take_tcp_listener(index).map_err(failed)?)?,
                HTTPS => keep(&mut passed.https, HTTPS, sockets.take_tcp_listener(index).map_err(failed)?)?,
                ADMIN => keep(&mut passed.admin, ADMIN, sockets.take_unix_listener(index).map_err(failed)?)?,
                _ => return Err(PassedError::Unknown(name)),
            }
        }
        Ok(passed)
    }
}

fn keep<S>(place: &mut Option<S>, name: &'static str, socket: Option<S>) -> Result<(), PassedError> {
    if place.is_some() {
        return Err(PassedError::Twice(name));
    }
    *place = socket;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::{PassedError, keep};

    #[test]
    fn a_name_is_taken_once() {
        let mut place = None;
        let socket = || Some(TcpListener::bind("127.0.0.1:0").unwrap());
        keep(&mut place, "http", socket()).unwrap();
        assert!(matches!(keep(&mut place, "http", socket()), Err(PassedError::Twice("http"))));
    }
}
