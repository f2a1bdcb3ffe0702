//! A bucket for backups: what its settings need of each other, and where its credentials come from.

use std::path::{Path, PathBuf};

use super::Loader;
use crate::config::{S3, Secret};

/// systemd tells a service here where its credentials are.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

impl Loader<'_> {
    /// Backups go to a bucket with all that it needs, or to a directory.
    pub(super) fn complete_s3(&mut self) {
        let parts = std::mem::take(&mut self.config.backup.s3_parts);
        let Some(bucket) = parts.bucket else {
            let alone = [
                ("backup.s3_endpoint", parts.endpoint.is_some()),
                ("backup.s3_region", parts.region.is_some()),
                ("backup.s3_prefix", !parts.prefix.is_empty()),
                ("backup.s3_path_style", parts.path_style.is_some()),
                ("backup.s3_access_key", parts.access_key.is_some()),
                ("backup.s3_secret_key", parts.secret_key.is_some()),
                ("backup.s3_credentials", parts.credentials.is_some()),
            ];
            for (key, _) in alone.into_iter().filter(|(_, there)| *there) {
                self.bad(key, "is there, but no backup.s3_bucket", "all of them, or none");
            }
            return;
        };
        if !self.config.backup.directory.as_os_str().is_empty() {
            let what = "and backup.s3_bucket are both there; backups go to one place";
            self.bad("backup.directory", what, "a directory, or a bucket");
        }
        let region = parts.region.unwrap_or_else(|| "us-east-1".to_owned());
        let path_style = parts.path_style.unwrap_or(parts.endpoint.is_some());
        let default = || url::Url::parse(&format!("https://s3.{region}.amazonaws.com")).ok();
        let folder = parts.credentials.or_else(|| self.variable(CREDENTIALS).map(PathBuf::from));
        let access_key =
            parts.access_key.or_else(|| self.credential(folder.as_deref(), "s3_access_key", true));
        let secret_key =
            parts.secret_key.or_else(|| self.credential(folder.as_deref(), "s3_secret_key", true));
        let session_token =
            parts.session_token.or_else(|| self.credential(folder.as_deref(), "s3_session_token", false));
        let Some(endpoint) = parts.endpoint.or_else(default) else {
            return self.bad("backup.s3_region", "makes no address of S3", "the name of a region");
        };
        if !path_style && endpoint.domain().is_none() {
            let what = "is an address, which takes no name of a bucket before it";
            return self.bad("backup.s3_endpoint", what, "a name, or backup.s3_path_style: true");
        }
        if let (Some(access_key), Some(secret_key)) = (access_key, secret_key) {
            self.config.backup.s3 = Some(S3 {
                endpoint,
                region,
                bucket,
                prefix: parts.prefix,
                path_style,
                access_key,
                secret_key,
                session_token,
            });
        }
    }

    fn credential(&mut self, folder: Option<&Path>, name: &str, needed: bool) -> Option<Secret> {
        let key = format!("backup.{name}");
        let accepted =
            format!("the key itself, such as ${{S3_KEY}}, or a file {name} in backup.s3_credentials");
        let Some(folder) = folder else {
            if needed {
                self.bad(&key, "is missing; backup.s3_bucket needs it", &accepted);
            }
            return None;
        };
        let path = folder.join(name);
        match std::fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() && text.len() <= 8_192 => {
                Some(Secret::new(text.trim().to_owned()))
            }
            Ok(_) => {
                self.bad(&key, &format!("is no key in {}", path.display()), &accepted);
                None
            }
            Err(error) if !needed && error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                self.bad(&key, &format!("cannot be read from {}: {error}", path.display()), &accepted);
                None
            }
        }
    }

    fn bad(&mut self, key: &str, message: &str, accepted: &str) {
        self.problem("configuration".to_owned(), key, message.to_owned(), Some(accepted.to_owned()));
    }
}
