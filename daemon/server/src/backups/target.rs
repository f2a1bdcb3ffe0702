//! Where backups and segments are kept: files under names, each there as a whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::s3::S3;
use super::{BackupError, at, blocking};
use crate::config;

/// A place to keep files in. A cheap clone.
#[derive(Clone)]
pub enum Target {
    /// A directory, best on another disk.
    Directory(PathBuf),
    /// A folder of a bucket.
    S3(Arc<S3>),
}

impl Target {
    /// The one that is configured; in the directory `notes` it notes what it begins and must end.
    pub fn of(config: &config::Backup, notes: PathBuf) -> Result<Self, BackupError> {
        Ok(match &config.s3 {
            Some(s3) => Self::S3(Arc::new(S3::new(s3, notes)?)),
            None => Self::Directory(config.directory.clone()),
        })
    }

    /// Where a file is, for people.
    pub fn place(&self, name: &str) -> String {
        match self {
            Self::Directory(directory) => directory.join(name).display().to_string(),
            Self::S3(s3) => s3.place(name),
        }
    }

    /// Tidies up what a process before this one left.
    pub async fn clean(&self) -> Result<(), BackupError> {
        match self {
            Self::Directory(_) => Ok(()),
            Self::S3(s3) => s3.end_unfinished().await,
        }
    }

    /// The names of all files below a folder, which is empty or ends with a slash.
    pub async fn list(&self, folder: &'static str) -> Result<Vec<String>, BackupError> {
        match self {
            Self::Directory(directory) => {
                let directory = directory.join(folder);
                blocking(move || list(&directory)).await
            }
            Self::S3(s3) => Ok(s3.list(folder).await?),
        }
    }

    /// Keeps a copy of a file under a name.
    pub async fn put(&self, name: &str, file: &Path) -> Result<(), BackupError> {
        match self {
            Self::Directory(directory) => {
                let (to, file) = (directory.join(name), file.to_owned());
                blocking(move || if to == file { Ok(()) } else { put(&file, &to) }).await
            }
            Self::S3(s3) => s3.put(name, file).await,
        }
    }

    /// Writes what is kept under a name into a file, which must not exist.
    pub async fn get(&self, name: &str, file: &Path) -> Result<(), BackupError> {
        match self {
            Self::Directory(directory) => {
                let (from, file) = (directory.join(name), file.to_owned());
                blocking(move || fs::copy(&from, &file).map(drop).map_err(at(&from))).await
            }
            Self::S3(s3) => s3.get(name, file).await,
        }
    }

    /// Removes a file, which may be gone already.
    pub async fn remove(&self, name: &str) -> Result<(), BackupError> {
        match self {
            Self::Directory(directory) => {
                let path = directory.join(name);
                blocking(move || match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&path)(error)),
                    _ => Ok(()),
                })
                .await
            }
            Self::S3(s3) => Ok(s3.remove(name).await?),
        }
    }
}

fn list(directory: &Path) -> Result<Vec<String>, BackupError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(at(directory)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        // A name that is not UTF-8 is none of ours.
        names.extend(entry.map_err(at(directory))?.file_name().into_string().ok());
    }
    Ok(names)
}

fn put(from: &Path, to: &Path) -> Result<(), BackupError> {
    let folder = to.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at(folder))?;
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let write = || -> io::Result<()> {
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        io::copy(&mut File::open(from)?, &mut file)?;
        file.flush()?;
        file.sync_all()?;
        fs::rename(&part, to)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(at(to))
}
