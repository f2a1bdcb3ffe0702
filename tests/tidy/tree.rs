//! What holds for every file of the tree, in whatever language.

use std::process::Command;

use alyx_tests::tree::files;

use crate::expect_none;
use crate::source::relative;

#[test]
fn no_merge_is_half_done() {
    let halves = files("")
        .into_iter()
        .filter(|path| {
            let bytes = std::fs::read(path).unwrap_or_default();
            String::from_utf8_lossy(&bytes)
                .lines()
                .any(|line| line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> "))
        })
        .map(|path| relative(&path));
    expect_none("no file has the marks of a merge", halves);
}

#[test]
fn shell_scripts_parse() {
    let broken = files("").into_iter().filter(|path| {
        path.extension().is_some_and(|extension| extension == "sh")
            && !Command::new("bash").arg("-n").arg(path).status().expect("bash runs").success()
    });
    expect_none("bash reads every script", broken.map(|path| relative(&path)));
}
