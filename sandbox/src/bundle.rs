//! Finds a bundle by its digest and makes sure that it holds only what a bundle may hold.
//!
//! Everything is opened below the configured directory and checked through the descriptor; no path is
//! looked up twice. A bundle holds regular files with one name each, directories, and relative links
//! that stay inside. Sockets above all must not be there: before Landlock ABI 9 a worker could connect
//! to one.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use alyx_protocol::ids::Digest;
use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};

use crate::limits::{BUNDLE_DEPTH_MAX, BUNDLE_ENTRIES_MAX};

/// Checked bundles that are remembered.
const REMEMBERED_MAX: usize = 4_096;

/// The directory that holds all bundles.
#[derive(Debug)]
pub struct Bundles {
    directory: OwnedFd,
    checked: HashMap<Digest, Identity>,
}

/// What tells a bundle directory from another one put in its place.
type Identity = (u64, u64, i64, i64);

/// Why a bundle cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("no such bundle")]
    NotFound,
    #[error("{path} {what}")]
    Rejected { path: String, what: &'static str },
    #[error("reading {path} failed: {source}")]
    Io { path: String, source: io::Error },
}

impl Bundles {
    /// Opens the configured directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self { directory: nix::fcntl::open(path, flags, Mode::empty())?, checked: HashMap::new() })
    }

    /// Checks a bundle; gives device and inode of its directory. A bundle that has not changed since
    /// its last check is not read again.
    pub fn check(&mut self, digest: Digest) -> Result<(u64, u64), BundleError> {
        let name = CString::new(digest.to_string()).expect("hex digits hold no NUL");
        let top = open_directory(self.directory.as_fd(), &name).map_err(|error| match error {
            nix::Error::ENOENT => BundleError::NotFound,
            nix::Error::ELOOP | nix::Error::ENOTDIR => rejected(Path::new("."), "is not a directory"),
            error => BundleError::Io { path: ".".to_owned(), source: error.into() },
        })?;
        let found = fstat(&top).map_err(|error| failed(Path::new("."), error))?;
        let identity = (found.st_dev, found.st_ino, found.st_ctime, found.st_ctime_nsec);
        if self.checked.get(&digest) != Some(&identity) {
            Walk { entries: 0 }.directory(top, Path::new(""), 0)?;
            if self.checked.len() >= REMEMBERED_MAX {
                self.checked.clear();
            }
            self.checked.insert(digest, identity);
        }
        Ok((found.st_dev, found.st_ino))
    }
}

/// Opens a directory by its one name: no link, and no other file system.
///
/// Not by `openat2`, which would say all of that in one call: with `RestrictSUIDSGID=yes` systemd takes it
/// away, because its filter cannot see the mode of a file to be made.
fn open_directory(parent: BorrowedFd<'_>, name: &CStr) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let directory = openat(parent, name, flags, Mode::empty())?;
    if fstat(&directory)?.st_dev == fstat(parent)?.st_dev { Ok(directory) } else { Err(nix::Error::EXDEV) }
}

fn rejected(path: &Path, what: &'static str) -> BundleError {
    // Shown to people and to the log, so without control characters and not without end.
    let path = path.display().to_string().chars().filter(|letter| !letter.is_control()).take(200).collect();
    BundleError::Rejected { path, what }
}

fn failed(path: &Path, error: impl Into<io::Error>) -> BundleError {
    BundleError::Io { path: path.display().to_string(), source: error.into() }
}

struct Walk {
    entries: usize,
}

impl Walk {
    fn directory(&mut self, directory: OwnedFd, path: &Path, depth: usize) -> Result<(), BundleError> {
        if depth > BUNDLE_DEPTH_MAX {
            return Err(rejected(path, "is too deep"));
        }
        let copy = directory.try_clone().map_err(|error| failed(path, error))?;
        for entry in Dir::from_fd(copy).map_err(|error| failed(path, error))? {
            let entry = entry.map_err(|error| failed(path, error))?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            self.entries += 1;
            if self.entries > BUNDLE_ENTRIES_MAX {
                return Err(rejected(path, "is one entry too many"));
            }
            let path = path.join(&*name.to_string_lossy());
            self.entry(&directory, name, &path, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, parent: &OwnedFd, name: &CStr, path: &Path, depth: usize) -> Result<(), BundleError> {
        let found =
            fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(|error| failed(path, error))?;
        match SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFREG => check_file(&found).map_err(|what| rejected(path, what)),
            SFlag::S_IFDIR if found.st_mode & 0o6000 != 0 => Err(rejected(path, "is setuid or setgid")),
            SFlag::S_IFDIR => {
                let child = open_directory(parent.as_fd(), name).map_err(|error| failed(path, error))?;
                self.directory(child, path, depth + 1)
            }
            SFlag::S_IFLNK => {
                let target = readlinkat(parent, name).map_err(|error| failed(path, error))?;
                if is_contained(Path::new(&target), depth) {
                    Ok(())
                } else {
                    Err(rejected(path, "is a link that leaves the bundle"))
                }
            }
            _ => Err(rejected(path, "is neither file, directory nor link")),
        }
    }
}

fn check_file(found: &FileStat) -> Result<(), &'static str> {
    if found.st_mode & 0o6000 != 0 {
        return Err("is setuid or setgid");
    }
    // A second name could be outside, and writable there.
    if found.st_nlink != 1 {
        return Err("has more than one name");
    }
    Ok(())
}

