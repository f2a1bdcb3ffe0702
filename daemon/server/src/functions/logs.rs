//! Log lines of workers: cutting pipes into lines, bounding what an invocation may keep, and the
//! recent lines of each function in memory.
//!
//! Lines are never interpreted. They are kept as they came, as text; whoever displays them makes
//! control characters visible.

use std::collections::VecDeque;
use std::sync::Arc;

use alyx_protocol::limits::LOG_LINE_MAX_BYTES;
use alyx_protocol::worker::{LogLevel, cut};
use serde::Serialize;
use tokio::sync::broadcast;

use super::limits::{FOLLOW_BEHIND_MAX, LINES_PER_INVOCATION_MAX, RECENT_LINES_MAX, RECENT_LINES_MAX_BYTES};

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// `ctx.log`.
    Log,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// The daemon itself.
    System,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// RFC 3339 UTC with microseconds.
    pub at: String,
    /// How important.
    pub level: LogLevel,
    /// Where it came from.
    pub stream: Stream,
    /// The text without its line break.
    pub message: String,
}

/// A line of a function with the invocation it belongs to, if one does.
#[derive(Clone, Debug, Serialize)]
pub struct FunctionLine {
    /// The execution.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub execution: Option<Arc<str>>,
    /// The line.
    #[serde(flatten)]
    pub line: Line,
}

impl Stream {
    /// As stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::System => "system",
        }
    }

    /// From what was stored.
    pub fn of(text: &str) -> Self {
        let all = [Self::Log, Self::Stdout, Self::Stderr];
        all.into_iter().find(|stream| stream.as_str() == text).unwrap_or(Self::System)
    }
}

/// A level as stored.
pub const fn level_text(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}

/// A level from what was stored.
pub fn level_of(text: &str) -> LogLevel {
    let all = [LogLevel::Debug, LogLevel::Info, LogLevel::Warn];
    all.into_iter().find(|level| level_text(*level) == text).unwrap_or(LogLevel::Error)
}

/// Cuts the bytes of one pipe into lines of bounded length.
#[derive(Debug, Default)]
pub struct LineSplitter {
    partial: Vec<u8>,
    /// The rest of the current line is being thrown away.
    skipping: bool,
}

impl LineSplitter {
    /// Takes bytes and hands every finished line on.
    pub fn push(&mut self, mut bytes: &[u8], mut line: impl FnMut(String)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.keep(&bytes[..end]);
            self.skipping = false;
            line(self.take());
            bytes = &bytes[end + 1..];
        }
        self.keep(bytes);
    }

    /// The unfinished line, if there is one.
    pub fn flush(&mut self) -> Option<String> {
        (!self.partial.is_empty()).then(|| self.take())
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.skipping {
            return;
        }
        let room = LOG_LINE_MAX_BYTES - self.partial.len();
        self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room {
            self.partial.extend_from_slice("…".as_bytes());
            self.skipping = true;
        }
    }

    fn take(&mut self) -> String {
        if self.partial.last() == Some(&b'\r') {
            self.partial.pop();
        }
        let text = String::from_utf8_lossy(&self.partial).into_owned();
        self.partial.clear();
        text
    }
}

/// The lines of one invocation, up to its limit.
#[derive(Debug)]
pub struct InvocationLog {
    lines: Vec<Line>,
    room_bytes: u64,
    dropped_lines: u64,
    dropped_bytes: u64,
}

impl InvocationLog {
    /// Keeps at most so many bytes of text.
    pub const fn new(limit_bytes: u64) -> Self {
        Self { lines: Vec::new(), room_bytes: limit_bytes, dropped_lines: 0, dropped_bytes: 0 }
    }

    /// Takes a line; `false` where it was dropped.
    pub fn push(&mut self, line: Line) -> bool {
        let size = line.message.len() as u64;
        // After the first dropped line the rest is dropped too: a log with holes misleads.
        if self.dropped_lines > 0 || size > self.room_bytes || self.lines.len() >= LINES_PER_INVOCATION_MAX {
            self.dropped_lines += 1;
            self.dropped_bytes += size;
            return false;
        }
        self.room_bytes -= size;
        self.lines.push(line);
        true
    }

    /// The lines, with a last one that says what is missing.
    pub fn finish(mut self, at: &dyn Fn() -> String) -> Vec<Line> {
        if self.dropped_lines > 0 {
            let message = format!(
                "{} lines ({} bytes) dropped: over limits.logs",
                self.dropped_lines, self.dropped_bytes
            );
            self.lines.push(Line { at: at(), level: LogLevel::Warn, stream: Stream::System, message });
        }
        self.lines
    }
}

/// The recent lines of one function.
#[derive(Debug, Default)]
pub struct RecentLines {
    lines: VecDeque<FunctionLine>,
    bytes: usize,
    /// Whoever follows; none before the first.
    followers: Option<broadcast::Sender<Arc<FunctionLine>>>,
}

