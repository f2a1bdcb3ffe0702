//! Section `oauth`: who else may say who somebody is. Its keys are names of the project's choice; each
//! holds the settings of one provider.

use url::Url;

/// Most providers.
pub const PROVIDERS_MAX: usize = 32;

/// A provider of sign-ins.
#[derive(Clone, Debug)]
pub struct Provider {
    /// As in paths.
    pub name: String,
    /// For people.
    pub label: String,
    pub kind: ProviderKind,
    pub client_id: String,
    pub client_secret: Secret,
    /// Beside those that are always asked for.
    pub scopes: Vec<String>,
}

/// How a provider is spoken with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    /// OpenID Connect with discovery.
    Oidc { issuer: String },
    /// GitHub, or an own installation of it: OAuth with an API beside it.
    GitHub { url: Url },
}

/// A text that is not shown.
#[derive(Clone)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Secret")
    }
}

/// A key that a provider may have, as `docs/configuration.md` lists it.
pub struct ProviderSetting {
    pub key: &'static str,
    pub accepts: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "the reference page is made of it"))]
    pub about: &'static str,
    pub apply: fn(&mut Draft, &[String]) -> Option<()>,
}

/// What was read of a provider so far.
#[derive(Default)]
pub struct Draft {
    issuer: Option<String>,
    github: Option<Url>,
    label: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    scopes: Vec<String>,
}

/// The keys.
pub const PROVIDER_SETTINGS: &[ProviderSetting] = &[
    ProviderSetting {
        key: "client_id",
        accepts: "the id that the provider gave this service",
        about: "Required.",
        apply: |draft, values| set(&mut draft.client_id, values),
    },
    ProviderSetting {
        key: "client_secret",
        accepts: "the secret that the provider gave this service, such as ${GOOGLE_SECRET}",
        about: "Required. Name a variable of the environment rather than writing it down.",
        apply: |draft, values| set(&mut draft.client_secret, values),
    },
    ProviderSetting {
        key: "issuer",
        accepts: "an https URL (http only for this host) without a query",
        about: "Issuer of an OpenID Connect provider; its metadata is read from there. Known for `google`.",
        apply: |draft, values| {
            let [issuer] = values else { return None };
            service_url(issuer)?;
            draft.issuer = Some(issuer.clone());
            Some(())
        },
    },
    ProviderSetting {
        key: "github_url",
        accepts: "an https URL (http only for this host) without a query",
        about: "An own installation of GitHub. Known for `github`.",
        apply: |draft, values| {
            let [url] = values else { return None };
            draft.github = Some(service_url(url)?);
            Some(())
        },
    },
    ProviderSetting {
        key: "label",
        accepts: "a text of at most 100 characters",
        about: "What people are shown; else the name.",
        apply: |draft, values| {
            set(&mut draft.label, values)
                .filter(|()| draft.label.as_ref().is_some_and(|text| text.chars().count() <= 100))
        },
    },
    ProviderSetting {
        key: "scopes",
        accepts: "a list of scopes",
        about: "Scopes to ask for beside those that signing in needs.",
        apply: |draft, values| {
            let plain =
                |scope: &String| !scope.is_empty() && scope.bytes().all(|byte| byte.is_ascii_graphic());
            draft.scopes = values.to_vec();
            values.iter().all(plain).then_some(())
        },
    },
];

impl Draft {
    /// The provider, or what is missing.
    pub fn finish(self, name: &str) -> Result<Provider, &'static str> {
        let kind = match (self.issuer, self.github, name) {
            (Some(_), Some(_), _) => {
                return Err("has an issuer and a github_url; it can only be one of them");
            }
            (Some(issuer), None, _) => ProviderKind::Oidc { issuer },
            (None, Some(url), _) => ProviderKind::GitHub { url },
            (None, None, "google") => ProviderKind::Oidc { issuer: "https://accounts.google.com".to_owned() },
            (None, None, "github") => {
                ProviderKind::GitHub { url: Url::parse("https://github.com").map_err(|_| "has no URL")? }
            }
            _ => return Err("needs an issuer"),
        };
        let label = match (self.label, name) {
            (Some(label), _) => label,
            (None, "google") => "Google".to_owned(),
            (None, "github") => "GitHub".to_owned(),
            (None, name) => name.to_owned(),
        };
        Ok(Provider {
            name: name.to_owned(),
            label,
            kind,
            client_id: self.client_id.ok_or("needs a client_id")?,
            client_secret: Secret(self.client_secret.ok_or("needs a client_secret")?),
            scopes: self.scopes,
        })
    }
}

/// Whether a provider can be called so: it is part of a path.
pub fn is_name(name: &str) -> bool {
    (1..=40).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn set(slot: &mut Option<String>, values: &[String]) -> Option<()> {
    let [value] = values else { return None };
    if value.trim().is_empty() {
        return None;
    }
    *slot = Some(value.clone());
    Some(())
}

/// A URL to which secrets may be sent.
fn service_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let plain = url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    (plain && is_safe(&url)).then_some(url)
}

/// Whether what is sent there cannot be read on the way.
pub fn is_safe(url: &Url) -> bool {
    let local = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && local)
}

#[cfg(test)]
mod tests {
    use super::{Draft, PROVIDER_SETTINGS, ProviderKind, is_name};

    fn draft(settings: &[(&str, &str)]) -> Option<Draft> {
        let mut draft = Draft::default();
        for (key, value) in settings {
            let setting = PROVIDER_SETTINGS.iter().find(|setting| setting.key == *key)?;
            (setting.apply)(&mut draft, &[(*value).to_owned()])?;
        }
        Some(draft)
    }

    const CLIENT: [(&str, &str); 2] = [("client_id", "a"), ("client_secret", "b")];

    #[test]
    fn known_providers_need_a_client_only() {
        for name in ["google", "github"] {
            assert!(draft(&CLIENT).unwrap().finish(name).is_ok(), "{name}");
        }
        assert!(draft(&CLIENT).unwrap().finish("corp").is_err());
        assert!(draft(&[]).unwrap().finish("google").is_err());
        let mut corp = CLIENT.to_vec();
        corp.push(("issuer", "https://login.example.com/realm"));
        let made = draft(&corp).unwrap().finish("corp").unwrap();
        assert_eq!(made.kind, ProviderKind::Oidc { issuer: "https://login.example.com/realm".to_owned() });
        assert!(!format!("{made:?}").contains("\"b\""), "secrets are not shown");
    }

    #[test]
    fn secrets_travel_encrypted_to_providers() {
        for (issuer, accepted) in [
            ("https://a.example", true),
            ("http://a.example", false),
            ("http://127.0.0.1:99/x", true),
            ("http://[::1]:99", true),
            ("http://localhost", true),
            ("http://localhost.example", false),
            ("https://user:word@a.example", false),
            ("https://a.example?x=1", false),
            ("a.example", false),
            ("", false),
        ] {
            assert_eq!(draft(&[("issuer", issuer)]).is_some(), accepted, "{issuer}");
        }
    }

    #[test]
    fn names_are_parts_of_paths() {
        for (name, accepted) in
            [("google", true), ("my-corp2", true), ("", false), ("Google", false), ("a/b", false)]
        {
            assert_eq!(is_name(name), accepted, "{name}");
        }
    }
}
