//! Table of settings: each key once, with its default, what it accepts and what it does.
//! `docs/configuration.md` is this table; a test holds the two together.

use std::path::PathBuf;
use std::str::FromStr;

use super::secret::is_strong;
use super::value::{duration, size_bytes};
use super::{
    Algorithm, Anonymous, Config, LogFormat, MailSecurity, MailTransport, PasswordRule, Registration, Secret,
    SecureDelete, Synchronous,
};
use crate::mail::is_tag;

/// A key that `alyx.yaml` may have.
pub struct Setting {
    pub section: &'static str,
    pub key: &'static str,
    /// As the page shows it; [`Config::defaults`] is what counts.
    pub default: &'static str,
    /// What would be accepted, for error messages and the page.
    pub accepts: &'static str,
    /// What it does.
    pub about: &'static str,
    pub apply: Apply,
}

/// How a value reaches the configuration. `Err(())` means: not what `accepts` says.
pub enum Apply {
    /// One value.
    One(fn(&mut Config, &str) -> Result<(), ()>),
    /// One value that no report may show.
    Secret(fn(&mut Config, &str) -> Result<(), ()>),
    /// A list; in the environment separated by commas.
    Many(fn(&mut Config, &[String]) -> Result<(), ()>),
}

/// The table.
pub const SETTINGS: &[Setting] = &[
    Setting {
        section: "server",
        key: "project",
        default: "the directory of the configuration file",
        accepts: "a directory",
        about: "Directory with `schema.yaml` and `functions/`.",
        apply: Apply::One(|config, text| path(&mut config.server.project, text)),
    },
    Setting {
        section: "server",
        key: "data",
        default: "`<project>/.alyx`",
        accepts: "a directory",
        about: "Directory for everything the daemon writes. Made with mode 0700 if it is missing.",
        apply: Apply::One(|config, text| path(&mut config.server.data, text)),
    },
    Setting {
        section: "server",
        key: "listen",
        default: "`127.0.0.1:8090`",
        accepts: "an address with a port, such as 0.0.0.0:8090 or [::]:8090; port 0 takes a free one",
        about: "Where the HTTP API is served. A socket that systemd passes is served in its place.",
        apply: Apply::One(|config, text| parse(&mut config.server.listen, text)),
    },
    Setting {
        section: "server",
        key: "public_url",
        default: "`http://` and the address, if that is of this host only",
        accepts: "an http or https URL without a query",
        about: "Under which browsers reach the API. Providers of section `oauth` send people back to it.",
        apply: Apply::One(|config, text| {
            let url = web_url(text)?;
            config.server.public_url = Some(url.as_str().trim_end_matches('/').to_owned());
            Ok(())
        }),
    },
    Setting {
        section: "server",
        key: "admin_socket",
        default: "`<data>/run/admin.sock`",
        accepts: "a path of at most 100 bytes",
        about: "Unix socket over which root and the daemon's own user are administrators.",
        apply: Apply::One(|config, text| socket(&mut config.server.admin_socket, text)),
    },
    Setting {
        section: "server",
        key: "admin_group",
        default: "none",
        accepts: "the name of a group; without socket activation, one that the daemon is a member of",
        about: "Members of this group are administrators over the admin socket as well.",
        apply: Apply::One(|config, text| {
            config.server.admin_group = Some(non_empty(text)?);
            Ok(())
        }),
    },
    Setting {
        section: "server",
        key: "body_limit",
        default: "`8mb`",
        accepts: "a size from 1kb to 64mb",
        about: "Largest request body; a larger one is answered with 413.",
        apply: Apply::One(|config, text| {
            config.server.body_limit_bytes =
                size_bytes(text).filter(|bytes| (1 << 10..=64 << 20).contains(bytes)).ok_or(())?;
            Ok(())
        }),
    },
    Setting {
        section: "server",
        key: "header_timeout",
        default: "`10s`",
        accepts: "a duration from 100ms to 5m",
        about: "Time a client has to send the head of a request, and time an idle connection is kept.",
        apply: Apply::One(|config, text| {
            config.server.header_timeout = duration_within(text, 100, 300_000)?;
            Ok(())
        }),
    },
    Setting {
        section: "server",
        key: "body_timeout",
        default: "`30s`",
        accepts: "a duration from 100ms to 1h",
        about: "Time a client has to send the body of a request.",
        apply: Apply::One(|config, text| {
            config.server.body_timeout = duration_within(text, 100, 3_600_000)?;
            Ok(())
        }),
    },
    Setting {
        section: "server",
        key: "trusted_proxies",
        default: "`[]`",
        accepts: "a list of addresses or blocks, such as [127.0.0.1, 10.0.0.0/8]",
        about: "Proxies whose `X-Forwarded-For` is believed. From anybody else it is ignored.",
        apply: Apply::Many(|config, items| {
            config.server.trusted_proxies =
                items.iter().map(|item| item.parse()).collect::<Result<_, _>>()?;
            Ok(())
        }),
    },
    Setting {
        section: "tls",
        key: "listen",
        default: "none",
        accepts: "an address with a port, such as 0.0.0.0:443",
        about: "Where the API is served with TLS, beside `server.listen`. Needs `certificate` and `key`.",
        apply: Apply::One(|config, text| {
            config.tls_parts.listen = Some(text.parse().map_err(|_| ())?);
            Ok(())
        }),
    },
    Setting {
        section: "tls",
        key: "certificate",
        default: "none",
        accepts: "a PEM file",
        about: "The certificate and its chain. Read again when it changes, without a restart.",
        apply: Apply::One(|config, text| {
            config.tls_parts.certificate = Some(PathBuf::from(non_empty(text)?));
            Ok(())
        }),
    },
    Setting {
        section: "tls",
        key: "key",
        default: "none",
        accepts: "a PEM file",
        about: "The private key of the certificate.",
        apply: Apply::One(|config, text| {
            config.tls_parts.key = Some(PathBuf::from(non_empty(text)?));
            Ok(())
        }),
    },
    Setting {
        section: "tls",
        key: "hsts",
        default: "`365d`",
        accepts: "a duration from 0s to 800d",
        about: "How long browsers insist on TLS after an answer that came with it; `0s` leaves the header out.",
        apply: Apply::One(|config, text| {
            config.hsts = duration_within(text, 0, 800 * 86_400_000)?;
            Ok(())
        }),
    },
    Setting {
        section: "database",
        key: "path",
        default: "`<data>/data.db`",
        accepts: "a path",
        about: "The SQLite database.",
        apply: Apply::One(|config, text| path(&mut config.database.path, text)),
    },
    Setting {
        section: "database",
        key: "synchronous",
        default: "`full`",
        accepts: "full or normal",
        about: "`full`: an answered write survives a power cut. `normal`: the last ones may be lost.",
        apply: Apply::One(|config, text| {
            config.database.synchronous = match text {
                "full" => Synchronous::Full,
                "normal" => Synchronous::Normal,
                _ => return Err(()),
            };
            Ok(())
        }),
    },
    Setting {
        section: "database",
        key: "readers",
        default: "`4`",
        accepts: "a number from 1 to 64",
        about: "Threads that read at once.",
        apply: Apply::One(|config, text| {
            config.database.readers = number_within(text, 1, 64)?;
            Ok(())
        }),
    },
    Setting {
        section: "database",
        key: "statement_timeout",
        default: "`10s`",
        accepts: "a duration from 100ms to 10m",
        about: "A read, or a group of writes, that takes longer is interrupted and answered with 504. Nothing of it was done.",
        apply: Apply::One(|config, text| {
            config.database.statement_timeout = duration_within(text, 100, 600_000)?;
            Ok(())
        }),
    },
    Setting {
        section: "database",
        key: "secure_delete",
        default: "`off`",
        accepts: "off, fast or on",
        about: "`on`: what is deleted is overwritten in the file. `fast`: only where that needs no further write.",
        apply: Apply::One(|config, text| {
            config.database.secure_delete = match text {
                "off" => SecureDelete::Off,
                "fast" => SecureDelete::Fast,
                "on" => SecureDelete::On,
                _ => return Err(()),
            };
            Ok(())
        }),
    },
    Setting {
        section: "database",
        key: "migration_backups",
        default: "`5`",
        accepts: "a number from 1 to 1000",
        about: "Copies made before a change of the schema that are kept in `<data>/backups`.",
        apply: Apply::One(|config, text| {
            config.database.migration_backups = number_within(text, 1, 1_000)?;
            Ok(())
        }),
    },
    Setting {
        section: "changes",
        key: "keep_for",
        default: "`14d`",
        accepts: "a duration from 1s to 3650d",
        about: "Changes older than this are removed from the change feed, unless a durable consumer has not seen them.",
        apply: Apply::One(|config, text| {
            config.changes.keep_for = duration_within(text, 1_000, 3_650 * 86_400_000)?;
            Ok(())
        }),
    },
    Setting {
        section: "changes",
        key: "keep_count",
        default: "`1000000`",
        accepts: "a number from 0 to 1000000000",
        about: "Changes kept at most, newest first, with the same exception.",
        apply: Apply::One(|config, text| {
            config.changes.keep_count = number_within(text, 0, 1_000_000_000)?;
            Ok(())
        }),
    },
    Setting {
        section: "executions",
        key: "keep_for",
        default: "`14d`",
        accepts: "a duration from 1s to 3650d",
        about: "Records of executions older than this are removed, with their logs.",
        apply: Apply::One(|config, text| {
            config.executions.keep_for = duration_within(text, 1_000, 3_650 * 86_400_000)?;
            Ok(())
        }),
    },
    Setting {
        section: "executions",
        key: "keep_count",
        default: "`100000`",
        accepts: "a number from 1 to 100000000",
        about: "At most so many records of executions are kept, the newest.",
        apply: Apply::One(|config, text| {
            config.executions.keep_count = number_within(text, 1, 100_000_000)?;
            Ok(())
        }),
    },
    Setting {
        section: "audit",
        key: "keep_for",
        default: "`400d`",
        accepts: "a duration from 1s to 3650d",
        about: "Rows of the audit log older than this are removed.",
        apply: Apply::One(|config, text| {
            config.audit.keep_for = duration_within(text, 1_000, 3_650 * 86_400_000)?;
            Ok(())
        }),
    },
    Setting {
        section: "webhooks",
        key: "allow",
        default: "`[]`",
        accepts: "a list of addresses or blocks, such as [127.0.0.1, 10.0.0.0/8]",
        about: "Networks of your own that webhooks may be sent to. Whatever else is not of the public internet is refused: loopback, private and link-local addresses, metadata services of clouds.",
        apply: Apply::Many(|config, items| {
            config.webhooks.allow = items.iter().map(|item| item.parse()).collect::<Result<_, _>>()?;
            Ok(())
        }),
    },
    Setting {
        section: "backup",
        key: "directory",
        default: "`<data>/backups`",
        accepts: "a directory",
        about: "Where backups are kept, best on another disk. Made with mode 0700 if it is missing.",
        apply: Apply::One(|config, text| path(&mut config.backup.directory, text)),
    },
    Setting {
        section: "backup",
        key: "every",
        default: "`off`",
        accepts: "off or a duration from 1m to 400d",
        about: "How often a backup is made and old ones are removed. It counts from the newest backup that is there.",
        apply: Apply::One(|config, text| {
            config.backup.every = match text {
                "off" => None,
                text => Some(duration_within(text, 60_000, 400 * 86_400_000)?),
            };
            Ok(())
        }),
    },
    Setting {
        section: "backup",
        key: "keep",
        default: "`7`",
        accepts: "a number from 1 to 10000",
        about: "Backups that stay when old ones are removed, newest first.",
        apply: Apply::One(|config, text| {
            config.backup.keep = number_within(text, 1, 10_000)?;
            Ok(())
        }),
    },
    Setting {
        section: "backup",
        key: "ship_every",
        default: "`off`",
        accepts: "off or a duration from 1s to 1h",
        about: "How often what was written since is carried to the backups, so that the database can be brought back to any moment. What a lost disk takes with it is at most this much.",
        apply: Apply::One(|config, text| {
            config.backup.ship_every = match text {
                "off" => None,
                text => Some(duration_within(text, 1_000, 3_600_000)?),
            };
            Ok(())
        }),
    },
    Setting {
        section: "backup",
        key: "ship_limit",
        default: "`1gb`",
        accepts: "a size from 1mb to 1024gb",
        about: "What may wait beside the database while it cannot be carried to the backups. Beyond it it is given up, which leaves a gap that `alyx backup status` names; writing goes on.",
        apply: Apply::One(|config, text| {
            config.backup.ship_limit_bytes =
                size_bytes(text).filter(|bytes| (1 << 20..=1 << 40).contains(bytes)).ok_or(())?;
            Ok(())
        }),
    },
    Setting {
        section: "backup",
        key: "s3_bucket",
        default: "none",
        accepts: "the name of a bucket",
        about: "Keep backups in this bucket of an object store that speaks S3, instead of in a directory. See [backups](backup.md#to-s3).",
        apply: Apply::One(|config, text| {
            config.backup.s3_parts.bucket = Some(bucket_name(text)?);
            Ok(())
        }),
    },
    Setting {
        section: "backup",
        key: "s3_endpoint",
        default: "`https://s3.<region>.amazonaws.com`",
        accepts: "an https URL, or an http URL of this host",
        about: "Where the object store answers. Backups hold password hashes and keys, so they travel encrypted.",
        apply: Apply::One(|config, text| {
            config.backup.s3_parts.endpoint = Some(web_url(text).ok().filter(super::is_safe_url).ok_or(())?);
            Ok(())
        }),
    },
    Setting {
        section: "backup",
        key: "s3_region",
        default: "`us-east-1`",
        accepts: "the name of a region, in small letters, digits and dashes",
        about: "The region that requests are signed for.",
        apply: Apply::One(|config, text| {
            config.backup.s3_parts.region = Some(region(text)?);
            Ok(())
        }),
    },
    Setting {
        section: "backup",
        key: "s3_prefix",
        default: "none",
        accepts: "up to 512 letters, digits and `-_./`, without `//` and `..`",
        about: "A folder in the bucket; everything is kept below it.",
        apply: Apply::One(|config, text| {
            config.backup.s3_parts.prefix = key_prefix(text)?;
            Ok(())
        }),
    },
    Setting {
        section: "backup",
        key: "s3_path_style",
        default: "`true` with `s3_endpoint`, else `false`",
        accepts: "true or false",
        about: "Whether the bucket is named in the path and not as a part of the host.",
        apply: Apply::One(|config, text| {
            config.backup.s3_parts.path_style = Some(text.parse().map_err(|_| ())?);
            Ok(())
        }),
    },
    Setting {
        section: "backup",
        key: "s3_access_key",
        default: "the file `s3_access_key` in `s3_credentials`",
        accepts: "a text; better a variable, such as ${S3_ACCESS_KEY}",
        about: "Id of the key that requests are signed with.",
        apply: Apply::One(|config, text| {
            config.backup.s3_parts.access_key = Some(Secret::new(non_empty(text)?));
            Ok(())
        }),
    },
    Setting {
        section: "backup",
        key: "s3_secret_key",
        default: "the file `s3_secret_key` in `s3_credentials`",
        accepts: "a text; better a variable, such as ${S3_SECRET_KEY}",
        about: "The key that requests are signed with. It is never shown or logged.",
        apply: Apply::One(|config, text| {
            config.backup.s3_parts.secret_key = Some(Secret::new(non_empty(text)?));
            Ok(())
        }),
    },
    Setting {
        section: "backup",
        key: "s3_session_token",
        default: "the file `s3_session_token` in `s3_credentials`, if it is there",
        accepts: "a text; better a variable, such as ${S3_SESSION_TOKEN}",
        about: "Belongs to a key that is valid for some time only.",
        apply: Apply::One(|config, text| {
            config.backup.s3_parts.session_token = Some(Secret::new(non_empty(text)?));
            Ok(())
        }),
    },
    Setting {
        section: "backup",
        key: "s3_credentials",
        default: "`$CREDENTIALS_DIRECTORY`",
        accepts: "a directory",
        about: "Where the keys are read from, a file each, at the start. With `LoadCredential=s3_access_key:…` systemd sets the default.",
        apply: Apply::One(|config, text| {
            let folder = config.backup.s3_parts.credentials.get_or_insert_default();
            path(folder, text)?;
            Ok(())
        }),
    },
    Setting {
        section: "auth",
        key: "registration",
        default: "`verified` with `mail.transport: smtp`, unless `auth.anonymous` is `allowed`; else `open`",
        accepts: "open, verified or closed",
        about: "`open`: whoever registers is signed in at once, which tells of an address that is taken. `verified`: the owner of the address has to follow a link sent to it first, and nothing tells whether an address has an account; needs `mail`. `closed`: only administrators make accounts.",
        apply: Apply::One(|config, text| {
            config.auth.registration = match text {
                "open" => Registration::Open,
                "verified" => Registration::Verified,
                "closed" => Registration::Closed,
                _ => return Err(()),
            };
            Ok(())
        }),
    },
    Setting {
        section: "auth",
        key: "anonymous",
        default: "`refused`",
        accepts: "allowed or refused",
        about: "`allowed`: anybody may make an account without address and password, and give it both later.",
        apply: Apply::One(|config, text| {
            config.auth.anonymous = match text {
                "allowed" => Anonymous::Allowed,
                "refused" => Anonymous::Refused,
                _ => return Err(()),
            };
            Ok(())
        }),
    },
    Setting {
        section: "auth",
        key: "access_ttl",
        default: "`15m`",
        accepts: "a duration from 1s to 24h",
        about: "How long an access token is valid.",
        apply: Apply::One(|config, text| {
            config.auth.access_ttl = duration_within(text, 1_000, 86_400_000)?;
            Ok(())
        }),
    },
    Setting {
        section: "auth",
        key: "refresh_ttl",
        default: "`30d`",
        accepts: "a duration from 1m to 400d",
        about: "How long a session lasts after its last refresh.",
        apply: Apply::One(|config, text| {
            config.auth.refresh_ttl = duration_within(text, 60_000, 400 * 86_400_000)?;
            Ok(())
        }),
    },
    Setting {
        section: "auth",
        key: "session_ttl",
        default: "`180d`",
        accepts: "a duration from 1m to 4000d",
        about: "How long a session lasts at most, however often it is refreshed.",
        apply: Apply::One(|config, text| {
            config.auth.session_ttl = duration_within(text, 60_000, 4_000 * 86_400_000)?;
            Ok(())
        }),
    },
    Setting {
        section: "auth",
        key: "algorithm",
        default: "`eddsa`",
        accepts: "eddsa or hs256",
        about: "What signs access tokens: `eddsa` with keys that the daemon makes and rotates, `hs256` with `auth.secret`. A token signed otherwise is refused.",
        apply: Apply::One(|config, text| {
            config.auth.algorithm = match text {
                "eddsa" => Algorithm::EdDsa,
                "hs256" => Algorithm::Hs256,
                _ => return Err(()),
            };
            Ok(())
        }),
    },
    Setting {
        section: "auth",
        key: "secret",
        default: "none",
        accepts: "at least 32 random bytes, such as `openssl rand -base64 32` prints, and only with algorithm hs256",
        about: "Signs access tokens with `hs256`. Write `${ALYX_SECRET}` or set `ALYX_AUTH_SECRET`, so that it is in no file. Another secret makes clients refresh; nobody is signed out.",
        apply: Apply::Secret(|config, text| {
            if !is_strong(text) {
                return Err(());
            }
            config.auth.secret = Some(Secret::new(text.to_owned()));
            Ok(())
        }),
    },
    Setting {
        section: "auth",
        key: "password_policy",
        default: "`[common, personal]`",
        accepts: "a list of common, personal, lower, upper, digit and symbol",
        about: "What a new password must satisfy besides its length: `common` none of the most common ones, `personal` without the own address; `lower`, `upper`, `digit`, `symbol` such a character.",
        apply: Apply::Many(|config, items| {
            config.auth.password_policy =
                items.iter().map(|item| password_rule(item)).collect::<Result<_, _>>()?;
            Ok(())
        }),
    },
    Setting {
        section: "auth",
        key: "password_memory",
        default: "`19mb`",
        accepts: "a size from 8mb to 1gb",
        about: "Memory of one password hash (Argon2id). A password whose hash had another cost is hashed anew when its owner signs in.",
        apply: Apply::One(|config, text| {
            let bytes = size_bytes(text).filter(|bytes| (8 << 20..=1 << 30).contains(bytes)).ok_or(())?;
            config.auth.hashing.memory_kib = u32::try_from(bytes / 1024).map_err(|_| ())?;
            Ok(())
        }),
    },
    Setting {
        section: "auth",
        key: "password_passes",
        default: "`2`",
        accepts: "a number from 1 to 20",
        about: "Passes over that memory.",
        apply: Apply::One(|config, text| {
            config.auth.hashing.passes = number_within(text, 1, 20)?;
            Ok(())
        }),
    },
    Setting {
        section: "auth",
        key: "password_lanes",
        default: "`1`",
        accepts: "a number from 1 to 16",
        about: "Lanes that the memory is divided into.",
        apply: Apply::One(|config, text| {
            config.auth.hashing.lanes = number_within(text, 1, 16)?;
            Ok(())
        }),
    },
    Setting {
        section: "auth",
        key: "min_password_length",
        default: "`8`",
        accepts: "a number from 8 to 128",
        about: "Shortest password, in characters.",
        apply: Apply::One(|config, text| {
            config.auth.min_password_length = number_within(text, 8, 128)?;
            Ok(())
        }),
    },
    Setting {
        section: "auth",
        key: "issuer",
        default: "`alyx`",
        accepts: "a text of 1 to 200 characters",
        about: "`iss` of access tokens. A token of another issuer is refused.",
        apply: Apply::One(|config, text| {
            config.auth.issuer = non_empty(text)?;
            Ok(())
        }),
    },
    Setting {
        section: "auth",
        key: "audience",
        default: "`alyx`",
        accepts: "a text of 1 to 200 characters",
        about: "`aud` of access tokens. A token for another audience is refused.",
        apply: Apply::One(|config, text| {
            config.auth.audience = non_empty(text)?;
            Ok(())
        }),
    },
    Setting {
        section: "auth",
        key: "login_per_minute",
        default: "`5`, with `--dev` `600`",
        accepts: "a number from 1 to 1000000",
        about: "Sign-in attempts per minute for each account at an address; an address may do ten times as much.",
        apply: Apply::One(|config, text| {
            config.auth.login_per_minute = number_within(text, 1, 1_000_000)?;
            Ok(())
        }),
    },
    Setting {
        section: "auth",
        key: "register_per_minute",
        default: "`3`, with `--dev` `600`",
        accepts: "a number from 1 to 1000000",
        about: "Registrations per minute for each address and for each account at an address.",
        apply: Apply::One(|config, text| {
            config.auth.register_per_minute = number_within(text, 1, 1_000_000)?;
            Ok(())
        }),
    },
    Setting {
        section: "auth",
        key: "reset_per_hour",
        default: "`3`, with `--dev` `600`",
        accepts: "a number from 1 to 1000000",
        about: "Requests per hour that send a mail, such as for a new password, for each account at an address.",
        apply: Apply::One(|config, text| {
            config.auth.reset_per_hour = number_within(text, 1, 1_000_000)?;
            Ok(())
        }),
    },
    Setting {
        section: "auth",
        key: "lockout_after",
        default: "`5`, with `--dev` `100`",
        accepts: "a number from 1 to 1000",
        about: "Wrong guesses at an account after which their address has to wait, 15 s at first and twice as long each further time.",
        apply: Apply::One(|config, text| {
            config.auth.lockout_after = number_within(text, 1, 1_000)?;
            Ok(())
        }),
    },
    Setting {
        section: "auth",
        key: "lockout_max",
        default: "`15m`",
        accepts: "a duration from 15s to 24h",
        about: "Longest such wait.",
        apply: Apply::One(|config, text| {
            config.auth.lockout_max = duration_within(text, 15_000, 86_400_000)?;
            Ok(())
        }),
    },
    Setting {
        section: "auth",
        key: "challenge_after",
        default: "`20`, with `--dev` `1000`",
        accepts: "a number from 1 to 10000",
        about: "Wrong guesses at an account from all addresses together after which unknown devices have to solve a challenge.",
        apply: Apply::One(|config, text| {
            config.auth.challenge_after = number_within(text, 1, 10_000)?;
            Ok(())
        }),
    },
    Setting {
        section: "auth",
        key: "redirects",
        default: "`[]`",
        accepts: "a list of http or https URLs without a query",
        about: "Where an app may have people sent to after they signed in at a provider: these addresses and what is below them.",
        apply: Apply::Many(|config, items| {
            config.auth.redirects = items.iter().map(|item| web_url(item)).collect::<Result<_, _>>()?;
            Ok(())
        }),
    },
    Setting {
        section: "auth",
        key: "passkey_domain",
        default: "the host of `server.public_url`",
        accepts: "a domain such as example.com",
        about: "What passkeys are bound to: the host of the pages that use them, or a parent of it. With another one, every passkey that was registered before is of no use.",
        apply: Apply::One(|config, text| {
            let is_domain = matches!(url::Host::parse(text), Ok(url::Host::Domain(domain)) if domain == text);
            config.auth.passkey_domain = Some(text.to_owned());
            if is_domain { Ok(()) } else { Err(()) }
        }),
    },
    Setting {
        section: "auth",
        key: "passkey_origins",
        default: "`[]`",
        accepts: "a list of origins such as https://app.example.com, without path and without *",
        about: "Origins beside that of `server.public_url` whose pages may ask for passkeys. Each has the passkeys' domain or is below it, and has https, or http on localhost.",
        apply: Apply::Many(|config, items| {
            if !items.iter().all(|item| is_origin(item)) {
                return Err(());
            }
            config.auth.passkey_origins = items.to_vec();
            Ok(())
        }),
    },
    Setting {
        section: "limits",
        key: "reads_per_minute",
        default: "`6000`, with `--dev` `off`",
        accepts: RATE,
        about: "Requests per minute that read, for each identity; an address may do ten times as much.",
        apply: Apply::One(|config, text| rate(&mut config.limits.reads_per_minute, text)),
    },
    Setting {
        section: "limits",
        key: "writes_per_minute",
        default: "`3000`, with `--dev` `off`",
        accepts: RATE,
        about: "The same for requests that change something.",
        apply: Apply::One(|config, text| rate(&mut config.limits.writes_per_minute, text)),
    },
    Setting {
        section: "limits",
        key: "functions_per_minute",
        default: "`1200`, with `--dev` `off`",
        accepts: RATE,
        about: "The same for invocations.",
        apply: Apply::One(|config, text| rate(&mut config.limits.functions_per_minute, text)),
    },
    Setting {
        section: "limits",
        key: "auth_per_minute",
        default: "`300`, with `--dev` `off`",
        accepts: RATE,
        about: "The same for everything below `/api/auth/`.",
        apply: Apply::One(|config, text| rate(&mut config.limits.auth_per_minute, text)),
    },
    Setting {
        section: "limits",
        key: "admin_per_minute",
        default: "`3000`, with `--dev` `off`",
        accepts: RATE,
        about: "The same for everything below `/api/admin/`. The admin socket has no limit.",
        apply: Apply::One(|config, text| rate(&mut config.limits.admin_per_minute, text)),
    },
    Setting {
        section: "realtime",
        key: "connections",
        default: "`10000`",
        accepts: "a whole number from 1 to 1000000",
        about: "Realtime connections at once.",
        apply: Apply::One(|config, text| count(&mut config.realtime.connections, text, 1000000)),
    },
    Setting {
        section: "realtime",
        key: "connections_per_address",
        default: "`256`",
        accepts: "a whole number from 1 to 1000000",
        about: "Of these from one address. A trusted proxy's clients are counted by their own.",
        apply: Apply::One(|config, text| count(&mut config.realtime.connections_per_address, text, 1000000)),
    },
    Setting {
        section: "realtime",
        key: "connections_per_identity",
        default: "`64`",
        accepts: "a whole number from 1 to 1000000",
        about: "Of these of one account or API key.",
        apply: Apply::One(|config, text| count(&mut config.realtime.connections_per_identity, text, 1000000)),
    },
    Setting {
        section: "realtime",
        key: "subscriptions",
        default: "`64`",
        accepts: "a whole number from 1 to 1000",
        about: "Subscriptions of one connection.",
        apply: Apply::One(|config, text| count(&mut config.realtime.subscriptions, text, 1000)),
    },
    Setting {
        section: "realtime",
        key: "message_limit",
        default: "`64kb`",
        accepts: "a size from 1kb to 1mb",
        about: "Largest message of a client; a larger one ends the connection.",
        apply: Apply::One(|config, text| {
            config.realtime.message_bytes =
                size_bytes(text).filter(|bytes| (1 << 10..=1 << 20).contains(bytes)).ok_or(())?;
            Ok(())
        }),
    },
    Setting {
        section: "realtime",
        key: "messages_per_second",
        default: "`20`",
        accepts: "a whole number from 1 to 10000",
        about: "Messages that a client may send in the long run; five times as many at once.",
        apply: Apply::One(|config, text| {
            let number = text.parse().ok().filter(|number| (1..=10_000).contains(number));
            config.realtime.messages_per_second = number.ok_or(())?;
            Ok(())
        }),
    },
    Setting {
        section: "realtime",
        key: "queue",
        default: "`1mb`",
        accepts: "a size from 64kb to 64mb",
        about: "What may wait for one connection. What comes then is told as one change once there is room.",
        apply: Apply::One(|config, text| {
            config.realtime.queue_bytes =
                size_bytes(text).filter(|bytes| (64 << 10..=64 << 20).contains(bytes)).ok_or(())?;
            Ok(())
        }),
    },
    Setting {
        section: "realtime",
        key: "heartbeat",
        default: "`25s`",
        accepts: "a duration from 1s to 10m",
        about: "How often both ends of a connection say that they are there.",
        apply: Apply::One(|config, text| {
            config.realtime.heartbeat = duration_within(text, 1_000, 600_000)?;
            Ok(())
        }),
    },
    Setting {
        section: "mail",
        key: "transport",
        default: "`none`, with `--dev` `file`",
        accepts: "none, file or smtp",
        about: "How mails leave. `file`: as `<data>/mail/*.eml`, with `--dev` on the terminal too. `none`: whatever needs a mail answers `mail_not_configured`.",
        apply: Apply::One(|config, text| {
            config.mail.transport = match text {
                "none" => MailTransport::None,
                "file" => MailTransport::File,
                "smtp" => MailTransport::Smtp,
                _ => return Err(()),
            };
            Ok(())
        }),
    },
    Setting {
        section: "mail",
        key: "from",
        default: "`noreply@localhost`",
        accepts: "an address, with a name or without, such as Blog <noreply@example.com>",
        about: "Sender of every mail.",
        apply: Apply::One(|config, text| parse(&mut config.mail.from, text)),
    },
    Setting {
        section: "mail",
        key: "app_name",
        default: "`Alyx`",
        accepts: "a text of 1 to 200 characters",
        about: "What mails call the application.",
        apply: Apply::One(|config, text| {
            config.mail.app_name = non_empty(text)?;
            Ok(())
        }),
    },
    Setting {
        section: "mail",
        key: "link_url",
        default: "`http://` and `server.listen`",
        accepts: "a URL with http or https, such as https://app.example.com",
        about: "Where links in mails lead: to `/auth/verify`, `/auth/reset` and `/auth/email` below it. This server has pages there; an application may have its own. Needed with `smtp`.",
        apply: Apply::One(|config, text| {
            config.mail.link_url = Some(web_url(text)?.to_string());
            Ok(())
        }),
    },
    Setting {
        section: "mail",
        key: "locale",
        default: "`en`",
        accepts: "a language tag, such as de or pt-br",
        about: "Language of mails to those whose `Accept-Language` names none that there is.",
        apply: Apply::One(|config, text| {
            config.mail.locale = Some(text.to_ascii_lowercase()).filter(|tag| is_tag(tag)).ok_or(())?;
            Ok(())
        }),
    },
    Setting {
        section: "mail",
        key: "host",
        default: "none",
        accepts: "a host name or an address",
        about: "The mail server. Its certificate must be for this name.",
        apply: Apply::One(|config, text| {
            config.mail.host = non_empty(text)?;
            Ok(())
        }),
    },
    Setting {
        section: "mail",
        key: "port",
        default: "`587` for `starttls`, `465` for `tls`, `25` for `plain`",
        accepts: "a number from 1 to 65535",
        about: "Port of the mail server.",
        apply: Apply::One(|config, text| {
            config.mail.port = Some(number_within(text, 1, u16::MAX)?);
            Ok(())
        }),
    },
    Setting {
        section: "mail",
        key: "security",
        default: "`starttls`",
        accepts: "starttls, tls or plain",
        about: "`starttls` and `tls` send nothing without TLS. `plain` is for a mail server on this host only.",
        apply: Apply::One(|config, text| {
            config.mail.security = match text {
                "starttls" => MailSecurity::StartTls,
                "tls" => MailSecurity::Tls,
                "plain" => MailSecurity::Plain,
                _ => return Err(()),
            };
            Ok(())
        }),
    },
    Setting {
        section: "mail",
        key: "username",
        default: "none",
        accepts: "a text",
        about: "Name to sign in to the mail server with.",
        apply: Apply::One(|config, text| {
            config.mail.username = Some(non_empty(text)?);
            Ok(())
        }),
    },
    Setting {
        section: "mail",
        key: "password",
        default: "none",
        accepts: "a text; better a variable, such as ${SMTP_PASSWORD}",
        about: "Password to sign in to the mail server with. It is never shown or logged.",
        apply: Apply::One(|config, text| {
            config.mail.password = Some(Secret::new(non_empty(text)?));
            Ok(())
        }),
    },
    Setting {
        section: "mail",
        key: "ca_file",
        default: "none",
        accepts: "a file with a certificate in PEM",
        about: "A certificate authority to trust besides those of this host.",
        apply: Apply::One(|config, text| {
            config.mail.ca_file = Some(PathBuf::from(non_empty(text)?));
            Ok(())
        }),
    },
    Setting {
        section: "mail",
        key: "attempts",
        default: "`12`",
        accepts: "a number from 1 to 100",
        about: "How often sending a mail is tried before it is given up.",
        apply: Apply::One(|config, text| {
            config.mail.attempts = number_within(text, 1, 100)?;
            Ok(())
        }),
    },
    Setting {
        section: "mail",
        key: "retry_after",
        default: "`15s`",
        accepts: "a duration from 10ms to 1h",
        about: "Wait after the first failed attempt; each further one is twice as long, an hour at most, less a random part of up to half.",
        apply: Apply::One(|config, text| {
            config.mail.retry_after = duration_within(text, 10, 3_600_000)?;
            Ok(())
        }),
    },
    Setting {
        section: "functions",
        key: "max_workers",
        default: "`32`",
        accepts: "a number from 1 to 1024",
        about: "Workers of all functions together.",
        apply: Apply::One(|config, text| {
            config.functions.max_workers = number_within(text, 1, 1_024)?;
            Ok(())
        }),
    },
    Setting {
        section: "functions",
        key: "queue",
        default: "`1000`",
        accepts: "a number from 1 to 100000",
        about: "Invocations of one function that may wait for a worker before the answer is 503.",
        apply: Apply::One(|config, text| {
            config.functions.queue = number_within(text, 1, 100_000)?;
            Ok(())
        }),
    },
    Setting {
        section: "functions",
        key: "runtimes",
        default: "`runtimes` beside the installed program",
        accepts: "a directory",
        about: "Directory with the runtimes' own files; building Go functions needs its `go`.",
        apply: Apply::One(|config, text| {
            config.functions.runtimes = Some(PathBuf::from(non_empty(text)?));
            Ok(())
        }),
    },
    Setting {
        section: "functions",
        key: "transaction_timeout",
        default: "`2s`",
        accepts: "a duration from 10ms to 1m",
        about: "Time that `ctx.db.transaction` has. Everybody else's writes wait meanwhile.",
        apply: Apply::One(|config, text| {
            config.functions.transaction_timeout = duration_within(text, 10, 60_000)?;
            Ok(())
        }),
    },
    Setting {
        section: "sandbox",
        key: "supervisor_socket",
        default: "`<data>/run/control.sock`",
        accepts: "a path of at most 100 bytes",
        about: "Control socket of `alyx-supervisor`.",
        apply: Apply::One(|config, text| socket(&mut config.sandbox.supervisor_socket, text)),
    },
    Setting {
        section: "logging",
        key: "level",
        default: "`info`",
        accepts: "error, warn, info, debug or trace",
        about: "Least important log lines that are written. Requests are logged at `debug`, with `--dev` at `info`.",
        apply: Apply::One(|config, text| {
            if !["error", "warn", "info", "debug", "trace"].contains(&text) {
                return Err(());
            }
            config.logging.level = text.to_owned();
            Ok(())
        }),
    },
    Setting {
        section: "logging",
        key: "format",
        default: "`text`",
        accepts: "text or json",
        about: "Form of a log line on standard error. Where that is the journal, `text` makes entries with fields `ALYX_…` (systemd.journal-fields(7)).",
        apply: Apply::One(|config, text| {
            config.logging.format = match text {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                _ => return Err(()),
            };
            Ok(())
        }),
    },
    Setting {
        section: "metrics",
        key: "listen",
        default: "none",
        accepts: "an address with a port, such as 127.0.0.1:9090; port 0 takes a free one",
        about: "Where `/metrics` is served to anybody who reaches it, without a token and nothing else.",
        apply: Apply::One(|config, text| {
            config.metrics.listen = Some(text.parse().map_err(|_| ())?);
            Ok(())
        }),
    },
    Setting {
        section: "cors",
        key: "allowed_origins",
        default: "`[]`",
        accepts: "a list of origins such as https://app.example.com, without path and without *",
        about: "Origins whose pages may call the API from a browser. Compared exactly.",
        apply: Apply::Many(|config, items| {
            if !items.iter().all(|item| is_origin(item)) {
                return Err(());
            }
            config.cors.allowed_origins = items.to_vec();
            Ok(())
        }),
    },
];

