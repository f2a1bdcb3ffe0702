//! Rules about Rust files: sizes, first lines, `unsafe`, imports, words.

use std::fs;

use alyx_tests::tree;

use super::expect_none;
use super::source::{Source, all_rust_files, rust_files};

/// Files without tests.
const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
/// What one person can review in a day. Without tests.
const SANDBOX_LINES_MAX: usize = 5_000;

/// The only place for `unsafe`.
const UNSAFE_HOME: &str = "sandbox/src/sys";

/// Functions over the limit, each with its reason. The list may only shrink.
const LONG_FUNCTIONS: [(&str, &str); 0] = [];

fn is_test(source: &Source) -> bool {
    source.path.starts_with("tests/") || source.path.contains("/tests/") || source.path.ends_with("tests.rs")
}

/// Data, not logic; its first line says so.
fn is_table(source: &Source) -> bool {
    source.text.starts_with("//! Table")
}

#[test]
fn files_are_small() {
    let sources = all_rust_files();
    let large = sources
        .iter()
        .filter(|source| !is_test(source) && !source.text.starts_with("//! Table"))
        .filter(|source| source.lines_without_tests() > FILE_LINES_MAX)
        .map(|source| format!("{}: {} lines", source.path, source.lines_without_tests()));
    expect_none(&format!("a file has at most {FILE_LINES_MAX} lines without tests"), large);
}

#[test]
fn functions_are_small() {
    let mut long = Vec::new();
    for source in all_rust_files().iter().filter(|source| !is_test(source) && !is_table(source)) {
        for (name, line, lines) in functions(source) {
            let known = LONG_FUNCTIONS.contains(&(source.path.as_str(), name.as_str()));
            if lines > FUNCTION_LINES_MAX && !known {
                long.push(format!("{}:{line}: {name} has {lines} lines", source.path));
            }
        }
    }
    expect_none(&format!("a function has at most {FUNCTION_LINES_MAX} lines"), long);
}

/// Name, first line and length of every function with a body.
fn functions(source: &Source) -> Vec<(String, usize, usize)> {
    let code = source.without_tests();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let starts_word =
            at == 0 || !code.as_bytes()[at - 1].is_ascii_alphanumeric() && code.as_bytes()[at - 1] != b'_';
        let name: String =
            code[at + 3..].chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
        if !starts_word || name.is_empty() {
            continue;
        }
        if let Some(length) = body_end(&code[at..]) {
            let lines = code[at..at + length].matches('\n').count() + 1;
            found.push((name, source.line_of(at), lines));
        }
    }
    found
}

/// Where the body of the function that starts here ends; `None` for one without a body.
fn body_end(code: &str) -> Option<usize> {
    let mut depth = 0_i32;
    let mut brackets = 0_i32;
    for (at, letter) in code.char_indices() {
        match letter {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets -= 1,
            ';' if depth == 0 && brackets == 0 => return None,
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent = all_rust_files()
        .into_iter()
        .filter(|source| !is_test(source) || source.path.starts_with("tests/"))
        .filter(|source| !source.text.starts_with("//!"))
        .map(|source| source.path);
    expect_none("a file opens with `//!`", silent);
}

#[test]
fn modules_are_sibling_files() {
    let found =
        all_rust_files().into_iter().map(|source| source.path).filter(|path| path.ends_with("/mod.rs"));
    expect_none("sibling files, no mod.rs", found);
}

#[test]
fn the_sandbox_stays_small() {
    let lines: usize = rust_files("sandbox/src")
        .iter()
        .filter(|source| !is_test(source) && !is_table(source))
        .map(Source::lines_without_tests)
        .sum();
    assert!(lines <= SANDBOX_LINES_MAX, "the sandbox has {lines} lines, more than {SANDBOX_LINES_MAX}");
}

#[test]
fn unsafe_has_one_home() {
    let mut permits = Vec::new();
    let mut found = Vec::new();
    for source in all_rust_files() {
        for form in ["allow(unsafe_code", "expect(unsafe_code"] {
            permits.extend(source.code.match_indices(form).map(|_| source.path.clone()));
        }
        if source.path.starts_with(UNSAFE_HOME) {
            found.extend(unsafe_without_note(&source));
        } else {
            found.extend(
                words(&source.code, "unsafe").map(|at| format!("{}:{}", source.path, source.line_of(at))),
            );
        }
    }
    expect_none(&format!("unsafe stands in {UNSAFE_HOME} only, each block with a SAFETY note"), found);
    assert!(permits.len() <= 1, "one permission for unsafe code in the workspace: {permits:?}");
    assert!(permits.iter().all(|path| path.starts_with("sandbox/src/")), "{permits:?}");
}

fn unsafe_without_note(source: &Source) -> Vec<String> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut found = Vec::new();
    for at in words(&source.code, "unsafe") {
        let rest = source.code[at + "unsafe".len()..].trim_start();
        if !rest.starts_with('{') && !rest.starts_with("impl") {
            continue;
        }
        let number = source.line_of(at);
        let above = lines[..number - 1].iter().rev();
        // The note stands directly above the statement, which may begin a few lines earlier.
        let noted = above.take(12).any(|line| line.trim_start().starts_with("// SAFETY:"));
        if !noted && !lines[number - 1].contains("// SAFETY:") {
            found.push(format!("{}:{number}: no SAFETY note", source.path));
        }
    }
    found
}

fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part_of_word =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = at.checked_sub(1).and_then(|before| code.as_bytes().get(before));
        !part_of_word(before) && !part_of_word(code.as_bytes().get(at + word.len()))
    })
}

