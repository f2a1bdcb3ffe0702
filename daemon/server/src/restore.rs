//! `alyxd verify` and `alyxd restore`: backups, while no daemon uses the database.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use alyx_store::backup::{self, InTheWay, SegmentName};
use jiff::Timestamp;

use crate::backups::{
    BackupError, Holdings, Manifest, Moment, NoWay, SEGMENTS, Target, damaged, list, read_manifest,
    verify_against, verify_file,
};
use crate::config::Config;
use crate::print;
use crate::problem::error_chain;
use crate::seal;

/// Where a database is taken from.
pub enum Source {
    /// A file of a backup.
    File(PathBuf),
    /// A backup of a target, by its id.
    Backup(Target, String),
    /// A moment of what a target keeps.
    Point(Target, Moment),
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error("bring the database to that moment")]
    NoWay(#[from] NoWay),
    #[error("put the database into its place")]
    Store(#[source] alyx_store::Error),
    #[error("use {path}", path = path.display())]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("start the runtime")]
    Runtime(#[source] std::io::Error),
}

/// Examines a backup, or everything in a directory of backups.
pub fn verify(path: &Path) -> ExitCode {
    let outcome = if path.is_dir() {
        run(verify_target(&Target::Directory(path.to_owned()), path))
    } else {
        verify_file(path).map_err(RestoreError::from).map(|copied| {
            print::words(&format!(
                "{} is sound: {} bytes, changes up to {}.",
                path.display(),
                copied.bytes,
                copied.seq
            ));
        })
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error, None),
    }
}

/// Examines everything that is kept where the configuration says.
pub fn verify_kept(target: &Target, config: &Config) -> ExitCode {
    match run(verify_target(target, near(config))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error, None),
    }
}

fn run<T>(work: impl Future<Output = Result<T, RestoreError>>) -> Result<T, RestoreError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(RestoreError::Runtime)?.block_on(work)
}

/// Examines every backup and every segment, and that segments follow each other.
async fn verify_target(target: &Target, near: &Path) -> Result<(), RestoreError> {
    let scratch = Scratch::new(near)?;
    let bases = list(target, &scratch.0).await?;
    for base in &bases {
        let file = scratch.0.join("base.db");
        target.get(&format!("{}.db", base.id), &file).await?;
        verify_against(&file, Some(&base.sha256))?;
        remove(&file)?;
        print::words(&format!("backup {} is sound: changes up to {}.", base.id, base.seq));
    }
    let names = segment_names(target).await?;
    let holdings = Holdings::new(bases, names);
    for (chain, names) in &holdings.chains {
        let mut previous: Option<(u64, String)> = None;
        for name in names {
            let file = scratch.0.join("segment");
            target.get(&format!("{SEGMENTS}{name}"), &file).await?;
            let (header, digest) = backup::examine_segment(&file).map_err(damaged)?;
            remove(&file)?;
            if let Some((number, before)) = &previous
                && (header.number != number + 1 || header.previous != *before)
            {
                return Err(NoWay::Missing { chain: chain.clone(), number: number + 1 }.into());
            }
            previous = Some((header.number, digest));
        }
        if let (Some(first), Some(last)) = (names.first(), names.last()) {
            print::words(&format!(
                "segments {} to {} of {chain} are sound and follow each other: up to {}, change {}.",
                first.number,
                last.number,
                backup::time_of(last.at_us),
                last.seq
            ));
        }
    }
    Ok(())
}

async fn segment_names(target: &Target) -> Result<Vec<SegmentName>, BackupError> {
    Ok(target.list(SEGMENTS).await?.iter().filter_map(|name| SegmentName::parse(name)).collect())
}

/// A folder that goes with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(parent: &Path) -> Result<Self, RestoreError> {
        let path = parent.join(format!(".alyx-restore-{}", std::process::id()));
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|source| RestoreError::File { path: path.clone(), source })?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            print::words(&format!("note: {} could not be removed: {error}", self.0.display()));
        }
    }
}

fn remove(path: &Path) -> Result<(), RestoreError> {
    fs::remove_file(path).map_err(|source| RestoreError::File { path: path.to_owned(), source })
}

/// Makes a backup, or a moment after one, the database of a project.
pub fn restore(source: &Source, config: &Config, replace: bool) -> ExitCode {
    let target = &config.database.path;
    let refused = target.exists() && !replace;
    let outcome = match source {
        // Before anything is fetched.
        Source::Point(..) | Source::Backup(..) if refused => {
            let exists = ErrorKind::AlreadyExists.into();
            Err(RestoreError::File { path: target.clone(), source: exists })
        }
        Source::Backup(from, id) => run(restore_backup(from, id, config, replace)),
        Source::Point(from, moment) => run(restore_point(from, *moment, config, replace)),
        Source::File(file) => restore_file(file, config, replace),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let hint = hint(&error);
            failed(&error, hint)
        }
    }
}

fn restore_file(file: &Path, config: &Config, replace: bool) -> Result<(), RestoreError> {
    verify_file(file)?;
    place(file, config, replace)?;
    let manifest = file.with_extension("json");
    if manifest.is_file() {
        warn_of_key(&read_manifest(&manifest)?, config)?;
    }
    Ok(())
}

