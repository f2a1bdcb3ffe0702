//! Bringing a copy of the database forward to a later moment, page by page. Pages are written as a whole,
//! so it does no harm if a segment begins before the copy was made.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::segment::SegmentReader;
use crate::Error;
use crate::connection::file_error;

/// A copy on its way.
#[derive(Debug)]
pub struct Replay {
    copy: PathBuf,
    file: File,
    /// The commit to end with.
    last: u64,
    reached: Option<u64>,
    /// Chain, number and digest of the segment before.
    previous: Option<(String, u64, String)>,
}

impl Replay {
    /// Brings the file of a copy forward up to and with the commit `last`.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn new(copy: &Path, last: u64) -> Result<Self, Error> {
        let file = File::options().read(true).write(true).open(copy).map_err(file_error(copy))?;
        Ok(Self { copy: copy.to_owned(), file, last, reached: None, previous: None })
    }

    /// Writes the pages of the next segment, which is examined as a whole. Blocks.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is damaged or does not follow the one before; [`Error::File`].
    pub fn add(&mut self, path: &Path) -> Result<(), Error> {
        let mut reader = SegmentReader::open(path)?;
        let header = reader.header.clone();
        if let Some((chain, number, digest)) = &self.previous
            && (header.chain != *chain || header.number != number + 1 || header.previous != *digest)
        {
            let detail = format!("segment {} of {chain} does not follow segment {number}", header.number);
            return Err(Error::Corrupt { detail });
        }
        let wanted = header.commits.iter().rev().find(|commit| commit.number <= self.last);
        let end = wanted.map_or(0, |commit| commit.frames);
        let mut content = vec![0; reader.page_bytes()];
        for number in 0..header.frames {
            let frame = reader.frame(&mut content)?;
            if number >= end {
                continue;
            }
            let page = u64::from(frame.page).checked_sub(1).ok_or_else(|| corrupt("a page has no number"))?;
            let place = page * u64::from(header.page_bytes);
            self.file.write_all_at(&content, place).map_err(file_error(&self.copy))?;
            if number + 1 == end {
                let bytes = u64::from(frame.pages_after) * u64::from(header.page_bytes);
                if bytes == 0 {
                    return Err(corrupt("a commit ends where none is"));
                }
                self.file.set_len(bytes).map_err(file_error(&self.copy))?;
            }
        }
        self.reached = wanted.map(|commit| commit.number).or(self.reached);
        self.previous = Some((header.chain, header.number, reader.finish()?));
        Ok(())
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    /// If the commit was in none of the segments; [`Error::File`].
    pub fn finish(self) -> Result<(), Error> {
        if self.reached != Some(self.last) {
            let error = io::Error::new(io::ErrorKind::NotFound, "the moment is not in these segments");
            return Err(Error::internal("bring the copy forward", error));
        }
        self.file.sync_all().map_err(file_error(&self.copy))
    }
}

fn corrupt(what: &str) -> Error {
    Error::Corrupt { detail: what.to_owned() }
}
