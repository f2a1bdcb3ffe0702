//! Requests to addresses that people chose: webhooks. Nothing of the host's own networks can be reached
//! this way unless the operator allows it.
//!
//! A name is resolved once; what it resolves to is judged, and only judged addresses are connected to, so
//! a name that says something else the second time gains nothing. Redirects are answers like any other
//! and are not followed. Proxies of the environment are not used: behind one, nothing could be judged.

mod address;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use self::address::is_public;
use crate::config::Network;
use crate::lazy_client::LazyClient;
use crate::limits::{OUTBOUND_ANSWER_MAX_BYTES, OUTBOUND_CONNECT_TIMEOUT, OUTBOUND_IDLE_TIMEOUT};

/// The client. A cheap clone.
#[derive(Clone)]
pub struct Outbound {
    client: LazyClient,
    guard: Arc<Guard>,
}

/// Which addresses may be connected to.
#[derive(Clone, Debug)]
pub struct Guard {
    /// Networks of the operator's own that may be reached.
    pub allow: Vec<Network>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Its beginning, at most [`OUTBOUND_ANSWER_MAX_BYTES`].
    pub body: Bytes,
}

/// Why there is no answer. The text is for administrators, who set webhooks up: it names nothing but what
/// they know and what the guard decided about.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    #[error("refused: {0}")]
    Refused(#[from] Refused),
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    #[error("this host's roots of trust cannot be read: {}", innermost(.0))]
    Trust(#[source] reqwest::Error),
    #[error("no connection: {}", innermost(.0))]
    Connect(#[source] reqwest::Error),
    #[error("the answer broke off")]
    Broken(#[source] reqwest::Error),
}

/// What is at the bottom of an error: "Connection refused", not that a connection failed.
fn innermost(error: &reqwest::Error) -> String {
    let mut error: &dyn std::error::Error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Why a request is not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("{0} is not a public address")]
    Address(std::net::IpAddr),
    #[error("{0} has no public address, it is {1}")]
    Name(String, std::net::IpAddr),
    #[error("the URL has no host")]
    NoHost,
}

impl Outbound {
    /// A client that has not asked anybody yet.
    pub fn new(guard: Guard) -> Self {
        let guard = Arc::new(guard);
        let judge = Arc::clone(&guard);
        let client = LazyClient::new(move |client| {
            client
                .no_proxy()
                .dns_resolver(Arc::new(Judged(Arc::clone(&judge))))
                .connect_timeout(OUTBOUND_CONNECT_TIMEOUT)
                .pool_idle_timeout(OUTBOUND_IDLE_TIMEOUT)
        });
        Self { client, guard }
    }

    /// Refuses a URL whose host is an address that may not be connected to. Names are judged when they are
    /// resolved.
    pub fn judge(&self, url: &Url) -> Result<(), Refused> {
        self.guard.judge_url(url)
    }

    /// Posts a body and reads the beginning of the answer, all within `timeout`.
    pub async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Response, OutboundError> {
        self.judge(url)?;
        let started = Instant::now();
        let failed = |source: reqwest::Error| match refusal(&source) {
            Some(refused) => refused.into(),
            None if source.is_timeout() => OutboundError::Timeout(timeout),
            None if source.is_connect() => OutboundError::Connect(source.without_url()),
            None => OutboundError::Broken(source.without_url()),
        };
        let client = self.client.get().map_err(OutboundError::Trust)?;
        let request = client.post(url.clone()).headers(headers).body(body).timeout(timeout);
        let mut response = request.send().await.map_err(failed)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut answer = Vec::new();
        // The deadline of the request holds for its body as well.
        while let Some(part) = response.chunk().await.map_err(failed)? {
            let room = OUTBOUND_ANSWER_MAX_BYTES - answer.len();
            answer.extend_from_slice(&part[..part.len().min(room)]);
            if answer.len() == OUTBOUND_ANSWER_MAX_BYTES || started.elapsed() > timeout {
                break;
            }
        }
        Ok(Response { status, headers, body: answer.into() })
    }
}

impl Guard {
    /// Judges what can be judged without asking for names. Names are judged when they are resolved.
    pub fn judge_url(&self, url: &Url) -> Result<(), Refused> {
        let address = match url.host().ok_or(Refused::NoHost)? {
            Host::Ipv4(address) => address.into(),
            Host::Ipv6(address) => address.into(),
            Host::Domain(_) => return Ok(()),
        };
        if self.accepts(address) { Ok(()) } else { Err(Refused::Address(address)) }
    }

    /// Whether an address may be connected to.
    fn accepts(&self, address: std::net::IpAddr) -> bool {
        self.allow.iter().any(|network| network.contains(address)) || is_public(address)
    }
}

/// Resolves names to addresses that may be connected to.
struct Judged(Arc<Guard>);

impl Resolve for Judged {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = Arc::clone(&self.0);
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            let (accepted, others): (Vec<SocketAddr>, Vec<SocketAddr>) =
                found.partition(|address| guard.accepts(address.ip()));
            match others.first() {
                Some(other) if accepted.is_empty() => Err(Refused::Name(host, other.ip()).into()),
                _ => Ok(Box::new(accepted.into_iter()) as Addrs),
            }
        })
    }
}

/// The refusal behind an error of the client.
fn refusal(error: &reqwest::Error) -> Option<Refused> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref::<Refused>() {
            return Some(refused.clone());
        }
        cause = error.source();
    }
    None
}