fn parse<T: FromStr>(slot: &mut T, text: &str) -> Result<(), ()> {
    *slot = text.parse().map_err(|_| ())?;
    Ok(())
}

/// What [`rate`] takes.
const RATE: &str = "a number from 1 to 1000000, or off";

fn rate(slot: &mut Option<u32>, text: &str) -> Result<(), ()> {
    *slot = if text == "off" { None } else { Some(number_within(text, 1, 1_000_000)?) };
    Ok(())
}

fn path(slot: &mut PathBuf, text: &str) -> Result<(), ()> {
    *slot = PathBuf::from(non_empty(text)?);
    Ok(())
}

/// `sun_path` holds 108 bytes with the closing zero (unix(7)); the margin is for temporary names.
fn socket(slot: &mut PathBuf, text: &str) -> Result<(), ()> {
    if text.len() > 100 {
        return Err(());
    }
    path(slot, text)
}

fn non_empty(text: &str) -> Result<String, ()> {
    if text.is_empty() || text.chars().count() > 4_096 { Err(()) } else { Ok(text.to_owned()) }
}

fn password_rule(text: &str) -> Result<PasswordRule, ()> {
    Ok(match text {
        "common" => PasswordRule::Common,
        "personal" => PasswordRule::Personal,
        "lower" => PasswordRule::Lower,
        "upper" => PasswordRule::Upper,
        "digit" => PasswordRule::Digit,
        "symbol" => PasswordRule::Symbol,
        _ => return Err(()),
    })
}

