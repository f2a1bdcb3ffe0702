//! Backups: copies of the database in a directory, each with a manifest that is written last. A copy
//! without a manifest is not a backup.
//!
//! `<id>.db` is a database that can be opened by itself; `<id>.json` says what it holds and its SHA-256.

mod point;
mod s3;
mod shipping;
mod target;

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alyx_store::{Mark, Store, backup};
use aws_lc_rs::digest::{Context, SHA256};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, watch};

use crate::clock;
use crate::config;
use crate::limits::BACKUP_CHECK_PERIOD;
use crate::metrics::Metrics;
use crate::serve::told_to_stop;

pub use point::{Holdings, Moment, NoWay};
pub use s3::S3Error;
use shipping::Shipping;
pub use shipping::{SEGMENTS, Status};
pub use target::Target;

/// The backups of a daemon. A cheap clone.
#[derive(Clone)]
pub struct Backups {
    store: Store,
    config: config::Backup,
    target: Target,
    /// Where files lie that are on their way.
    scratch: PathBuf,
    /// Names the key that seals secrets in the database.
    key: String,
    /// Whoever makes or removes backups waits for the others.
    busy: Arc<Mutex<()>>,
    shipping: Arc<Shipping>,
    metrics: Metrics,
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
    /// Names the `secret.key` that seals secrets in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Where it stands among the segments that were kept, if any were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<Mark>,
}

impl Manifest {
    fn data(&self) -> String {
        format!("{}.db", self.id)
    }
}

/// Why a backup could not be made, found, examined or removed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("there is no such backup")]
    NotFound,
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    #[error("use the bucket")]
    S3(#[from] S3Error),
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
    /// `key` names the key that seals secrets in the database.
    pub fn new(
        store: Store,
        config: &config::Config,
        key: String,
        metrics: Metrics,
    ) -> Result<Self, BackupError> {
        let scratch = config.server.data.join("cache");
        clean(&scratch)?;
        Ok(Self {
            store,
            target: Target::of(&config.backup, scratch.clone())?,
            config: config.backup.clone(),
            scratch,
            key,
            busy: Arc::default(),
            shipping: Arc::default(),
            metrics,
        })
    }

    /// Makes a backup. Writers go on.
    pub async fn create(&self) -> Result<Manifest, BackupError> {
        let _turn = self.busy.lock().await;
        let now = Timestamp::now();
        let id = format!("{}-{}", now.strftime("%Y%m%dt%H%M%Sz"), clock::random_hex::<3>());
        let path = match &self.target {
            Target::Directory(folder) => {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at(folder))?;
                folder.join(format!("{id}.db"))
            }
            Target::S3(_) => self.scratch.join(format!("{SCRATCH}{id}.db")),
        };
        let made = self.keep_copy(id, now, &path).await;
        if let Target::S3(_) = self.target {
            // It may never have been made.
            drop(fs::remove_file(&path));
        }
        let made = made.inspect_err(|_| self.metrics.backup_failure())?;
        self.shipping.note_made(now);
        tracing::info!(backup.id = %made.id, bytes = made.bytes, seq = made.seq, "backup {} is made", made.id);
        Ok(made)
    }

    async fn keep_copy(&self, id: String, now: Timestamp, path: &Path) -> Result<Manifest, BackupError> {
        let copied = self.store.copy_to(path).await?;
        let (file, sealed) = (path.to_owned(), self.key.clone());
        let manifest = blocking(move || {
            Ok(Manifest {
                id,
                created_at: clock::text(now),
                seq: copied.seq,
                incarnation: copied.incarnation,
                bytes: copied.bytes,
                sha256: sha256(&file)?,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                key: Some(sealed),
                mark: copied.mark,
            })
        })
        .await?;
        self.target.put(&manifest.data(), path).await?;
        self.put_manifest(&manifest).await?;
        Ok(manifest)
    }

    /// Written last: what has none is no backup.
    async fn put_manifest(&self, manifest: &Manifest) -> Result<(), BackupError> {
        let file = self.scratch.join(format!("{}.json", manifest.id));
        let text = serde_json::to_vec_pretty(manifest).map_err(|error| at(&file)(error.into()))?;
        fs::write(&file, text).map_err(at(&file))?;
        let put = self.target.put(&format!("{}.json", manifest.id), &file).await;
        put.and(fs::remove_file(&file).map_err(at(&file)))
    }

    /// All backups, newest first.
    pub async fn list(&self) -> Result<Vec<Manifest>, BackupError> {
        list(&self.target, &self.scratch).await
    }

    /// Examines a backup: its checksum, the whole file, every reference.
    pub async fn verify(&self, id: &str) -> Result<Manifest, BackupError> {
        let manifest = self.list().await?.into_iter().find(|found| found.id == id);
        let manifest = manifest.ok_or(BackupError::NotFound)?;
        let expected = manifest.sha256.clone();
        match &self.target {
            Target::Directory(directory) => {
                let path = directory.join(manifest.data());
                blocking(move || verify_against(&path, Some(&expected))).await?;
            }
            Target::S3(s3) => {
                let path = self.scratch.join(format!("{SCRATCH}{}.db", clock::random_hex::<8>()));
                let fetched = s3.get(&manifest.data(), &path).await;
                let file = path.clone();
                let verified = match fetched {
                    Ok(()) => blocking(move || verify_against(&file, Some(&expected))).await.map(drop),
                    Err(error) => Err(error),
                };
                // It may never have been made.
                drop(fs::remove_file(&path));
                verified?;
            }
        }
        Ok(manifest)
    }

    /// Removes all but the newest `keep`, by default as many as the configuration says, and the segments
    /// that only the removed need. Answers the removed.
    pub async fn prune(&self, keep: Option<usize>) -> Result<Vec<Manifest>, BackupError> {
        let _turn = self.busy.lock().await;
        let keep = keep.unwrap_or(self.config.keep).max(1);
        let mut kept = self.list().await?;
        let old = kept.split_off(keep.min(kept.len()));
        for manifest in &old {
            // The manifest first: what is left of an interrupted removal is no backup.
            self.target.remove(&format!("{}.json", manifest.id)).await?;
            self.target.remove(&manifest.data()).await?;
        }
        self.prune_segments(&kept).await?;
        Ok(old)
    }

    /// Where a backup lies.
    pub fn path(&self, id: &str) -> String {
        self.target.place(&format!("{id}.db"))
    }

    /// Makes backups as the configuration says, until it is told to stop.
    pub async fn run(self, mut stopped: watch::Receiver<bool>) {
        let period = match (self.config.every, &self.target) {
            (Some(every), _) => BACKUP_CHECK_PERIOD.min(every),
            // So that a bucket that cannot be used is told of before a backup is wanted.
            (None, Target::S3(_)) => BACKUP_CHECK_PERIOD,
            (None, Target::Directory(_)) => return,
        };
        let mut due = tokio::time::interval(period);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut is_clean = false;
        loop {
            tokio::select! {
                () = told_to_stop(&mut stopped) => return,
                _ = due.tick() => {}
            }
            tokio::select! {
                () = told_to_stop(&mut stopped) => return,
                done = self.keep_up(&mut is_clean) => self.shipping.note_backup(done.as_ref().err()),
            }
        }
    }

    async fn keep_up(&self, is_clean: &mut bool) -> Result<(), BackupError> {
        if !*is_clean {
            self.target.clean().await?;
            *is_clean = true;
        }
        let Some(every) = self.config.every else { return self.target.list("").await.map(drop) };
        let newest = self.list().await?.into_iter().next();
        let made_at = newest.and_then(|newest| newest.created_at.parse::<Timestamp>().ok());
        made_at.into_iter().for_each(|at| self.shipping.note_made(at));
        if made_at.is_none_or(|made_at| made_at + every <= Timestamp::now()) {
            self.create().await?;
            self.prune(None).await?;
        }
        Ok(())
    }
}

