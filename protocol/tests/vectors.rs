//! The golden frames of the worker link, read from `protocol/vectors`.
//!
//! The shims run the same files in their own languages, so a frame that one side writes and the
//! other would refuse fails here or there. `runtimes/README.md` describes the format.

use alyx_protocol::worker::{
    Call, Cancel, Done, Failed, FrameError, FromWorker, Hello, Init, Invoke, Log, Ready, Reply, Shutdown,
    ToWorker, frame_length,
};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Golden {
    name: String,
    r#type: String,
    frame: String,
    message: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    name: String,
    direction: String,
    frame: String,
    error: String,
    #[serde(rename = "refused_by_shim")]
    _refused_by_shim: bool,
}

#[test]
fn frames_to_the_worker_decode_and_encode() {
    for golden in read::<Golden>("to_worker.json") {
        let frame = ToWorker::decode(&body(&golden)).expect(&golden.name);
        check(&golden, to_worker_parts(&frame));
        let again = ToWorker::decode(&frame.encode().expect(&golden.name)[4..]);
        check(&golden, to_worker_parts(&again.expect(&golden.name)));
        check(&golden, to_worker_parts(&to_worker_from(&golden)));
    }
}

#[test]
fn frames_from_the_worker_decode_and_encode() {
    for golden in read::<Golden>("from_worker.json") {
        let frame = FromWorker::decode(&body(&golden)).expect(&golden.name);
        check(&golden, from_worker_parts(&frame));
        let again = FromWorker::decode(&frame.encode().expect(&golden.name)[4..]);
        check(&golden, from_worker_parts(&again.expect(&golden.name)));
        check(&golden, from_worker_parts(&from_worker_from(&golden)));
    }
}

#[test]
fn invalid_frames_are_refused() {
    for refused in read::<Refused>("invalid.json") {
        let bytes = unhex(&refused.frame);
        let prefix = bytes[..4].try_into().expect("every vector has a length prefix");
        let outcome = frame_length(prefix).and_then(|length| {
            assert_eq!(length, bytes.len() - 4, "{}: length prefix", refused.name);
            match refused.direction.as_str() {
                "to_worker" => ToWorker::decode(&bytes[4..]).map(drop),
                "from_worker" => FromWorker::decode(&bytes[4..]).map(drop),
                other => panic!("{}: direction {other}", refused.name),
            }
        });
        let error = match outcome {
            Ok(()) => "accepted",
            Err(FrameError::Length(_)) => "length",
            Err(FrameError::Type(_)) => "type",
            Err(FrameError::Body { .. }) => "body",
        };
        assert_eq!(error, refused.error, "{} ({})", refused.name, refused.direction);
    }
}

#[test]
fn every_type_has_a_golden_frame() {
    let of = |file| read::<Golden>(file).into_iter().map(|golden| golden.r#type);
    let mut types: Vec<String> = of("to_worker.json").chain(of("from_worker.json")).collect();
    types.sort();
    types.dedup();
    let expected =
        ["call", "cancel", "done", "failed", "hello", "init", "invoke", "log", "ready", "reply", "shutdown"];
    assert_eq!(types, expected);
}

/// A message as type name and JSON, which is what a vector holds.
type Parts = (&'static str, Result<Value, serde_json::Error>);

fn to_worker_parts(frame: &ToWorker) -> Parts {
    match frame {
        ToWorker::Init(message) => ("init", serde_json::to_value(message)),
        ToWorker::Invoke(message) => ("invoke", serde_json::to_value(message)),
        ToWorker::Reply(message) => ("reply", serde_json::to_value(message)),
        ToWorker::Cancel(message) => ("cancel", serde_json::to_value(message)),
        ToWorker::Shutdown(message) => ("shutdown", serde_json::to_value(message)),
    }
}

fn from_worker_parts(frame: &FromWorker) -> Parts {
    match frame {
        FromWorker::Hello(message) => ("hello", serde_json::to_value(message)),
        FromWorker::Ready(message) => ("ready", serde_json::to_value(message)),
        FromWorker::Call(message) => ("call", serde_json::to_value(message)),
        FromWorker::Log(message) => ("log", serde_json::to_value(message)),
        FromWorker::Done(message) => ("done", serde_json::to_value(message)),
        FromWorker::Failed(message) => ("failed", serde_json::to_value(message)),
    }
}

fn to_worker_from(golden: &Golden) -> ToWorker {
    match golden.r#type.as_str() {
        "init" => ToWorker::Init(message::<Init>(golden)),
        "invoke" => ToWorker::Invoke(Box::new(message::<Invoke>(golden))),
        "reply" => ToWorker::Reply(message::<Reply>(golden)),
        "cancel" => ToWorker::Cancel(message::<Cancel>(golden)),
        "shutdown" => ToWorker::Shutdown(message::<Shutdown>(golden)),
        other => panic!("{}: type {other}", golden.name),
    }
}

fn from_worker_from(golden: &Golden) -> FromWorker {
    match golden.r#type.as_str() {
        "hello" => FromWorker::Hello(message::<Hello>(golden)),
        "ready" => FromWorker::Ready(message::<Ready>(golden)),
        "call" => FromWorker::Call(message::<Call>(golden)),
        "log" => FromWorker::Log(message::<Log>(golden)),
        "done" => FromWorker::Done(message::<Done>(golden)),
        "failed" => FromWorker::Failed(message::<Failed>(golden)),
        other => panic!("{}: type {other}", golden.name),
    }
}

fn message<T: for<'a> Deserialize<'a>>(golden: &Golden) -> T {
    // Through text: raw values inside a message cannot be read from a tree.
    serde_json::from_str(&golden.message.to_string()).expect(&golden.name)
}

fn check(golden: &Golden, (name, value): Parts) {
    assert_eq!(name, golden.r#type, "{}", golden.name);
    assert_eq!(value.expect(&golden.name), golden.message, "{}", golden.name);
}

fn body(golden: &Golden) -> Vec<u8> {
    let bytes = unhex(&golden.frame);
    let prefix = bytes[..4].try_into().expect("every vector has a length prefix");
    let length = frame_length(prefix).expect(&golden.name);
    assert_eq!(length, bytes.len() - 4, "{}: length prefix", golden.name);
    bytes[4..].to_vec()
}

fn read<T: for<'a> Deserialize<'a>>(file: &str) -> Vec<T> {
    let path = format!("{}/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect(&path);
    serde_json::from_str(&text).expect(&path)
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("vectors are hexadecimal") as u8;
    text.as_bytes().chunks(2).map(|pair| (digit(pair[0]) << 4) | digit(pair[1])).collect()
}
