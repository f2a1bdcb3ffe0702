//! Cursors: any text, and any bytes behind the head of a cursor that belongs to the list. What is
//! accepted is what the same place would be written as.
#![no_main]

use alyx_core::query::{ListQuery, QueryError, Reading, encode_cursor, parse_list};
use alyx_fuzz::{CALLERS, CATALOG, REQUEST};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;

const SORTS: [&str; 6] = ["id", "-views", "at,-score", "done,title", "-day,-key,status", "author.name"];

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, rest)) = bytes.split_first() else { return };
    let sort = SORTS[usize::from(*choice) % SORTS.len()];
    if let Ok(text) = std::str::from_utf8(rest) {
        drop(list(sort, Some(text)));
    }
    let first = list(sort, None).expect("a plain list");
    let mut whole = URL_SAFE_NO_PAD.decode(encode_cursor(&first, &[])).expect("a cursor is base64url");
    whole.extend_from_slice(rest);
    let cursor = URL_SAFE_NO_PAD.encode(whole);
    if let Ok(next) = list(sort, Some(&cursor)) {
        let after = next.after.as_ref().expect("it came from a cursor");
        assert_eq!(encode_cursor(&next, after), cursor);
        assert!(next.after_expr().is_some());
    }
});

fn list(sort: &str, cursor: Option<&str>) -> Result<ListQuery, QueryError> {
    let reading = Reading::new(&CATALOG, "posts", &CALLERS[1], &REQUEST).expect("is in the schema");
    let mut params = vec![("sort".to_owned(), sort.to_owned())];
    params.extend(cursor.map(|text| ("cursor".to_owned(), text.to_owned())));
    parse_list(reading, &params)
}
