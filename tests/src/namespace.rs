//! Tests that mount, or that have a network of their own.

use std::process::Command;

/// Runs this very test again in namespaces of its own, such as `--mount` or `--net`, so that nothing stays
/// mounted or configured whatever happens. Answers true inside. What is not possible is said, and is a
/// failure under CI.
///
/// # Panics
/// If the test fails inside.
#[must_use]
pub fn in_own(namespaces: &[&str], test: &str) -> bool {
    const INSIDE: &str = "ALYX_TESTS_INSIDE";
    if std::env::var(INSIDE).is_ok_and(|name| name == test) {
        return true;
    }
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "namespaces need root");
        eprintln!("not run: namespaces need root");
        return false;
    }
    let mut command = Command::new("unshare");
    command.args(namespaces);
    if namespaces.contains(&"--mount") {
        command.args(["--propagation", "private"]);
    }
    let output = command
        .arg(std::env::current_exe().expect("this program has a file"))
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, test)
        .output()
        .expect("run unshare");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{test} failed inside of its namespace:\n{said}");
    assert!(said.contains("1 passed"), "{test} is not the name of this test:\n{said}");
    false
}

/// Runs a program that must succeed.
///
/// # Panics
/// If it does not.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect(program);
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
    text
}