/// Whether a link in a directory `depth` levels below the top stays inside. Every `..` is counted as if
/// the names before it were directories, and none may climb above the top on the way.
fn is_contained(target: &Path, depth: usize) -> bool {
    let mut level = depth;
    target.components().all(|component| match component {
        Component::Normal(_) => {
            level += 1;
            true
        }
        Component::CurDir => true,
        Component::ParentDir => match level.checked_sub(1) {
            Some(up) => {
                level = up;
                true
            }
            None => false,
        },
        Component::RootDir | Component::Prefix(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use alyx_protocol::ids::Digest;
    use nix::sys::stat::Mode;

    use super::{BundleError, Bundles, is_contained};

    #[test]
    fn links_stay_inside() {
        let check = |target: &str, depth: usize, expected: bool| {
            assert_eq!(is_contained(Path::new(target), depth), expected, "{target} at {depth}");
        };
        check("a", 0, true);
        check("./a/b", 0, true);
        check("../a", 0, false);
        check("../a", 1, true);
        check("../../a", 1, false);
        check("a/../../b", 0, false);
        check("/etc/passwd", 5, false);
    }

    fn outcome(make: impl Fn(&Path)) -> Result<(), String> {
        let digest = Digest::from_bytes([7; 32]);
        let dir = tempfile::tempdir().unwrap();
        let bundle = dir.path().join(digest.to_string());
        fs::create_dir(&bundle).unwrap();
        make(&bundle);
        let mut bundles = Bundles::open(dir.path()).unwrap();
        bundles.check(digest).map(drop).map_err(|error| match error {
            BundleError::Io { .. } => panic!("{error}"),
            error => error.to_string(),
        })
    }

    #[test]
    fn a_bundle_holds_plain_things_only() {
        let check = |expected: &str, make: &dyn Fn(&Path)| {
            let found = outcome(make).err().unwrap_or_default();
            assert!(
                if expected.is_empty() { found.is_empty() } else { found.contains(expected) },
                "wanted {expected:?}, found {found:?}"
            );
        };
        check("", &|top| {
            fs::create_dir(top.join("lib")).unwrap();
            fs::write(top.join("lib/a.js"), "1").unwrap();
            symlink("../lib/a.js", top.join("lib/b.js")).unwrap();
        });
        check("link that leaves", &|top| symlink("/etc/passwd", top.join("x")).unwrap());
        check("link that leaves", &|top| symlink("../x", top.join("x")).unwrap());
        check("neither file", &|top| nix::unistd::mkfifo(&top.join("x"), Mode::S_IRUSR).unwrap());
        check("neither file", &|top| {
            drop(std::os::unix::net::UnixListener::bind(top.join("x")).unwrap());
        });
        check("more than one name", &|top| {
            fs::write(top.join("x"), "1").unwrap();
            fs::hard_link(top.join("x"), top.join("y")).unwrap();
        });
        check("setuid", &|top| {
            fs::write(top.join("x"), "1").unwrap();
            fs::set_permissions(top.join("x"), fs::Permissions::from_mode(0o4755)).unwrap();
        });
        check("too deep", &|top| fs::create_dir_all(top.join("d/".repeat(80))).unwrap());
        check("no such bundle", &|top| fs::remove_dir(top).unwrap());
        check("not a directory", &|top| {
            fs::remove_dir(top).unwrap();
            symlink("/etc", top).unwrap();
        });
        check("not a directory", &|top| {
            fs::remove_dir(top).unwrap();
            fs::write(top, "").unwrap();
        });
    }
}
