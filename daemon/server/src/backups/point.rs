//! Which copy and which segments bring the database to a moment. What cannot be reached exactly is refused,
//! and the refusal says what can be.

use std::collections::BTreeMap;

use alyx_store::backup::{Commit, Header, SegmentName, time_of};

use super::Manifest;

/// The moment that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The last one that is kept.
    Newest,
    /// Everything that was committed by then. Unit: microseconds since 1970.
    At(i64),
    /// Everything up to this change, and none after it.
    Seq(u64),
}

/// How to get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The backup to begin with.
    pub base: Manifest,
    /// The segments after it, in order.
    pub segments: Vec<SegmentName>,
    /// The commit to end with; `None` if the backup is the moment.
    pub commit: Option<Commit>,
}

/// Why the moment cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum NoWay {
    #[error("there is no backup that segments were kept for")]
    Nothing,
    #[error("the newest moment that is kept is {at}, change {seq}")]
    TooLate { at: String, seq: u64 },
    #[error("the oldest moment that is kept is {at}, change {seq}")]
    TooEarly { at: String, seq: u64 },
    #[error("nothing is kept between {from} and {to}: {reason}")]
    Gap { from: String, to: String, reason: String },
    #[error(
        "the daemon ended without order, and when each commit between {from} and {to} was made is not known"
    )]
    Blurred { from: String, to: String },
    #[error("segment {number} of {chain} is missing")]
    Missing { chain: String, number: u64 },
    #[error("read a segment")]
    Segment(#[source] Box<super::BackupError>),
}

/// What a target holds.
pub struct Holdings {
    /// Backups, newest first.
    pub bases: Vec<Manifest>,
    /// In the order of their numbers, by chain.
    pub chains: BTreeMap<String, Vec<SegmentName>>,
}

/// What one chain says of a moment.
enum Found {
    Way(Box<Way>),
    /// It begins later.
    Later,
}

impl Holdings {
    pub fn new(bases: Vec<Manifest>, mut names: Vec<SegmentName>) -> Self {
        names.sort();
        let mut chains: BTreeMap<String, Vec<SegmentName>> = BTreeMap::new();
        for mark in bases.iter().filter_map(|base| base.mark.as_ref()) {
            chains.entry(mark.chain.clone()).or_default();
        }
        for name in names {
            chains.entry(name.chain.clone()).or_default().push(name);
        }
        Self { bases, chains }
    }

    /// Finds the way; `header` reads what a segment says of itself.
    pub async fn way(
        &self,
        moment: Moment,
        header: &impl AsyncFn(&SegmentName) -> Result<Header, super::BackupError>,
    ) -> Result<Way, NoWay> {
        let mut later: Option<&str> = None;
        // Names begin with the time, so this is newest first.
        for (chain, names) in self.chains.iter().rev() {
            if self.bases_of(chain).next().is_none() {
                continue;
            }
            if let Some(last) = self.end_of(chain, names)
                && is_after(moment, &last)
            {
                return Err(match later {
                    None => NoWay::TooLate { at: time_of(last.0), seq: last.1 },
                    Some(later) => self.gap(&last, later, header).await,
                });
            }
            match self.within(chain, names, moment, header).await? {
                Found::Way(way) => return Ok(*way),
                Found::Later => later = Some(chain),
            }
        }
        let oldest = later.and_then(|chain| self.bases_of(chain).last());
        Err(oldest
            .map_or(NoWay::Nothing, |base| NoWay::TooEarly { at: base.created_at.clone(), seq: base.seq }))
    }

    /// Newest first.
    fn bases_of<'a>(&'a self, chain: &'a str) -> impl DoubleEndedIterator<Item = &'a Manifest> {
        self.bases.iter().filter(move |base| base.mark.as_ref().is_some_and(|mark| mark.chain == chain))
    }

    /// Time and change of the last moment of a chain.
    fn end_of(&self, chain: &str, names: &[SegmentName]) -> Option<(i64, u64)> {
        let base = self.bases_of(chain).next().and_then(|base| Some((micros(&base.created_at)?, base.seq)));
        // Until when nothing was written after the last commit, nobody noted.
        match names.last() {
            Some(last) => Some((last.at_us, last.seq.max(base.map_or(0, |base| base.1)))),
            None => base,
        }
    }

