//! How far commits are kept, as it is remembered on the disk, and the way back to it after a start.
//!
//! | file in the folder | holds |
//! |---|---|
//! | `place.json` | the chain, its next number, and the place in the log up to which it reaches |
//! | `pending` | moments of commits after that place, a line each; the last may be torn |
//! | `<chain>-….seg` | a segment that nobody carried away yet |

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::log::{Log, Position};
use super::{Pending, Trouble};
use crate::Error;
use crate::backup::{self, SegmentName};
use crate::connection::{file_error, open_private, sync_directory};

pub(super) const JOURNAL: &str = "pending";
const PLACE: &str = "place.json";

/// How far commits are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) chain: String,
    pub(super) reason: Option<String>,
    pub(super) incarnation: String,
    pub(super) next: u64,
    /// Digest of the segment before.
    pub(super) previous: String,
    /// `None` in a chain that begins with the log, whatever that holds.
    pub(super) position: Option<Position>,
    /// The last commit that is kept.
    pub(super) commit: u64,
    pub(super) at_us: i64,
    pub(super) seq: u64,
}

/// Where to go on.
pub(super) struct Found {
    pub(super) place: Place,
    pub(super) pending: Vec<Pending>,
}

pub(super) fn prepare(folder: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(file_error(folder))?;
    sync_directory(folder)
}

/// What was kept so far cannot be gone on with once somebody writes without keeping it.
pub(crate) fn forget(folder: &Path) -> Result<(), Error> {
    let path = folder.join(PLACE);
    match fs::remove_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(file_error(&path)(error)),
        Ok(()) => sync_directory(&path),
    }
}

pub(super) fn open_journal(path: &Path) -> Result<File, Error> {
    // Its mode and that it exists come from here, that it is appended to from below.
    drop(open_private(path)?);
    File::options().append(true).open(path).map_err(file_error(path))
}

pub(super) fn append(journal: &mut File, pending: &Pending) -> io::Result<()> {
    let mut line = serde_json::to_vec(pending)?;
    line.push(b'\n');
    journal.write_all(&line)
}

impl Place {
    /// The beginning of a chain, with the whole log.
    pub(super) fn fresh(connection: &Connection, reason: Option<String>) -> Result<Self, Error> {
        let (seq, incarnation) = backup::position(connection)?;
        let random: String =
            connection.query_row("SELECT lower(hex(randomblob(4)))", [], |row| row.get(0))?;
        let now = jiff::Timestamp::now();
        Ok(Self {
            chain: format!("{}-{random}", now.strftime("%Y%m%dt%H%M%Sz")),
            reason,
            incarnation,
            next: 0,
            previous: String::new(),
            position: None,
            commit: 0,
            at_us: 0,
            seq,
        })
    }

    pub(super) fn save(&self, folder: &Path) -> Result<(), Error> {
        let (path, part) = (folder.join(PLACE), folder.join("place.part"));
        let text = serde_json::to_vec(self).map_err(|error| Error::internal("describe a place", error))?;
        let mut file = open_private(&part)?;
        file.set_len(0)
            .and_then(|()| file.write_all(&text))
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&part, &path))
            .map_err(file_error(&path))?;
        sync_directory(&path)
    }
}

/// Looks for the place in the log and for what was committed after it.
pub(super) fn resume(
    folder: &Path,
    log_path: &Path,
    connection: &Connection,
    now_us: i64,
) -> Result<Found, Error> {
    let place = match fs::read(folder.join(PLACE)) {
        Ok(text) => {
            serde_json::from_slice::<Place>(&text).map_err(|_| "the place that was reached is damaged")
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let place = Place::fresh(connection, None)?;
            return leftover(place, Vec::new(), log_path, connection, now_us);
        }
        Err(error) => return Err(file_error(folder)(error)),
    };
    let moments = read_journal(folder);
    if let Ok(place) = &place {
        remove_unfinished(folder, place)?;
    }
    let reason = match place {
        Err(reason) => reason,
        Ok(place) => match why_broken(&place, &moments, log_path, connection)? {
            None => return leftover(place, moments, log_path, connection, now_us),
            Some(reason) => reason,
        },
    };
    let place = Place::fresh(connection, Some(reason.to_owned()))?;
    leftover(place, Vec::new(), log_path, connection, now_us)
}

