//! TLS: versions 1.2 and 1.3, with a certificate that is read again when its files change, so that
//! renewing it interrupts nobody.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::config;
use crate::problem::error_chain;
use crate::serve::told_to_stop;

/// How often the files are looked at. Links that certificate tools and Kubernetes replace are no event
/// of the files themselves, so looking is what works everywhere.
const PERIOD: Duration = Duration::from_secs(2);

/// The certificate that is shown.
pub struct Certificate {
    files: config::TlsFiles,
    acceptor: TlsAcceptor,
    shown: Arc<Shown>,
}

/// What the handshake takes.
#[derive(Debug)]
struct Shown(ArcSwap<CertifiedKey>);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("read {path}", path = path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("find PEM with a {what} in {path}", path = path.display())]
    Pem {
        path: PathBuf,
        what: &'static str,
        #[source]
        source: pem::Error,
    },
    #[error("use the certificate {path} with its key", path = path.display())]
    Pair {
        path: PathBuf,
        #[source]
        source: rustls::Error,
    },
    #[error("set up TLS")]
    Setup(#[source] rustls::Error),
}

/// The files as they were read.
#[derive(PartialEq, Eq)]
struct Text {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Certificate {
    /// Reads the files.
    pub fn load(files: &config::TlsFiles) -> Result<Arc<Self>, TlsError> {
        let shown = Arc::new(Shown(ArcSwap::from_pointee(parse(files, &read(files)?)?)));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&shown) as Arc<dyn ResolvesServerCert>);
        // Ours prefers what is fast and strong here.
        config.ignore_client_order = true;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Arc::new(Self { files: files.clone(), acceptor, shown }))
    }

    /// What accepts connections with it.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    /// Reads the files again whenever they change. While they do not fit together, the certificate that
    /// was good stays.
    pub async fn watch(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut seen = read(&self.files).ok();
        let mut due = tokio::time::interval(PERIOD);
        loop {
            tokio::select! {
                () = told_to_stop(&mut stop) => return,
                _ = due.tick() => {}
            }
            let found = read(&self.files).ok();
            if found == seen {
                continue;
            }
            seen = found;
            let Some(text) = &seen else { continue };
            match parse(&self.files, text) {
                Ok(fresh) => {
                    self.shown.0.store(Arc::new(fresh));
                    tracing::info!("took the new TLS certificate {}", self.files.certificate.display());
                }
                Err(error) => {
                    tracing::error!("kept the TLS certificate as it was: {}", error_chain(&error));
                }
            }
        }
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Certificate").field("files", &self.files).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

fn read(files: &config::TlsFiles) -> Result<Text, TlsError> {
    let read =
        |path: &PathBuf| std::fs::read(path).map_err(|source| TlsError::Read { path: path.clone(), source });
    Ok(Text { certificate: read(&files.certificate)?, key: read(&files.key)? })
}

fn parse(files: &config::TlsFiles, text: &Text) -> Result<CertifiedKey, TlsError> {
    let wrong = |path: &PathBuf, what| {
        let path = path.clone();
        move |source| TlsError::Pem { path, what, source }
    };
    let chain = CertificateDer::pem_slice_iter(&text.certificate)
        .collect::<Result<Vec<_>, _>>()
        .map_err(wrong(&files.certificate, "certificate"))?;
    if chain.is_empty() {
        return Err(wrong(&files.certificate, "certificate")(pem::Error::NoItemsFound));
    }
    let key = PrivateKeyDer::from_pem_slice(&text.key).map_err(wrong(&files.key, "private key"))?;
    let unfit = |source| TlsError::Pair { path: files.certificate.clone(), source };
    let key = aws_lc_rs::sign::any_supported_type(&key).map_err(unfit)?;
    let pair = CertifiedKey::new(chain, key);
    pair.keys_match().map_err(unfit)?;
    Ok(pair)
}