    async fn gap(
        &self,
        end: &(i64, u64),
        later: &str,
        header: &impl AsyncFn(&SegmentName) -> Result<Header, super::BackupError>,
    ) -> NoWay {
        let to = self.bases_of(later).last().map_or_else(String::new, |base| base.created_at.clone());
        let first = self.chains.get(later).and_then(|names| names.first());
        let reason = match first {
            Some(first) => header(first).await.ok().and_then(|header| header.reason),
            None => None,
        };
        let reason = reason.unwrap_or_else(|| "the reason is not kept".to_owned());
        NoWay::Gap { from: time_of(end.0), to, reason }
    }

    async fn within(
        &self,
        chain: &str,
        names: &[SegmentName],
        moment: Moment,
        header: &impl AsyncFn(&SegmentName) -> Result<Header, super::BackupError>,
    ) -> Result<Found, NoWay> {
        let Some((commit, name, next)) = last_commit(names, moment, header).await? else {
            return Ok(self.base_alone(chain, moment));
        };
        let number = commit.number;
        let base =
            self.bases_of(chain).find(|base| base.mark.as_ref().is_some_and(|mark| mark.commit <= number));
        let Some((base, mark)) = base.and_then(|base| Some((base, base.mark.as_ref()?))) else {
            return Ok(self.base_alone(chain, moment));
        };
        if let Some((next, since)) = next.and_then(|next| Some((next.clone(), next.since_us?))) {
            let inside = match moment {
                Moment::Newest => false,
                Moment::At(at) => at > commit.at_us,
                Moment::Seq(seq) => seq > commit.seq,
            };
            if inside {
                return Err(NoWay::Blurred { from: time_of(since), to: next.at() });
            }
        }
        if mark.segment > name.number {
            // The copy holds the commit: it was made after it.
            return Ok(Found::Way(Box::new(Way { base: base.clone(), segments: Vec::new(), commit: None })));
        }
        let segments: Vec<SegmentName> = names
            .iter()
            .filter(|found| (mark.segment..=name.number).contains(&found.number))
            .cloned()
            .collect();
        for (number, found) in (mark.segment..=name.number).zip(segments.iter().map(Some).chain([None])) {
            if found.is_none_or(|found| found.number != number) {
                return Err(NoWay::Missing { chain: chain.to_owned(), number });
            }
        }
        Ok(Found::Way(Box::new(Way { base: base.clone(), segments, commit: Some(commit) })))
    }

    /// The moment may be that of a backup.
    fn base_alone(&self, chain: &str, moment: Moment) -> Found {
        let base = match moment {
            Moment::Newest => self.bases_of(chain).next(),
            Moment::At(_) => None,
            Moment::Seq(seq) => self.bases_of(chain).find(|base| base.seq == seq),
        };
        base.map_or(Found::Later, |base| {
            Found::Way(Box::new(Way { base: base.clone(), segments: Vec::new(), commit: None }))
        })
    }
}

fn micros(text: &str) -> Option<i64> {
    Some(text.parse::<jiff::Timestamp>().ok()?.as_microsecond())
}

fn is_after(moment: Moment, (at_us, seq): &(i64, u64)) -> bool {
    match moment {
        Moment::Newest => false,
        Moment::At(at) => at > *at_us,
        Moment::Seq(wanted) => wanted > *seq,
    }
}

/// The last commit that belongs to the moment, its segment, and the commit after it if that is known.
async fn last_commit(
    names: &[SegmentName],
    moment: Moment,
    header: &impl AsyncFn(&SegmentName) -> Result<Header, super::BackupError>,
) -> Result<Option<(Commit, SegmentName, Option<Commit>)>, NoWay> {
    let read = async |name: &SegmentName| header(name).await.map_err(|error| NoWay::Segment(Box::new(error)));
    let belongs = |at_us: i64, seq: u64| !is_before(moment, at_us, seq);
    // Segments from here on have commits that do not belong.
    let split = names.partition_point(|name| belongs(name.at_us, name.seq));
    let mut next = None;
    if let Some(name) = names.get(split) {
        let commits = read(name).await?.commits;
        let own = commits.partition_point(|commit| belongs(commit.at_us, commit.seq));
        next = commits.get(own).cloned();
        if let Some(last) = own.checked_sub(1) {
            return Ok(Some((commits[last].clone(), name.clone(), next)));
        }
    }
    let Some(name) = split.checked_sub(1).and_then(|before| names.get(before)) else { return Ok(None) };
    let last = read(name).await?.commits.pop();
    Ok(last.map(|last| (last, name.clone(), next)))
}

/// Whether the moment is before a commit.
fn is_before(moment: Moment, at_us: i64, seq: u64) -> bool {
    match moment {
        Moment::Newest => false,
        Moment::At(at) => at < at_us,
        Moment::Seq(wanted) => wanted < seq,
    }
}
