//! The Debian package in a machine of its own: installed, used as `docs/install.md` says, removed; restarted,
//! killed and upgraded under clients.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{LazyLock, Mutex, MutexGuard};
use std::time::Duration;

use alyx_tests::vm::Vm;
use alyx_tests::{page, tree};

use crate::shared;

/// For one command in the guest.
const PATIENCE: Duration = Duration::from_secs(240);

/// For a page of commands, or an installation.
const WHOLE_PAGE: Duration = Duration::from_secs(900);

/// The version that is one more.
const NEWER: &str = "9.0.0-1";

/// Names of the units, shown where something fails.
const JOURNAL: &str = "journalctl --no-pager -u alyxd -u alyx-supervisor -u 'alyx*.socket' | tail -n 60";

/// The package of this tree, and the same again as a newer version.
struct Packages {
    folder: tempfile::TempDir,
}

impl Packages {
    fn build() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut build = Command::new(tree::root().join("packaging/build.sh"));
        run(build.arg("--debug").env("ALYX_PACKAGE_DIR", folder.path().join("built")));
        let packages = Self { folder };
        let unpacked = packages.folder.path().join("unpacked");
        run(Command::new("dpkg-deb").arg("--raw-extract").arg(packages.this()).arg(&unpacked));
        let control = unpacked.join("DEBIAN/control");
        let text = fs::read_to_string(&control).expect("read the control file");
        let newer: String = text
            .lines()
            .map(|line| match line.strip_prefix("Version: ") {
                Some(_) => format!("Version: {NEWER}\n"),
                None => format!("{line}\n"),
            })
            .collect();
        fs::write(&control, newer).expect("write the control file");
        run(Command::new("dpkg-deb").args(["-Zgzip", "-z1", "--build"]).arg(&unpacked).arg(packages.newer()));
        packages
    }

    fn this(&self) -> PathBuf {
        let files = fs::read_dir(self.folder.path().join("built")).expect("list the packages");
        let mut files = files.flatten().map(|entry| entry.path());
        files.find(|path| path.extension().is_some_and(|is| is == "deb")).expect("a package")
    }

    fn newer(&self) -> PathBuf {
        self.folder.path().join("newer.deb")
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("run a command");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}{said}", String::from_utf8_lossy(&output.stdout));
}

static PACKAGES: LazyLock<Packages> = LazyLock::new(Packages::build);

