//! Which row of `docs/rules-conformance.md` a case falls under: the names of the rows, and how a case
//! is known to belong there. A case that passes all the same is counted as passed.

use std::collections::BTreeMap;
use std::sync::Mutex;

use regex::Regex;

use super::case::Case;

/// Files that are about what the standard library of CEL does not have to know.
const FILES: [&str; 13] = [
    "bindings_ext",
    "block_ext",
    "dynamic",
    "encoders_ext",
    "enums",
    "math_ext",
    "optionals",
    "proto2",
    "proto2_ext",
    "proto3",
    "string_ext",
    "type_deductions",
    "wrappers",
];

/// Parts of the language, by what gives them away in an expression without its texts.
const FEATURES: [(&str, &str); 6] = [
    ("messages", r"\b[A-Z]\w*\s*\{|TestAllTypes|google\s*\.\s*protobuf"),
    ("unsigned integers", r"\b(\d+|0[xX][0-9a-fA-F]+)[uU]\b|\buint\("),
    ("types as values", r"\btype\b|^(bool|bytes|double|int|list|map|null_type|string|uint)$"),
    ("maps written out", r"\{"),
    (
        "macros that give lists, and with two variables",
        r"\.(map|filter|transformList|transformMap)\(|\.(all|exists|existsOne|exists_one)\(\w+, \w+, ",
    ),
    ("parts of times", r"\.get[A-Z]\w+\("),
];

/// Kinds of values in results and variables that rules do not have.
const VALUES: [(&str, &str); 3] =
    [("uint64Value", "unsigned integers"), ("typeValue", "types as values"), ("TestAllTypes", "messages")];

/// Cases in which rules differ on purpose, by their file, section and name.
const DIFFERENCES: [(&str, &str); 7] = [
    (
        "doubles that are not finite",
        r"_nan$|/fp_math/(divide_zero|fp_overflow_positive|fp_overflow_negative)$",
    ),
    ("int beside double", r"^comparisons/.*_(int_big_lossy_double|big_double_int)$"),
    (
        "names",
        r"unbound_is_runtime_error$|^namespace/|/qualified_identifier_resolution/|/receiver_function_names/",
    ),
    ("types that cannot fit", r"/short_circuit_type_(left|right)$|/not_eq_list_length$"),
    ("finer than microseconds", r"^timestamps/.*nanos"),
    ("long differences of timestamps", r"/sub_time_duration_(over|under)$"),
    ("limits", r"^parse/(nest/parens|repeat/conditional)$"),
];

/// The row of a case, if there is one.
pub(super) fn row(case: &Case) -> Option<&'static str> {
    feature(case).or_else(|| difference(case))
}

/// The row of a case that uses what rules do not have.
fn feature(case: &Case) -> Option<&'static str> {
    if let Some(file) = FILES.iter().find(|file| **file == case.file) {
        return Some(file);
    }
    let texts = pattern(r#"(?s)[rRbB]{0,2}("(\\.|[^"\\])*"|'(\\.|[^'\\])*')"#);
    let expr = texts.replace_all(&case.expr, "''");
    let written = FEATURES.iter().find(|(_, sign)| pattern(sign).is_match(expr.trim()));
    let values = case.values();
    let valued = || VALUES.iter().find(|(kind, _)| values.contains(kind)).map(|(_, row)| *row);
    written.map(|(row, _)| *row).or_else(valued)
}

/// The row of a case in which rules differ on purpose.
pub(super) fn difference(case: &Case) -> Option<&'static str> {
    if case.expects_type_only() {
        return FILES.into_iter().find(|file| *file == case.file);
    }
    let place = format!("{}/{}/{}", case.file, case.section, case.name);
    DIFFERENCES.iter().find(|(_, sign)| pattern(sign).is_match(&place)).map(|(row, _)| *row)
}

/// A pattern, compiled once.
fn pattern(text: &'static str) -> Regex {
    static KNOWN: Mutex<BTreeMap<&str, Regex>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().expect("no test panics here");
    known.entry(text).or_insert_with(|| Regex::new(text).expect("a pattern")).clone()
}
