//! Where an app may have people sent: never to an address that the operator did not name.

use url::Url;

/// The allow list.
pub struct Redirects(Vec<Url>);

impl Redirects {
    pub fn new(allowed: Vec<Url>) -> Self {
        Self(allowed)
    }

    /// The address, if it is one of the list or below one. It is compared as a browser would read it.
    pub fn check(&self, text: &str) -> Option<Url> {
        // Browsers read a backslash as a slash and leave out what cannot be seen.
        if text.len() > 2048 || text.contains(|c: char| c == '\\' || c.is_control() || c.is_whitespace()) {
            return None;
        }
        let url = Url::parse(text).ok()?;
        let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        // Written so, a path says something else to whoever decodes it once more.
        let path = url.path().to_ascii_lowercase();
        let clear = !["%2e", "%2f", "%5c"].iter().any(|part| path.contains(part));
        let known = self.0.iter().any(|allowed| is_below(&url, allowed));
        (plain && clear && known).then_some(url)
    }
}

fn is_below(url: &Url, allowed: &Url) -> bool {
    let same = url.scheme() == allowed.scheme()
        && url.host() == allowed.host()
        && url.port_or_known_default() == allowed.port_or_known_default();
    let (path, base) = (url.path(), allowed.path());
    let below = path
        .strip_prefix(base)
        .is_some_and(|rest| rest.is_empty() || base.ends_with('/') || rest.starts_with('/'));
    same && below
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::Redirects;

    #[test]
    fn only_what_is_named_and_what_is_below() {
        let allowed = ["https://app.example.com/auth", "http://localhost:5173/"];
        let redirects = Redirects::new(allowed.iter().map(|url| Url::parse(url).unwrap()).collect());
        for (text, accepted) in [
            ("https://app.example.com/auth", true),
            ("https://app.example.com/auth/done?x=1", true),
            ("https://app.example.com:443/auth", true),
            ("http://localhost:5173/anything", true),
            ("https://app.example.com/authentic", false),
            ("https://app.example.com/", false),
            ("https://app.example.com/auth/../admin", false),
            ("https://app.example.com/auth/%2e%2e/admin", false),
            ("https://app.example.com/auth/..%2fadmin", false),
            ("https://app.example.com/auth\\..\\admin", false),
            ("http://app.example.com/auth", false),
            ("https://app.example.com:8443/auth", false),
            ("https://app.example.com.evil.example/auth", false),
            ("https://app.example.com@evil.example/auth", false),
            ("https://user@app.example.com/auth", false),
            ("https://evil.example/https://app.example.com/auth", false),
            ("https://app.example.com/auth#x", false),
            ("//app.example.com/auth", false),
            ("/auth", false),
            ("javascript:alert(1)", false),
            (" https://app.example.com/auth", false),
            ("https://app.example.com/auth\n", false),
            ("", false),
        ] {
            assert_eq!(redirects.check(text).is_some(), accepted, "{text:?}");
        }
    }
}
