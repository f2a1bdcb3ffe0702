//! Rules about crates: who depends on whom, what may not be in the tree, licences.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use alyx_tests::tree;
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

use super::expect_none;

/// Crates of ours that each crate may depend on.
const MAY_IMPORT: [(&str, &[&str]); 7] = [
    ("alyx-protocol", &[]),
    ("alyx-sandbox", &["alyx-protocol"]),
    ("alyx-core", &[]),
    ("alyx-store", &["alyx-core"]),
    ("alyx-server", &["alyx-protocol", "alyx-core", "alyx-store"]),
    ("alyx-cli", &["alyx-protocol"]),
    ("alyx-tests", &["alyx-protocol"]),
];

/// Direct dependencies of the privileged crate. One more needs a decision record.
const SANDBOX_DEPENDENCIES: [&str; 10] = [
    "alyx-protocol",
    "caps",
    "cgroups-rs",
    "landlock",
    "libc",
    "nix",
    "seccompiler",
    "serde",
    "serde_json",
    "thiserror",
];

/// Never in what the privileged process is made of, directly or not.
const NOT_IN_SANDBOX: [&str; 6] = ["tokio", "hyper", "zbus", "dbus", "rusqlite", "reqwest"];

fn metadata() -> Metadata {
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    MetadataCommand::new()
        .manifest_path(tree::root().join("Cargo.toml"))
        .other_options(["--locked".to_owned(), "--filter-platform".to_owned(), host])
        .exec()
        .expect("cargo metadata reads the workspace and its lock file")
}

#[test]
fn crates_import_downwards_only() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_IMPORT.into_iter().collect();
    let mut found = Vec::new();
    for package in metadata().workspace_packages() {
        let Some(allowed) = allowed.get(package.name.as_str()) else {
            found.push(format!("{} is not in the list of crates", package.name));
            continue;
        };
        for dependency in &package.dependencies {
            if dependency.name.starts_with("alyx-") && !allowed.contains(&dependency.name.as_str()) {
                found.push(format!("{} imports {}", package.name, dependency.name));
            }
        }
    }
    expect_none("crates import downwards only", found);
}

#[test]
fn the_sandbox_is_made_of_little() {
    let metadata = metadata();
    let packages = metadata.workspace_packages();
    let sandbox = packages.iter().find(|package| package.name.as_str() == "alyx-sandbox").expect("it exists");
    let direct = sandbox
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind == DependencyKind::Normal)
        .map(|dependency| dependency.name.clone())
        .filter(|name| !SANDBOX_DEPENDENCIES.contains(&name.as_str()));
    expect_none("a new dependency of the sandbox needs a decision record", direct);
    let names = closure(&metadata, &sandbox.id);
    expect_none(
        "not in the privileged process",
        NOT_IN_SANDBOX.into_iter().filter(|name| names.contains(*name)),
    );
}

/// Names of everything that a package is built from, without what only its tests use.
fn closure(metadata: &Metadata, root: &PackageId) -> BTreeSet<String> {
    let nodes = &metadata.resolve.as_ref().expect("the graph is resolved").nodes;
    let mut seen = BTreeSet::from([root.clone()]);
    let mut waiting = vec![root.clone()];
    while let Some(id) = waiting.pop() {
        let node = nodes.iter().find(|node| node.id == id).expect("every package has a node");
        for dependency in &node.deps {
            let used = dependency.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development);
            if used && seen.insert(dependency.pkg.clone()) {
                waiting.push(dependency.pkg.clone());
            }
        }
    }
    metadata
        .packages
        .iter()
        .filter(|package| seen.contains(&package.id))
        .map(|package| package.name.to_string())
        .collect()
}

#[test]
fn banned_crates_are_absent() {
    let policy = fs::read_to_string(tree::root().join("deny.toml")).expect("read deny.toml");
    let banned: BTreeSet<&str> = policy
        .lines()
        .filter_map(|line| line.trim().strip_prefix("{ crate = \"")?.split('"').next())
        .collect();
    assert!(banned.contains("rsa") && banned.contains("zbus"), "deny.toml bans are read: {banned:?}");
    // The metadata also has what a feature that nobody chose would bring, as rustls would bring ring.
    let listed = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--locked", "--prefix", "none", "--format", "{p}"])
        .current_dir(tree::root())
        .output()
        .expect("run cargo tree");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8_lossy(&listed.stdout);
    let used: BTreeSet<String> =
        listed.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    assert!(used.contains("rustls"), "cargo tree lists crates: {used:?}");
    expect_none("banned by deny.toml", used.iter().filter(|name| banned.contains(name.as_str())));
}

#[test]
fn licences_are_allowed() {
    let policy = fs::read_to_string(tree::root().join("deny.toml")).expect("read deny.toml");
    let list =
        policy.split("allow = [").nth(1).and_then(|rest| rest.split(']').next()).expect("a list of licences");
    let allowed: BTreeSet<&str> = list.split('"').skip(1).step_by(2).collect();
    let found = metadata().packages.into_iter().filter_map(|package| {
        let licence = package.license.clone().unwrap_or_default();
        (!is_allowed(&licence, &allowed))
            .then(|| format!("{} {}: {licence:?}", package.name, package.version))
    });
    expect_none("a licence that deny.toml does not allow", found.collect::<Vec<_>>());
}

/// SPDX expressions as crates use them: `A OR B`, `A AND B`, `(A OR B) AND C`, and the old `A/B`.
fn is_allowed(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let expression = expression.replace('/', " OR ");
    let parts = |text: &str| text.split(" AND ").map(str::to_owned).collect::<Vec<_>>();
    if expression.contains('(') {
        // In parentheses only alternatives occur; every outer part must hold.
        return parts(&expression)
            .iter()
            .all(|part| is_allowed(part.trim().trim_matches(['(', ')']), allowed));
    }
    expression
        .split(" OR ")
        .any(|choice| parts(choice).iter().all(|licence| allowed.contains(licence.trim())))
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = BTreeSet::from(["MIT", "Apache-2.0", "BSD-3-Clause"]);
    let check = |text: &str, expected: bool| assert_eq!(is_allowed(text, &allowed), expected, "{text}");
    check("MIT", true);
    check("GPL-3.0 OR MIT", true);
    check("GPL-3.0", false);
    check("", false);
    check("MIT/Apache-2.0", true);
    check("(MIT OR GPL-3.0) AND BSD-3-Clause", true);
    check("(MIT OR Apache-2.0) AND OpenSSL", false);
    check("GPL-3.0 AND MIT", false);
}
