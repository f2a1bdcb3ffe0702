//! Cuts the bytes of a worker into frames. No I/O: bytes go in, whole frames come out.
//!
//! The bytes are hostile. Memory follows what was received, never what a length announces; JSON is
//! measured for depth before anything parses it; after an error the buffer is of no further use.

use alyx_protocol::limits::JSON_DEPTH_MAX;
use alyx_protocol::worker::{FrameError, FromWorker, frame_length};
use bytes::{Buf, BytesMut};

use super::limits::READ_CHUNK_BYTES;

/// Bytes of one worker that are not yet a frame.
#[derive(Debug, Default)]
pub struct FrameBuffer {
    bytes: BytesMut,
}

/// Why a worker's bytes are not frames of the protocol.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Length, type or body are wrong.
    #[error("bad frame")]
    Frame(#[from] FrameError),
    /// The body is JSON of another kind. Our parser would read an array as an object's fields.
    #[error("the body of a frame is not an object")]
    NotAnObject,
    /// Arrays and objects are nested too deep.
    #[error("json in a frame is nested over {JSON_DEPTH_MAX} levels")]
    Depth,
}

impl FrameBuffer {
    /// Room to read into. Grows by a fixed step, so a worker that announces much and sends little
    /// costs little.
    pub fn room(&mut self) -> &mut BytesMut {
        self.bytes.reserve(READ_CHUNK_BYTES / 4);
        &mut self.bytes
    }

    /// Whether a frame has begun and not ended.
    pub fn is_partial(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// The next whole frame, if it is here.
    pub fn next(&mut self) -> Result<Option<FromWorker>, ReadError> {
        let Some(prefix) = self.bytes.first_chunk::<4>() else { return Ok(None) };
        let length = frame_length(*prefix)?;
        let Some(frame) = self.bytes.get(4..4 + length) else { return Ok(None) };
        if !depth_is_fine(frame) {
            return Err(ReadError::Depth);
        }
        let message = FromWorker::decode(frame)?;
        if frame.get(1) != Some(&b'{') {
            return Err(ReadError::NotAnObject);
        }
        self.bytes.advance(4 + length);
        Ok(Some(message))
    }
}

/// Whether no array or object is nested over the bound. Text that is not JSON may pass: the parser
/// refuses it.
pub fn depth_is_fine(text: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for &byte in text {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    return false;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use alyx_protocol::limits::{JSON_DEPTH_MAX, WORKER_FRAME_MAX_BYTES};
    use alyx_protocol::worker::{Done, FromWorker, Hello, Log, LogLevel};

    use super::{FrameBuffer, depth_is_fine};

    fn conversation() -> Vec<u8> {
        let messages = [
            FromWorker::Hello(Hello { protocol: 1, runtime: "node".into(), version: "v20".into() }),
            FromWorker::Log(Log { invocation: Some(1), level: LogLevel::Info, message: "hé\n".into() }),
            FromWorker::Done(Done { invocation: 1, value: None, response: None }),
        ];
        messages.iter().flat_map(|message| message.encode().unwrap()).collect()
    }

    fn read_all(pieces: &[&[u8]]) -> Result<usize, super::ReadError> {
        let mut buffer = FrameBuffer::default();
        let mut count = 0;
        for piece in pieces {
            buffer.room().extend_from_slice(piece);
            while buffer.next()?.is_some() {
                count += 1;
            }
        }
        assert!(!buffer.is_partial());
        Ok(count)
    }

    #[test]
    fn frames_survive_every_cut() {
        let bytes = conversation();
        for cut in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(read_all(&[head, tail]).unwrap(), 3, "cut at {cut}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(read_all(&single).unwrap(), 3);
    }

    #[test]
    fn hostile_bytes_are_errors_wherever_they_are_cut() {
        let check = |bytes: &[u8]| {
            for cut in 0..=bytes.len() {
                let (head, tail) = bytes.split_at(cut);
                assert!(read_all(&[head, tail]).is_err(), "{bytes:?} cut at {cut}");
            }
        };
        check(&[0, 0, 0, 0]);
        check(&u32::MAX.to_le_bytes());
        check(&(u32::try_from(WORKER_FRAME_MAX_BYTES).unwrap() + 1).to_le_bytes());
        check(b"GET / HTTP/1.1\r\n\r\n");
        check(&[1, 0, 0, 0, 0x01]);
        check(&[1, 0, 0, 0, 0xff]);
        check(&[3, 0, 0, 0, 0x81, b'{', b'x']);
        check(&[3, 0, 0, 0, 0x81, b'[', b']']);
        check(&[7, 0, 0, 0, 0x81, b'{', b'"', 0xff, b'"', b':', b'}']);
    }

    #[test]
    fn an_announced_length_allocates_nothing() {
        let mut buffer = FrameBuffer::default();
        buffer.room().extend_from_slice(&u32::try_from(WORKER_FRAME_MAX_BYTES).unwrap().to_le_bytes());
        assert!(buffer.next().unwrap().is_none());
        assert!(buffer.room().capacity() < 256 * 1024);
    }

    #[test]
    fn depth_counts_outside_of_strings_only() {
        let check = |text: &str, fine: bool| assert_eq!(depth_is_fine(text.as_bytes()), fine);
        check(&"[".repeat(JSON_DEPTH_MAX), true);
        check(&"[".repeat(JSON_DEPTH_MAX + 1), false);
        check(&format!("\"{}\"", "[".repeat(1_000)), true);
        check(&format!("\"\\\"{}\"", "[".repeat(1_000)), true);
        check(&"[]".repeat(1_000), true);
    }
}
