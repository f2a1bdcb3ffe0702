//! A segment: pages that one or more commits wrote, as they were after each, and when that was. A copy of
//! the database and the segments since give every moment in between.
//!
//! Layout: 8 bytes `ALYXWAL1`; length of the header, 4 bytes little endian; the header, JSON; frames, each
//! the number of a page, the size of the database in pages if a commit ends here or else 0 (4 bytes little
//! endian each), and the page; SHA-256 of everything before. Segments of one chain are numbered without a
//! gap, and each names the digest of the one before.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::connection::{file_error, open_private};
use crate::limits::SEGMENT_HEADER_MAX;
use crate::{Error, time};

const MAGIC: &[u8; 8] = b"ALYXWAL1";
const DIGEST_BYTES: usize = 32;

/// What a segment says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The unbroken row of segments that it belongs to.
    pub chain: String,
    /// Its place in the chain, from 0.
    pub number: u64,
    /// Digest of the segment before, in hex; empty for the first.
    pub previous: String,
    /// Why the chain began, if another one ended for it.
    pub reason: Option<String>,
    /// Which database it is of.
    pub incarnation: String,
    /// Size of a page.
    pub page_bytes: u32,
    /// Number of frames.
    pub frames: u32,
    /// At least one, in order.
    pub commits: Vec<Commit>,
}

/// A moment that can be gone back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Counts up within a chain.
    pub number: u64,
    /// When it was committed, never before the one before it. Unit: microseconds since 1970.
    pub at_us: i64,
    /// Set if it stands for several whose moments are not known apart: they were made after this.
    pub since_us: Option<i64>,
    /// The highest sequence number of the change feed.
    pub seq: u64,
    /// Frames of the segment up to its end.
    pub frames: u32,
}

impl Commit {
    /// When it was committed, in the stored form.
    #[must_use]
    pub fn at(&self) -> String {
        time_of(self.at_us)
    }
}

/// A moment in the stored form.
#[must_use]
pub fn time_of(at_us: i64) -> String {
    jiff::Timestamp::from_microsecond(at_us).map(time::to_text).unwrap_or_default()
}

/// Name of a segment's file: so much of it that most need not be read to find a moment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentName {
    /// The chain.
    pub chain: String,
    /// Its place in the chain.
    pub number: u64,
    /// When its last commit was made. Unit: microseconds since 1970.
    pub at_us: i64,
    /// The highest sequence number of the change feed after it.
    pub seq: u64,
}

impl fmt::Display for SegmentName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}-{:010}-{:016}-{}.seg", self.chain, self.number, self.at_us, self.seq)
    }
}

impl SegmentName {
    /// Reads what [`fmt::Display`] writes.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".seg")?.rsplitn(4, '-');
        let seq = parts.next()?.parse().ok()?;
        let at_us = parts.next()?.parse().ok()?;
        let number = parts.next()?.parse().ok()?;
        let parsed = Self { chain: parts.next()?.to_owned(), number, at_us, seq };
        (parsed.to_string() == name).then_some(parsed)
    }
}

/// A page of a segment.
pub(crate) struct Frame {
    pub(crate) page: u32,
    /// Size of the database in pages, where a commit ends.
    pub(crate) pages_after: u32,
}

/// Writes one.
pub(crate) struct SegmentWriter {
    file: BufWriter<File>,
    context: Context,
}

impl SegmentWriter {
    pub(crate) fn create(path: &Path, header: &Header) -> Result<Self, Error> {
        let file = open_private(path)?;
        file.set_len(0).map_err(file_error(path))?;
        let mut writer =
            Self { file: BufWriter::with_capacity(1 << 18, file), context: Context::new(&SHA256) };
        let text =
            serde_json::to_vec(header).map_err(|error| Error::internal("describe a segment", error))?;
        let length = u32::try_from(text.len()).map_err(|error| Error::internal("write a segment", error))?;
        let begin = || -> io::Result<()> {
            writer.put(MAGIC)?;
            writer.put(&length.to_le_bytes())?;
            writer.put(&text)
        };
        let mut begin = begin;
        begin().map_err(file_error(path))?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.context.update(bytes);
        self.file.write_all(bytes)
    }

