//! Builds the planned tree below a directory and makes it the root of this mount namespace.
//!
//! [`build`] runs either in the supervisor while it is still root, in a private mount namespace of its
//! own, or in the spawner. [`enter`] runs in the spawner only. Nothing built here is visible to any
//! other process, and all of it ends with the namespaces that hold it.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::plan::staging::{BindKind, Entry, HostView};
use crate::sys::mount::{Attributes, Scope, add_attributes, attach, clone_tree};

/// A tree that could not be built or entered.
#[derive(Debug, thiserror::Error)]
#[error("{what} {path}")]
pub struct StagingError {
    what: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

fn failed<E: Into<io::Error>>(what: &'static str, path: &Path) -> impl FnOnce(E) -> StagingError {
    let path = path.to_owned();
    move |source| StagingError { what, path, source: source.into() }
}

/// The file system of this process, for planning.
#[derive(Debug)]
pub struct Host;

impl HostView for Host {
    fn link_target(&self, path: &Path) -> Option<PathBuf> {
        fs::read_link(path).ok()
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }
}

/// Cuts this mount namespace off from the one it was copied from.
pub fn make_private() -> Result<(), StagingError> {
    let root = Path::new("/");
    mount(None::<&str>, root, None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .map_err(failed("make private", root))
}

/// Mounts a tmpfs at `top` and makes every entry in it.
pub fn build(top: &Path, entries: &[Entry]) -> Result<(), StagingError> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("tmpfs"), top, Some("tmpfs"), flags, Some("mode=0755,size=4m,nr_inodes=4096"))
        .map_err(failed("mount tmpfs on", top))?;
    entries.iter().try_for_each(|entry| make(top, entry))
}

fn make(top: &Path, entry: &Entry) -> Result<(), StagingError> {
    match entry {
        Entry::Dir(path) => fs::create_dir_all(top.join(path)).map_err(failed("make directory", path)),
        Entry::Link(path, target) => symlink(target, top.join(path)).map_err(failed("make link", path)),
        Entry::File(path, text) => write_file(&top.join(path), text).map_err(failed("write", path)),
        Entry::Bind { source, target, kind } => {
            let target = top.join(target);
            let is_dir = fs::metadata(source).map_err(failed("look at", source))?.is_dir();
            if is_dir {
                fs::create_dir_all(&target).map_err(failed("make directory", &target))?;
            } else {
                write_file(&target, "").map_err(failed("write", &target))?;
            }
            let tree = clone_tree(source).map_err(failed("clone the mounts of", source))?;
            add_attributes(tree.as_fd(), attributes(*kind), Scope::Recursive)
                .map_err(failed("make read-only", source))?;
            attach(tree.as_fd(), &target).map_err(failed("mount on", &target))
        }
    }
}

fn write_file(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o444).open(path)?;
    file.write_all(text.as_bytes())
}

fn attributes(kind: BindKind) -> Attributes {
    let base = Attributes::READ_ONLY_NOSUID;
    match kind {
        BindKind::Code => base.and(Attributes::NODEV),
        BindKind::Data => base.and(Attributes::NODEV).and(Attributes::NOEXEC),
        BindKind::Device => base.and(Attributes::NOEXEC),
        // Id maps are written through it, and a worker's own procfs may be mounted only where a
        // procfs with the same attributes is visible.
        BindKind::Proc => Attributes::NONE,
    }
}

/// Makes the tree at `top` the root of this mount namespace and drops everything else.
pub fn enter(top: &Path) -> Result<(), StagingError> {
    let step = |what: &'static str| move |source: nix::Error| failed(what, Path::new("."))(source);
    // A copy, because mounts taken over from a more privileged namespace cannot become the root.
    let tree = clone_tree(top).map_err(failed("clone the mounts of", top))?;
    attach(tree.as_fd(), top).map_err(failed("mount on", top))?;
    nix::unistd::fchdir(&tree).map_err(step("enter"))?;
    drop(tree);
    nix::unistd::pivot_root(".", ".").map_err(step("pivot into"))?;
    umount2(".", MntFlags::MNT_DETACH).map_err(step("detach the old root from"))?;
    nix::unistd::chdir("/").map_err(step("enter"))
}
