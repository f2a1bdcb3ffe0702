//! This source tree and what was built from it.

use std::path::{Path, PathBuf};

/// The root of the checkout.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the checkout").to_owned()
}

/// A program of ours, built into the same target folder as this test.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let exe = std::env::current_exe().expect("a running program has a file");
    let found = exe.ancestors().skip(1).take(3).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not built: run `cargo build --workspace --bins` first"))
}

/// Compiled parts of Go's library, shared by all tests of this build.
#[must_use]
pub fn go_cache() -> PathBuf {
    program("alyx").parent().expect("a program lies in a folder").join("test-go-cache")
}

/// Every file below a folder of the tree that belongs to it: nothing built, fetched or left by a run.
#[must_use]
pub fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(&root().join(folder), &mut found);
    found.sort();
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    const SKIPPED: [&str; 6] = ["target", ".git", ".alyx", "node_modules", "__pycache__", ".library"];
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if SKIPPED.iter().any(|skipped| name == *skipped) || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            collect(&path, found);
        } else {
            found.push(path);
        }
    }
}