    pub(crate) fn frame(&mut self, frame: &Frame, content: &[u8]) -> io::Result<()> {
        self.put(&frame.page.to_le_bytes())?;
        self.put(&frame.pages_after.to_le_bytes())?;
        self.put(content)
    }

    /// Answers the digest when everything is on the disk.
    pub(crate) fn finish(self) -> io::Result<String> {
        let Self { mut file, context } = self;
        let digest = context.finish();
        file.write_all(digest.as_ref())?;
        file.flush()?;
        file.get_ref().sync_all()?;
        Ok(hex(digest.as_ref()))
    }
}

/// Reads one from its beginning to its end.
pub(crate) struct SegmentReader {
    file: BufReader<File>,
    context: Context,
    /// What it says of itself.
    pub(crate) header: Header,
}

fn broken(what: &str) -> Error {
    Error::Corrupt { detail: format!("the segment {what}") }
}

/// What a segment says of itself, without looking at its pages. Blocks.
///
/// # Errors
/// [`Error::Corrupt`], [`Error::File`].
pub fn header(path: &Path) -> Result<Header, Error> {
    SegmentReader::open(path).map(|reader| reader.header)
}

/// Reads the whole segment and answers its header and digest. Blocks.
///
/// # Errors
/// [`Error::Corrupt`], [`Error::File`].
pub fn examine_segment(path: &Path) -> Result<(Header, String), Error> {
    let mut reader = SegmentReader::open(path)?;
    let mut content = vec![0; reader.page_bytes()];
    for _ in 0..reader.header.frames {
        reader.frame(&mut content)?;
    }
    let header = reader.header.clone();
    Ok((header, reader.finish()?))
}

impl SegmentReader {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let file = BufReader::with_capacity(1 << 18, File::open(path).map_err(file_error(path))?);
        let mut context = Context::new(&SHA256);
        let mut start = [0; 12];
        let mut file = file;
        take(&mut file, &mut context, &mut start)?;
        if start[..8] != *MAGIC {
            return Err(broken("does not begin as one"));
        }
        let length = u32::from_le_bytes([start[8], start[9], start[10], start[11]]);
        if length > SEGMENT_HEADER_MAX {
            return Err(broken("has too long a header"));
        }
        let mut text = vec![0; length as usize];
        take(&mut file, &mut context, &mut text)?;
        let header: Header = serde_json::from_slice(&text).map_err(|_| broken("has a damaged header"))?;
        let fits = header.page_bytes.is_power_of_two() && (512..=65_536).contains(&header.page_bytes);
        let ends = header.commits.last().is_some_and(|last| last.frames == header.frames);
        let rises = header.commits.windows(2).all(|two| two[0].frames < two[1].frames);
        if !(fits && ends && rises) {
            return Err(broken("contradicts itself"));
        }
        Ok(Self { file, context, header })
    }

    pub(crate) fn page_bytes(&self) -> usize {
        self.header.page_bytes as usize
    }

    pub(crate) fn frame(&mut self, content: &mut [u8]) -> Result<Frame, Error> {
        let mut start = [0; 8];
        take(&mut self.file, &mut self.context, &mut start)?;
        take(&mut self.file, &mut self.context, content)?;
        let number = |at: usize| u32::from_le_bytes([start[at], start[at + 1], start[at + 2], start[at + 3]]);
        Ok(Frame { page: number(0), pages_after: number(4) })
    }

    /// Compares the digest, after all frames, and answers it.
    pub(crate) fn finish(mut self) -> Result<String, Error> {
        let mut said = [0; DIGEST_BYTES];
        let mut rest = [0; 1];
        self.file.read_exact(&mut said).map_err(|_| broken("ends too early"))?;
        if self.file.read(&mut rest).map_err(|_| broken("cannot be read"))? != 0 {
            return Err(broken("goes on after its end"));
        }
        let digest = self.context.finish();
        if digest.as_ref() == said { Ok(hex(&said)) } else { Err(broken("does not have its checksum")) }
    }
}

fn take(file: &mut impl Read, context: &mut Context, into: &mut [u8]) -> Result<(), Error> {
    file.read_exact(into).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => broken("ends too early"),
        _ => broken(&format!("cannot be read: {error}")),
    })?;
    context.update(into);
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
