//! The packages, the manual and the completions, held against the programs and by the distributions' own tools.
//!
//! They are made of the tests' own binaries; what installing them does is shown in `tests/vm/package.rs`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use alyx_tests::namespace::{in_own, run};
use alyx_tests::{peers, tree};

/// What a command printed; it succeeds.
#[track_caller]
fn said(command: &mut Command) -> String {
    let output = command.output().expect("run a command");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn program(name: &str) -> Command {
    Command::new(tree::program(name))
}

/// Builds both packages and returns their checksums.
fn build(folder: &Path) -> String {
    let script = tree::root().join("packaging/build.sh");
    said(Command::new(script).arg("--debug").env("ALYX_PACKAGE_DIR", folder))
}

fn package(folder: &Path, end: &str) -> PathBuf {
    let mut files = fs::read_dir(folder).expect("list the packages").flatten().map(|entry| entry.path());
    files.find(|path| path.extension().is_some_and(|is| is == end)).expect("a package")
}

#[test]
fn packages_are_the_same_twice_and_without_faults() {
    if !["dh", "dpkg-buildpackage", "rpmbuild"].into_iter().all(peers::on_path) {
        return;
    }
    let (first, second) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    assert_eq!(build(first.path()), build(second.path()), "two builds differ");
    let (deb, rpm) = (package(first.path(), "deb"), package(first.path(), "rpm"));

    // The same files in both, but for what each distribution adds.
    let files = said(Command::new("dpkg-deb").arg("--contents").arg(&deb));
    let of_deb: BTreeSet<_> = files
        .lines()
        .filter(|line| line.starts_with('-'))
        .filter_map(|line| line.split_whitespace().nth(5)?.strip_prefix('.'))
        .filter(|path| {
            !["/copyright", "/changelog.Debian.gz", "/overrides/alyx"].iter().any(|end| path.ends_with(end))
        })
        .collect();
    let files = said(Command::new("rpm").args(["--query", "--list", "--package"]).arg(&rpm));
    let of_rpm: BTreeSet<_> = files
        .lines()
        .filter(|path| stage(&first, path).is_file() && !path.ends_with("/50-alyx.preset"))
        .collect();
    assert_eq!(of_deb, of_rpm);
    for path in ["/usr/sbin/alyxd", "/usr/sbin/alyx-supervisor", "/usr/bin/alyx", "/etc/alyx/alyx.yaml"] {
        assert!(of_deb.contains(path), "{path}: {of_deb:?}");
    }

    if peers::on_path("lintian") {
        let tags = [
            "--allow-root",
            "--info",
            "--display-info",
            "--pedantic",
            "--fail-on=error,warning,info,pedantic",
        ];
        assert_eq!(said(Command::new("lintian").args(tags).arg(&deb)), "");
    }
    if peers::on_path("rpmlint") {
        let config = tree::root().join("packaging/rpm/rpmlint.toml");
        let report = said(Command::new("rpmlint").arg("--config").arg(config).arg(&rpm));
        assert!(report.contains(" 0 errors, 0 warnings"), "{report}");
    }
}

/// Where a file of the packages was laid out.
/// This host's own files, beneath what is written to them: a root of which nothing stays.
fn root_of_its_own(folder: &Path) -> PathBuf {
    let [upper, work, root] = ["upper", "work", "root"].map(|name| folder.join(name));
    run("mount", &["--types", "tmpfs", "tmpfs", &folder.display().to_string()]);
    for made in [&upper, &work, &root] {
        fs::create_dir(made).expect("make a folder");
    }
    let layers = format!("lowerdir=/,upperdir={},workdir={}", upper.display(), work.display());
    run("mount", &["--types", "overlay", "overlay", "--options", &layers, &root.display().to_string()]);
    for shared in ["proc", "dev"] {
        run("mount", &["--bind", &format!("/{shared}"), &root.join(shared).display().to_string()]);
    }
    root
}

/// No host of this kind is at hand: the root has the libraries and systemd of this one, and a database of
/// packages of its own. Starting it is shown with the Debian package.
#[test]
fn the_rpm_installs_upgrades_and_leaves() {
    const SELF: &str = "packages::the_rpm_installs_upgrades_and_leaves";
    if !peers::on_path("rpmbuild") || !in_own(&["--mount"], SELF) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let built = tempfile::tempdir().expect("a folder");
    build(built.path());
    let package = package(built.path(), "rpm");
    let root = root_of_its_own(folder.path());
    let inside = |script: &str| {
        let mut command = Command::new("chroot");
        said(command.arg(&root).args(["/bin/sh", "-euc", script]))
    };
    let rpm = |arguments: &[&str], file: Option<&Path>| {
        let mut command = Command::new("rpm");
        command.arg("--root").arg(&root).args(["--dbpath", "/var/lib/rpm-of-its-own"]).args(arguments);
        said(command.args(file))
    };
    rpm(&["--initdb"], None);
    // What it requires is there, but not in this database.
    rpm(&["--install", "--nodeps"], Some(&package));
    inside("alyx --version && alyxd check-config --config /etc/alyx/alyx.yaml");
    inside("id alyx && id alyx-sandbox && getent group alyx-admin");
    assert_eq!(inside("stat --format='%a %U:%G' /var/lib/alyx/data").trim(), "700 alyx:alyx");
    assert_eq!(inside("stat --format='%a %U:%G' /var/lib/alyx/project").trim(), "2775 root:alyx-admin");
    inside("test -f /usr/lib/systemd/system/alyxd.service && test -f /usr/share/man/man1/alyx.1.gz");
    assert_eq!(rpm(&["--verify", "--nodeps", "alyx"], None), "", "something is not as it was packed");

    // What was edited stays through an upgrade, and beside what is removed.
    inside("sed -i 's/level: info/level: debug/' /etc/alyx/alyx.yaml && echo kept >/var/lib/alyx/data/kept");
    rpm(&["--upgrade", "--nodeps", "--replacepkgs"], Some(&package));
    inside("grep -q 'level: debug' /etc/alyx/alyx.yaml && alyxd check-config --config /etc/alyx/alyx.yaml");
    rpm(&["--erase", "alyx"], None);
    inside("grep -q kept /var/lib/alyx/data/kept && grep -q 'level: debug' /etc/alyx/alyx.yaml.rpmsave");
    let left = inside("find /usr /etc -xdev -name '*alyx*' -not -name '*.rpmsave' -not -path '/usr/src/*'");
    let left: Vec<_> = left.lines().filter(|path| !["/etc/alyx"].contains(path)).collect();
    assert!(left.is_empty(), "{left:#?}");
}

fn stage(folder: &tempfile::TempDir, path: &str) -> PathBuf {
    folder.path().join("stage").join(path.trim_start_matches('/'))
}

/// Every override of lintian and filter of rpmlint has its reason above it.
#[test]
fn every_tolerated_tag_has_its_reason() {
    for file in ["packaging/debian/alyx.lintian-overrides", "packaging/rpm/rpmlint.toml"] {
        let text = fs::read_to_string(tree::root().join(file)).expect("read a list");
        let mut reason = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with('#') {
                reason = true;
            } else if line.starts_with("alyx:") || line.starts_with('\'') {
                assert!(reason, "{file}: {line} has no reason");
            } else {
                reason = false;
            }
        }
    }
}

