//! Rules about Markdown: links lead somewhere, and nothing but facts is told.

use std::fs;
use std::path::PathBuf;

use alyx_tests::tree;

use super::expect_none;
use super::source::relative;

fn markdown_files() -> Vec<(PathBuf, String)> {
    tree::files(".")
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("read a Markdown file");
            (path, text)
        })
        .collect()
}

#[test]
fn links_lead_somewhere() {
    let mut found = Vec::new();
    for (path, text) in markdown_files() {
        let folder = path.parent().expect("a file has a folder");
        for link in links(&text) {
            let (file, _anchor) = link.split_once('#').unwrap_or((&link, ""));
            let elsewhere = link.contains("://") || link.starts_with("mailto:") || link.starts_with('/');
            if !elsewhere && !file.is_empty() && !folder.join(file).exists() {
                found.push(format!("{}: {link}", relative(&path)));
            }
        }
    }
    expect_none("a link leads to a file of the tree", found);
}

/// Targets of `[text](target)` outside of code blocks.
fn links(text: &str) -> Vec<String> {
    let mut in_code = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // Inline code stands between single back-quotes.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        for part in prose.split("](").skip(1) {
            if let Some((target, _)) = part.split_once(')') {
                found.push(target.trim().to_owned());
            }
        }
    }
    found
}

#[test]
fn documents_tell_facts_not_plans() {
    const PHRASES: [&str; 9] = [
        "coming soon",
        "will be added",
        "not yet implemented",
        "to be implemented",
        "work in progress",
        "roadmap",
        "in a future version",
        "in a later issue",
        "phase 2",
    ];
    let mut found = Vec::new();
    for (path, text) in markdown_files() {
        for (number, line) in text.lines().enumerate() {
            let lower = line.to_lowercase();
            if let Some(phrase) = PHRASES.iter().find(|phrase| lower.contains(**phrase)) {
                found.push(format!("{}:{}: {phrase}", relative(&path), number + 1));
            }
        }
    }
    expect_none("documents tell what is, not what is planned", found);
}

#[test]
fn code_names_documents_that_exist() {
    let mut found = Vec::new();
    for source in super::source::all_rust_files() {
        for (at, _) in source.text.match_indices("docs/") {
            let name: String = source.text[at..]
                .chars()
                .take_while(|letter| letter.is_ascii_alphanumeric() || "/-_.".contains(*letter))
                .collect();
            let name = name.trim_end_matches('.');
            if name.ends_with(".md") && !tree::root().join(name).exists() {
                found.push(format!("{}:{}: {name}", source.path, source.line_of(at)));
            }
        }
    }
    expect_none("a document that the code names exists", found);
}