/// Where there is room for a database.
fn near(config: &Config) -> &Path {
    config.database.path.parent().unwrap_or(Path::new("."))
}

async fn restore_backup(from: &Target, id: &str, config: &Config, replace: bool) -> Result<(), RestoreError> {
    let scratch = Scratch::new(near(config))?;
    let found = list(from, &scratch.0).await?.into_iter().find(|found| found.id == id);
    let manifest = found.ok_or(BackupError::NotFound)?;
    let base = scratch.0.join("base.db");
    from.get(&format!("{}.db", manifest.id), &base).await?;
    verify_against(&base, Some(&manifest.sha256))?;
    place(&base, config, replace)?;
    warn_of_key(&manifest, config)
}

async fn restore_point(
    from: &Target,
    moment: Moment,
    config: &Config,
    replace: bool,
) -> Result<(), RestoreError> {
    let scratch = Scratch::new(near(config))?;
    let holdings = Holdings::new(list(from, &scratch.0).await?, segment_names(from).await?);
    let fetch = async |name: &SegmentName| {
        let file = scratch.0.join(name.to_string());
        if !file.exists() {
            from.get(&format!("{SEGMENTS}{name}"), &file).await?;
        }
        Ok::<PathBuf, BackupError>(file)
    };
    let header = async |name: &SegmentName| {
        let file = fetch(name).await?;
        backup::segment_header(&file).map_err(damaged)
    };
    let way = holdings.way(moment, &header).await?;
    let base = scratch.0.join("base.db");
    from.get(&format!("{}.db", way.base.id), &base).await?;
    verify_against(&base, Some(&way.base.sha256))?;
    if let Some(commit) = &way.commit {
        let mut replay = backup::Replay::new(&base, commit.number).map_err(RestoreError::Store)?;
        for name in &way.segments {
            let file = fetch(name).await?;
            replay.add(&file).map_err(damaged)?;
            remove(&file)?;
        }
        replay.finish().map_err(damaged)?;
    }
    place(&base, config, replace)?;
    let moment = way.commit.map_or_else(|| way.base.created_at.clone(), |commit| commit.at());
    print::words(&format!(
        "It is the database of {moment}: backup {} and {} segments after it.",
        way.base.id,
        way.segments.len()
    ));
    warn_of_key(&way.base, config)
}

fn place(file: &Path, config: &Config, replace: bool) -> Result<(), RestoreError> {
    let target = &config.database.path;
    let suffix = format!(".replaced-{}", Timestamp::now().strftime("%Y%m%dt%H%M%Sz"));
    let in_the_way = if replace { InTheWay::PutAside(suffix) } else { InTheWay::Refuse };
    let restored = backup::restore(file, target, &in_the_way).map_err(RestoreError::Store)?;
    print::words(&format!(
        "{} holds the backup now: {} bytes, changes up to {}.",
        target.display(),
        restored.copied.bytes,
        restored.copied.seq
    ));
    if let Some(replaced) = restored.replaced {
        print::words(&format!("What was there is {}.", replaced.display()));
    }
    Ok(())
}

/// Second factors and waiting mails are sealed with a key that is no part of a backup.
fn warn_of_key(manifest: &Manifest, config: &Config) -> Result<(), RestoreError> {
    let Some(wanted) = &manifest.key else { return Ok(()) };
    let path = config.server.data.join("secret.key");
    let found = seal::name_of_file(&path);
    let found = found.map_err(|source| RestoreError::File { path: path.clone(), source })?;
    let what = match found {
        Some(found) if found == *wanted => return Ok(()),
        Some(_) => "holds another key than",
        None => "is missing, the key of",
    };
    print::words(&format!(
        "warning: {} {what} the database that was backed up. Without that key nobody signs in with a \
         one-time password (recovery codes work), and mails that wait are not sent. Put the file there \
         before the daemon starts.",
        path.display()
    ));
    Ok(())
}

const IN_THE_WAY: Option<&str> = Some("with --replace the database that is there is put aside");

fn hint(error: &RestoreError) -> Option<&'static str> {
    match error {
        RestoreError::Store(alyx_store::Error::InUse { .. }) => Some("stop the daemon first"),
        RestoreError::File { source, .. } if source.kind() == ErrorKind::AlreadyExists => IN_THE_WAY,
        RestoreError::Store(alyx_store::Error::File { source, .. })
            if source.kind() == ErrorKind::AlreadyExists =>
        {
            IN_THE_WAY
        }
        RestoreError::NoWay(NoWay::TooLate { .. }) => Some("without --at and --seq the newest is restored"),
        RestoreError::NoWay(NoWay::Missing { .. }) => {
            Some("what was written before that segment can be restored; name an earlier moment")
        }
        RestoreError::NoWay(NoWay::Gap { .. } | NoWay::Blurred { .. }) => {
            Some("name one of the two moments, or one before or after them")
        }
        _ => None,
    }
}

fn failed(error: &dyn std::error::Error, hint: Option<&str>) -> ExitCode {
    print::words(&format!("error: {}", error_chain(error)));
    if let Some(hint) = hint {
        print::words(&format!("\nhint: {hint}"));
    }
    ExitCode::FAILURE
}
