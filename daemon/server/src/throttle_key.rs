//! What limits per address count by, for connections and for attempts alike.

use std::net::{IpAddr, Ipv6Addr};

/// What a limit per address counts by: IPv4 addresses as they are, IPv6 by /64, which is what one
/// customer gets.
pub fn throttle_key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !0 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::throttle_key;

    #[test]
    fn ipv6_counts_by_64_bits() {
        let check = |address: &str, expected: &str| {
            assert_eq!(throttle_key(address.parse().unwrap()).to_string(), expected);
        };
        check("1.2.3.4", "1.2.3.4");
        check("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::");
        check("::ffff:1.2.3.4", "1.2.3.4");
    }
}
