//! The mount calls of Linux 5.2 and 5.12: `open_tree`, `move_mount`, `mount_setattr`.

use std::ffi::CString;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use super::check;

/// Attributes that a mount can only gain here, never lose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes(u64);

impl Attributes {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// `MOUNT_ATTR_RDONLY` and `MOUNT_ATTR_NOSUID` of `linux/mount.h`.
    pub const READ_ONLY_NOSUID: Self = Self(0x1 | 0x2);
    /// `MOUNT_ATTR_NODEV`.
    pub const NODEV: Self = Self(0x4);
    /// `MOUNT_ATTR_NOEXEC`.
    pub const NOEXEC: Self = Self(0x8);

    /// Both sets.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Whether a call concerns one mount or everything below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The mount itself.
    Single,
    /// With all mounts below.
    Recursive,
}

const OPEN_TREE_CLONE: libc::c_uint = 1;
const AT_RECURSIVE: libc::c_int = 0x8000;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 0x4;

/// A detached copy of the mounts at `path`, with all mounts below.
pub fn clone_tree(path: &Path) -> io::Result<OwnedFd> {
    open_tree(libc::AT_FDCWD, path, AT_RECURSIVE)
}

/// A detached copy of the mounts at an open directory, with all mounts below.
pub fn clone_tree_at(directory: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    open_tree(directory.as_raw_fd(), Path::new(""), AT_RECURSIVE | libc::AT_EMPTY_PATH)
}

fn open_tree(directory: RawFd, path: &Path, flags: libc::c_int) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let flags = OPEN_TREE_CLONE | flags as libc::c_uint | libc::O_CLOEXEC as libc::c_uint;
    // SAFETY: path is a C string that outlives the call, which reads no other memory.
    let fd = check(unsafe { libc::syscall(libc::SYS_open_tree, directory, path.as_ptr(), flags) })?;
    // SAFETY: on success the result is a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Attaches a detached tree at `target`.
pub fn attach(tree: BorrowedFd<'_>, target: &Path) -> io::Result<()> {
    let target = c_path(target)?;
    // SAFETY: both paths are C strings that outlive the call, which reads no other memory.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            target.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH,
        )
    })
    .map(drop)
}

/// Adds attributes to a tree.
pub fn add_attributes(tree: BorrowedFd<'_>, attributes: Attributes, scope: Scope) -> io::Result<()> {
    // SAFETY: mount_attr is plain integers; all zero changes nothing.
    let mut attr: libc::mount_attr = unsafe { mem::zeroed() };
    attr.attr_set = attributes.0;
    let recursive = if scope == Scope::Recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a C string and attr outlives the call; the size given is that of attr.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            ptr::from_mut(&mut attr),
            size_of::<libc::mount_attr>(),
        )
    })
    .map(drop)
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}
