//! Packets of the control link, both directions.
#![no_main]

use alyx_protocol::control::{FromSupervisor, ToSupervisor, decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|packet: &[u8]| {
    if let Ok(message) = decode::<ToSupervisor>(packet) {
        drop(encode(&message));
    }
    if let Ok(message) = decode::<FromSupervisor>(packet) {
        drop(encode(&message));
    }
});
