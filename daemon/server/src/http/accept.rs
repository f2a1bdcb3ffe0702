//! The accept loop: our own, because a served connection needs deadlines, caps and an orderly end
//! that the framework's does not give.
//!
//! Every connection is a task of one `JoinSet`; when the loop returns, none is left.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use self::connection::Connection;
use self::tls::Certificate;
use super::address::{Peer, Scheme};
use super::unread::Unread;
use crate::config::{Config, Mode};
use crate::limits;
use crate::metrics::Metrics;
use crate::serve::told_to_stop;
use crate::throttle::Throttle;
use crate::throttle_key::throttle_key;

mod connection;
mod gate;
mod head;
mod passed;
mod peers;
mod stall;
mod tls;

pub use gate::Refusal;
pub use passed::{Passed, PassedError};
pub use peers::{AdminPeers, UnknownGroup};
pub use tls::TlsError;

/// Sockets that are listening.
pub struct Listeners {
    tcp: TcpListener,
    tls: Option<(TcpListener, Arc<Certificate>)>,
    metrics: Option<TcpListener>,
    admin: UnixListener,
    /// Of the socket that is ours to remove.
    admin_path: Option<PathBuf>,
}

/// What the loop serves.
#[derive(Clone)]
pub struct Doors {
    pub router: Router,
    /// Served to whoever reaches the listener for metrics.
    pub scraped: Router,
    pub config: Arc<Config>,
    pub mode: Mode,
    pub admin_peers: AdminPeers,
    pub throttle: Throttle,
    pub metrics: Metrics,
}

/// Why a socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("listen on {address}")]
    Tcp {
        address: std::net::SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("make the admin socket {path}", path = path.display())]
    Admin {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} is served by another process", path = path.display())]
    AdminInUse { path: PathBuf },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Passed(#[from] PassedError),
}

impl Listeners {
    /// Takes the sockets that were passed and binds the others; that for TLS if there is a certificate for it.
    pub async fn open(
        config: &Config,
        passed: Passed,
        admin_peers: &AdminPeers,
    ) -> Result<Self, ListenError> {
        if passed.https.is_some() && config.tls.is_none() {
            return Err(PassedError::NoCertificate.into());
        }
        let tcp = listen(passed.http, config.server.listen).await?;
        let tls = match &config.tls {
            Some(tls) => Some((listen(passed.https, tls.listen).await?, Certificate::load(&tls.files)?)),
            None => None,
        };
        let metrics = match config.metrics.listen {
            Some(address) => Some(listen(None, address).await?),
            None => None,
        };
        let path = config.server.admin_socket.clone();
        let (admin, admin_path) = match passed.admin {
            Some(socket) => {
                let taken = socket.set_nonblocking(true).and_then(|()| UnixListener::from_std(socket));
                (taken.map_err(|source| ListenError::Admin { path, source })?, None)
            }
            None => (bind_admin(&path, admin_peers).await?, Some(path)),
        };
        Ok(Self { tcp, tls, metrics, admin, admin_path })
    }

    /// The address that is served, with the port that was taken for port 0.
    pub fn address(&self) -> std::io::Result<std::net::SocketAddr> {
        self.tcp.local_addr()
    }

    /// The address that is served with TLS, if there is one.
    pub fn tls_address(&self) -> Option<std::net::SocketAddr> {
        self.tls.as_ref().and_then(|(listener, _)| listener.local_addr().ok())
    }

