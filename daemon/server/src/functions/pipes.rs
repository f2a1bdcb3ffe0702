//! A worker's stdout and stderr.
//!
//! They are read continuously so that user code never blocks on them, and drained when an
//! invocation ends so that its last lines are its own.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use alyx_protocol::worker::LogLevel;
use nix::errno::Errno;
use tokio::net::unix::pipe::Receiver;

use super::limits::{LOG_DRAIN_MAX_BYTES, READ_CHUNK_BYTES};
use super::logs::{LineSplitter, Stream};

/// One pipe.
#[derive(Debug)]
pub struct Pipe {
    receiver: Option<Receiver>,
    splitter: LineSplitter,
    /// Which one.
    pub stream: Stream,
}

impl Pipe {
    /// Wraps the read end. Must be called inside the runtime.
    pub fn new(fd: OwnedFd, stream: Stream) -> io::Result<Self> {
        let receiver = Receiver::from_owned_fd(fd)?;
        Ok(Self { receiver: Some(receiver), splitter: LineSplitter::default(), stream })
    }

    /// How important its lines are.
    pub const fn level(&self) -> LogLevel {
        match self.stream {
            Stream::Stderr => LogLevel::Warn,
            _ => LogLevel::Info,
        }
    }

    /// Waits for bytes; never ends once the pipe is closed. Safe to drop.
    pub async fn readable(&self) {
        match &self.receiver {
            // An error shows again when the pipe is read.
            Some(receiver) => drop(receiver.readable().await),
            None => std::future::pending().await,
        }
    }

    /// Takes one chunk after [`Self::readable`].
    pub fn read_some(&mut self, lines: &mut Vec<String>) {
        let Some(receiver) = &self.receiver else { return };
        let mut chunk = [0; READ_CHUNK_BYTES / 4];
        match receiver.try_read(&mut chunk) {
            Ok(0) => self.receiver = None,
            Ok(size) => self.splitter.push(&chunk[..size], |line| lines.push(line)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.receiver = None,
        }
    }

    /// Takes what is in the pipe now, asking the kernel rather than the reactor, which may not have
    /// heard yet.
    pub fn drain(&mut self, lines: &mut Vec<String>) {
        let Some(receiver) = &self.receiver else { return };
        let mut chunk = [0; 4 * 1024];
        let mut taken = 0;
        while taken < LOG_DRAIN_MAX_BYTES {
            match nix::unistd::read(receiver.as_fd(), &mut chunk) {
                Ok(0) => break,
                Ok(size) => {
                    taken += size;
                    self.splitter.push(&chunk[..size], |line| lines.push(line));
                    if size < chunk.len() {
                        break;
                    }
                }
                Err(Errno::EINTR) => {}
                Err(_) => break,
            }
        }
    }

    /// The unfinished line.
    pub fn flush(&mut self, lines: &mut Vec<String>) {
        lines.extend(self.splitter.flush());
    }
}