#[test]
fn imports_name_what_they_import() {
    let mut found = Vec::new();
    for source in all_rust_files() {
        for (number, line) in source.code.lines().enumerate() {
            let line = line.trim_start();
            if (line.starts_with("use ") || line.starts_with("pub use ")) && line.contains('*') {
                found.push(format!("{}:{}: {}", source.path, number + 1, line.trim_end()));
            }
        }
    }
    expect_none("no wildcard imports", found);
}

#[test]
fn boundary_crates_document_their_items() {
    let silent = ["protocol", "sandbox", "daemon/core", "daemon/store"].into_iter().filter(|folder| {
        let root = tree::root().join(folder);
        let texts =
            ["src/lib.rs", "src/main.rs", "Cargo.toml"].map(|file| fs::read_to_string(root.join(file)));
        !texts.into_iter().flatten().any(|text| text.contains("missing_docs"))
    });
    expect_none("the crate asks for `missing_docs`", silent);
}

#[test]
fn nothing_is_left_unfinished() {
    // Spelled in two parts, so that this file is not a finding.
    let marks = [concat!("FIX", "ME"), concat!("TO", "DO"), concat!("XX", "X:"), concat!("HA", "CK:")];
    let mut found = Vec::new();
    for source in all_rust_files() {
        for (number, line) in source.text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                found.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
            }
        }
    }
    expect_none("finished work only", found);
}

#[test]
fn layers_import_downwards_only() {
    // Folder, and the paths that its code must not name.
    let rules: [(&str, &[&str]); 6] = [
        ("daemon/core/src", &["std::fs", "std::net", "std::process", "tokio", "rusqlite", "SystemTime::now"]),
        ("daemon/store/src", &["tokio", "hyper", "axum", "http::", "alyx_protocol"]),
        ("sandbox/src", &["tokio", "alyx_core", "alyx_store", "alyx_server"]),
        ("cli/src", &["rusqlite", "alyx_core", "alyx_store", "alyx_server"]),
        ("daemon/server/src/functions", &["crate::http"]),
        ("daemon/server/src/auth", &["crate::http"]),
    ];
    let mut found = Vec::new();
    for (folder, forbidden) in rules {
        for source in rust_files(folder).iter().filter(|source| !is_test(source)) {
            for name in forbidden {
                let first = name.split(':').next().unwrap_or(name);
                let code = source.without_tests();
                for at in words(code, first).filter(|at| code[*at..].starts_with(name)) {
                    found.push(format!("{}:{}: {name}", source.path, source.line_of(at)));
                }
            }
        }
    }
    expect_none("a layer does not know the ones above it", found);
}

#[test]
fn sql_stands_in_the_store() {
    const STATEMENTS: [&str; 6] =
        ["\"SELECT ", "\"INSERT INTO ", "\"UPDATE ", "\"DELETE FROM ", "\"CREATE TABLE ", "\"PRAGMA "];
    let mut found = Vec::new();
    for folder in ["daemon/server/src", "daemon/core/src", "cli/src", "sandbox/src"] {
        for source in rust_files(folder).iter().filter(|source| !source.path.ends_with("/sql.rs")) {
            for (number, line) in source.text_without_tests().lines().enumerate() {
                if STATEMENTS.iter().any(|statement| line.contains(statement)) {
                    found.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
                }
            }
        }
    }
    expect_none("SQL only in the store and in core's sql.rs", found);
}
