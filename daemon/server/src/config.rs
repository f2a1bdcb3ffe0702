//! `alyx.yaml`, the environment and flags, made into one checked [`Config`].
//!
//! Order, later wins: defaults, file, `ALYX_<SECTION>_<KEY>`, flags. Every problem of a run is
//! reported at once; a daemon with a problem in its configuration does not start. A value that is a
//! secret is never part of a report.

mod load;
mod providers;
mod secret;
mod settings;
mod tree;
mod value;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use alyx_store::SecureDelete;
use lettre::message::Mailbox;

pub use load::{Overrides, Source, load};
pub use providers::{Provider, ProviderKind, is_safe as is_safe_url};
pub use settings::SETTINGS;
pub use value::Network;

/// Everything that can be configured, checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub server: Server,
    pub database: Database,
    pub changes: Changes,
    pub executions: Executions,
    pub audit: Audit,
    pub webhooks: Webhooks,
    pub backup: Backup,
    pub auth: Auth,
    pub oauth: Vec<Provider>,
    pub limits: Limits,
    pub realtime: Realtime,
    pub mail: Mail,
    pub functions: Functions,
    pub sandbox: Sandbox,
    pub logging: Logging,
    pub metrics: Metrics,
    pub cors: Cors,
    pub tls: Option<Tls>,
    /// `max-age` of `Strict-Transport-Security`; zero leaves it out.
    pub hsts: Duration,
    /// What the file says of TLS, before it was checked as a whole.
    tls_parts: TlsParts,
}

/// Section `server`.
#[derive(Clone, Debug)]
pub struct Server {
    pub project: PathBuf,
    pub data: PathBuf,
    pub listen: SocketAddr,
    /// Under which browsers reach the API, without a slash at the end.
    pub public_url: Option<String>,
    pub admin_socket: PathBuf,
    pub admin_group: Option<String>,
    pub body_limit_bytes: usize,
    pub header_timeout: Duration,
    pub body_timeout: Duration,
    pub trusted_proxies: Vec<Network>,
}

/// Section `database`.
#[derive(Clone, Debug)]
pub struct Database {
    pub path: PathBuf,
    pub synchronous: Synchronous,
    pub readers: usize,
    pub statement_timeout: Duration,
    pub secure_delete: SecureDelete,
    pub migration_backups: usize,
}

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synchronous {
    /// After it reached the disk.
    Full,
    /// After it reached the kernel; a power cut may lose the last ones.
    Normal,
}

/// Section `changes`.
#[derive(Clone, Debug)]
pub struct Changes {
    pub keep_for: Duration,
    pub keep_count: u64,
}

/// Section `executions`.
#[derive(Clone, Debug)]
pub struct Executions {
    pub keep_for: Duration,
    pub keep_count: u64,
}

/// Section `audit`.
#[derive(Clone, Debug)]
pub struct Audit {
    pub keep_for: Duration,
}

/// Section `webhooks`.
#[derive(Clone, Debug, Default)]
pub struct Webhooks {
    /// Networks that are not of the public internet and may be reached all the same.
    pub allow: Vec<Network>,
}

/// Section `backup`.
#[derive(Clone, Debug)]
pub struct Backup {
    pub directory: PathBuf,
    pub every: Option<Duration>,
    pub keep: usize,
    /// How often what is written is carried there.
    pub ship_every: Option<Duration>,
    /// Bytes that may wait while it cannot be.
    pub ship_limit_bytes: usize,
    /// Where backups go, if not to the directory.
    pub s3: Option<S3>,
    s3_parts: S3Parts,
}

/// A folder of a bucket.
#[derive(Clone, Debug)]
pub struct S3 {
    pub endpoint: url::Url,
    pub region: String,
    pub bucket: String,
    /// Empty, or ends with a slash.
    pub prefix: String,
    /// Whether the bucket is named in the path and not in the host.
    pub path_style: bool,
    pub access_key: Secret,
    pub secret_key: Secret,
    pub session_token: Option<Secret>,
}

/// Settings of a bucket before they are put together.
#[derive(Clone, Debug, Default)]
struct S3Parts {
    endpoint: Option<url::Url>,
    region: Option<String>,
    bucket: Option<String>,
    prefix: String,
    path_style: Option<bool>,
    access_key: Option<Secret>,
    secret_key: Option<Secret>,
    session_token: Option<Secret>,
    credentials: Option<PathBuf>,
}

