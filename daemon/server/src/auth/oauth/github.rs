//! GitHub: OAuth without OpenID Connect. Who somebody is and which of their addresses are verified is
//! told by its API.

use serde::Deserialize;
use url::Url;

use super::fetch::{FetchError, Fetcher};
use super::provider::{Endpoints, Profile};

#[derive(Deserialize)]
struct User {
    /// Never changes, unlike the name.
    id: u64,
}

#[derive(Deserialize)]
struct Email {
    email: String,
    primary: bool,
    verified: bool,
}

/// Where it does what.
pub fn endpoints(url: &Url) -> Endpoints {
    let base = url.as_str().trim_end_matches('/');
    let at = |path: &str| format!("{base}/login/oauth/{path}");
    Endpoints::fixed(base.to_owned(), at("authorize"), at("access_token"))
}

/// Who holds this access token. The address is their primary one.
pub async fn profile(fetcher: &Fetcher, url: &Url, token: &str) -> Result<Profile, FetchError> {
    let base = match url.host_str() {
        Some("github.com") => "https://api.github.com".to_owned(),
        _ => format!("{}/api/v3", url.as_str().trim_end_matches('/')),
    };
    let user: User = fetcher.json(&format!("{base}/user"), Some(token)).await?;
    let emails: Vec<Email> = fetcher.json(&format!("{base}/user/emails"), Some(token)).await?;
    let primary = emails.into_iter().find(|email| email.primary);
    let verified = primary.as_ref().is_some_and(|email| email.verified);
    Ok(Profile { subject: user.id.to_string(), email: primary.map(|email| email.email), verified })
}
