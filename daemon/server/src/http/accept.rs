//! The accept loop: our own, because a served connection needs deadlines, caps and an orderly end
//! that the framework's does not give.
//!
//! Every connection is a task of one `JoinSet`; when the loop returns, none is left.

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use self::opening::Opening;
use super::address::Peer;
use super::answer::answer;
use super::unread::Unread;
use crate::config::{Config, Mode};
use crate::limits;
use crate::serve::told_to_stop;
use crate::throttle::Throttle;
use crate::throttle_key::throttle_key;

mod opening;
mod peers;

pub use peers::{AdminPeers, UnknownGroup};

/// Sockets that are bound and listening.
pub struct Listeners {
    tcp: TcpListener,
    admin: UnixListener,
    admin_path: PathBuf,
}

/// What the loop serves.
pub struct Doors {
    pub router: Router,
    pub config: Arc<Config>,
    pub mode: Mode,
    pub admin_peers: AdminPeers,
    pub throttle: Throttle,
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
}

impl Listeners {
    /// Binds both sockets.
    pub async fn bind(config: &Config, admin_peers: &AdminPeers) -> Result<Self, ListenError> {
        let address = config.server.listen;
        let tcp = TcpListener::bind(address).await.map_err(|source| ListenError::Tcp { address, source })?;
        let path = config.server.admin_socket.clone();
        let admin = bind_admin(&path, admin_peers).await?;
        Ok(Self { tcp, admin, admin_path: path })
    }

    /// The address that is served, with the port that was taken for port 0.
    pub fn address(&self) -> std::io::Result<std::net::SocketAddr> {
        self.tcp.local_addr()
    }
}

/// The umask of the process makes the socket 0600 before anybody can connect.
async fn bind_admin(path: &Path, admin_peers: &AdminPeers) -> Result<UnixListener, ListenError> {
    let failed = |source| ListenError::Admin { path: path.to_owned(), source };
    if tokio::net::UnixStream::connect(path).await.is_ok() {
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
/// [`limits::SHUTDOWN_GRACE`]. Removes the admin socket.
pub async fn serve(listeners: Listeners, doors: Doors, mut stop: watch::Receiver<bool>) {
    let server = Server {
        doors: Arc::new(doors),
        graceful: GracefulShutdown::new(),
        slots: Arc::new(Semaphore::new(limits::CONNECTIONS_MAX)),
        addresses: Arc::default(),
        unread: Unread::default(),
    };
    let mut connections = JoinSet::new();
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
                    server.open(&mut connections, Peer::Remote(address.ip()), stream);
                }
                Err(error) => pause(&error).await,
            },
            accepted = listeners.admin.accept() => match accepted {
                Ok((stream, _)) => match stream.peer_cred() {
                    Ok(peer) if server.doors.admin_peers.accepts(peer.uid()) => {
                        server.open(&mut connections, Peer::Admin { uid: peer.uid() }, stream);
                    }
                    Ok(peer) => tracing::warn!(uid = peer.uid(), "refused uid {} at the admin socket", peer.uid()),
                    Err(error) => tracing::warn!(%error, "refused a peer without credentials at the admin socket"),
                },
                Err(error) => pause(&error).await,
            },
        }
    }
    drop(listeners.tcp);
    drop(listeners.admin);
    if let Err(error) = std::fs::remove_file(&listeners.admin_path) {
        tracing::debug!(%error, "the admin socket was gone already");
    }
    let finished = tokio::time::timeout(limits::SHUTDOWN_GRACE, server.graceful.shutdown()).await;
    if finished.is_err() {
        tracing::warn!("cut off requests that did not finish in time");
    }
    connections.shutdown().await;
}

/// Out of descriptors or memory: the next attempt would fail as well.
async fn pause(error: &std::io::Error) {
    tracing::warn!(%error, "cannot accept a connection: {error}");
    tokio::time::sleep(Duration::from_millis(50)).await;
}

struct Server {
    doors: Arc<Doors>,
    graceful: GracefulShutdown,
    slots: Arc<Semaphore>,
    addresses: Arc<Addresses>,
    unread: Unread,
}

impl Server {
    /// Starts serving a connection, or drops it when there are too many.
    fn open<S>(&self, connections: &mut JoinSet<()>, peer: Peer, stream: S)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            tracing::debug!("refused a connection: {} are open", limits::CONNECTIONS_MAX);
            return;
        };
        let Some(place) = self.place(peer) else {
            tracing::debug!("refused a connection: too many from one address");
            return;
        };
        connections.spawn(connection(
            Arc::clone(&self.doors),
            self.unread.of_connection(),
            self.graceful.watcher(),
            peer,
            stream,
            slot,
            place,
        ));
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

async fn connection<S>(
    doors: Arc<Doors>,
    unread: Unread,
    watcher: Watcher,
    peer: Peer,
    stream: S,
    slot: OwnedSemaphorePermit,
    place: Option<Place>,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let timeout = doors.config.server.header_timeout;
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(timeout)
        .max_headers(limits::HEADERS_MAX)
        .max_buf_size(limits::HEAD_MAX_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(20))
        .max_concurrent_streams(limits::HTTP2_STREAMS_MAX)
        .max_header_list_size(u32::try_from(limits::HEAD_MAX_BYTES).unwrap_or(u32::MAX));
    let own = unread.clone();
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let (doors, unread) = (Arc::clone(&doors), unread.clone());
        async move {
            let request = request.map(Body::new);
            Ok::<_, std::convert::Infallible>(answer(&doors, peer, &unread, request).await)
        }
    });
    let io = TokioIo::new(Opening::new(stream, timeout, limits::WRITE_STALL_MAX));
    tokio::select! {
        served = watcher.watch(builder.serve_connection(io, service).into_owned()) => {
            if let Err(error) = served {
                tracing::debug!(%error, "connection ended: {error}");
            }
        }
        () = own.stuck() => tracing::debug!("cut off a client that does not read its answers"),
    }
    drop((slot, place));
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
