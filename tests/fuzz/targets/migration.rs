//! Files of `migrations/`: steps, or diagnostics with a place. What is accepted moves a schema on or has
//! no meaning for it.
#![no_main]

use alyx_core::migration::{advance, diff, file_number, parse_migration};
use alyx_fuzz::CATALOG;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = file_number(text);
    let steps = match parse_migration("0001_fuzz.yaml", text) {
        Ok(steps) => steps,
        Err(diagnostics) => return assert!(!diagnostics.is_empty(), "refused without a reason"),
    };
    let mut schema = CATALOG.schema.clone();
    for (place, step) in steps.iter().enumerate() {
        let later: Vec<_> = steps[place + 1..].iter().collect();
        let before = schema.clone();
        match advance(&mut schema, step, &later, &CATALOG.schema) {
            Ok(changes) => assert!(!changes.is_empty(), "{step:?} does nothing"),
            Err(reason) => assert!(!reason.is_empty() && schema == before, "{step:?}: {reason}"),
        }
        if let Some(back) = step.inverse() {
            assert_eq!(back.inverse().as_ref(), Some(step));
        }
    }
    drop(diff(Some(&schema), &CATALOG.schema));
});