fn web_url(text: &str) -> Result<url::Url, ()> {
    let url = url::Url::parse(text).map_err(|_| ())?;
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if plain && url.has_host() && matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err(()) }
}

/// What every kind of bucket may be called (Amazon S3, "General purpose bucket naming rules").
fn bucket_name(text: &str) -> Result<String, ()> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let inner = text.bytes().all(|byte| plain(byte) || matches!(byte, b'-' | b'.'));
    let ends = text.bytes().next().is_some_and(plain) && text.bytes().last().is_some_and(plain);
    if inner && ends && (3..=63).contains(&text.len()) { Ok(text.to_owned()) } else { Err(()) }
}

fn region(text: &str) -> Result<String, ()> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=64).contains(&text.len()) && text.bytes().all(plain) { Ok(text.to_owned()) } else { Err(()) }
}

/// Ends with a slash.
fn key_prefix(text: &str) -> Result<String, ()> {
    let text = text.trim_matches('/');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
    let steps = text.split('/').all(|step| !matches!(step, "" | "." | ".."));
    if steps && text.len() <= 512 && text.bytes().all(plain) { Ok(format!("{text}/")) } else { Err(()) }
}

fn number_within<T: FromStr + PartialOrd>(text: &str, least: T, most: T) -> Result<T, ()> {
    text.parse().ok().filter(|number| (&least..=&most).contains(&number)).ok_or(())
}

