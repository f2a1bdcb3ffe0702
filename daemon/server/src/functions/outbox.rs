//! Frames on their way to one worker.
//!
//! `invoke` is written from borrowed parts, because it is the frame of every call; a test holds it
//! against the protocol's own encoding.

use alyx_core::identity::{ADMIN_ROLE, Identity, RequestFacts};
use alyx_protocol::limits::WORKER_FRAME_MAX_BYTES;
use alyx_protocol::worker::{FrameType, ToWorker};
use bytes::BytesMut;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::io::Write;

use super::job::Job;

/// Bytes that wait to be written.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Written from the front.
    pub bytes: BytesMut,
}

/// A message is over the bound of a frame. Nothing of it was queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message is over {WORKER_FRAME_MAX_BYTES} bytes")]
pub struct TooLarge;

#[derive(Serialize)]
struct Invoke<'a> {
    invocation: u64,
    deadline_ms: u64,
    input: &'a RawValue,
    auth: Auth<'a>,
    request: Request<'a>,
    trace_id: &'a str,
}

#[derive(Serialize)]
struct Auth<'a> {
    id: Option<&'a str>,
    email: Option<&'a str>,
    role: Option<&'a str>,
    verified: bool,
}

#[derive(Serialize)]
struct Request<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a BTreeMap<String, String>,
    headers: &'a BTreeMap<String, String>,
    ip: &'a str,
}

impl Outbox {
    /// Queues an invocation.
    pub fn invoke(&mut self, invocation: u64, deadline_ms: u64, job: &Job) -> Result<(), TooLarge> {
        let request = request(&job.facts);
        let auth = auth(&job.identity);
        let (input, trace_id) = (&*job.input, &*job.trace_id);
        self.frame(FrameType::Invoke, &Invoke { invocation, deadline_ms, input, auth, request, trace_id })
    }

    /// Queues the answer to a call: JSON text, or a problem.
    pub fn reply(&mut self, call: u64, result: &super::calls::CallResult) -> Result<(), TooLarge> {
        let start = self.begin(FrameType::Reply);
        let queued = match result {
            // The text comes from our own services and is JSON already.
            Ok(json) => write!(Sink(&mut self.bytes), "{{\"call\":{call},\"ok\":").map(|()| {
                self.bytes.extend_from_slice(if json.is_empty() { b"null" } else { json });
                self.bytes.extend_from_slice(b"}");
            }),
            Err(problem) => {
                serde_json::to_writer(Sink(&mut self.bytes), &ReplyError { call, error: problem })
                    .map_err(std::io::Error::from)
            }
        };
        self.end(start, queued.is_ok())
    }

    /// Queues any other message.
    pub fn message(&mut self, message: &ToWorker) -> Result<(), TooLarge> {
        self.bytes.extend_from_slice(&message.encode().map_err(|_| TooLarge)?);
        Ok(())
    }

    fn frame(&mut self, frame_type: FrameType, body: &impl Serialize) -> Result<(), TooLarge> {
        let start = self.begin(frame_type);
        let written = serde_json::to_writer(Sink(&mut self.bytes), body).is_ok();
        self.end(start, written)
    }

    fn begin(&mut self, frame_type: FrameType) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0, 0, 0, 0, frame_type as u8]);
        start
    }

    fn end(&mut self, start: usize, written: bool) -> Result<(), TooLarge> {
        let length = self.bytes.len() - start - 4;
        match u32::try_from(length) {
            Ok(prefix) if written && length <= WORKER_FRAME_MAX_BYTES => {
                self.bytes[start..start + 4].copy_from_slice(&prefix.to_le_bytes());
                Ok(())
            }
            _ => {
                self.bytes.truncate(start);
                Err(TooLarge)
            }
        }
    }
}

#[derive(Serialize)]
struct ReplyError<'a> {
    call: u64,
    error: &'a alyx_protocol::api::Problem,
}

/// `BytesMut` as a writer that never fails.
struct Sink<'a>(&'a mut BytesMut);

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn auth(identity: &Identity) -> Auth<'_> {
    let user = identity.user();
    let role = if identity.is_admin() { Some(ADMIN_ROLE) } else { user.map(|user| user.role.as_str()) };
    Auth {
        id: user.map(|user| user.id.as_str()),
        email: user.map(|user| user.email.as_str()),
        role,
        verified: user.is_some_and(|user| user.verified),
    }
}

fn request(facts: &RequestFacts) -> Request<'_> {
    Request {
        method: &facts.method,
        path: &facts.path,
        query: &facts.query,
        headers: &facts.headers,
        ip: &facts.ip,
    }
}

#[cfg(test)]
mod tests {
    use alyx_protocol::api::Problem;
    use alyx_protocol::worker::{Auth, Invoke, Reply, Request, ToWorker};

    use super::Outbox;
    use crate::functions::fixtures::job;

    #[test]
    fn invoke_is_encoded_as_the_protocol_says() {
        let (job, _answer) = job(r#"{"a":[1,2]}"#);
        let mut outbox = Outbox::default();
        outbox.invoke(7, 1_000, &job).unwrap();
        let expected = ToWorker::Invoke(Box::new(Invoke {
            invocation: 7,
            deadline_ms: 1_000,
            input: job.input.clone(),
            auth: Auth {
                id: Some("u1".into()),
                email: Some("ada@example.com".into()),
                role: Some("user".into()),
                verified: true,
            },
            request: Request {
                method: "POST".into(),
                path: "/api/functions/echo".into(),
                ip: "127.0.0.1".into(),
                ..Request::default()
            },
            trace_id: job.trace_id.clone(),
        }));
        assert_eq!(outbox.bytes, expected.encode().unwrap());
    }

    #[test]
    fn replies_are_frames_of_the_protocol() {
        let check = |result: super::super::calls::CallResult, ok: Option<&str>| {
            let mut outbox = Outbox::default();
            outbox.reply(3, &result).unwrap();
            let ToWorker::Reply(Reply { call: 3, ok: found, .. }) =
                ToWorker::decode(&outbox.bytes[4..]).unwrap()
            else {
                panic!("not a reply to call 3");
            };
            assert_eq!(found.as_ref().map(|value| value.get()), ok);
        };
        check(Ok(b"{\"id\":1}".to_vec()), Some("{\"id\":1}"));
        check(Err(Problem::new(404, "document_not_found", "no")), None);
    }

    #[test]
    fn a_message_over_the_bound_leaves_nothing_behind() {
        let mut outbox = Outbox::default();
        assert!(outbox.reply(1, &Ok(vec![b'1'; 17 * 1024 * 1024])).is_err());
        assert!(outbox.bytes.is_empty());
    }
}
