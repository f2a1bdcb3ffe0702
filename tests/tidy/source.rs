//! Rust files of the tree, with comments and literals blanked out so that a search finds code only.

use std::fs;
use std::path::PathBuf;

use alyx_tests::tree;

/// Folders that hold the crates.
pub const CRATES: [&str; 7] =
    ["protocol", "sandbox", "daemon/core", "daemon/store", "daemon/server", "cli", "tests"];

/// One Rust file.
pub struct Source {
    /// Relative to the root, with slashes.
    pub path: String,
    pub text: String,
    /// Same length and line breaks; comments, strings and characters are spaces.
    pub code: String,
}

impl Source {
    /// Number of lines before the unit tests.
    pub fn lines_without_tests(&self) -> usize {
        self.without_tests().lines().count()
    }

    /// The code before the unit tests at the end of the file.
    pub fn without_tests(&self) -> &str {
        let end = ["#[cfg(test)]\nmod ", "#[cfg(test)]\npub(crate) mod "]
            .iter()
            .filter_map(|start| self.code.find(start))
            .min();
        &self.code[..end.unwrap_or(self.code.len())]
    }

    /// The text before the unit tests.
    pub fn text_without_tests(&self) -> &str {
        &self.text[..self.without_tests().len()]
    }

    /// The line number of an offset.
    pub fn line_of(&self, offset: usize) -> usize {
        self.text[..offset].matches('\n').count() + 1
    }
}

/// Every Rust file below a folder.
pub fn rust_files(folder: &str) -> Vec<Source> {
    tree::files(folder)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("read a source file");
            let code = blank(&text);
            Source { path: relative(&path), text, code }
        })
        .collect()
}

/// Every Rust file of every crate.
pub fn all_rust_files() -> Vec<Source> {
    CRATES.iter().flat_map(|folder| rust_files(folder)).collect()
}

pub fn relative(path: &std::path::Path) -> String {
    path.strip_prefix(tree::root()).map(PathBuf::from).unwrap_or_default().to_string_lossy().into_owned()
}

/// Replaces comments, strings and characters by spaces, byte for byte.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = token_end(bytes, at);
        match end {
            Some(end) => {
                for byte in &mut out[at..end] {
                    if *byte != b'\n' {
                        *byte = b' ';
                    }
                }
                at = end;
            }
            None => at += 1,
        }
    }
    String::from_utf8(out).expect("whole characters are replaced")
}

/// Where the comment or literal that starts here ends, if one starts here.
fn token_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let word_before = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if rest.starts_with(b"//") {
        return Some(at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()));
    }
    if rest.starts_with(b"/*") {
        return Some(at + block_comment(rest));
    }
    if !word_before && let Some(length) = raw_string(rest) {
        return Some(at + length);
    }
    match rest[0] {
        b'"' => Some(at + quoted(rest, b'"')),
        b'\'' => character(rest).map(|length| at + length),
        _ => None,
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn raw_string(rest: &[u8]) -> Option<usize> {
    let prefix = [&b"br"[..], b"cr", b"r"].into_iter().find(|prefix| rest.starts_with(prefix))?;
    let hashes = rest[prefix.len()..].iter().take_while(|byte| **byte == b'#').count();
    let open = prefix.len() + hashes;
    if rest.get(open) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.extend(std::iter::repeat_n(b'#', hashes));
    let body = &rest[open + 1..];
    let end = body.windows(close.len()).position(|window| window == close).unwrap_or(body.len());
    Some((open + 1 + end + close.len()).min(rest.len()))
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// A character literal; `None` for a lifetime.
fn character(rest: &[u8]) -> Option<usize> {
    if rest.get(1) == Some(&b'\\') {
        return Some(quoted(rest, b'\''));
    }
    let text = std::str::from_utf8(&rest[1..rest.len().min(6)]);
    let text = match &text {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&rest[1..1 + error.valid_up_to()]).ok()?,
    };
    let letter = text.chars().next()?;
    (rest.get(1 + letter.len_utf8()) == Some(&b'\'')).then_some(2 + letter.len_utf8())
}

#[test]
fn literals_and_comments_are_blanked() {
    let check = |text: &str, expected: &str| assert_eq!(blank(text), expected);
    check("a // b\nc", "a     \nc");
    check("a /* { /* } */ */ b", &format!("a{}b", " ".repeat(17)));
    check(r#"x("{\"}") + y"#, "x(      ) + y");
    check("r#\"{\"\"#; b", "       ; b");
    check("'{' as u8; fn f<'a>(x: &'a str)", "    as u8; fn f<'a>(x: &'a str)");
    check(r"'\'' }", "     }");
}