/// A segment that was written when the process ended, but not noted, is written anew and may get longer.
fn remove_unfinished(folder: &Path, place: &Place) -> Result<(), Error> {
    for (path, name) in waiting(folder)? {
        if name.chain == place.chain && name.number >= place.next {
            fs::remove_file(&path).map_err(file_error(&path))?;
        }
    }
    Ok(())
}

/// Segments that nobody carried away yet.
fn waiting(folder: &Path) -> Result<Vec<(PathBuf, SegmentName)>, Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(file_error(folder))? {
        let path = entry.map_err(file_error(folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(SegmentName::parse);
        found.extend(name.map(|name| (path, name)));
    }
    Ok(found)
}

/// Why the place cannot be gone on from, if it cannot.
fn why_broken(
    place: &Place,
    moments: &[Pending],
    log_path: &Path,
    connection: &Connection,
) -> Result<Option<&'static str>, Error> {
    let (_, incarnation) = backup::position(connection)?;
    if incarnation != place.incarnation {
        return Ok(Some("another database was put in the place of this one"));
    }
    let Some(position) = &place.position else {
        return Ok((place.next > 0).then_some("the place that was reached is damaged"));
    };
    let log = open_log(log_path)?;
    let Some(log) = log else { return Ok(Some("the log is gone: another program used the database")) };
    if log.salts == position.salts {
        let held = log.holds(position).map_err(file_error(log_path))?;
        return Ok((!held).then_some("the log lost its end with the power"));
    }
    // Every filling counts one up, and the next begins only when the last is kept as a whole.
    let follows = log.salts.0 == position.salts.0.wrapping_add(1);
    let unkept =
        moments.iter().any(|moment| moment.salts == position.salts && moment.frames > position.frames);
    Ok((!follows || unkept).then_some("the log was emptied before it was kept"))
}

fn open_log(path: &Path) -> Result<Option<Log>, Error> {
    match File::open(path) {
        Ok(file) => Log::new(file).map_err(file_error(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file_error(path)(error)),
    }
}

fn read_journal(folder: &Path) -> Vec<Pending> {
    let text = fs::read_to_string(folder.join(JOURNAL)).unwrap_or_default();
    text.lines().map_while(|line| serde_json::from_str(line).ok()).collect()
}

/// What is in the log after the place. Commits whose moment nobody wrote down become one.
fn leftover(
    place: Place,
    moments: Vec<Pending>,
    log_path: &Path,
    connection: &Connection,
    now_us: i64,
) -> Result<Found, Error> {
    let Some(log) = open_log(log_path)? else { return Ok(Found { place, pending: Vec::new() }) };
    let start = place.position.clone().filter(|position| position.salts == log.salts);
    let mut at = start.unwrap_or_else(|| log.start());
    let first = at.frames;
    let (mut content, mut end) = (vec![0; log.page_bytes as usize], first);
    while let Some(frame) = log.next(&mut at, &mut content).map_err(file_error(log_path))? {
        if frame.pages_after != 0 {
            end = at.frames;
        }
    }
    let mut pending: Vec<Pending> = moments
        .into_iter()
        .filter(|moment| moment.salts == log.salts && moment.frames > first && moment.frames <= end)
        .collect();
    let (frames, number, at_us) = pending
        .last()
        .map_or((first, place.commit, place.at_us), |last| (last.frames, last.number, last.at_us));
    if frames < end {
        let (seq, _) = backup::position(connection)?;
        pending.push(Pending {
            salts: log.salts,
            frames: end,
            number: number + 1,
            at_us: now_us.max(at_us),
            seq,
            since_us: Some(at_us),
        });
    }
    Ok(Found { place, pending })
}

/// Gives up what waits if it has become too much.
pub(super) fn drop_overdue(folder: &Path, bytes_max: u64) -> Result<(), Trouble> {
    let waiting = waiting(folder)?;
    // One may have been carried away just now.
    let bytes: u64 = waiting.iter().filter_map(|(path, _)| path.metadata().ok()).map(|file| file.len()).sum();
    if bytes <= bytes_max {
        return Ok(());
    }
    for (path, _) in waiting {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Trouble::Failed(file_error(&path)(error)));
            }
            _ => {}
        }
    }
    let reason = format!("more than {} MiB waited to be carried away and were given up", bytes_max >> 20);
    Err(Trouble::Gap(reason))
}