/// The commands below one, by its own help.
fn commands(name: &str, path: &[String], found: &mut BTreeSet<String>) {
    let help = said(program(name).args(path).arg("--help"));
    found.insert([&[name.to_owned()], path].concat().join("-"));
    let Some((_, list)) = help.split_once("\nCommands:\n") else { return };
    for line in list.lines().take_while(|line| !line.is_empty()) {
        // Deeper lines go on with a text.
        let Some(inner) = line.strip_prefix("  ").filter(|line| !line.starts_with(' ')) else { continue };
        let inner = inner.split_whitespace().next().expect("a word");
        if inner != "help" {
            commands(name, &[path, &[inner.to_owned()]].concat(), found);
        }
    }
}

#[test]
fn the_manual_has_a_page_for_every_command_and_its_flags() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["alyx", "alyxd"] {
        said(program(name).arg("man").arg(folder.path()));
    }
    let mut wanted = BTreeSet::new();
    commands("alyx", &[], &mut wanted);
    let mut expected: BTreeSet<_> = wanted.iter().map(|name| format!("{name}.1")).collect();
    assert!(expected.len() > 50, "{expected:?}");
    wanted.clear();
    commands("alyxd", &[], &mut wanted);
    expected.extend(wanted.iter().map(|name| format!("{name}.8")));
    expected.insert("alyx.yaml.5".to_owned());
    let pages = fs::read_dir(folder.path()).expect("list the pages").flatten();
    let pages: BTreeSet<_> =
        pages.map(|page| page.file_name().into_string().expect("a plain name")).collect();
    assert_eq!(pages, expected);

    let page = fs::read_to_string(folder.path().join("alyx-users-create.1")).expect("read a page");
    for flag in flags(&said(program("alyx").args(["users", "create", "--help"]))) {
        assert!(page.replace('\\', "").contains(&flag), "{flag}: {page}");
    }
    if peers::on_path("mandoc") {
        for page in pages.iter().map(|page| folder.path().join(page)).chain([supervisor_page()]) {
            let lint = Command::new("mandoc").args(["-T", "lint", "-W", "error"]).arg(&page).output();
            let lint = String::from_utf8(lint.expect("run mandoc").stdout).expect("text");
            assert_eq!(lint, "", "{}", page.display());
        }
    }
}

