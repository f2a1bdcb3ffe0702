//! The units in `systemd/`, held by systemd's own tools; nothing is started.

use std::fs;
use std::process::Command;

use alyx_tests::{peers, tree};

fn analyze() -> Option<Command> {
    peers::on_path("systemd-analyze").then(|| Command::new("systemd-analyze"))
}

/// Tenths of the score that `systemd-analyze security` gives, at most.
#[test]
fn the_exposure_of_the_services_is_bounded() {
    for (unit, tenths) in [("alyxd.service", 11), ("alyx-supervisor.service", 26)] {
        let Some(mut command) = analyze() else { return };
        let output = command
            .args(["security", "--offline=yes", "--no-pager", &format!("--threshold={tenths}")])
            .arg(tree::root().join("systemd").join(unit))
            .output()
            .expect("run systemd-analyze");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{unit}: {said}{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let folder = tempfile::tempdir().expect("make a folder");
    let mut files = Vec::new();
    for entry in fs::read_dir(tree::root().join("systemd")).expect("list the units").flatten() {
        let name = entry.file_name().into_string().expect("a plain name");
        if ![".service", ".socket", ".slice"].iter().any(|suffix| name.ends_with(suffix)) {
            continue;
        }
        // The programs as they are built here: they have to be there.
        let mut text = fs::read_to_string(entry.path()).expect("read a unit");
        for (installed, program) in [
            ("/usr/sbin/alyxd ", "alyxd"),
            ("/usr/sbin/alyx-supervisor ", "alyx-supervisor"),
            ("/usr/bin/alyx ", "alyx"),
        ] {
            text = text.replace(installed, &format!("{} ", tree::program(program).display()));
        }
        let file = folder.path().join(&name);
        fs::write(&file, text).expect("write a unit");
        files.push(file);
    }
    assert_eq!(files.len(), 6, "{files:?}");
    let Some(mut command) = analyze() else { return };
    let output = command.args(["verify", "--man=no"]).args(&files).output().expect("run systemd-analyze");
    let said = String::from_utf8_lossy(&output.stderr);
    // Units of this machine, which the ones of ours pull in, are not ours to mend.
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("alyx")).collect();
    assert!(ours.is_empty(), "{said}");
}

/// Every setting, or the block it is in, has its reason above it.
#[test]
fn every_setting_has_its_reason() {
    for name in ["alyxd.service", "alyx-supervisor.service", "alyxd.socket", "alyx-admin.socket"] {
        let text = fs::read_to_string(tree::root().join("systemd").join(name)).expect("read a unit");
        let service =
            text.split("\n[").find(|part| part.starts_with("Service]") || part.starts_with("Socket]"));
        let mut reasons = 0;
        let (mut settings, mut since) = (0, 0);
        for line in service.expect("a section").lines().skip(1) {
            if line.starts_with('#') {
                (reasons, since) = (reasons + 1, 0);
            } else if line.contains('=') {
                (settings, since) = (settings + 1, since + 1);
                assert!(since <= 6, "{name}: no reason for {line}");
            }
        }
        assert!(reasons * 3 >= settings, "{name}: {reasons} reasons for {settings} settings");
    }
}
