//! Who is at the other end of a connection, and which client is behind a trusted proxy.

use std::net::IpAddr;

use http::HeaderMap;

use crate::config::Network;

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Over the network.
    Remote(IpAddr),
    /// Over the admin socket; the kernel vouches for the uid and we have accepted it.
    Admin {
        /// Uid of the peer.
        uid: u32,
    },
}

/// How the client's connection is protected, as far as we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

/// The scheme that the client used: that of the connection, or the one that a trusted proxy reports.
pub fn client_scheme(peer: Peer, connection: Scheme, headers: &HeaderMap, trusted: &[Network]) -> Scheme {
    let Peer::Remote(address) = peer else { return connection };
    let is_trusted = trusted.iter().any(|network| network.contains(address.to_canonical()));
    let mut reported = headers.get_all("x-forwarded-proto").iter();
    match (reported.next(), reported.next()) {
        (Some(value), None) if is_trusted && value == "https" => Scheme::Https,
        _ => connection,
    }
}

/// Address of the client. Each trusted hop vouches for the one before it, so the list is read from
/// its end, and the first address that is no trusted proxy is the client.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer.to_canonical();
    if !is_trusted(client) {
        return client;
    }
    let lines: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        let Ok(address) = hop.trim().parse::<IpAddr>() else { break };
        client = address.to_canonical();
        if !is_trusted(client) {
            break;
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::client_address;

    #[test]
    fn forwarding_headers_count_only_from_trusted_proxies() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let check = |peer: &str, forwarded: &[&'static str], expected: &str| {
            let mut headers = HeaderMap::new();
            for line in forwarded {
                headers.append("x-forwarded-for", HeaderValue::from_static(line));
            }
            let found = client_address(peer.parse().unwrap(), &headers, &trusted);
            assert_eq!(found.to_string(), expected, "{peer} {forwarded:?}");
        };
        check("203.0.113.9", &["1.2.3.4"], "203.0.113.9");
        check("10.0.0.1", &[], "10.0.0.1");
        check("10.0.0.1", &["1.2.3.4"], "1.2.3.4");
        check("10.0.0.1", &["6.6.6.6, 1.2.3.4"], "1.2.3.4");
        check("10.0.0.1", &["6.6.6.6, 1.2.3.4, 10.9.9.9"], "1.2.3.4");
        check("10.0.0.1", &["6.6.6.6", "1.2.3.4"], "1.2.3.4");
        check("10.0.0.1", &["1.2.3.4, nonsense"], "10.0.0.1");
        check("::ffff:10.0.0.1", &["1.2.3.4"], "1.2.3.4");
    }
}
