//! Bodies of documents: what is accepted is written as JSON that is accepted again and means the same.
#![no_main]

use alyx_core::document::{Access, Document, Fresh, IdKind, parse_replace, parse_update, recall, write_json};
use alyx_fuzz::{NOW, POST, create, posts};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    for access in [Access::Client, Access::Admin, Access::System] {
        if let Ok(document) = create(posts(), body, access) {
            again(&document);
        }
        if let Ok(document) = parse_update(posts(), &POST, body, access, NOW) {
            again(&document);
        }
        let mut ids = |_: IdKind| "1".to_owned();
        let mut fresh = Fresh { now: NOW, ids: &mut ids };
        drop(parse_replace(posts(), "00000000000000000001", Some(&POST), body, access, &mut fresh));
    }
});

fn again(document: &Document) {
    let mut json = Vec::new();
    write_json(&mut json, posts(), |place| document.values[place].as_ref(), &Access::System.into(), None);
    let shown = String::from_utf8_lossy(&json);
    let read = create(posts(), &json, Access::System).unwrap_or_else(|error| panic!("{error:?}: {shown}"));
    assert_eq!(read.values, document.values, "{shown}");
    let recalled = recall(posts(), &shown).expect("the change feed reads what it wrote");
    assert_eq!(recalled.values, document.values, "{shown}");
}