/// Section `auth`.
#[derive(Clone, Debug)]
pub struct Auth {
    pub registration: Registration,
    pub anonymous: Anonymous,
    pub access_ttl: Duration,
    pub refresh_ttl: Duration,
    pub session_ttl: Duration,
    pub algorithm: Algorithm,
    /// Given exactly if the algorithm needs one.
    pub secret: Option<Secret>,
    pub min_password_length: usize,
    pub password_policy: Vec<PasswordRule>,
    pub hashing: Hashing,
    pub issuer: String,
    pub audience: String,
    pub login_per_minute: u32,
    pub register_per_minute: u32,
    pub reset_per_hour: u32,
    pub lockout_after: u32,
    pub lockout_max: Duration,
    pub challenge_after: u32,
    pub redirects: Vec<url::Url>,
    /// `None` is the host of `server.public_url`.
    pub passkey_domain: Option<String>,
    pub passkey_origins: Vec<String>,
}

/// Section `limits`. `None` is no limit.
#[derive(Clone, Debug)]
pub struct Limits {
    pub reads_per_minute: Option<u32>,
    pub writes_per_minute: Option<u32>,
    pub functions_per_minute: Option<u32>,
    pub auth_per_minute: Option<u32>,
    pub admin_per_minute: Option<u32>,
}

/// Bounds of realtime connections.
#[derive(Clone, Debug)]
pub struct Realtime {
    pub connections: usize,
    pub connections_per_address: usize,
    pub connections_per_identity: usize,
    /// Of one connection.
    pub subscriptions: usize,
    /// Bytes of a message of a client.
    pub message_bytes: usize,
    pub messages_per_second: u32,
    /// Bytes that may wait for one connection.
    pub queue_bytes: usize,
    pub heartbeat: Duration,
}

impl Default for Realtime {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_address: 256,
            connections_per_identity: 64,
            subscriptions: 64,
            message_bytes: 64 << 10,
            messages_per_second: 20,
            queue_bytes: 1 << 20,
            heartbeat: Duration::from_secs(25),
        }
    }
}

/// Who may make an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Anybody.
    Open,
    /// Anybody who shows that the address is theirs.
    Verified,
    /// Administrators only.
    Closed,
}

/// Whether there are accounts without address and password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anonymous {
    /// Anybody may make one.
    Allowed,
    /// There are none.
    Refused,
}

/// What signs access tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519, with keys of our own that rotate.
    EdDsa,
    /// HMAC-SHA256 with a configured secret.
    Hs256,
}

/// Text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// What a new password must satisfy besides its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordRule {
    /// It is none of the most common ones.
    Common,
    /// It does not contain the account's own address.
    Personal,
    /// It has a lower-case letter.
    Lower,
    /// It has an upper-case letter.
    Upper,
    /// It has a digit.
    Digit,
    /// It has something that is neither letter nor digit.
    Symbol,
}

/// Cost of a password hash (Argon2id).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashing {
    pub memory_kib: u32,
    pub passes: u32,
    pub lanes: u32,
}

/// Section `mail`.
#[derive(Clone, Debug)]
pub struct Mail {
    pub transport: MailTransport,
    pub from: Mailbox,
    pub app_name: String,
    pub link_url: Option<String>,
    pub locale: String,
    pub host: String,
    pub port: Option<u16>,
    pub security: MailSecurity,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub ca_file: Option<PathBuf>,
    pub attempts: u32,
    pub retry_after: Duration,
}

impl Mail {
    fn defaults(mode: Mode) -> Self {
        Self {
            transport: match mode {
                Mode::Development => MailTransport::File,
                Mode::Production => MailTransport::None,
            },
            from: "noreply@localhost".parse().expect("a mailbox"),
            app_name: "Alyx".to_owned(),
            link_url: None,
            locale: "en".to_owned(),
            host: String::new(),
            port: None,
            security: MailSecurity::StartTls,
            username: None,
            password: None,
            ca_file: None,
            attempts: 12,
            retry_after: Duration::from_secs(15),
        }
    }
}

/// How mails leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailTransport {
    /// They do not.
    None,
    /// As files in the data directory.
    File,
    /// To a mail server.
    Smtp,
}

/// What protects the way to the mail server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailSecurity {
    /// TLS after `STARTTLS`; without it nothing is sent.
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// Nothing; to this host only.
    Plain,
}

/// Section `functions`.
#[derive(Clone, Debug)]
pub struct Functions {
    pub max_workers: u32,
    pub queue: u32,
    /// Time that a transaction of a function has.
    pub transaction_timeout: Duration,
    pub runtimes: Option<PathBuf>,
}

/// Section `sandbox`.
#[derive(Clone, Debug)]
pub struct Sandbox {
    pub supervisor_socket: PathBuf,
}

/// Section `logging`.
#[derive(Clone, Debug)]
pub struct Logging {
    pub level: String,
    pub format: LogFormat,
}

/// Form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Section `metrics`.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub listen: Option<SocketAddr>,
}

/// Section `cors`.
#[derive(Clone, Debug)]
pub struct Cors {
    pub allowed_origins: Vec<String>,
}

/// Section `tls`, complete.
#[derive(Clone, Debug)]
pub struct Tls {
    pub listen: SocketAddr,
    pub files: TlsFiles,
}

