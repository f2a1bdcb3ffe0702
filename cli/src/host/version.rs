//! Versions of interpreters, as far as we compare them: major and minor number.

use std::fmt;
use std::str::FromStr;

/// Ordered by major, then minor number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Version {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.trim().split('.');
        let mut next = || {
            let part = parts.next()?;
            let end = part.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(part.len());
            part.get(..end)?.parse().ok()
        };
        let major = next().ok_or(())?;
        Ok(Self { major, minor: next().unwrap_or(0) })
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn versions_are_numbers_not_text() {
        let check = |text: &str, expected: Option<(u32, u32)>| {
            let parsed = text.parse::<Version>().ok().map(|version| (version.major, version.minor));
            assert_eq!(parsed, expected, "{text}");
        };
        check("20.20.2", Some((20, 20)));
        check("1.19rc2", Some((1, 19)));
        check("1.26-X:nocoverageredesign", Some((1, 26)));
        check("3", Some((3, 0)));
        check("", None);
        check("devel", None);
        assert!("3.10".parse::<Version>() > "3.9".parse::<Version>());
    }
}
