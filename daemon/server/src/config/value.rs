//! Plain values of settings: durations, sizes, networks, and `${VAR}` inside any of them.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

/// An address or a block of addresses, `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

impl Network {
    /// Whether the address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let block = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => u128::from(ip.to_bits()) << 96,
            IpAddr::V6(ip) => ip.to_bits(),
        };
        let address = address.to_canonical();
        let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix_bits)).unwrap_or(0);
        address.is_ipv4() == self.address.is_ipv4() && block(address) & mask == block(self.address) & mask
    }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match prefix {
            Some(prefix) => prefix.parse().ok().filter(|bits| *bits <= most).ok_or(())?,
            None => most,
        };
        Ok(Self { address, prefix_bits })
    }
}

/// `500ms`, `10s`, `5m`, `1h`, `30d`.
pub fn duration(text: &str) -> Option<Duration> {
    let digits = text.len() - text.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
    let number: u64 = text[..digits].parse().ok()?;
    let unit_ms: u64 = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit_ms).map(Duration::from_millis)
}

/// `512kb`, `8mb`, `1gb` in powers of 1024, or a number of bytes.
pub fn size_bytes(text: &str) -> Option<usize> {
    let digits = text.len() - text.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
    let number: usize = text[..digits].parse().ok()?;
    let shift = match &text[digits..] {
        "" | "b" => 0,
        "kb" => 10,
        "mb" => 20,
        "gb" => 30,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

/// Puts variables into a value: `${VAR}`, `${VAR:-default}`; `$$` is a dollar sign.
pub fn interpolate(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('$') {
        out.push_str(&rest[..start]);
        let after = &rest[start + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some(inner) = after.strip_prefix('{') {
            let end = inner.find('}').ok_or_else(|| "`${` without `}`".to_owned())?;
            let (name, default) = match inner[..end].split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (&inner[..end], None),
            };
            let value = variable(name).filter(|value| !(value.is_empty() && default.is_some()));
            match (value, default) {
                (Some(value), _) => out.push_str(&value),
                (None, Some(default)) => out.push_str(default),
                (None, None) => return Err(format!("the environment variable {name} is not set")),
            }
            rest = &inner[end + 1..];
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Network, duration, interpolate, size_bytes};

    #[test]
    fn durations() {
        let check =
            |text, ms: Option<u64>| assert_eq!(duration(text), ms.map(Duration::from_millis), "{text}");
        check("500ms", Some(500));
        check("10s", Some(10_000));
        check("5m", Some(300_000));
        check("1h", Some(3_600_000));
        check("30d", Some(2_592_000_000));
        check("10", None);
        check("", None);
        check("s", None);
        check("-1s", None);
        check("1.5s", None);
        check("99999999999999999999s", None);
        check("18446744073709551615h", None);
    }

    #[test]
    fn sizes() {
        let check = |text, bytes: Option<usize>| assert_eq!(size_bytes(text), bytes, "{text}");
        check("8mb", Some(8 << 20));
        check("512kb", Some(512 << 10));
        check("100", Some(100));
        check("1 mb", None);
        check("mb", None);
        check("-1", None);
        check("18446744073709551615gb", None);
    }

    #[test]
    fn networks() {
        let check = |network: &str, address: &str, inside: bool| {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), inside, "{network:?} {address}");
        };
        check("10.0.0.0/8", "10.255.0.1", true);
        check("10.0.0.0/8", "11.0.0.1", false);
        check("10.0.0.0/8", "::ffff:10.0.0.1", true);
        check("10.0.0.1", "10.0.0.1", true);
        check("10.0.0.1", "10.0.0.2", false);
        check("0.0.0.0/0", "8.8.8.8", true);
        check("0.0.0.0/0", "::1", false);
        check("::/0", "8.8.8.8", false);
        check("fd00::/8", "fd12::1", true);
        assert!("10.0.0.0/33".parse::<Network>().is_err());
        assert!("nonsense".parse::<Network>().is_err());
    }

    #[test]
    fn variables_in_values() {
        let variable = |name: &str| match name {
            "PORT" => Some("80".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let check = |text, expected: Result<&str, ()>| {
            let found = interpolate(text, &variable);
            assert_eq!(found.as_deref().map_err(|_| ()), expected, "{text}");
        };
        check("plain", Ok("plain"));
        check("0.0.0.0:${PORT}", Ok("0.0.0.0:80"));
        check("${NONE:-8090}", Ok("8090"));
        check("${EMPTY:-8090}", Ok("8090"));
        check("${EMPTY}", Ok(""));
        check("${NONE:-}", Ok(""));
        check("${NONE}", Err(()));
        check("${PORT", Err(()));
        check("a$b", Ok("a$b"));
        check("$${PORT}", Ok("${PORT}"));
    }
}
