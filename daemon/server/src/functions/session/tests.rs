use std::sync::Arc;

use alyx_protocol::limits::OPEN_CALLS_MAX;
use alyx_protocol::worker::FromWorker;
use tokio::time::Instant;

use super::{Event, Session, Violation};
use crate::functions::fixtures::{config, job};

fn frame(text: &str) -> FromWorker {
    let (kind, body) = text.split_once(' ').unwrap_or((text, "{}"));
    let kind: u8 = match kind {
        "hello" => 0x80,
        "ready" => 0x81,
        "call" => 0x82,
        "log" => 0x83,
        "done" => 0x85,
        _ => 0x86,
    };
    let mut bytes = vec![kind];
    bytes.extend_from_slice(body.as_bytes());
    FromWorker::decode(&bytes).unwrap()
}

const HELLO: &str = r#"hello {"protocol":1,"runtime":"node","version":"v20"}"#;

fn ready() -> Session {
    let mut session = Session::new(Arc::new(config()));
    for text in [HELLO, "ready"] {
        session.handle(frame(text)).unwrap();
    }
    session
}

/// A ready session with invocation 1 open, invocation 2 given up on, invocation 3 answered.
fn busy() -> Session {
    let mut session = ready();
    for _ in 0..3 {
        session.open(job("1").0);
    }
    session.give_up(2, Instant::now()).unwrap();
    session.handle(frame(r#"done {"invocation":3,"value":1}"#)).unwrap();
    session
}

#[tokio::test]
async fn frames_before_ready() {
    let check = |texts: &[&str], legal: bool| {
        let mut session = Session::new(Arc::new(config()));
        let outcome: Result<Vec<Event>, Violation> =
            texts.iter().map(|text| session.handle(frame(text))).collect();
        assert_eq!(outcome.is_ok(), legal, "{texts:?}: {outcome:?}");
    };
    check(&[HELLO], true);
    check(&[HELLO, "ready"], true);
    check(&[HELLO, r#"log {"invocation":null,"level":"info","message":"x"}"#, "ready"], true);
    check(&[HELLO, r#"failed {"invocation":null,"code":"x","message":"y"}"#], true);
    check(&[HELLO, HELLO], false);
    check(&["ready"], false);
    check(&[HELLO, "ready", "ready"], false);
    check(&[HELLO, "ready", HELLO], false);
    check(&[r#"log {"invocation":null,"level":"info","message":"x"}"#], false);
    check(&[r#"hello {"protocol":2,"runtime":"node","version":"v20"}"#], false);
    check(&[r#"hello {"protocol":1,"runtime":"python","version":"3"}"#], false);
    check(&[HELLO, r#"done {"invocation":1}"#], false);
    check(&[HELLO, r#"log {"invocation":1,"level":"info","message":"x"}"#], false);
    check(&[HELLO, "ready", r#"failed {"invocation":null,"code":"x","message":"y"}"#], false);
}

#[tokio::test]
async fn frames_about_invocations() {
    let check = |text: &str, expected: Option<&str>| {
        let event = busy().handle(frame(text)).ok().map(|event| match event {
            Event::Answered(..) => "answered",
            Event::SlotFree => "free",
            Event::Call { .. } => "call",
            Event::Refuse(_, problem) => match problem.code.as_str() {
                "invocation_gone" => "gone",
                _ => "refused",
            },
            Event::Line(Some(_), ..) => "line",
            Event::Line(None, ..) => "worker line",
            Event::Greeted | Event::Ready | Event::LoadFailed(_) => "other",
        });
        assert_eq!(event, expected, "{text}");
    };
    check(r#"done {"invocation":1,"value":null}"#, Some("answered"));
    check(r#"failed {"invocation":1,"code":"x","message":"y"}"#, Some("answered"));
    check(r#"done {"invocation":2}"#, Some("free"));
    check(r#"done {"invocation":3}"#, None);
    check(r#"done {"invocation":4}"#, None);
    check(r#"done {"invocation":0}"#, None);
    check(r#"log {"invocation":1,"level":"warn","message":"x"}"#, Some("line"));
    check(r#"log {"invocation":2,"level":"warn","message":"x"}"#, Some("worker line"));
    check(r#"log {"invocation":3,"level":"warn","message":"x"}"#, Some("worker line"));
    check(r#"log {"invocation":4,"level":"warn","message":"x"}"#, None);
    let get = r#""op":"db.get","args":{"collection":"posts","id":"1"}}"#;
    check(&format!(r#"call {{"call":1,"invocation":1,{get}"#), Some("call"));
    check(&format!(r#"call {{"call":1,"invocation":2,{get}"#), Some("gone"));
    check(&format!(r#"call {{"call":1,"invocation":3,{get}"#), Some("gone"));
    check(&format!(r#"call {{"call":1,"invocation":4,{get}"#), None);
    check(&format!(r#"call {{"call":0,"invocation":1,{get}"#), None);
    check(&format!(r#"call {{"call":9007199254740992,"invocation":1,{get}"#), None);
    check(r#"call {"call":1,"invocation":1,"op":"sql","args":"DROP"}"#, Some("refused"));
}

#[tokio::test]
async fn calls_have_bounds_and_the_identity_of_their_invocation() {
    let mut session = busy();
    let call = |id: usize| {
        frame(&format!(
            r#"call {{"call":{id},"invocation":1,"op":"db.get","args":{{"collection":"p","id":"1"}}}}"#
        ))
    };
    for id in 1..=OPEN_CALLS_MAX {
        let event = session.handle(call(id)).unwrap();
        let Event::Call { asked, .. } = event else { panic!("{event:?}") };
        assert_eq!(asked.identity.label(), "function:echo/user:u1");
    }
    assert!(matches!(session.handle(call(OPEN_CALLS_MAX + 1)), Ok(Event::Refuse(..))));
    assert!(session.call_done(1, 1));
    assert!(matches!(session.handle(call(OPEN_CALLS_MAX + 1)), Ok(Event::Call { .. })));
    assert!(session.handle(call(2)).is_err(), "an id of an open call is used again");
    session.handle(frame(r#"done {"invocation":1}"#)).unwrap();
    assert!(!session.call_done(2, 1), "nobody waits for it any more");
}