    /// The address where metrics are served to anybody, if they are.
    pub fn metrics_address(&self) -> Option<std::net::SocketAddr> {
        self.metrics.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// The next connection of somebody who wants metrics; none comes where they are not served.
    async fn accept_metrics(&self) -> std::io::Result<(TcpStream, std::net::SocketAddr)> {
        match &self.metrics {
            Some(listener) => listener.accept().await,
            None => std::future::pending().await,
        }
    }

    /// The next connection with TLS; none comes where that is not served.
    async fn accept_tls(&self) -> std::io::Result<(TcpStream, std::net::SocketAddr, TlsAcceptor)> {
        let Some((listener, certificate)) = &self.tls else { return std::future::pending().await };
        let (stream, address) = listener.accept().await?;
        Ok((stream, address, certificate.acceptor()))
    }
}

async fn listen(
    passed: Option<std::net::TcpListener>,
    address: std::net::SocketAddr,
) -> Result<TcpListener, ListenError> {
    let listener = match passed {
        Some(socket) => socket.set_nonblocking(true).and_then(|()| TcpListener::from_std(socket)),
        None => TcpListener::bind(address).await,
    };
    listener.map_err(|source| ListenError::Tcp { address, source })
}

/// The umask of the process makes the socket 0600 before anybody can connect.
async fn bind_admin(path: &Path, admin_peers: &AdminPeers) -> Result<UnixListener, ListenError> {
    let failed = |source| ListenError::Admin { path: path.to_owned(), source };
    if UnixStream::connect(path).await.is_ok() {
        return Err(ListenError::AdminInUse { path: path.to_owned() });
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    if let Some(gid) = admin_peers.group() {
        std::os::unix::fs::chown(path, None, Some(gid)).map_err(failed)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(failed)?;
    }
    Ok(listener)
}

/// Serves until `stop` becomes true, then lets requests in flight finish within
/// [`limits::SHUTDOWN_GRACE`]. Removes the admin socket, unless it was passed.
pub async fn serve(listeners: Listeners, doors: Doors, mut stop: watch::Receiver<bool>) {
    let scraped = Doors { router: doors.scraped.clone(), ..doors.clone() };
    let server = Server {
        doors: Arc::new(doors),
        scraped: Arc::new(scraped),
        graceful: GracefulShutdown::new(),
        slots: Arc::new(Semaphore::new(limits::CONNECTIONS_MAX)),
        addresses: Arc::default(),
        requests: Arc::new(Semaphore::new(limits::REQUESTS_MAX)),
        unread: Unread::default(),
    };
    let mut connections = JoinSet::new();
    if let Some((_, certificate)) = &listeners.tls {
        connections.spawn(Arc::clone(certificate).watch(stop.clone()));
    }
    loop {
        tokio::select! {
            biased;
            () = told_to_stop(&mut stop) => break,
            Some(_) = connections.join_next() => {}
            accepted = listeners.tcp.accept() => match accepted {
                Ok((stream, address)) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "the connection was gone before it began");
                        continue;
                    }
                    if let Some(connection) = server.open(Peer::Remote(address.ip()), Scheme::Http) {
                        connections.spawn(connection.serve(stream));
                    }
                }
                Err(error) => pause(&error).await,
            },
            accepted = listeners.accept_tls() => match accepted {
                Ok((stream, address, acceptor)) => {
                    if let Some(connection) = server.open(Peer::Remote(address.ip()), Scheme::Https) {
                        connections.spawn(serve_tls(connection, stream, acceptor));
                    }
                }
                Err(error) => pause(&error).await,
            },
            accepted = listeners.accept_metrics() => match accepted {
                Ok((stream, address)) => {
                    if let Some(connection) = server.open(Peer::Remote(address.ip()), Scheme::Http) {
                        let connection = Connection { doors: Arc::clone(&server.scraped), ..connection };
                        connections.spawn(connection.serve(stream));
                    }
                }
                Err(error) => pause(&error).await,
            },
            accepted = listeners.admin.accept() => match accepted {
                Ok((stream, _)) => {
                    if let Some(connection) = server.open_admin(&stream) {
                        connections.spawn(connection.serve(stream));
                    }
                }
                Err(error) => pause(&error).await,
            },
        }
    }
    close(listeners);
    let finished = tokio::time::timeout(limits::SHUTDOWN_GRACE, server.graceful.shutdown()).await;
    if finished.is_err() {
        tracing::warn!("cut off requests that did not finish in time");
    }
    connections.shutdown().await;
}

fn close(listeners: Listeners) {
    drop((listeners.tcp, listeners.tls, listeners.metrics));
    drop(listeners.admin);
    if let Some(path) = &listeners.admin_path
        && let Err(error) = std::fs::remove_file(path)
    {
        tracing::debug!(%error, "the admin socket was gone already");
    }
}

