//! Frames of the worker link: what decodes encodes to the same meaning, the rest is refused.
#![no_main]

use alyx_protocol::worker::{FromWorker, ToWorker, frame_length};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(prefix) = bytes.first_chunk::<4>() {
        drop(frame_length(*prefix));
    }
    if let Ok(message) = FromWorker::decode(bytes) {
        let frame = message.encode().expect("what was received can be sent");
        let again = FromWorker::decode(&frame[4..]).expect("what was sent is received");
        assert_eq!(again.encode().expect("and can be sent again"), frame);
    }
    if let Ok(message) = ToWorker::decode(bytes) {
        drop(message.encode());
    }
});
