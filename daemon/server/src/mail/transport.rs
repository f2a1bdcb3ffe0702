//! The ways out: SMTP, or files for development, which are also shown on the terminal.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use tokio::time::timeout;

use crate::config::{self, MailSecurity, MailTransport, Mode};
use crate::limits::{MAIL_FILES_MAX, MAIL_SEND_TIMEOUT};
use crate::print;

/// A way out.
pub enum Transport {
    Smtp(Box<AsyncSmtpTransport<Tokio1Executor>>),
    /// A file per mail, for who develops.
    File {
        folder: PathBuf,
        shown: bool,
    },
}

/// Why a way out cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    #[error("read mail.ca_file {path}", path = path.display())]
    Certificate {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("use the certificates for TLS")]
    Tls(#[from] lettre::transport::smtp::Error),
    #[error("make {path}", path = path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Why a mail was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error("the mail server refused it")]
    Refused(#[source] lettre::transport::smtp::Error),
    #[error("speak to the mail server")]
    Smtp(#[source] lettre::transport::smtp::Error),
    #[error("the mail server did not answer within {} s", MAIL_SEND_TIMEOUT.as_secs())]
    Timeout,
    #[error("write the file")]
    File(#[from] io::Error),
}

impl Transport {
    /// The one that is configured, if any.
    pub fn new(settings: &config::Mail, data: &Path, mode: Mode) -> Result<Option<Self>, TransportError> {
        match settings.transport {
            MailTransport::None => Ok(None),
            MailTransport::Smtp => Ok(Some(Self::Smtp(Box::new(smtp(settings)?)))),
            MailTransport::File => {
                let folder = data.join("mail");
                fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(&folder)
                    .map_err(|source| TransportError::Folder { path: folder.clone(), source })?;
                Ok(Some(Self::File { folder, shown: mode == Mode::Development }))
            }
        }
    }

    /// Hands a message over. `text` is what it says, for the terminal.
    pub async fn send(&self, id: &str, message: Message, text: &str) -> Result<(), SendError> {
        match self {
            Self::Smtp(smtp) => match timeout(MAIL_SEND_TIMEOUT, smtp.send(message)).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) if is_final(&error) => Err(SendError::Refused(error)),
                Ok(Err(error)) => Err(SendError::Smtp(error)),
                Err(_) => Err(SendError::Timeout),
            },
            Self::File { folder, shown } => {
                let (folder, id) = (folder.clone(), id.to_owned());
                let bytes = message.formatted();
                let path = tokio::task::spawn_blocking(move || write(&folder, &id, &bytes))
                    .await
                    .map_err(io::Error::other)??;
                if *shown {
                    show(&message, text, &path);
                }
                Ok(())
            }
        }
    }
}

impl SendError {
    /// Whether another attempt would end the same.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

fn smtp(settings: &config::Mail) -> Result<AsyncSmtpTransport<Tokio1Executor>, TransportError> {
    let mut tls = TlsParameters::builder(settings.host.clone());
    if let Some(path) = &settings.ca_file {
        let failed = |source| TransportError::Certificate { path: path.clone(), source };
        let pem = fs::read(path).map_err(failed)?;
        let certificate = Certificate::from_pem(&pem);
        let damaged = |error| failed(io::Error::new(io::ErrorKind::InvalidData, error));
        tls = tls.add_root_certificate(certificate.map_err(damaged)?);
    }
    let (tls, port) = match settings.security {
        MailSecurity::StartTls => (Tls::Required(tls.build_rustls()?), 587),
        MailSecurity::Tls => (Tls::Wrapper(tls.build_rustls()?), 465),
        MailSecurity::Plain => (Tls::None, 25),
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&settings.host)
        .port(settings.port.unwrap_or(port))
        .tls(tls)
        .timeout(Some(Duration::from_secs(20)))
        .hello_name(ClientId::Domain(settings.from.email.domain().to_owned()));
    if let (Some(username), Some(password)) = (&settings.username, &settings.password) {
        builder = builder.credentials(Credentials::new(username.clone(), password.expose().to_owned()));
    }
    Ok(builder.build())
}

/// A refusal for good, except of who we are: that is for the operator to mend, and the mail waits.
fn is_final(error: &lettre::transport::smtp::Error) -> bool {
    let about_us = ["530", "534", "535", "538"];
    let code = error.status().map(|code| code.to_string()).unwrap_or_default();
    error.is_permanent() && !code.is_empty() && !about_us.contains(&code.as_str())
}

fn write(folder: &Path, id: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    let path = folder.join(format!("{id}.eml"));
    let fresh = folder.join(format!(".{id}"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(bytes)?;
    fs::rename(&fresh, &path)?;
    // Names begin with the time, so the first ones are the oldest.
    let mut names: Vec<PathBuf> = fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    names.sort();
    let excess = names.len().saturating_sub(MAIL_FILES_MAX);
    names.iter().take(excess).try_for_each(fs::remove_file)?;
    Ok(path)
}

fn show(message: &Message, text: &str, path: &Path) {
    let header = |name: &str| message.headers().get_raw(name).unwrap_or_default().to_owned();
    let mut lines = vec![format!("to {}: {}", header("To"), header("Subject"))];
    lines.extend(text.trim_end().lines().map(str::to_owned));
    lines.push(format!("({})", path.display()));
    print::words(&format!("\n  mail {}\n", lines.join("\n  | ")));
}