/// How copies on their way to or from elsewhere begin.
const SCRATCH: &str = "backup-";

/// Removes copies that a daemon that was killed left.
fn clean(scratch: &Path) -> Result<(), BackupError> {
    for entry in fs::read_dir(scratch).map_err(at(scratch))? {
        let path = entry.map_err(at(scratch))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(SCRATCH) {
            fs::remove_file(&path).map_err(at(&path))?;
        }
    }
    Ok(())
}

/// Examines a backup file, against its manifest if it has one.
pub fn verify_file(path: &Path) -> Result<backup::Copied, BackupError> {
    let manifest = path.with_extension("json");
    let manifest = manifest.is_file().then(|| read_manifest(&manifest)).transpose()?;
    verify_against(path, manifest.as_ref().map(|manifest| manifest.sha256.as_str()))
}

/// Examines a backup file, against a checksum if one is known.
pub fn verify_against(path: &Path, expected: Option<&str>) -> Result<backup::Copied, BackupError> {
    if let Some(expected) = expected
        && expected != sha256(path)?
    {
        return Err(BackupError::Damaged(
            "its content does not have the checksum of its manifest".to_owned(),
        ));
    }
    backup::examine(path).map_err(damaged)
}

/// Tells damage from other failures.
pub fn damaged(error: alyx_store::Error) -> BackupError {
    match error {
        alyx_store::Error::Corrupt { .. } | alyx_store::Error::Foreign { .. } => {
            BackupError::Damaged(error.to_string())
        }
        other => other.into(),
    }
}

/// All backups of a target, newest first. One without its data, or without a manifest, is none.
pub async fn list(target: &Target, scratch: &Path) -> Result<Vec<Manifest>, BackupError> {
    let names = target.list("").await?;
    let mut manifests = Vec::new();
    for name in &names {
        let Some(id) = name.strip_suffix(".json") else { continue };
        if !names.iter().any(|other| other.strip_suffix(".db") == Some(id)) {
            continue;
        }
        let file = scratch.join(format!("manifest-{}", clock::random_hex::<8>()));
        let read = target.get(name, &file).await.and_then(|()| read_manifest(&file));
        // It may never have been made.
        drop(fs::remove_file(&file));
        let manifest = read?;
        if manifest.id == id {
            manifests.push(manifest);
        }
    }
    manifests.sort_by(|a, b| (&b.created_at, &b.id).cmp(&(&a.created_at, &a.id)));
    Ok(manifests)
}

/// Reads what is known of a backup.
pub fn read_manifest(path: &Path) -> Result<Manifest, BackupError> {
    let text = fs::read(path).map_err(at(path))?;
    serde_json::from_slice(&text).map_err(|error| BackupError::Damaged(format!("its manifest: {error}")))
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