/// A machine with both packages at hand and none installed.
fn boot(suite: &str) -> Vm {
    let packages = &*PACKAGES;
    let client = tree::root().join("tests/vm/client.py");
    let mut vm = Vm::boot(
        suite,
        &[
            (&packages.this(), "/root/alyx_0_amd64.deb"),
            (&packages.newer(), "/srv/newer.deb"),
            (&client, "/srv/client.py"),
        ],
    );
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

#[track_caller]
fn until(vm: &mut Vm, what: &str, script: &str) -> String {
    let script = format!("{{ {script}; }} || {{ {JOURNAL}; exit 1; }}");
    vm.until(what, &script, PATIENCE)
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

/// A machine with the package and a first project, for all tests below.
static MACHINE: LazyLock<Mutex<Vm>> = LazyLock::new(|| {
    shared::boot(|| {
        let mut vm = boot("bookworm");
        let set_up = "cd /root && apt-get install -q -y ./alyx_*.deb && rm /var/lib/alyx/project/schema.yaml && \
                      alyx init /var/lib/alyx/project && usermod --append --groups alyx-admin ada && \
                      systemctl restart alyxd";
        let said = vm.run(set_up, WHOLE_PAGE);
        assert_eq!(said.status, 0, "{}\n{}", said.text, vm.run(JOURNAL, PATIENCE).text);
        vm
    })
});

fn machine() -> MutexGuard<'static, Vm> {
    let mut vm = shared::lock(&MACHINE);
    // Whatever a test before left.
    until(&mut vm, "both services", "systemctl start alyxd alyx-supervisor");
    vm
}

/// Functions answer.
#[track_caller]
fn works(vm: &mut Vm) {
    for language in ["node", "python"] {
        let said = until(
            vm,
            "a function answers",
            &format!(
                "curl -sS --max-time 60 --fail-with-body -H 'content-type: application/json' -d '{{}}' \
                 http://127.0.0.1:8090/api/functions/hello-{language}"
            ),
        );
        assert!(said.contains(&format!(r#""from":"{language}""#)), "{said}");
    }
}

/// A number or word that `systemctl show` has.
fn property(vm: &mut Vm, unit: &str, name: &str) -> String {
    ok(vm, &format!("systemctl show --value --property={name} {unit}")).trim().to_owned()
}

#[test]
fn the_processes_have_what_their_units_leave_them() {
    let mut vm = machine();
    works(&mut vm);
    for (unit, user, capabilities) in
        [("alyxd", "alyx", "0000000000000000"), ("alyx-supervisor", "alyx-sandbox", "00000000000000c0")]
    {
        let pid = property(&mut vm, unit, "MainPID");
        let status = ok(&mut vm, &format!("cat /proc/{pid}/status; id -u {user}"));
        let uid = status.lines().last().expect("a uid").to_owned();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("{name}: {status}")).trim_start_matches(':').trim().to_owned()
        };
        assert_eq!(field("Uid"), [uid.as_str(); 4].join("\t"), "{unit}");
        for set in ["CapEff", "CapPrm", "CapBnd"] {
            assert_eq!(field(set), capabilities, "{unit} {set}");
        }
        assert_eq!((field("NoNewPrivs"), field("Seccomp")), ("1".into(), "2".into()), "{unit}");
    }
}

#[test]
fn the_admin_socket_is_for_root_and_its_group_and_starts_the_daemon() {
    let mut vm = machine();
    for who in ["root", "ada"] {
        let said = ok(
            &mut vm,
            &format!(
                "systemctl stop alyxd; ! systemctl is-active --quiet alyxd && \
                 runuser -u {who} -- alyx functions list && systemctl is-active alyxd"
            ),
        );
        assert!(said.contains("hello-node"), "{who}: {said}");
    }
    let refused = vm.run("runuser -u nobody -- alyx status", PATIENCE);
    assert_eq!(refused.status, 4, "{}", refused.text);
    assert!(refused.text.contains("Permission denied"), "{}", refused.text);
    assert!(refused.text.contains("hint: join the group"), "{}", refused.text);
    // An operator who opens the socket for everybody makes nobody an administrator by that, not even members:
    // which of both somebody is cannot be told any more.
    let open = "chmod 666 /run/alyx/admin.sock; runuser -u nobody -- alyx status; status=$?; \
                chmod 660 /run/alyx/admin.sock; exit $status";
    let refused = vm.run(open, PATIENCE);
    assert_eq!(refused.status, 3, "{}", refused.text);
    assert!(refused.text.contains("(forbidden)"), "{}", refused.text);
    ok(&mut vm, "runuser -u ada -- alyx status");
}

#[test]
fn reload_takes_up_an_edit_without_a_new_process() {
    let mut vm = machine();
    works(&mut vm);
    let pid = property(&mut vm, "alyxd", "MainPID");
    let folder = "/var/lib/alyx/project/functions/hello-python";
    ok(
        &mut vm,
        &format!("cp {folder}/main.py /root/kept.py && echo 'def handler(ctx): return 7' >{folder}/main.py"),
    );
    // It returns when the new code is served.
    let call = "curl -sS --max-time 60 -H 'content-type: application/json' -d '{}' http://127.0.0.1:8090/api/functions/hello-python";
    assert_eq!(ok(&mut vm, &format!("systemctl reload alyxd && {call}")).trim(), "7");
    assert_eq!(property(&mut vm, "alyxd", "MainPID"), pid);
    ok(
        &mut vm,
        &format!("cp /root/kept.py {folder}/main.py && systemctl reload alyxd && {call} | grep from"),
    );

    // Files that cannot be read change nothing, and both the command and the journal say so.
    let schema = "/var/lib/alyx/project/schema.yaml";
    ok(&mut vm, &format!("cp {schema} /root/kept.yaml && echo 'collections: nonsense' >>{schema}"));
    ok(&mut vm, "! systemctl reload alyxd && systemctl is-active alyxd");
    ok(&mut vm, "journalctl -u alyxd -n 20 | grep schema_invalid");
    ok(&mut vm, &format!("cp /root/kept.yaml {schema} && systemctl reload alyxd && {call} | grep from"));
}

#[test]
fn entries_of_the_journal_have_levels_and_fields() {
    let mut vm = machine();
    works(&mut vm);
    for (program, message, field) in
        [("alyxd", "made the key", "ALYX_KID"), ("alyx-supervisor", "ready", "_PID")]
    {
        let said = ok(&mut vm, &format!("journalctl -o json SYSLOG_IDENTIFIER={program}"));
        let entries = said.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
        let is_ours = |entry: &serde_json::Value| {
            entry["MESSAGE"].as_str().is_some_and(|text| text.starts_with(message))
                && entry["PRIORITY"] == "6"
        };
        assert!(entries.into_iter().any(|entry| is_ours(&entry) && entry[field].is_string()), "{said}");
    }
}

#[test]
fn what_is_killed_comes_back() {
    let mut vm = machine();
    for unit in ["alyxd", "alyx-supervisor"] {
        works(&mut vm);
        let before = property(&mut vm, unit, "NRestarts").parse::<u32>().expect("a number");
        let pid = property(&mut vm, unit, "MainPID");
        // As systemd sees it; a worker of the old one must not be there beside a new one.
        ok(&mut vm, &format!("kill -9 {pid}"));
        until(
            &mut vm,
            "a new process",
            &format!(
                "test $(systemctl show --value --property=NRestarts {unit}) -gt {before} && systemctl is-active {unit}"
            ),
        );
        works(&mut vm);
        let old = ok(
            &mut vm,
            "systemctl show --value --property=MainPID alyx-supervisor; pgrep -x alyx-supervisor",
        );
        let mut pids = old.split_whitespace();
        let main = pids.next();
        assert!(pids.all(|pid| Some(pid) == main), "{unit}: {old}");
    }
}

#[test]
fn a_daemon_that_hangs_is_ended_and_started_again() {
    let mut vm = machine();
    // Shorter than the unit's minute, and longer than what emulation takes for a breath.
    let drop_in = "/run/systemd/system/alyxd.service.d";
    ok(
        &mut vm,
        &format!(
            "mkdir -p {drop_in} && printf '[Service]\\nWatchdogSec=20s\\n' >{drop_in}/soon.conf && \
             systemctl daemon-reload && systemctl restart alyxd"
        ),
    );
    let before = property(&mut vm, "alyxd", "NRestarts").parse::<u32>().expect("a number");
    let pid = property(&mut vm, "alyxd", "MainPID");
    ok(&mut vm, &format!("kill -STOP {pid}"));
    until(
        &mut vm,
        "the watchdog",
        &format!(
            "test $(systemctl show --value --property=NRestarts alyxd) -gt {before} && \
             systemctl is-active alyxd || {{ sleep 2; false; }}"
        ),
    );
    ok(&mut vm, "journalctl -u alyxd | grep -i 'watchdog timeout'");
    works(&mut vm);
    ok(&mut vm, &format!("rm -r {drop_in} && systemctl daemon-reload && systemctl restart alyxd"));
}

#[test]
fn a_clock_that_was_set_is_named() {
    let mut vm = machine();
    works(&mut vm);
    // Forward, as after a long time without a clock, and back.
    for set in ["+2 hours", "-2 hours"] {
        ok(&mut vm, &format!("date --set='{set}'"));
        let health = "curl -sS --fail-with-body http://127.0.0.1:8090/health";
        until(&mut vm, "the clock is named", &format!("{health} | grep 'the clock was set'"));
        ok(&mut vm, "journalctl -u alyxd | grep 'the clock was set by'; alyx doctor | grep -i clock");
        works(&mut vm);
    }
}

/// Sends requests one after the other on new connections while a command runs, until some came after it.
/// Prints what was not answered as it should be.
#[track_caller]
fn under_clients(vm: &mut Vm, command: &str) {
    works(vm);
    let said = ok(vm, &format!("python3 /srv/client.py {command}"));
    let last = said.lines().last().unwrap_or_default();
    let count = last.strip_suffix(" answered, 0 not").unwrap_or_else(|| panic!("{said}"));
    assert!(count.parse::<u32>().expect("a number") >= 30, "{said}");
}

#[test]
fn a_restart_refuses_nobody() {
    let mut vm = machine();
    under_clients(&mut vm, "systemctl restart alyxd");
    under_clients(&mut vm, "systemctl restart alyxd");
}

#[test]
fn an_upgrade_refuses_nobody_and_keeps_what_was_edited() {
    let mut vm = machine();
    ok(
        &mut vm,
        "dpkg --force-confold -i /root/alyx_*.deb && sed -i 's/level: info/level: debug/' /etc/alyx/alyx.yaml",
    );
    let sockets = "systemctl show --value --property=InvocationID alyxd.socket alyx-admin.socket alyx-supervisor.socket";
    let pids = "systemctl show --value --property=MainPID alyxd alyx-supervisor";
    let (kept, changed) = (ok(&mut vm, sockets), ok(&mut vm, pids));
    under_clients(&mut vm, "dpkg --force-confold -i /srv/newer.deb");
    assert_eq!(ok(&mut vm, "dpkg-query --show --showformat='${Version}' alyx"), NEWER);
    assert_eq!(ok(&mut vm, sockets), kept, "the sockets were closed");
    let now = ok(&mut vm, pids);
    assert!(
        now.split_whitespace().zip(changed.split_whitespace()).all(|(now, before)| now != before),
        "{now}"
    );
    ok(&mut vm, "grep 'level: debug' /etc/alyx/alyx.yaml && alyx doctor");
    works(&mut vm);
}
