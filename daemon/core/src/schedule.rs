//! Schedules: when a function is to run. Everything here is arithmetic on moments that come in as
//! arguments; who keeps them and fires them is the daemon.
//!
//! What wall-clock time means where clocks change: a cron schedule that names a single time of the day,
//! such as `30 2 * * *`, runs once a day whatever the clocks do. If the time is skipped it runs at the
//! first moment behind the gap; if it comes twice it runs the first time. Every other cron schedule
//! follows the clock on the wall: what is skipped is left out, what comes twice runs twice. Intervals and
//! moments do not look at the wall.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use croner::Cron as Pattern;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp, Zoned};
use serde_json::{Map, Value, json};

use crate::limits::{CATCH_UP_MAX, MISSED_AFTER};
use crate::schema::{Position, Retry, show_duration};

/// A schedule as declared.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Same form as a collection's name.
    pub name: String,
    /// When.
    pub timing: Timing,
    /// Name of the time zone in which `timing` is read; known to the IANA database.
    pub zone: String,
    /// Name of the function that runs.
    pub function: String,
    /// Its input, any JSON.
    pub input: Value,
    /// What happens when a run is due while another one is not over.
    pub overlap: Overlap,
    /// What happens to runs that nobody was there for.
    pub catch_up: CatchUp,
    /// A run begins up to this much later, by chance.
    pub jitter: Duration,
    /// How a run is tried again when the function fails.
    pub retry: Retry,
    /// Fires. A schedule that does not is kept as it is.
    pub enabled: bool,
    /// Where it is declared.
    pub position: Position,
}

/// When a schedule runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Timing {
    /// By the clock on the wall.
    Cron(Cron),
    /// Every so often, counted from a moment that is kept with the schedule. At least a second.
    Every(Duration),
    /// Once.
    At(Timestamp),
}

/// A cron expression of five or six fields, or a descriptor such as `@daily`.
#[derive(Clone, Debug)]
pub struct Cron {
    text: String,
    pattern: Arc<Pattern>,
}

/// What happens when a run is due while another run of the schedule waits or goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlap {
    /// It is left out.
    #[default]
    Skip,
    /// It waits for its turn.
    Queue,
    /// Both run.
    Allow,
}

/// What happens to runs that were due while the daemon was not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CatchUp {
    /// They are left out.
    None,
    /// The last one runs.
    #[default]
    Last,
    /// This many of them run, the last ones, in order.
    All(u32),
}

/// What is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Moments at which runs were due and that run now, oldest first.
    pub runs: Vec<Timestamp>,
    /// When to look again; `None` if the schedule is over.
    pub next: Option<Timestamp>,
}

/// Why a cron expression is refused. One sentence without a full stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// It is none.
    #[error("\"{text}\" is no cron expression: {reason}")]
    Syntax {
        /// As written.
        text: String,
        /// What the parser says.
        reason: String,
    },
    /// No date matches.
    #[error("\"{0}\" never comes: no date matches it")]
    Never(String),
}

/// The zones that come with Alyx.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A time zone by its name in the IANA database, as it was when this was built.
#[must_use]
pub fn bundled_zone(name: &str) -> Option<TimeZone> {
    ZONES.get(name).ok()
}

impl Cron {
    /// Reads an expression: minute, hour, day of the month, month, day of the week, with seconds
    /// before them if there are six; or a descriptor.
    ///
    /// # Errors
    /// If it is none, or if no date will ever match it.
    pub fn new(text: &str) -> Result<Self, CronError> {
        let text = text.trim();
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let syntax = |reason: String| CronError::Syntax {
            text: text.chars().take(80).collect(),
            reason: reason.trim_end_matches('.').to_owned(),
        };
        let pattern = parser.parse(text).map_err(|error| syntax(error.to_string()))?;
        let cron = Self { text: text.to_owned(), pattern: Arc::new(pattern) };
        match cron.next(Timestamp::UNIX_EPOCH, &TimeZone::UTC) {
            Some(_) => Ok(cron),
            None => Err(CronError::Never(cron.text)),
        }
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let found = self.pattern.find_next_occurrence(&after.to_zoned(zone.clone()), false);
        found.ok().map(|zoned: Zoned| zoned.timestamp())
    }

    fn last(&self, until: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let found = self.pattern.find_previous_occurrence(&until.to_zoned(zone.clone()), true);
        found.ok().map(|zoned: Zoned| zoned.timestamp())
    }
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Timing {
    /// The first moment after `after` at which it is due. `anchor` is where intervals are counted from.
    #[must_use]
    pub fn next(&self, after: Timestamp, anchor: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Cron(cron) => cron.next(after, zone),
            Self::Every(step) => {
                let passed = after.duration_since(anchor);
                let steps = if passed.is_negative() { 0 } else { whole_steps(passed, *step) + 1 };
                // The anchor itself is no run: the first one comes an interval later.
                nth(anchor, *step, steps.max(1))
            }
            Self::At(moment) => (*moment > after).then_some(*moment),
        }
    }

