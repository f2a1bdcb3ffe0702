//! The Debian package in a machine of its own: installed, used and removed as `docs/install.md` says.

use std::fs;
use std::process::Command;
use std::time::Duration;

use alyx_tests::vm::Vm;
use alyx_tests::{page, tree};

/// For one command in the guest.
const PATIENCE: Duration = Duration::from_secs(240);

/// For a page of commands.
const WHOLE_PAGE: Duration = Duration::from_secs(900);

/// Shown where something fails.
const JOURNAL: &str = "journalctl --no-pager -u alyxd -u alyx-supervisor -u 'alyx*.socket' | tail -n 60";

/// A machine with the package at hand, not installed.
fn boot(suite: &str) -> Vm {
    let folder = tempfile::tempdir().expect("a folder");
    let build = Command::new(tree::root().join("packaging/build.sh"))
        .arg("--debug")
        .env("ALYX_PACKAGE_DIR", folder.path())
        .output()
        .expect("run build.sh");
    assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
    let files = fs::read_dir(folder.path()).expect("list the packages").flatten().map(|entry| entry.path());
    let package = { files }.find(|path| path.extension().is_some_and(|is| is == "deb")).expect("a package");
    let mut vm = Vm::boot(suite, &[(&package, "/root/alyx_0_amd64.deb")]);
    // What Debian gives a host and this image lacks.
    let _ = vm.run("useradd --create-home ada && mkdir -p /usr/share/doc", PATIENCE).expect_ok();
    vm
}

/// Runs a script and shows the journal where it fails.
#[track_caller]
fn ok(vm: &mut Vm, script: &str) -> String {
    let said = vm.run(script, PATIENCE);
    if said.status != 0 {
        let journal = vm.run(JOURNAL, PATIENCE);
        panic!("{script}: {}: {}\n{}", said.status, said.text, journal.text);
    }
    said.text
}

/// Every file, link and folder that a package could have left.
const FILES: &str = "find /etc /usr /var /run /lib /srv /root -xdev \
     -not -path '/run/systemd/*' -not -path '/run/udev/*' -not -path '/var/log/*' -not -path '/run/log/*' \
     -not -path '/var/cache/*' -not -path '/var/lib/dpkg/*' -not -path '/var/lib/apt/*' | sort >";

fn page_of_installation(suite: &str) {
    let mut vm = boot(suite);
    let _ = vm.run(&format!("{FILES} /tmp/before"), PATIENCE).expect_ok();
    let text = fs::read_to_string(tree::root().join("docs/install.md")).expect("read the page");
    let steps: Vec<_> = page::blocks(&text, "console").iter().flat_map(|block| page::steps(block)).collect();
    assert!(steps.len() > 30, "{steps:?}");
    let script = page::script(&steps, str::to_owned);
    let script = format!("export DEBIAN_FRONTEND=noninteractive; cd /root; exec 2>&1\n{script}");
    let said = vm.run(&script, WHOLE_PAGE);
    let doctor = said.text.split("<<<").find(|part| part.contains("user_namespace"));
    let doctor = doctor.unwrap_or_else(|| panic!("{}\n{}", said.text, vm.run(JOURNAL, PATIENCE).text));
    let lowered: Vec<_> =
        doctor.lines().filter(|line| line.starts_with("missing") || line.starts_with("replaced")).collect();
    assert!(lowered.is_empty(), "{doctor}");
    page::check(&steps, &said.text);

    // What the page says that stays, and nothing else.
    let left = ok(&mut vm, &format!("{FILES} /tmp/after; comm -13 /tmp/before /tmp/after"));
    let left: Vec<_> = left.lines().filter(|path| !expected_to_stay(path)).collect();
    assert!(left.is_empty(), "{left:#?}");
    ok(&mut vm, "test -e /srv/notes/schema.yaml && test -e /var/lib/alyx/project/schema.yaml");
    ok(&mut vm, "! systemctl list-units --no-legend --all | grep alyx && ! pgrep alyx");
}

/// The reader's own files, the users, and what other programs wrote meanwhile.
fn expected_to_stay(path: &str) -> bool {
    const PREFIXES: [&str; 5] = [
        "/srv/notes",
        "/var/lib/alyx/project",
        "/etc/systemd/system/alyxd.socket.d",
        "/var/lib/systemd/",
        "/run/user/",
    ];
    const EXACT: [&str; 2] = ["/var/lib/alyx", "/etc/systemd/system/sockets.target.wants"];
    PREFIXES.iter().any(|prefix| path.starts_with(prefix)) || EXACT.contains(&path)
}

#[test]
fn the_page_about_installation_does_what_it_says() {
    page_of_installation("bookworm");
}
