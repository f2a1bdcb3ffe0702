use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{BundleError, Durability, collect_garbage, digest, fingerprint, seal};

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    files.iter().for_each(|(path, text)| write(root.path(), path, text));
    root
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_bundle_is_a_read_only_copy_named_by_its_digest() {
    let source =
        tree(&[("index.js", "1"), ("lib/a.js", "2"), (".git/HEAD", "x"), ("__pycache__/m.pyc", "x")]);
    fs::set_permissions(source.path().join("lib/a.js"), fs::Permissions::from_mode(0o4755)).unwrap();
    symlink("lib/a.js", source.path().join("link")).unwrap();
    let data = tempfile::tempdir().unwrap();
    let sealed = seal(source.path(), data.path(), Durability::Durable).unwrap();
    let bundle = data.path().join(sealed.to_string());
    assert_eq!(fs::read_to_string(bundle.join("link")).unwrap(), "2");
    assert_eq!(mode(&bundle), 0o555);
    assert_eq!(mode(&bundle.join("lib")), 0o555);
    assert_eq!(mode(&bundle.join("index.js")), 0o444);
    assert_eq!(mode(&bundle.join("lib/a.js")), 0o555);
    assert!(!bundle.join(".git").exists() && !bundle.join("__pycache__").exists());
    assert_eq!(digest(source.path()).unwrap(), sealed);
    assert_eq!(seal(source.path(), data.path(), Durability::Relaxed).unwrap(), sealed);
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1, "nothing unfinished is left");
}

#[test]
fn digests_depend_on_content_and_on_nothing_else() {
    let of = |files: &[(&str, &str)]| digest(tree(files).path()).unwrap();
    assert_eq!(of(&[("a", "1"), ("b", "2")]), of(&[("b", "2"), ("a", "1")]));
    let different = [
        of(&[("a", "1"), ("b", "2")]),
        of(&[("a", "12"), ("b", "")]),
        of(&[("a", "1"), ("c", "2")]),
        of(&[("a/b", "1"), ("b", "2")]),
        of(&[("a", "1")]),
        of(&[]),
    ];
    assert_eq!(different.iter().collect::<HashSet<_>>().len(), different.len());
}

#[test]
fn hostile_trees_are_refused_and_leave_nothing() {
    let check = |prepare: &dyn Fn(&Path), expected: &str| {
        let source = tree(&[("index.js", "1")]);
        prepare(source.path());
        let data = tempfile::tempdir().unwrap();
        let error = seal(source.path(), data.path(), Durability::Relaxed).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0);
    };
    check(&|root| symlink("/etc/passwd", root.join("x")).unwrap(), "the link x");
    check(&|root| symlink("../../etc", root.join("x")).unwrap(), "the link x");
    check(&|root| symlink("nowhere", root.join("x")).unwrap(), "the link x");
    check(&|root| symlink("x", root.join("x")).unwrap(), "the link x");
    // Each link stays inside by its text, both together leave.
    check(
        &|root| {
            symlink(".", root.join("here")).unwrap();
            symlink("here/../outside", root.join("x")).unwrap();
        },
        "the link x",
    );
    check(&|root| drop(UnixListener::bind(root.join("s")).unwrap()), "s is a socket");
    check(
        &|root| nix::unistd::mkfifo(&root.join("p"), nix::sys::stat::Mode::S_IRUSR).unwrap(),
        "p is a pipe",
    );
    check(
        &|root| {
            use std::os::unix::ffi::OsStrExt;
            fs::write(root.join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
        },
        "is not UTF-8",
    );
}

#[test]
fn a_missing_directory_is_an_error() {
    let data = tempfile::tempdir().unwrap();
    let missing = data.path().join("missing");
    assert!(matches!(seal(&missing, data.path(), Durability::Relaxed), Err(BundleError::Io { .. })));
}

#[test]
fn fingerprints_see_every_edit() {
    let source = tree(&[("index.js", "1"), ("lib/a.js", "2"), ("node_modules/x/index.js", "3")]);
    let mut seen = HashSet::new();
    let mut check = |changed: bool, what: &str| {
        assert_eq!(seen.insert(fingerprint(source.path()).unwrap()), changed, "{what}");
    };
    check(true, "first look");
    check(false, "nothing changed");
    write(source.path(), "lib/a.js", "3 and more");
    check(true, "content");
    write(source.path(), "lib/b.js", "");
    check(true, "new file");
    fs::rename(source.path().join("lib/b.js"), source.path().join("lib/c.js")).unwrap();
    check(true, "renamed");
    fs::remove_file(source.path().join("lib/c.js")).unwrap();
    check(true, "removed");
    write(source.path(), "node_modules/y/index.js", "");
    check(true, "a dependency more");
    write(source.path(), ".git/x", "");
    fingerprint(source.path()).unwrap();
    assert_eq!(fingerprint(&source.path().join("missing")), None);
}

#[test]
fn garbage_is_what_is_old_and_unused_or_unfinished() {
    let data = tempfile::tempdir().unwrap();
    let used = seal(tree(&[("a", "1")]).path(), data.path(), Durability::Relaxed).unwrap();
    let unused = seal(tree(&[("a/b", "2")]).path(), data.path(), Durability::Relaxed).unwrap();
    fs::create_dir_all(data.path().join(".new-0000")).unwrap();
    write(data.path(), "note.txt", "not ours");
    let keep = HashSet::from([used]);
    assert_eq!(collect_garbage(data.path(), &keep, SystemTime::now()), 1);
    assert!(data.path().join(unused.to_string()).exists());
    let later = SystemTime::now() + Duration::from_secs(48 * 60 * 60);
    assert_eq!(collect_garbage(data.path(), &keep, later), 1);
    assert!(data.path().join(used.to_string()).exists());
    assert!(!data.path().join(unused.to_string()).exists());
    assert!(data.path().join("note.txt").exists());
}