    /// The last moment at or before `until` at which it is due.
    fn last(&self, until: Timestamp, anchor: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Cron(cron) => cron.last(until, zone),
            Self::Every(step) => {
                let passed = until.duration_since(anchor);
                let steps = if passed.is_negative() { 0 } else { whole_steps(passed, *step) };
                (steps > 0).then(|| nth(anchor, *step, steps)).flatten()
            }
            Self::At(moment) => (*moment <= until).then_some(*moment),
        }
    }
}

impl Schedule {
    /// What is to be done at `now` by a schedule that was due at `next`. Runs that were due longer than
    /// [`MISSED_AFTER`] ago are missed and follow `catch_up`; a restart of the daemon alone makes no run
    /// a missed one.
    #[must_use]
    pub fn due(&self, next: Timestamp, now: Timestamp, anchor: Timestamp, zone: &TimeZone) -> Due {
        let on_time_from = now - MISSED_AFTER;
        let mut missed_allowed = match self.catch_up {
            CatchUp::None => 0,
            CatchUp::Last => 1,
            CatchUp::All(most) => most.min(CATCH_UP_MAX),
        } as usize;
        let mut runs = Vec::new();
        let mut until = now;
        while let Some(moment) = self.timing.last(until, anchor, zone).filter(|moment| *moment >= next) {
            if moment < on_time_from {
                // `last` stands in for a run that is not there; with one on time there is nothing to do.
                if missed_allowed == 0 || self.catch_up == CatchUp::Last && !runs.is_empty() {
                    break;
                }
                missed_allowed -= 1;
            }
            runs.push(moment);
            until = moment - SignedDuration::from_nanos(1);
        }
        runs.reverse();
        Due { runs, next: self.timing.next(now, anchor, zone) }
    }

    /// The next moments at which it is due after `after`, at most `count`.
    #[must_use]
    pub fn upcoming(
        &self,
        after: Timestamp,
        anchor: Timestamp,
        zone: &TimeZone,
        count: usize,
    ) -> Vec<Timestamp> {
        let following = |moment: &Timestamp| self.timing.next(*moment, anchor, zone);
        std::iter::successors(self.timing.next(after, anchor, zone), following).take(count).collect()
    }

    /// The form in which it is kept and shown: what [`parse_schedule`](crate::schema::parse_schedule)
    /// reads, with every default.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let (key, timing) = match &self.timing {
            Timing::Cron(cron) => ("cron", cron.as_str().to_owned()),
            Timing::Every(step) => ("every", show_duration(*step)),
            Timing::At(moment) => ("at", moment.to_string()),
        };
        let mut object = Map::new();
        object.insert(key.to_owned(), timing.into());
        object.insert("zone".to_owned(), self.zone.clone().into());
        object.insert("function".to_owned(), self.function.clone().into());
        object.insert("input".to_owned(), self.input.clone());
        object.insert("overlap".to_owned(), self.overlap.as_str().into());
        object.insert("catch_up".to_owned(), self.catch_up.to_json());
        object.insert("jitter".to_owned(), show_duration(self.jitter).into());
        let Retry { attempts, first, longest } = self.retry;
        let retry = json!({
            "attempts": attempts, "first": show_duration(first), "longest": show_duration(longest),
        });
        object.insert("retry".to_owned(), retry);
        object.insert("enabled".to_owned(), self.enabled.into());
        Value::Object(object)
    }
}

impl Overlap {
    /// The word in `schema.yaml`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Queue => "queue",
            Self::Allow => "allow",
        }
    }
}

impl CatchUp {
    /// As it is written in `schema.yaml`.
    #[must_use]
    pub fn to_json(self) -> Value {
        match self {
            Self::None => json!("none"),
            Self::Last => json!("last"),
            Self::All(most) => json!({ "all": most }),
        }
    }
}

/// A moment as written: RFC 3339, or date and time of the wall clock in `zone`. A time that is skipped
/// is read as that much behind the gap, one that comes twice as the first.
#[must_use]
pub fn read_moment(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let on_the_wall = || {
        // A zone in the text that is not read would be lost.
        let plain = !text.contains(['[', 'Z', 'z', '+']);
        let civil: DateTime = plain.then(|| text.parse().ok()).flatten()?;
        zone.to_ambiguous_timestamp(civil).compatible().ok()
    };
    let moment = text.parse::<Timestamp>().ok().or_else(on_the_wall)?;
    // Moments are kept with six digits.
    moment.round(jiff::Unit::Microsecond).ok()
}

/// Whole intervals in a time that is not negative.
fn whole_steps(passed: SignedDuration, step: Duration) -> i64 {
    let steps = passed.as_nanos() / i128::try_from(step.as_nanos().max(1)).unwrap_or(i128::MAX);
    i64::try_from(steps).unwrap_or(i64::MAX)
}

fn nth(anchor: Timestamp, step: Duration, count: i64) -> Option<Timestamp> {
    let millis = i64::try_from(step.as_millis()).ok()?.checked_mul(count)?;
    anchor.checked_add(SignedDuration::from_millis(millis)).ok()
}

#[cfg(test)]
mod tests;
