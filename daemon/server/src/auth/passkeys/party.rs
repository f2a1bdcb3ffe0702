//! Who we are to authenticators: the relying party's id, which passkeys are bound to, and the origins
//! whose pages may ask for them. Both come from the configuration, never from a request.

use std::net::SocketAddr;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use url::{Host, Url};

use crate::config::Config;

/// A relying party. A cheap clone.
#[derive(Clone, Debug)]
pub struct Party(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    id: String,
    id_hash: [u8; 32],
    origins: Vec<String>,
}

impl Party {
    /// The one of the configuration; `None` if browsers reach us by an address without a name, to which
    /// no passkey can be bound.
    pub fn new(config: &Config, listen: SocketAddr) -> Option<Self> {
        let public = match &config.server.public_url {
            Some(url) => Url::parse(url).ok()?,
            None if listen.ip().is_loopback() => {
                Url::parse(&format!("http://localhost:{}", listen.port())).ok()?
            }
            None => return None,
        };
        let Some(Host::Domain(host)) = public.host() else { return None };
        let id = config.auth.passkey_domain.clone().unwrap_or_else(|| host.to_owned());
        let mut origins = vec![public.origin().ascii_serialization()];
        origins.extend(config.auth.passkey_origins.iter().cloned());
        // Browsers hold this too; a page elsewhere gets nothing by being on the list.
        origins.retain(|origin| may_use(origin, &id));
        (!origins.is_empty()).then(|| Self::of(&id, origins))
    }

    pub fn of(id: &str, origins: Vec<String>) -> Self {
        let mut id_hash = [0; 32];
        id_hash.copy_from_slice(digest(&SHA256, id.as_bytes()).as_ref());
        Self(Arc::new(Parts { id: id.to_owned(), id_hash, origins }))
    }

    pub fn id(&self) -> &str {
        &self.0.id
    }

    pub fn id_hash(&self) -> &[u8; 32] {
        &self.0.id_hash
    }

    /// Whether pages of this origin may ask for our passkeys. Compared exactly.
    pub fn is_ours(&self, origin: &str) -> bool {
        self.0.origins.iter().any(|ours| ours == origin)
    }
}

/// Whether browsers let pages of `origin` use passkeys bound to `id` (Level 3 §5.1.2): it is their host or
/// a parent of it, and nobody can listen on the way.
pub fn may_use(origin: &str, id: &str) -> bool {
    let Ok(url) = Url::parse(origin) else { return false };
    let Some(Host::Domain(host)) = url.host() else { return false };
    let is_local = host == "localhost" || host.ends_with(".localhost");
    let is_within = host == id || host.strip_suffix(id).is_some_and(|before| before.ends_with('.'));
    is_within && (url.scheme() == "https" || (url.scheme() == "http" && is_local))
}

#[cfg(test)]
mod tests {
    use super::may_use;

    #[test]
    fn a_page_has_the_domain_or_a_name_below_it_and_is_not_overheard() {
        let check = |origin, id, expected| assert_eq!(may_use(origin, id), expected, "{origin} {id}");
        check("https://example.org", "example.org", true);
        check("https://app.example.org:8443", "example.org", true);
        check("http://localhost:4000", "localhost", true);
        check("http://example.org", "example.org", false);
        check("https://example.org", "app.example.org", false);
        check("https://evilexample.org", "example.org", false);
        check("https://example.org.evil.net", "example.org", false);
        check("https://127.0.0.1", "127.0.0.1", false);
        check("https://[::1]", "[::1]", false);
        check("null", "example.org", false);
    }
}