fn duration_within(text: &str, least_ms: u128, most_ms: u128) -> Result<std::time::Duration, ()> {
    duration(text).filter(|found| (least_ms..=most_ms).contains(&found.as_millis())).ok_or(())
}

/// A whole number that is not zero.
fn count(field: &mut usize, text: &str, most: usize) -> Result<(), ()> {
    *field = text.parse().ok().filter(|number| (1..=most).contains(number)).ok_or(())?;
    Ok(())
}

/// Scheme, host and port as a browser sends them (RFC 6454 §6.2); `null` and `*` are not origins.
fn is_origin(text: &str) -> bool {
    let Some(authority) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
        return false;
    };
    !authority.is_empty()
        && authority.bytes().all(|byte| {
            byte.is_ascii_lowercase()
                || byte.is_ascii_digit()
                || matches!(byte, b'.' | b'-' | b':' | b'[' | b']')
        })
}

#[cfg(test)]
mod tests {
    use super::{SETTINGS, is_origin};

    #[test]
    fn origins() {
        let check = |text, valid| assert_eq!(is_origin(text), valid, "{text}");
        check("https://app.example.com", true);
        check("http://localhost:5173", true);
        check("http://[::1]:5173", true);
        check("*", false);
        check("null", false);
        check("https://app.example.com/", false);
        check("https://*.example.com", false);
        check("https://", false);
        check("ftp://example.com", false);
    }

    /// `UPDATE=1 cargo test -p alyx-server` rewrites the page.
    #[test]
    fn the_reference_page_is_this_table() {
        let mut page = String::from(include_str!("settings.md"));
        let mut section = "";
        for setting in SETTINGS {
            if setting.section != section {
                section = setting.section;
                page.push_str(&format!(
                    "\n## `{section}`\n\n| key | default | accepts | what it does |\n|---|---|---|---|\n"
                ));
            }
            page.push_str(&format!(
                "| `{}` | {} | {} | {} |\n",
                setting.key, setting.default, setting.accepts, setting.about
            ));
        }
        page.push_str(include_str!("providers.md"));
        for setting in super::super::providers::PROVIDER_SETTINGS {
            page.push_str(&format!("| `{}` | {} | {} |\n", setting.key, setting.accepts, setting.about));
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert!(found == page, "docs/configuration.md differs from the table; run with UPDATE=1 and review");
    }
}