/// Where the certificate is. Both are PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// With its chain, the server's own first.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Section `tls` as it is read.
#[derive(Clone, Debug, Default)]
struct TlsParts {
    listen: Option<SocketAddr>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

/// Something wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// `alyx.yaml:3:9`, `ALYX_SERVER_LISTEN` or `--listen`.
    pub place: String,
    /// `server.listen`; empty when it is about the whole file.
    pub key: String,
    /// What is wrong, without a full stop.
    pub message: String,
    /// What would be accepted.
    pub accepted: Option<String>,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(out, "{}: ", self.key)?;
        }
        out.write_str(&self.message)?;
        self.accepted.iter().try_for_each(|accepted| write!(out, "\n  accepted: {accepted}"))
    }
}

impl Secret {
    /// Text that is never shown.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret")
    }
}

/// Whether the daemon serves one developer or the world; it changes a few defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `--dev`: unsafe schema changes do not stop the start, throttles are generous, requests are logged.
    Development,
    /// Everything else.
    Production,
}

impl Config {
    /// The defaults, before any file was read. Paths that depend on others are filled by `load`.
    fn defaults(mode: Mode) -> Self {
        let limit = |per_minute| (mode == Mode::Production).then_some(per_minute);
        Self {
            server: Server {
                project: PathBuf::new(),
                data: PathBuf::new(),
                listen: SocketAddr::from(([127, 0, 0, 1], 8090)),
                public_url: None,
                admin_socket: PathBuf::new(),
                admin_group: None,
                body_limit_bytes: 8 << 20,
                header_timeout: Duration::from_secs(10),
                body_timeout: Duration::from_secs(30),
                trusted_proxies: Vec::new(),
            },
            database: Database {
                path: PathBuf::new(),
                synchronous: Synchronous::Full,
                readers: 4,
                statement_timeout: Duration::from_secs(10),
                secure_delete: SecureDelete::Off,
                migration_backups: 5,
            },
            backup: Backup {
                directory: PathBuf::new(),
                every: None,
                keep: 7,
                ship_every: None,
                ship_limit_bytes: 1 << 30,
                s3: None,
                s3_parts: S3Parts::default(),
            },
            changes: Changes { keep_for: Duration::from_secs(14 * 24 * 3_600), keep_count: 1_000_000 },
            executions: Executions { keep_for: Duration::from_secs(14 * 24 * 3_600), keep_count: 100_000 },
            webhooks: Webhooks::default(),
            audit: Audit { keep_for: Duration::from_secs(400 * 24 * 3_600) },
            auth: Auth::defaults(mode),
            oauth: Vec::new(),
            limits: Limits {
                reads_per_minute: limit(6_000),
                writes_per_minute: limit(3_000),
                functions_per_minute: limit(1_200),
                auth_per_minute: limit(300),
                admin_per_minute: limit(3_000),
            },
            realtime: Realtime::default(),
            mail: Mail::defaults(mode),
            functions: Functions {
                max_workers: 32,
                queue: 1_000,
                transaction_timeout: Duration::from_secs(2),
                runtimes: None,
            },
            sandbox: Sandbox { supervisor_socket: PathBuf::new() },
            logging: Logging { level: "info".to_owned(), format: LogFormat::Text },
            metrics: Metrics::default(),
            cors: Cors { allowed_origins: Vec::new() },
            tls: None,
            hsts: Duration::from_secs(365 * 24 * 3_600),
            tls_parts: TlsParts::default(),
        }
    }
}

impl Auth {
    fn defaults(mode: Mode) -> Self {
        let (login_per_minute, register_per_minute, reset_per_hour) = match mode {
            Mode::Development => (600, 600, 600),
            Mode::Production => (5, 3, 3),
        };
        Self {
            registration: Registration::Open,
            anonymous: Anonymous::Refused,
            access_ttl: Duration::from_secs(15 * 60),
            refresh_ttl: Duration::from_secs(30 * 24 * 3600),
            session_ttl: Duration::from_secs(180 * 24 * 3600),
            algorithm: Algorithm::EdDsa,
            secret: None,
            min_password_length: 8,
            password_policy: vec![PasswordRule::Common, PasswordRule::Personal],
            hashing: Hashing { memory_kib: 19 * 1024, passes: 2, lanes: 1 },
            issuer: "alyx".to_owned(),
            audience: "alyx".to_owned(),
            login_per_minute,
            register_per_minute,
            reset_per_hour,
            lockout_after: if mode == Mode::Production { 5 } else { 100 },
            lockout_max: Duration::from_secs(15 * 60),
            challenge_after: if mode == Mode::Production { 20 } else { 1_000 },
            redirects: Vec::new(),
            passkey_domain: None,
            passkey_origins: Vec::new(),
        }
    }
}
