//! Reads one schedule: from `schedules:` of a schema, or what was sent to `/api/schedules`.

use std::time::Duration;

use jiff::tz::TimeZone;
use serde_json::Value;

use super::Retry;
use super::function::duration;
use super::hook::read_retry;
use super::reader::{At, Reader, shorten};
use super::yaml::Yaml;
use super::{field_options, units};
use crate::limits::{CATCH_UP_MAX, EVERY_MAX, EVERY_MIN, JITTER_MAX, SCHEDULE_INPUT_MAX_BYTES};
use crate::schedule::{CatchUp, Cron, Overlap, Schedule, Timing, bundled_zone, read_moment};

/// Reads a schedule. Problems are reported; what is returned then must not be used.
pub(super) fn read(reader: &mut Reader<'_>, name: &str, at: &At<'_>) -> Option<Schedule> {
    let mut section = reader.section(at)?;
    let (cron, every, moment) = (section.take("cron"), section.take("every"), section.take("at"));
    let (zone, function, input) = (section.take("zone"), section.take("function"), section.take("input"));
    let (overlap, catch_up) = (section.take("overlap"), section.take("catch_up"));
    let (jitter, retry, enabled) = (section.take("jitter"), section.take("retry"), section.take("enabled"));
    section.finish(reader);

    let zone = zone.map_or(Some(("UTC", TimeZone::UTC)), |at| read_zone(reader, &at));
    let wall = zone.as_ref().map_or(TimeZone::UTC, |(_, zone)| zone.clone());
    let timing = match (cron, every, moment) {
        (Some(at), None, None) => read_cron(reader, &at),
        (None, Some(at), None) => read_every(reader, &at),
        (None, None, Some(at)) => read_at(reader, &at, &wall),
        (None, None, None) => {
            let hint = "add cron: \"0 3 * * *\", every: 15m or at: 2030-01-01T09:00:00Z";
            reader.report(at.key, &at.path, "the schedule does not say when it runs", hint);
            None
        }
        _ => {
            reader.report(at.key, &at.path, "cron, every and at exclude each other", "keep one of them");
            None
        }
    };
    let function = match function {
        Some(at) => reader.text(&at).map(str::to_owned),
        None => {
            let hint = "add function: with the name of a function";
            reader.report(at.key, &at.path, "the schedule has no function", hint);
            None
        }
    };
    let words = [Overlap::Skip, Overlap::Queue, Overlap::Allow].map(|overlap| (overlap.as_str(), overlap));
    let overlap = overlap.map_or(Some(Overlap::default()), |at| reader.word(&at, "overlap", &words));
    let catch_up = catch_up.map_or(Some(CatchUp::default()), |at| read_catch_up(reader, &at));
    let jitter = duration(reader, jitter.as_ref(), Duration::ZERO, Duration::ZERO..=JITTER_MAX);
    let retry = read_retry(reader, retry.as_ref(), Retry { attempts: 1, ..Retry::default() });
    let enabled = enabled.map_or(Some(true), |at| reader.bool(&at));
    Some(Schedule {
        name: name.to_owned(),
        timing: timing?,
        zone: zone?.0.to_owned(),
        function: function?,
        input: input.map_or(Some(Value::Null), |at| read_input(reader, &at))?,
        overlap: overlap?,
        catch_up: catch_up?,
        jitter,
        retry,
        enabled: enabled?,
        position: at.key,
    })
}

/// Whether an input is small enough.
pub(super) fn fits(input: &Value) -> bool {
    input.to_string().len() <= SCHEDULE_INPUT_MAX_BYTES
}

fn read_zone<'n>(reader: &mut Reader<'_>, at: &At<'n>) -> Option<(&'n str, TimeZone)> {
    let name = reader.text(at)?;
    match bundled_zone(name) {
        Some(zone) => Some((name, zone)),
        None => {
            let message = format!("there is no time zone \"{}\"", shorten(name));
            reader.refuse(at, message, "write a name of the IANA database, such as Europe/Berlin or UTC");
            None
        }
    }
}

fn read_cron(reader: &mut Reader<'_>, at: &At<'_>) -> Option<Timing> {
    match Cron::new(reader.text(at)?) {
        Ok(cron) => Some(Timing::Cron(cron)),
        Err(error) => {
            let hint = "write \"minute hour day month weekday\", such as \"0 3 * * *\", or @daily";
            reader.refuse(at, error.to_string(), hint);
            None
        }
    }
}

fn read_every(reader: &mut Reader<'_>, at: &At<'_>) -> Option<Timing> {
    let step = duration(reader, Some(at), EVERY_MIN, EVERY_MIN..=EVERY_MAX);
    if step.subsec_nanos() != 0 {
        reader.refuse(
            at,
            "an interval is whole seconds",
            &format!("write {}", units::show_duration(EVERY_MIN)),
        );
        return None;
    }
    Some(Timing::Every(step))
}

fn read_at(reader: &mut Reader<'_>, at: &At<'_>, zone: &TimeZone) -> Option<Timing> {
    let text = reader.text(at)?;
    let moment = read_moment(text, zone);
    if moment.is_none() {
        let hint = "write 2030-01-01T09:00:00Z, or 2030-01-01T09:00:00 for the wall clock of zone";
        reader.refuse(at, format!("\"{}\" is no moment", shorten(text)), hint);
    }
    moment.map(Timing::At)
}

fn read_catch_up(reader: &mut Reader<'_>, at: &At<'_>) -> Option<CatchUp> {
    match &at.node.value {
        Yaml::Map(_) => {}
        Yaml::Text(text) if text == "all" => {
            reader.refuse(at, "all of how many is not said", "write { all: 10 }");
            return None;
        }
        _ => return reader.word(at, "catch_up", &[("none", CatchUp::None), ("last", CatchUp::Last)]),
    }
    let mut section = reader.section(at)?;
    let all = section.take("all");
    section.finish(reader);
    let Some(all) = all else {
        reader.refuse(at, "catch_up does not say what", "write none, last or { all: 10 }");
        return None;
    };
    let most = reader.whole(&all, 1, CATCH_UP_MAX.into())?;
    u32::try_from(most).ok().map(CatchUp::All)
}

fn read_input(reader: &mut Reader<'_>, at: &At<'_>) -> Option<Value> {
    let input = field_options::json(reader, at)?;
    if !fits(&input) {
        reader.refuse(at, format!("the input is larger than {SCHEDULE_INPUT_MAX_BYTES} bytes"), "");
        return None;
    }
    Some(input)
}
