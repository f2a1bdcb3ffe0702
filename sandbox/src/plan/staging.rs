//! What the spawner's tree holds: one skeleton root per runtime, the bundles, `/proc`.
//!
//! Paths in the plan are relative to the top of the tree. Host paths come from the configuration
//! only. Symbolic links on the way to a host path are made again in the skeleton, so that a bind of
//! `/lib64/…` works where `/lib64` is a link into `/usr`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use alyx_protocol::ids::RuntimeName;
use serde::{Deserialize, Serialize};

use crate::config::RuntimeConfig;

/// One thing in the tree, made in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// An empty directory, mode 0755.
    Dir(PathBuf),
    /// A small file of our own, mode 0444.
    File(PathBuf, String),
    /// A symbolic link: path, target.
    Link(PathBuf, PathBuf),
    /// A mount of something of the host's.
    Bind { source: PathBuf, target: PathBuf, kind: BindKind },
}

/// What may be done with a mount of something of the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BindKind {
    /// Read-only, nosuid, nodev: runtimes and their libraries, bundles.
    Code,
    /// Also noexec: shims, time zones.
    Data,
    /// One device node.
    Device,
    /// The host's `/proc`, for writing id maps; never visible to a worker.
    Proc,
}

/// What the plan must know of the host's file system.
pub trait HostView {
    /// Target of a symbolic link; `None` for anything else.
    fn link_target(&self, path: &Path) -> Option<PathBuf>;
    /// Whether something is there.
    fn exists(&self, path: &Path) -> bool;
}

/// Device nodes that a worker sees. Not `zero`: mapped as shared it is memory that nobody counts.
const DEVICES: [&str; 4] = ["null", "full", "random", "urandom"];

/// Directories of every root that something is mounted on or that programs expect.
const DIRS: [&str; 10] =
    ["usr", "etc", "proc", "dev", "dev/shm", "tmp", "fn", "alyx", "alyx/shim", "usr/share"];

/// Dynamic loaders: the kernel opens them by these names for any program that is not static.
pub const LOADERS: [&str; 2] = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"];

/// Zone files, for runtimes that ask for a zone by name.
const ZONES: &str = "/usr/share/zoneinfo";

/// Top-level names that are links into `/usr` on a merged system.
const MERGED: [&str; 4] = ["/bin", "/sbin", "/lib", "/lib64"];

/// Our own few files under `/etc`; none comes from the host.
const ETC: [(&str, &str); 4] = [
    ("passwd", "root:x:0:0::/:/usr/sbin/nologin\nworker:x:1000:1000::/tmp:/usr/sbin/nologin\n"),
    ("group", "root:x:0:\nworker:x:1000:\n"),
    ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
    ("hosts", "127.0.0.1 localhost\n::1 localhost\n"),
];

/// Where a runtime's skeleton is in the tree.
pub fn root_of(runtime: &RuntimeName) -> PathBuf {
    Path::new("roots").join(runtime.as_str())
}

/// Everything the tree holds, in the order in which it is made.
pub fn entries(
    bundles_dir: &Path,
    runtimes: &BTreeMap<RuntimeName, RuntimeConfig>,
    host: &dyn HostView,
) -> Vec<Entry> {
    let bind = |source: &Path, target: &str, kind| Entry::Bind {
        source: source.to_owned(),
        target: PathBuf::from(target),
        kind,
    };
    let mut entries = vec![
        Entry::Dir("proc".into()),
        bind(Path::new("/proc"), "proc", BindKind::Proc),
        Entry::Dir("bundles".into()),
        bind(bundles_dir, "bundles", BindKind::Code),
        Entry::Dir("mnt".into()),
        Entry::Dir("roots".into()),
    ];
    for (name, runtime) in runtimes {
        let mut skeleton =
            Skeleton { top: root_of(name), entries: &mut entries, made: BTreeSet::new(), host };
        skeleton.build(runtime);
    }
    entries
}

/// Makes the entries of one root, each path once.
struct Skeleton<'a> {
    top: PathBuf,
    entries: &'a mut Vec<Entry>,
    made: BTreeSet<PathBuf>,
    host: &'a dyn HostView,
}

