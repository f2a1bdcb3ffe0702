//! `schema.yaml`: whatever is written there, the answer is a schema or diagnostics with a place, and a
//! schema that was accepted has rules that compile or say why not.
#![no_main]

use alyx_core::catalog::Catalog;
use alyx_core::schema;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match schema::parse("schema.yaml", text) {
        Ok(parsed) => drop(Catalog::build("schema.yaml", parsed)),
        Err(diagnostics) => assert!(!diagnostics.is_empty(), "refused without a reason"),
    }
});