impl RecentLines {
    /// Adds a line and forgets the oldest ones over the bound.
    pub fn push(&mut self, line: FunctionLine) {
        if let Some(followers) = self.followers.as_ref().filter(|all| all.receiver_count() > 0) {
            // The last one may have gone meanwhile.
            drop(followers.send(Arc::new(line.clone())));
        }
        self.bytes += line.line.message.len();
        self.lines.push_back(line);
        while self.lines.len() > RECENT_LINES_MAX || self.bytes > RECENT_LINES_MAX_BYTES {
            match self.lines.pop_front() {
                Some(old) => self.bytes -= old.line.message.len(),
                None => break,
            }
        }
    }

    /// The newest lines, oldest first.
    pub fn last(&self, count: usize) -> Vec<FunctionLine> {
        self.lines.iter().skip(self.lines.len().saturating_sub(count)).cloned().collect()
    }

    /// The newest lines, oldest first, and every line after them: none is missing and none comes twice.
    pub fn follow(&mut self, count: usize) -> (Vec<FunctionLine>, broadcast::Receiver<Arc<FunctionLine>>) {
        let followers = self.followers.get_or_insert_with(|| broadcast::Sender::new(FOLLOW_BEHIND_MAX));
        let to_come = followers.subscribe();
        (self.last(count), to_come)
    }
}

fn as_text<S: serde::Serializer>(id: &Option<Arc<str>>, serializer: S) -> Result<S::Ok, S::Error> {
    id.as_deref().serialize(serializer)
}

/// The text of a `log` frame within the bound.
pub fn bounded(message: String) -> String {
    if message.len() <= LOG_LINE_MAX_BYTES {
        return message;
    }
    cut(&message, LOG_LINE_MAX_BYTES).into_owned()
}

#[cfg(test)]
mod tests {
    use alyx_protocol::limits::LOG_LINE_MAX_BYTES;
    use alyx_protocol::worker::LogLevel;

    use super::{FunctionLine, InvocationLog, Line, LineSplitter, RecentLines, Stream};

    fn split(pieces: &[&[u8]]) -> Vec<String> {
        let (mut splitter, mut lines) = (LineSplitter::default(), Vec::new());
        for piece in pieces {
            splitter.push(piece, |line| lines.push(line));
        }
        lines.extend(splitter.flush());
        lines
    }

    fn line(message: &str) -> Line {
        Line { at: String::new(), level: LogLevel::Info, stream: Stream::Stdout, message: message.to_owned() }
    }

    #[test]
    fn lines_survive_every_cut() {
        let text = "one\ntwé\r\n\nlast".as_bytes();
        for cut in 0..=text.len() {
            let (head, tail) = text.split_at(cut);
            assert_eq!(split(&[head, tail]), ["one", "twé", "", "last"], "cut at {cut}");
        }
    }

    #[test]
    fn long_lines_are_cut_and_the_next_line_is_whole() {
        let check = |length: usize, kept: usize| {
            let text = format!("{}\nnext\n", "x".repeat(length));
            let lines = split(&[text.as_bytes()]);
            assert_eq!((lines[0].trim_end_matches('…').len(), lines[1].as_str()), (kept, "next"));
        };
        check(LOG_LINE_MAX_BYTES - 1, LOG_LINE_MAX_BYTES - 1);
        check(LOG_LINE_MAX_BYTES, LOG_LINE_MAX_BYTES);
        check(LOG_LINE_MAX_BYTES + 1, LOG_LINE_MAX_BYTES);
        check(1_000_000, LOG_LINE_MAX_BYTES);
    }

    #[test]
    fn bytes_that_are_not_text_stay_lines() {
        assert_eq!(split(&[b"\xff\xfe\0ok\n"]), ["\u{fffd}\u{fffd}\0ok"]);
    }

    #[test]
    fn an_invocation_keeps_its_limit_and_counts_the_rest() {
        let mut log = InvocationLog::new(10);
        assert!(log.push(line("12345")));
        assert!(log.push(line("67890")));
        assert!(!log.push(line("x")));
        assert!(!log.push(line("")));
        let lines = log.finish(&String::new);
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[2].message, "2 lines (1 bytes) dropped: over limits.logs");
    }

    #[test]
    fn recent_lines_forget_the_oldest() {
        let mut recent = RecentLines::default();
        for number in 0..super::RECENT_LINES_MAX + 5 {
            recent.push(FunctionLine { execution: None, line: line(&number.to_string()) });
        }
        let last = recent.last(usize::MAX);
        assert_eq!((last.len(), last[0].line.message.as_str()), (super::RECENT_LINES_MAX, "5"));
        assert_eq!(recent.last(1).len(), 1);
    }

    #[test]
    fn whoever_follows_gets_every_line_once() {
        let mut recent = RecentLines::default();
        let push = |recent: &mut RecentLines, text: &str| {
            recent.push(FunctionLine { execution: None, line: line(text) });
        };
        push(&mut recent, "a");
        push(&mut recent, "b");
        let (known, mut to_come) = recent.follow(1);
        assert_eq!(known.iter().map(|line| line.line.message.as_str()).collect::<Vec<_>>(), ["b"]);
        push(&mut recent, "c");
        assert_eq!(recent.follow(0).0.len(), 0);
        push(&mut recent, "d");
        assert_eq!(to_come.try_recv().unwrap().line.message, "c");
        assert_eq!(to_come.try_recv().unwrap().line.message, "d");
        drop(recent);
        assert!(to_come.try_recv().is_err());
    }
}