impl Skeleton<'_> {
    fn build(&mut self, runtime: &RuntimeConfig) {
        self.entries.push(Entry::Dir(self.top.clone()));
        for path in MERGED.iter().map(Path::new) {
            if let Some(target) = self.host.link_target(path) {
                self.link(path, &target);
            }
        }
        for path in DIRS {
            self.dir(&Path::new("/").join(path));
        }
        for (name, text) in ETC {
            self.entries.push(Entry::File(self.top.join("etc").join(name), text.to_owned()));
        }
        for device in DEVICES {
            let path = Path::new("dev").join(device);
            self.entries.push(Entry::Bind {
                source: Path::new("/").join(&path),
                target: self.top.join(&path),
                kind: BindKind::Device,
            });
        }
        let mut paths: Vec<&Path> = runtime.binds.iter().map(PathBuf::as_path).collect();
        if !runtime.is_bundled() {
            paths.push(&runtime.executable);
            paths.extend(LOADERS.map(Path::new).into_iter().filter(|path| self.host.exists(path)));
        }
        let mut real: Vec<PathBuf> = paths.into_iter().filter_map(|path| self.real(path, 0)).collect();
        // Parents before children, so that a bind below another bind is left out, not hidden.
        real.sort();
        for path in real {
            self.bind(path, BindKind::Code);
        }
        if self.host.exists(Path::new(ZONES))
            && let Some(zones) = self.real(Path::new(ZONES), 0)
        {
            self.bind(zones, BindKind::Data);
        }
        if let Some(shim) = &runtime.shim {
            self.entries.push(Entry::Bind {
                source: shim.clone(),
                target: self.top.join("alyx/shim"),
                kind: BindKind::Data,
            });
        }
    }

    /// Shows a host path without links at the same path.
    fn bind(&mut self, real: PathBuf, kind: BindKind) {
        if self.is_covered(&real) {
            return;
        }
        if let Some(parent) = real.parent() {
            self.dir(parent);
        }
        self.made.insert(real.clone());
        let target = self.inside(&real);
        self.entries.push(Entry::Bind { source: real, target, kind });
    }

    /// The path without links on the way; each link met is made again in the skeleton.
    fn real(&mut self, path: &Path, depth: usize) -> Option<PathBuf> {
        const LINKS_MAX: usize = 16;
        if depth > LINKS_MAX {
            return None;
        }
        let mut real = PathBuf::from("/");
        let mut components = path.components();
        while let Some(component) = components.next() {
            match component {
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
                Component::ParentDir => {
                    real.pop();
                }
                Component::Normal(name) => {
                    let next = real.join(name);
                    let Some(target) = self.host.link_target(&next) else {
                        real = next;
                        continue;
                    };
                    self.link(&next, &target);
                    return self.real(&real.join(target).join(components.as_path()), depth + 1);
                }
            }
        }
        Some(real)
    }

    fn link(&mut self, path: &Path, target: &Path) {
        if self.made.contains(path) {
            return;
        }
        if let Some(parent) = path.parent() {
            self.dir(parent);
        }
        self.made.insert(path.to_owned());
        self.entries.push(Entry::Link(self.inside(path), target.to_owned()));
    }

    fn dir(&mut self, path: &Path) {
        if path == Path::new("/") || self.made.contains(path) {
            return;
        }
        if let Some(parent) = path.parent() {
            self.dir(parent);
        }
        self.made.insert(path.to_owned());
        self.entries.push(Entry::Dir(self.inside(path)));
    }

    /// Whether the path is visible through a bind made before.
    fn is_covered(&self, path: &Path) -> bool {
        self.entries.iter().any(|entry| match entry {
            Entry::Bind { source, target, .. } => path.starts_with(source) && *target == self.inside(source),
            _ => false,
        })
    }

    fn inside(&self, path: &Path) -> PathBuf {
        self.top.join(path.strip_prefix("/").unwrap_or(path))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    use super::{BindKind, Entry, HostView, entries};
    use crate::config::RuntimeConfig;

    struct Merged;

    impl HostView for Merged {
        fn link_target(&self, path: &Path) -> Option<PathBuf> {
            Some(PathBuf::from(match path.to_str()? {
                "/lib64" => "usr/lib64",
                "/usr/lib64/ld-linux-x86-64.so.2" => "../lib/x86/ld.so",
                "/usr/bin/python3" => "python3.11",
                "/loop" => "/loop",
                _ => return None,
            }))
        }
        fn exists(&self, path: &Path) -> bool {
            path == Path::new("/lib64/ld-linux-x86-64.so.2")
        }
    }

    fn plan(executable: &str, binds: &[&str]) -> Vec<Entry> {
        let runtime = RuntimeConfig {
            executable: executable.into(),
            arguments: Vec::new(),
            shim: None,
            binds: binds.iter().map(PathBuf::from).collect(),
            environment: BTreeMap::new(),
        };
        let runtimes = BTreeMap::from([("r".parse().unwrap(), runtime)]);
        entries(Path::new("/b"), &runtimes, &Merged)
    }

    fn binds(entries: &[Entry]) -> Vec<String> {
        entries
            .iter()
            .filter_map(|entry| match entry {
                Entry::Bind { source, kind: BindKind::Code, .. } => Some(source.display().to_string()),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn links_on_the_way_are_made_again() {
        let entries = plan("/usr/bin/python3", &[]);
        assert_eq!(binds(&entries), ["/b", "/usr/bin/python3.11", "/usr/lib/x86/ld.so"]);
        let link = |path: &str, target: &str| Entry::Link(path.into(), target.into());
        assert!(entries.contains(&link("roots/r/lib64", "usr/lib64")));
        assert!(entries.contains(&link("roots/r/usr/lib64/ld-linux-x86-64.so.2", "../lib/x86/ld.so")));
        assert!(entries.contains(&link("roots/r/usr/bin/python3", "python3.11")));
    }

    #[test]
    fn what_a_bind_shows_is_not_bound_again() {
        assert_eq!(
            binds(&plan("/usr/bin/python3", &["/usr/lib/x86", "/usr/lib"])),
            ["/b", "/usr/bin/python3.11", "/usr/lib"]
        );
    }

    #[test]
    fn a_link_loop_ends() {
        assert_eq!(binds(&plan("/fn/worker", &["/loop"])), ["/b"]);
    }

    #[test]
    fn a_bundled_program_gets_nothing_of_the_host() {
        assert_eq!(binds(&plan("/fn/worker", &[])), ["/b"]);
    }
}