/// Out of descriptors or memory: the next attempt would fail as well.
async fn pause(error: &std::io::Error) {
    tracing::warn!(%error, "cannot accept a connection: {error}");
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// Shakes hands first, within the time that the head of a request has.
async fn serve_tls(connection: Connection, stream: TcpStream, acceptor: TlsAcceptor) {
    drop(stream.set_nodelay(true));
    let timeout = connection.doors.config.server.header_timeout;
    match tokio::time::timeout(timeout, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => connection.serve(stream).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed: {error}"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

struct Server {
    doors: Arc<Doors>,
    /// The same with nothing but metrics behind them.
    scraped: Arc<Doors>,
    graceful: GracefulShutdown,
    slots: Arc<Semaphore>,
    addresses: Arc<Addresses>,
    requests: Arc<Semaphore>,
    unread: Unread,
}

impl Server {
    /// Makes room for a connection; `None` when there are too many.
    fn open(&self, peer: Peer, scheme: Scheme) -> Option<Connection> {
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            tracing::debug!("refused a connection: {} are open", limits::CONNECTIONS_MAX);
            return None;
        };
        let Some(place) = self.place(peer) else {
            tracing::debug!("refused a connection: too many from one address");
            return None;
        };
        Some(Connection {
            doors: Arc::clone(&self.doors),
            peer,
            scheme,
            refusal: None,
            unread: self.unread.of_connection(),
            requests: Arc::clone(&self.requests),
            watcher: self.graceful.watcher(),
            slot,
            place,
        })
    }

    /// The same for the admin socket. Whoever is not an administrator gets one answer, which says so.
    fn open_admin(&self, stream: &UnixStream) -> Option<Connection> {
        let uid = match stream.peer_cred() {
            Ok(peer) => peer.uid(),
            Err(error) => {
                tracing::warn!(%error, "refused a peer without credentials at the admin socket");
                return None;
            }
        };
        let address = stream.local_addr().ok();
        let socket = address.as_ref().and_then(|address| address.as_pathname());
        if self.doors.admin_peers.accepts(uid, socket) {
            return self.open(Peer::Admin { uid }, Scheme::Http);
        }
        tracing::warn!(uid, "refused uid {uid} at the admin socket");
        // Strangers share the room of one address, one that no peer of the network has.
        let stranger = self.open(Peer::Remote(Ipv4Addr::UNSPECIFIED.into()), Scheme::Http)?;
        Some(Connection { refusal: Some(Refusal::NotAdministrator { uid }), ..stranger })
    }

    fn place(&self, peer: Peer) -> Option<Option<Place>> {
        let Peer::Remote(address) = peer else { return Some(None) };
        let trusted = &self.doors.config.server.trusted_proxies;
        if trusted.iter().any(|network| network.contains(address)) {
            return Some(None);
        }
        self.addresses.enter(throttle_key(address)).map(Some)
    }
}

/// Connections per address.
#[derive(Default)]
struct Addresses(Mutex<HashMap<IpAddr, usize>>);

/// A counted connection; dropping it counts down.
struct Place {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Addresses {
    fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_insert(0);
        if *count >= limits::CONNECTIONS_PER_ADDRESS_MAX {
            return None;
        }
        *count += 1;
        Some(Place { addresses: Arc::clone(self), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.addresses.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Addresses;
    use crate::limits::CONNECTIONS_PER_ADDRESS_MAX;

    #[test]
    fn connections_per_address_are_counted() {
        let addresses = Arc::new(Addresses::default());
        let address = "192.0.2.1".parse().unwrap();
        let mut places: Vec<_> =
            (0..CONNECTIONS_PER_ADDRESS_MAX).map(|_| addresses.enter(address).unwrap()).collect();
        assert!(addresses.enter(address).is_none());
        assert!(addresses.enter("192.0.2.2".parse().unwrap()).is_some());
        places.pop();
        assert!(addresses.enter(address).is_some());
        drop(places);
        assert!(addresses.0.lock().unwrap().is_empty());
    }
}
