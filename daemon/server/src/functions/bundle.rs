//! Sealing: a function's directory becomes a read-only, content-addressed copy below `bundles/`.
//!
//! A bundle holds regular files, directories and relative links that stay inside, nothing else: a
//! socket or device in a bound directory would be a way out of the sandbox. The digest covers sorted
//! paths, kinds, the executable bit and contents, so equal sources have equal digests anywhere.
//! Everything here blocks; call it from a thread that may.

mod walk;

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use alyx_protocol::ids::Digest;
use aws_lc_rs::digest::{Context, SHA256};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use super::limits::{BUNDLE_KEPT, BUNDLE_MAX_BYTES};
use crate::clock::random_hex;
pub use walk::{Kind, fingerprint};

/// Marks directories that are not finished bundles.
const UNFINISHED: &str = ".new-";

/// Why a directory cannot be sealed.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Something that a bundle must not hold.
    #[error("{path} is a {kind}, and a function may hold only files, directories and links inside it")]
    Kind {
        /// Relative path.
        path: String,
        /// What it is.
        kind: &'static str,
    },
    /// A link that leaves the function's directory, or leads nowhere.
    #[error("the link {path} does not lead to something inside the function's directory")]
    Link {
        /// Relative path.
        path: String,
    },
    /// A name that is not UTF-8.
    #[error("the name {0} is not UTF-8")]
    Name(String),
    /// Over a bound.
    #[error("the function's directory has more than {0}")]
    TooMuch(&'static str),
    /// The file system failed.
    #[error("{doing} {path}", path = path.display())]
    Io {
        /// What we were doing.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// Whether a bundle must survive a power failure the moment it is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Written through.
    Durable,
    /// Left to the kernel; for dev mode.
    Relaxed,
}

/// Seals a directory and gives the digest of the bundle.
pub fn seal(source: &Path, bundles: &Path, durability: Durability) -> Result<Digest, BundleError> {
    let entries = walk::collect(source)?;
    create_dirs(bundles)?;
    let unfinished = bundles.join(format!("{UNFINISHED}{}", random_hex::<8>()));
    let sealed = copy(source, &entries, &unfinished).and_then(|digest| {
        let path = bundles.join(digest.to_string());
        if path.is_dir() {
            remove(&unfinished)?;
            touch(&path)?;
            return Ok(digest);
        }
        if durability == Durability::Durable {
            sync(&unfinished)?;
        }
        match fs::rename(&unfinished, &path) {
            Ok(()) => {}
            // Somebody else has just sealed the same content.
            Err(_) if path.is_dir() => remove(&unfinished)?,
            Err(source) => return Err(failed("name", &path, source)),
        }
        if durability == Durability::Durable {
            sync(bundles)?;
        }
        Ok(digest)
    });
    if sealed.is_err() && unfinished.exists() {
        // The error that counts is the first one; what is left is removed at the next start.
        drop(remove(&unfinished));
    }
    sealed
}

/// Digest of a directory without sealing it.
pub fn digest(source: &Path) -> Result<Digest, BundleError> {
    let entries = walk::collect(source)?;
    let mut hash = start_hash();
    for entry in &entries {
        let path = source.join(&entry.path);
        let content = match &entry.kind {
            Kind::File { .. } => {
                let content = fs::read(&path).map_err(|source| failed("read", &path, source))?;
                digest_of(&content)
            }
            Kind::Directory | Kind::Link { .. } => [0; 32],
        };
        add(&mut hash, entry, &content);
    }
    Ok(finish_hash(hash))
}

/// Copies a directory for a build, refusing what a bundle refuses. Gives the digest of the copy.
pub fn copy_writable(source: &Path, target: &Path) -> Result<Digest, BundleError> {
    let entries = walk::collect(source)?;
    let digest = copy(source, &entries, target)?;
    for entry in entries.iter().filter(|entry| matches!(entry.kind, Kind::Directory)) {
        set_mode(&target.join(&entry.path), 0o755)?;
    }
    set_mode(target, 0o755)?;
    Ok(digest)
}

/// Removes bundles that nobody keeps and that are old, and what was never finished.
pub fn collect_garbage(bundles: &Path, keep: &HashSet<Digest>, now: SystemTime) -> usize {
    let Ok(entries) = fs::read_dir(bundles) else { return 0 };
    let mut removed = 0;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_old = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|modified| now.duration_since(modified).is_ok_and(|age| age > BUNDLE_KEPT));
        let is_garbage = match name.parse::<Digest>() {
            Ok(digest) => is_old && !keep.contains(&digest),
            Err(_) => name.starts_with(UNFINISHED),
        };
        if is_garbage {
            match remove(&entry.path()) {
                Ok(()) => removed += 1,
                Err(error) => tracing::warn!("{}", crate::problem::error_chain(&error)),
            }
        }
    }
    removed
}

