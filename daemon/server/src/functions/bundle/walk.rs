//! What is in a function's directory, in one order, with everything refused that a bundle must not
//! hold. Also the quick look that tells whether the directory has changed.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path};

use super::{BundleError, failed};
use crate::functions::limits::{BUNDLE_DEPTH_MAX, BUNDLE_ENTRIES_MAX, FINGERPRINT_ENTRIES_MAX};

/// Never part of a bundle: history, and caches that the runtimes write beside sources.
const LEFT_OUT: &[&str] = &[".git", "__pycache__"];

/// Not looked into when only asking whether something changed; their own times still count.
const DEPENDENCIES: &[&str] = &["node_modules", "site-packages", "vendor"];

/// One entry of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Relative, with `/`.
    pub path: String,
    /// What it is.
    pub kind: Kind,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Whether its owner may execute it.
        executable: bool,
    },
    /// A relative link that stays inside.
    Link {
        /// As written.
        target: String,
    },
}

/// Everything below a directory, sorted by path, parents first.
pub fn collect(root: &Path) -> Result<Vec<Entry>, BundleError> {
    let canonical = fs::canonicalize(root).map_err(|source| failed("open", root, source))?;
    let mut entries = Vec::new();
    let mut stack = vec![(String::new(), 0)];
    while let Some((directory, depth)) = stack.pop() {
        if depth > BUNDLE_DEPTH_MAX {
            return Err(BundleError::TooMuch("64 levels of directories"));
        }
        let path = root.join(&directory);
        let listing = fs::read_dir(&path).map_err(|source| failed("read", &path, source))?;
        for item in listing {
            let item = item.map_err(|source| failed("read", &path, source))?;
            let name = item.file_name();
            let Some(name) = name.to_str() else {
                return Err(BundleError::Name(name.to_string_lossy().into_owned()));
            };
            if LEFT_OUT.contains(&name) {
                continue;
            }
            let relative = if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") };
            let kind = kind_of(root, &canonical, &relative)?;
            if kind == Kind::Directory {
                stack.push((relative.clone(), depth + 1));
            }
            entries.push(Entry { path: relative, kind });
            if entries.len() > BUNDLE_ENTRIES_MAX {
                return Err(BundleError::TooMuch("100,000 entries"));
            }
        }
    }
    entries.sort_unstable_by(|left, right| left.path.cmp(&right.path));
    Ok(entries)
}

fn kind_of(root: &Path, canonical: &Path, relative: &str) -> Result<Kind, BundleError> {
    let path = root.join(relative);
    let metadata = fs::symlink_metadata(&path).map_err(|source| failed("read", &path, source))?;
    let file_type = metadata.file_type();
    if file_type.is_dir() {
        return Ok(Kind::Directory);
    }
    if file_type.is_file() {
        return Ok(Kind::File { executable: metadata.mode() & 0o100 != 0 });
    }
    if file_type.is_symlink() {
        let target = fs::read_link(&path).map_err(|source| failed("read", &path, source))?;
        let outside = || BundleError::Link { path: relative.to_owned() };
        let text = target.to_str().ok_or_else(outside)?;
        // Both readings must stay inside: the one of the text, and the one of the file system.
        let leads_inside = fs::canonicalize(&path).is_ok_and(|resolved| resolved.starts_with(canonical));
        if stays_inside(relative, &target) && leads_inside {
            return Ok(Kind::Link { target: text.to_owned() });
        }
        return Err(outside());
    }
    let kind = match file_type {
        _ if file_type.is_socket() => "socket",
        _ if file_type.is_fifo() => "pipe",
        _ => "device",
    };
    Err(BundleError::Kind { path: relative.to_owned(), kind })
}

/// Whether a link's text, read from where the link is, names something below the root.
fn stays_inside(link: &str, target: &Path) -> bool {
    let mut depth = link.matches('/').count();
    for component in target.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    true
}

/// A number that differs when a file below the directory was changed, added or removed. Dependencies
/// count by their own directory only. `None` where there is too much to look at quickly.
pub fn fingerprint(root: &Path) -> Option<u64> {
    let mut hash = DefaultHasher::new();
    let mut stack = vec![root.to_owned()];
    let mut left = FINGERPRINT_ENTRIES_MAX;
    // The order of a listing is stable while nothing changes, and a change changes the hash anyway.
    while let Some(directory) = stack.pop() {
        for entry in fs::read_dir(&directory).ok()? {
            let entry = entry.ok()?;
            left = left.checked_sub(1)?;
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| LEFT_OUT.contains(&name)) {
                continue;
            }
            let metadata = entry.metadata().ok()?;
            let times = (metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec());
            (&name, times, metadata.size(), metadata.ino(), metadata.mode()).hash(&mut hash);
            let is_dependency = name.to_str().is_some_and(|name| DEPENDENCIES.contains(&name));
            if metadata.is_dir() && !is_dependency {
                stack.push(entry.path());
            }
        }
    }
    Some(hash.finish())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::stays_inside;

    #[test]
    fn links_are_read_from_where_they_are() {
        let check = |link: &str, target: &str, inside: bool| {
            assert_eq!(stays_inside(link, Path::new(target)), inside, "{link} -> {target}");
        };
        check("a", "b", true);
        check("a", "./b/../c", true);
        check("a", "../b", false);
        check("d/a", "../b", true);
        check("d/a", "../../b", false);
        check("d/a", "x/../../../b", false);
        check("a", "/etc/passwd", false);
        check("node_modules/.bin/tool", "../tool/cli.js", true);
    }
}
