//! SQLite's write-ahead log as a file. Its format: <https://sqlite.org/fileformat2.html#walformat>.
//!
//! Only read. SQLite locks the database and the index beside the log, never the log, so closing a
//! descriptor of it drops nobody's lock.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Serialize};

const HEADER_BYTES: u64 = 32;
const FRAME_HEADER_BYTES: u64 = 24;
/// The lowest bit says that checksums are of big endian words.
const MAGIC: u32 = 0x377f_0682;

/// The two running sums of the log's checksum.
pub(crate) type Sums = (u32, u32);

/// What tells this filling of the log from others: the first number is one more in each.
pub(crate) type Salts = (u32, u32);

/// A place in the log: so many frames of this filling, and the checksum there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    pub(crate) salts: Salts,
    pub(crate) frames: u32,
    pub(crate) sums: Sums,
}

/// The log.
pub(crate) struct Log {
    file: File,
    pub(crate) page_bytes: u32,
    pub(crate) salts: Salts,
    big_endian: bool,
    start: Sums,
}

/// A frame that is sound.
pub(crate) struct LogFrame {
    pub(crate) page: u32,
    pub(crate) pages_after: u32,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The salts alone.
pub(crate) fn salts(file: &File) -> io::Result<Salts> {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, 16)?;
    Ok((word(&bytes, 0), word(&bytes, 4)))
}

impl Log {
    /// `None` if it is empty or has no sound header.
    pub(crate) fn new(file: File) -> io::Result<Option<Self>> {
        let mut header = [0; HEADER_BYTES as usize];
        if !fill(&file, &mut header, 0)? {
            return Ok(None);
        }
        let big_endian = word(&header, 0) & 1 == 1;
        let mut start = (0, 0);
        add(big_endian, &header[..24], &mut start);
        if word(&header, 0) & !1 != MAGIC || start != (word(&header, 24), word(&header, 28)) {
            return Ok(None);
        }
        let salts = (word(&header, 16), word(&header, 20));
        Ok(Some(Self { file, page_bytes: word(&header, 8), salts, big_endian, start }))
    }

    /// Where it begins.
    pub(crate) fn start(&self) -> Position {
        Position { salts: self.salts, frames: 0, sums: self.start }
    }

    /// Reads the frame at a place and moves on; `None` if there is no sound one.
    pub(crate) fn next(&self, place: &mut Position, content: &mut [u8]) -> io::Result<Option<LogFrame>> {
        let mut header = [0; FRAME_HEADER_BYTES as usize];
        let at = self.offset(place.frames);
        if !fill(&self.file, &mut header, at)? || !fill(&self.file, content, at + FRAME_HEADER_BYTES)? {
            return Ok(None);
        }
        let mut sums = place.sums;
        add(self.big_endian, &header[..8], &mut sums);
        add(self.big_endian, content, &mut sums);
        let sound = (word(&header, 8), word(&header, 12)) == self.salts
            && (word(&header, 16), word(&header, 20)) == sums;
        if !sound {
            return Ok(None);
        }
        place.frames += 1;
        place.sums = sums;
        Ok(Some(LogFrame { page: word(&header, 0), pages_after: word(&header, 4) }))
    }

    fn offset(&self, frames: u32) -> u64 {
        HEADER_BYTES + u64::from(frames) * (FRAME_HEADER_BYTES + u64::from(self.page_bytes))
    }

    /// Whether the log holds what was read up to this place.
    pub(crate) fn holds(&self, place: &Position) -> io::Result<bool> {
        Ok(self.salts == place.salts && self.sums_after(place.frames)? == Some(place.sums))
    }

    /// The checksum after so many frames, as the log itself says it.
    pub(crate) fn sums_after(&self, frames: u32) -> io::Result<Option<Sums>> {
        let Some(last) = frames.checked_sub(1) else { return Ok(Some(self.start)) };
        let mut header = [0; FRAME_HEADER_BYTES as usize];
        if !fill(&self.file, &mut header, self.offset(last))? {
            return Ok(None);
        }
        let own = (word(&header, 8), word(&header, 12)) == self.salts;
        Ok(own.then(|| (word(&header, 16), word(&header, 20))))
    }
}

/// False if the file ends before.
fn fill(file: &File, into: &mut [u8], at: u64) -> io::Result<bool> {
    match file.read_exact_at(into, at) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn add(big_endian: bool, bytes: &[u8], sums: &mut Sums) {
    for two in bytes.chunks_exact(8) {
        let read = |at: usize| {
            let four = [two[at], two[at + 1], two[at + 2], two[at + 3]];
            if big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
        };
        sums.0 = sums.0.wrapping_add(read(0)).wrapping_add(sums.1);
        sums.1 = sums.1.wrapping_add(read(4)).wrapping_add(sums.0);
    }
}