fn copy(source: &Path, entries: &[walk::Entry], target: &Path) -> Result<Digest, BundleError> {
    let root = fs::File::open(source).map_err(|error| failed("open", source, error))?;
    create_dir(target, 0o755)?;
    let mut hash = start_hash();
    let mut left = BUNDLE_MAX_BYTES;
    for entry in entries {
        let to = target.join(&entry.path);
        let content = match &entry.kind {
            Kind::Directory => {
                create_dir(&to, 0o755)?;
                [0; 32]
            }
            Kind::Link { target } => {
                symlink(target, &to).map_err(|source| failed("link", &to, source))?;
                [0; 32]
            }
            Kind::File { executable } => {
                let from = source.join(&entry.path);
                let mut file = open_inside(&root, entry).map_err(|error| failed("open", &from, error))?;
                copy_file(&mut file, &from, &to, *executable, &mut left)?
            }
        };
        add(&mut hash, entry, &content);
    }
    // Directories become read-only once everything is in them, the innermost first.
    let directories = entries.iter().rev().filter(|entry| matches!(entry.kind, Kind::Directory));
    for path in directories.map(|entry| target.join(&entry.path)).chain([target.to_owned()]) {
        set_mode(&path, 0o555)?;
    }
    Ok(finish_hash(hash))
}

/// Opens a file of the walk. Since then it, or a directory above it, may have become a link, a pipe or
/// a device: none is followed, waited for or read.
///
/// One name after the other, and not by `openat2`: with `RestrictSUIDSGID=yes` systemd takes that away,
/// because its filter cannot see the mode of a file to be made.
fn open_inside(root: &fs::File, entry: &walk::Entry) -> io::Result<fs::File> {
    let (folders, name) = entry.path.rsplit_once('/').unwrap_or(("", &entry.path));
    let no_link = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut folder = root.try_clone()?;
    for name in folders.split('/').filter(|name| !name.is_empty()) {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | no_link;
        folder = openat(&folder, name, flags, Mode::empty())?.into();
    }
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | no_link;
    let file = fs::File::from(openat(&folder, name, flags, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no file any more")) }
}

fn copy_file(
    source: &mut fs::File,
    from: &Path,
    to: &Path,
    executable: bool,
    left: &mut u64,
) -> Result<[u8; 32], BundleError> {
    let mut target = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(|error| failed("create", to, error))?;
    let mut hash = Context::new(&SHA256);
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let size = source.read(&mut chunk).map_err(|error| failed("read", from, error))?;
        if size == 0 {
            break;
        }
        *left = left.checked_sub(size as u64).ok_or(BundleError::TooMuch("512 MiB of content"))?;
        hash.update(&chunk[..size]);
        target.write_all(&chunk[..size]).map_err(|error| failed("write", to, error))?;
    }
    set_mode(to, if executable { 0o555 } else { 0o444 })?;
    Ok(bytes_of(hash))
}

fn start_hash() -> Context {
    let mut hash = Context::new(&SHA256);
    hash.update(b"alyx-bundle-1\n");
    hash
}

/// Every part has a length or a fixed size, so no two trees have the same bytes.
fn add(hash: &mut Context, entry: &walk::Entry, content: &[u8; 32]) {
    let (kind, link) = match &entry.kind {
        Kind::Directory => (b'd', ""),
        Kind::File { executable: false } => (b'f', ""),
        Kind::File { executable: true } => (b'x', ""),
        Kind::Link { target } => (b'l', target.as_str()),
    };
    hash.update(&[kind]);
    for text in [entry.path.as_str(), link] {
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    hash.update(content);
}

fn finish_hash(hash: Context) -> Digest {
    Digest::from_bytes(bytes_of(hash))
}

fn digest_of(content: &[u8]) -> [u8; 32] {
    let mut hash = Context::new(&SHA256);
    hash.update(content);
    bytes_of(hash)
}

fn bytes_of(hash: Context) -> [u8; 32] {
    hash.finish().as_ref().try_into().expect("a SHA-256 has 32 bytes")
}

fn create_dirs(path: &Path) -> Result<(), BundleError> {
    fs::create_dir_all(path).map_err(|source| failed("create", path, source))
}

fn create_dir(path: &Path, mode: u32) -> Result<(), BundleError> {
    fs::DirBuilder::new().mode(mode).create(path).map_err(|source| failed("create", path, source))
}

fn set_mode(path: &Path, mode: u32) -> Result<(), BundleError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(|source| failed("set the mode of", path, source))
}

/// Writes the whole file system of a path through: one call for any number of files.
fn sync(path: &Path) -> Result<(), BundleError> {
    let directory = fs::File::open(path).map_err(|source| failed("open", path, source))?;
    nix::unistd::syncfs(&directory).map_err(|errno| failed("sync", path, errno.into()))
}

/// Marks a bundle as used now.
fn touch(path: &Path) -> Result<(), BundleError> {
    let directory = fs::File::open(path).map_err(|source| failed("open", path, source))?;
    let times = fs::FileTimes::new().set_modified(SystemTime::now());
    directory.set_times(times).map_err(|source| failed("touch", path, source))
}

/// Removes a tree whose directories are read-only. Links are removed, not followed.
pub fn remove(path: &Path) -> Result<(), BundleError> {
    let mut stack = vec![path.to_owned()];
    while let Some(directory) = stack.pop() {
        set_mode(&directory, 0o755)?;
        let entries = fs::read_dir(&directory).map_err(|source| failed("read", &directory, source))?;
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                stack.push(entry.path());
            }
        }
    }
    fs::remove_dir_all(path).map_err(|source| failed("remove", path, source))
}

fn failed(doing: &'static str, path: &Path, source: io::Error) -> BundleError {
    BundleError::Io { doing, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
