//! Backups: copies of the database in a directory, each with a manifest that is written last. A copy
//! without a manifest is not a backup.
//!
//! `<id>.db` is a database that can be opened by itself; `<id>.json` says what it holds and its SHA-256.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use alyx_store::{Store, backup};
use aws_lc_rs::digest::{Context, SHA256};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, watch};

use crate::clock;
use crate::config;
use crate::limits::BACKUP_CHECK_PERIOD;
use crate::problem::error_chain;
use crate::serve::told_to_stop;

/// The backups of a daemon. A cheap clone.
#[derive(Clone)]
pub struct Backups {
    store: Store,
    config: config::Backup,
    /// Whoever makes or removes backups waits for the others.
    busy: Arc<Mutex<()>>,
}

/// What is known of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub id: String,
    pub created_at: String,
    /// The highest sequence number of the change feed.
    pub seq: u64,
    /// Which database it is a copy of.
    pub incarnation: String,
    pub bytes: u64,
    pub sha256: String,
    /// Version of the daemon.
    pub version: String,
}

/// Why a backup could not be made, found, examined or removed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("there is no such backup")]
    NotFound,
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    #[error("copy the database")]
    Store(#[from] alyx_store::Error),
    #[error("use {path}", path = path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::File { path, source }
}

impl Backups {
    pub fn new(store: Store, config: config::Backup) -> Self {
        Self { store, config, busy: Arc::default() }
    }

    /// Makes a backup. Writers go on.
    pub async fn create(&self) -> Result<Manifest, BackupError> {
        let _turn = self.busy.lock().await;
        let directory = self.config.directory.clone();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(at(&directory))?;
        let now = Timestamp::now();
        let id = format!("{}-{}", now.strftime("%Y%m%dt%H%M%Sz"), clock::random_hex::<3>());
        let path = directory.join(format!("{id}.db"));
        let copied = self.store.copy_to(&path).await?;
        let made = blocking(move || {
            let sha256 = sha256(&path)?;
            let manifest = Manifest {
                id,
                created_at: clock::text(now),
                seq: copied.seq,
                incarnation: copied.incarnation,
                bytes: copied.bytes,
                sha256,
                version: env!("CARGO_PKG_VERSION").to_owned(),
            };
            write_manifest(&path.with_extension("json"), &manifest)?;
            Ok(manifest)
        })
        .await?;
        tracing::info!(backup.id = %made.id, bytes = made.bytes, seq = made.seq, "backup {} is made", made.id);
        Ok(made)
    }

    /// All backups, newest first.
    pub async fn list(&self) -> Result<Vec<Manifest>, BackupError> {
        let directory = self.config.directory.clone();
        blocking(move || list(&directory)).await
    }

    /// Examines a backup: its checksum, the whole file, every reference.
    pub async fn verify(&self, id: &str) -> Result<Manifest, BackupError> {
        let (directory, id) = (self.config.directory.clone(), id.to_owned());
        blocking(move || {
            let manifest = list(&directory)?.into_iter().find(|found| found.id == id);
            let manifest = manifest.ok_or(BackupError::NotFound)?;
            verify_file(&directory.join(format!("{id}.db")))?;
            Ok(manifest)
        })
        .await
    }

    /// Removes all but the newest `keep`, by default as many as the configuration says. Answers the
    /// removed.
    pub async fn prune(&self, keep: Option<usize>) -> Result<Vec<Manifest>, BackupError> {
        let _turn = self.busy.lock().await;
        let (directory, keep) = (self.config.directory.clone(), keep.unwrap_or(self.config.keep).max(1));
        blocking(move || {
            let old: Vec<Manifest> = list(&directory)?.into_iter().skip(keep).collect();
            for manifest in &old {
                // The manifest first: what is left of an interrupted removal is no backup.
                for extension in ["json", "db"] {
                    let path = directory.join(format!("{}.{extension}", manifest.id));
                    fs::remove_file(&path).map_err(at(&path))?;
                }
            }
            Ok(old)
        })
        .await
    }

    /// Where a backup lies.
    pub fn path(&self, id: &str) -> PathBuf {
        self.config.directory.join(format!("{id}.db"))
    }

    /// Makes backups as the configuration says, until it is told to stop.
    pub async fn run(self, mut stopped: watch::Receiver<bool>) {
        let Some(every) = self.config.every else { return };
        let mut due = tokio::time::interval(BACKUP_CHECK_PERIOD.min(every));
        loop {
            tokio::select! {
                () = told_to_stop(&mut stopped) => return,
                _ = due.tick() => {}
            }
            tokio::select! {
                () = told_to_stop(&mut stopped) => return,
                done = self.keep_up(every) => if let Err(error) = done {
                    tracing::error!("the scheduled backup failed: {}", error_chain(&error));
                },
            }
        }
    }

    async fn keep_up(&self, every: Duration) -> Result<(), BackupError> {
        let newest = self.list().await?.into_iter().next();
        let made_at = newest.and_then(|newest| newest.created_at.parse::<Timestamp>().ok());
        if made_at.is_none_or(|made_at| made_at + every <= Timestamp::now()) {
            self.create().await?;
            self.prune(None).await?;
        }
        Ok(())
    }
}

/// Examines a backup file, against its manifest if it has one.
pub fn verify_file(path: &Path) -> Result<backup::Copied, BackupError> {
    let manifest = path.with_extension("json");
    if manifest.is_file() {
        let manifest = read_manifest(&manifest)?;
        if manifest.sha256 != sha256(path)? {
            return Err(BackupError::Damaged(
                "its content does not have the checksum of its manifest".to_owned(),
            ));
        }
    }
    backup::examine(path).map_err(|error| match error {
        alyx_store::Error::Corrupt { .. } | alyx_store::Error::Foreign { .. } => {
            BackupError::Damaged(error.to_string())
        }
        other => other.into(),
    })
}

fn list(directory: &Path) -> Result<Vec<Manifest>, BackupError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(at(directory)(error)),
    };
    let mut manifests = Vec::new();
    for entry in entries {
        let path = entry.map_err(at(directory))?.path();
        let is_manifest = path.extension().is_some_and(|extension| extension == "json");
        if is_manifest && path.with_extension("db").is_file() {
            let manifest = read_manifest(&path)?;
            if path.file_stem().is_some_and(|stem| *stem == *manifest.id) {
                manifests.push(manifest);
            }
        }
    }
    manifests.sort_by(|a, b| (&b.created_at, &b.id).cmp(&(&a.created_at, &a.id)));
    Ok(manifests)
}

fn read_manifest(path: &Path) -> Result<Manifest, BackupError> {
    let text = fs::read(path).map_err(at(path))?;
    serde_json::from_slice(&text).map_err(|error| BackupError::Damaged(format!("its manifest: {error}")))
}

fn write_manifest(path: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    let text = serde_json::to_vec_pretty(manifest).map_err(|error| at(path)(error.into()))?;
    let part = path.with_extension("json.part");
    let write = || -> io::Result<()> {
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&part, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(at(path))
}

fn sha256(path: &Path) -> Result<String, BackupError> {
    let mut file = File::open(path).map_err(at(path))?;
    let (mut context, mut buffer) = (Context::new(&SHA256), vec![0; 1 << 20]);
    loop {
        let length = file.read(&mut buffer).map_err(at(path))?;
        if length == 0 {
            return Ok(clock::hex(context.finish().as_ref()));
        }
        context.update(&buffer[..length]);
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    tokio::task::spawn_blocking(work).await.expect("the work reports instead of panicking")
}
