//! Has Python compile its shim once, so that not every worker does it again: a worker cannot write the
//! result, because it sees the shim read-only.
//!
//! Needed in a checkout only; a package brings the byte code along. Without it everything works, only
//! slower, so nothing here is an error.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::SystemTime;

/// Compiles what has changed.
pub fn refresh(runtimes_dir: &Path) {
    let folder = runtimes_dir.join("python/_alyx");
    let compiled = modified(&folder.join("__pycache__"));
    let sources = fs::read_dir(&folder).into_iter().flatten().flatten();
    let newest =
        sources.filter(|entry| entry.path().is_file()).filter_map(|entry| modified(&entry.path())).max();
    if newest.is_none() || compiled > newest {
        return;
    }
    let compiling = Command::new("python3")
        .args(["-I", "-m", "compileall", "-q"])
        .arg(&folder)
        .arg(runtimes_dir.join("python/alyx.py"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    // There may be no Python, or the folder may be somebody else's.
    drop(compiling);
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}
