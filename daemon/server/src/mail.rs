//! Mails to the owners of accounts. A mail is a row, written in the transaction that causes it; the job of its id
//! sends it and tries again what failed.
//!
//! Nothing a stranger types reaches a header or markup unescaped, and a link's base comes from the
//! configuration, never from a request.

mod jobs;
mod message;
mod template;
mod templates;
mod transport;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use alyx_core::document::IdKind;
use alyx_store::NewMail;
use jiff::Timestamp;

use crate::clock::new_key;
use crate::config;
use crate::limits::MAIL_LOCALES_MAX;
use crate::problem::{ApiError, Code};
use crate::seal::Sealer;

pub use jobs::MailJobs;
pub use templates::{Kind, TemplatesError};
pub use transport::TransportError;

use templates::Templates;
use transport::Transport;

/// The service. A cheap clone.
#[derive(Clone)]
pub struct Mail(Arc<Parts>);

struct Parts {
    settings: config::Mail,
    /// Where links lead, without a slash at the end.
    link_base: String,
    templates: Templates,
    transport: Option<Transport>,
    sealer: Sealer,
}

/// Why mails cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("read the templates of mails")]
    Templates(#[from] TemplatesError),
    #[error("set up the sending of mails")]
    Transport(#[from] TransportError),
}

/// Whom a mail goes to, and in which languages they can read it.
#[derive(Clone, Debug)]
pub struct To<'a> {
    /// Whose account it is about; empty for nobody's, whose mail is never sent.
    pub user_id: &'a str,
    pub address: &'a str,
    /// As in `Accept-Language`.
    pub languages: &'a str,
}

impl Mail {
    /// The service; templates that cannot be used are an error here and not when the first mail is due.
    pub fn start(
        config: &config::Config,
        mode: config::Mode,
        listen: SocketAddr,
        sealer: Sealer,
    ) -> Result<Self, StartError> {
        let settings = config.mail.clone();
        let templates = Templates::new(&config.server.project);
        templates.check()?;
        let transport = Transport::new(&settings, &config.server.data, mode)?;
        let link_base = match &settings.link_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("http://{listen}"),
        };
        Ok(Self(Arc::new(Parts { settings, link_base, templates, transport, sealer })))
    }

    /// Whether mails are sent at all.
    pub fn is_on(&self) -> bool {
        self.0.transport.is_some()
    }

    /// # Errors
    /// `mail_not_configured` unless mails are sent.
    pub fn needed(&self) -> Result<(), ApiError> {
        let off = "This server sends no mail; its operator has to set mail.transport.";
        if self.is_on() { Ok(()) } else { Err(ApiError::new(Code::MailNotConfigured, off)) }
    }

    /// What the application is called.
    pub fn app_name(&self) -> &str {
        &self.0.settings.app_name
    }

    /// Where a link with this token leads.
    pub fn link(&self, page: &str, token: &str) -> String {
        format!("{}/auth/{page}?token={token}", self.0.link_base)
    }

    /// A mail for the store to add to a transaction.
    pub fn compose(
        &self,
        kind: Kind,
        to: &To<'_>,
        values: &[(&'static str, String)],
        expires_at: Timestamp,
    ) -> NewMail {
        let id = new_key(IdKind::Id);
        let values: serde_json::Map<String, serde_json::Value> =
            values.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())).collect();
        let text = serde_json::Value::Object(values).to_string();
        NewMail {
            sealed: self.0.sealer.seal(&owner(&id), text.as_bytes()),
            id,
            user_id: to.user_id.to_owned(),
            recipient: to.address.to_owned(),
            template: kind.name(),
            locale: locales(to.languages, &self.0.settings.locale),
            expires_at,
        }
    }
}

/// What the contents of a mail are sealed for.
fn owner(id: &str) -> String {
    format!("mail:{id}")
}

/// The languages of `Accept-Language` in order (RFC 9110 §12.5.4), each followed by what it is a
/// variant of, and the configured one at the end; lower case, separated by commas.
fn locales(languages: &str, last: &str) -> String {
    let mut ranked: Vec<(u32, &str)> = Vec::new();
    for language in languages.split(',').take(MAIL_LOCALES_MAX) {
        let mut parts = language.split(';');
        let tag = parts.next().unwrap_or_default().trim();
        let weight =
            parts.find_map(|part| part.trim().strip_prefix("q=")?.parse::<f32>().ok()).unwrap_or(1.0);
        if is_tag(tag) && weight > 0.0 {
            // Whole thousandths, as the grammar has them; larger is nonsense and counts as one.
            ranked.push(((weight.min(1.0) * 1_000.0) as u32, tag));
        }
    }
    ranked.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    let mut found: Vec<String> = Vec::new();
    for tag in ranked.iter().map(|(_, tag)| *tag).chain([last]) {
        let tag = tag.to_ascii_lowercase();
        let primary = tag.split('-').next().unwrap_or_default().to_owned();
        for tag in [tag, primary] {
            if !found.contains(&tag) {
                found.push(tag);
            }
        }
    }
    found.join(",")
}

/// Whether it can be a language tag (RFC 5646), and so the name of a directory.
pub fn is_tag(tag: &str) -> bool {
    (1..=35).contains(&tag.len())
        && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !tag.starts_with('-')
}

/// For `alyxd check-config`: what is wrong with a project's templates.
pub fn check_templates(project: &Path) -> Result<(), TemplatesError> {
    Templates::new(project).check()
}

#[cfg(test)]
mod tests {
    use super::locales;

    #[test]
    fn languages_are_ranked() {
        let check = |header: &str, expected: &str| assert_eq!(locales(header, "en"), expected, "{header}");
        check("", "en");
        check("de", "de,en");
        check("de-CH", "de-ch,de,en");
        check("fr;q=0.5, de-AT, en;q=0.8", "de-at,de,en,fr");
        check("*, ../etc, -x, de;q=0", "en");
        check("de;q=nonsense", "de,en");
        check(&"a,".repeat(10_000), "a,en");
    }
}