/// The long flags that a help text names.
fn flags(help: &str) -> BTreeSet<String> {
    let words = help.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '-'));
    words.filter(|word| word.starts_with("--") && word.len() > 2).map(str::to_owned).collect()
}

fn supervisor_page() -> PathBuf {
    tree::root().join("packaging/man/alyx-supervisor.8")
}

/// The supervisor has few dependencies, so its page is written by hand.
#[test]
fn the_page_of_the_supervisor_is_what_it_takes() {
    let page = fs::read_to_string(supervisor_page()).expect("read the page").replace('\\', "");
    let help = said(program("alyx-supervisor").arg("--help"));
    for flag in flags(&help) {
        assert!(page.contains(&flag), "{flag} is not on the page");
    }
    // Its keys, as it names them itself when one is wrong.
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("supervisor.json");
    fs::write(&file, r#"{"nonsense": 1}"#).expect("write a file");
    let output = program("alyx-supervisor").arg("--config").arg(&file).output().expect("run the supervisor");
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    let (_, keys) = complaint.split_once("expected one of").unwrap_or_else(|| panic!("{complaint}"));
    let keys: Vec<_> = keys.split('`').skip(1).step_by(2).collect();
    assert!(keys.len() >= 10, "{complaint}");
    for key in keys {
        assert!(page.contains(&format!(".B {key}\n")), "{key} is not on the page");
    }
}

#[test]
fn a_shell_completes_commands_and_flags() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("alyx");
    let complete = |line: &[&str]| {
        let words = line.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
        let script = format!(
            "source '{}'; COMP_WORDS=({words}); COMP_CWORD={}; _alyx alyx '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            file.display(),
            line.len() - 1,
            line[line.len() - 1],
            line[line.len() - 2],
        );
        let reply = said(Command::new("bash").args(["-c", &script]));
        reply.lines().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    fs::write(&file, said(program("alyx").args(["completions", "bash"]))).expect("write a file");
    assert!(complete(&["alyx", "back"]).contains("backup"));
    let below = complete(&["alyx", "backup", ""]);
    for command in ["create", "list", "verify", "restore"] {
        assert!(below.contains(command), "{command}: {below:?}");
    }
    assert!(complete(&["alyx", "users", "create", "--"]).contains("--json"));
    for (shell, check) in [("zsh", "--no-exec"), ("fish", "--no-execute")] {
        let text = said(program("alyx").args(["completions", shell]));
        assert!(text.contains("set-password"), "{shell}");
        if Command::new(shell).arg("--version").output().is_ok() {
            fs::write(&file, text).expect("write a file");
            said(Command::new(shell).arg(check).arg(&file));
        }
    }
}
