//! Cron expressions against `croniter`: generated expressions in zones whose clocks change in odd ways,
//! around the changes and far from them. Both must name the same moments, except for two things that
//! are ours by decision (docs/decisions/0021-schedules.md): a single time of the day that comes twice
//! runs once, and what several times of a day lose in a gap is left out.
//!
//! `ALYX_LONG=1` compares ten times as many.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a step that fails ends the test, one left out is named"
)]

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use alyx_core::schedule::{Schedule, bundled_zone};
use alyx_core::schema::parse_schedule;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Unit};
use serde_json::{Value, json};

/// Answers each case with moments in seconds since 1970.
const CRONITER: &str = r#"
import json, sys
from datetime import datetime
from zoneinfo import ZoneInfo
from croniter import croniter
for line in sys.stdin:
    case = json.loads(line)
    start = datetime.fromtimestamp(case["after"], ZoneInfo(case["zone"]))
    found = croniter(case["cron"], start, second_at_beginning=True)
    print(json.dumps([int(found.get_next(float)) for _ in range(case["count"])]))
"#;

/// Zones with a change of the clock each, in summer and in winter.
const EDGES: [(&str, &str); 14] = [
    ("Europe/Berlin", "2026-03-29T01:00:00Z"),
    ("Europe/Berlin", "2026-10-25T01:00:00Z"),
    ("Europe/London", "2027-03-28T01:00:00Z"),
    ("Europe/London", "2027-10-31T01:00:00Z"),
    ("America/New_York", "2026-03-08T07:00:00Z"),
    ("America/New_York", "2026-11-01T06:00:00Z"),
    ("America/St_Johns", "2026-03-08T05:30:00Z"),
    ("America/St_Johns", "2026-11-01T04:30:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
    ("America/Santiago", "2026-04-05T03:00:00Z"),
    ("America/Santiago", "2026-09-06T04:00:00Z"),
    ("Asia/Kolkata", "2026-01-01T00:00:00Z"),
    ("UTC", "2026-02-28T12:00:00Z"),
];

struct Random(u64);

impl Random {
    /// xorshift64*.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % bound
    }

    fn field(&mut self, min: u64, max: u64) -> String {
        let span = max - min + 1;
        let (mut low, mut high) = (min + self.below(span), min + self.below(span));
        if low > high {
            std::mem::swap(&mut low, &mut high);
        }
        match self.below(6) {
            0 | 1 => "*".to_owned(),
            2 => low.to_string(),
            3 => format!("*/{}", 1 + self.below(span / 2)),
            4 if low < high => format!("{low}-{high}"),
            5 if low + 1 < high => format!("{low},{high}"),
            _ => low.to_string(),
        }
    }

    fn expression(&mut self) -> String {
        const DAYS: [&str; 6] = ["*", "*", "*", "1-5", "SUN", "2,4"];
        const MONTHS: [&str; 5] = ["*", "*", "*", "*/2", "MAR-NOV"];
        if self.below(5) == 0 {
            // A single time of the day, at hours where clocks change.
            return format!("{} {} * * *", self.below(60), self.below(4));
        }
        let (minute, hour) = (self.field(0, 59), self.field(0, 23));
        // Where both days are restricted either may match; most expressions leave the first alone.
        let day = if self.below(4) == 0 { self.field(1, 28) } else { "*".to_owned() };
        let month = MONTHS[self.below(5) as usize];
        let weekday = DAYS[self.below(6) as usize];
        let second = if self.below(5) == 0 { format!("{} ", self.field(0, 59)) } else { String::new() };
        format!("{second}{minute} {hour} {day} {month} {weekday}")
    }
}

struct Case {
    cron: String,
    zone: &'static str,
    edge: Timestamp,
    after: Timestamp,
    count: usize,
}

fn cases(random: &mut Random, count: usize) -> Vec<Case> {
    let one = |_| {
        let (zone, edge) = EDGES[random.below(EDGES.len() as u64) as usize];
        let edge: Timestamp = edge.parse().unwrap();
        let before = match random.below(3) {
            0 => random.below(3_600),
            1 => random.below(86_400),
            _ => random.below(30 * 86_400),
        };
        let after = edge - SignedDuration::from_secs(i64::try_from(before).unwrap());
        Case { cron: random.expression(), zone, edge, after, count: 40 }
    };
    (0..count).map(one).collect()
}

/// What croniter says; `None` if it is not installed, which is a failure under CI.
fn croniter(cases: &[Case]) -> Option<Vec<Vec<i64>>> {
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/peers/venv/bin/python");
    if !std::path::Path::new(python).exists() {
        assert!(std::env::var_os("CI").is_none(), "croniter is missing; run tests/peers/install.sh");
        eprintln!("not run: croniter is missing; run tests/peers/install.sh");
        return None;
    }
    let mut child = Command::new(python)
        .args(["-c", CRONITER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start python");
    let mut input = child.stdin.take().expect("a pipe");
    let lines: String = cases
        .iter()
        .map(|case| {
            let line = json!({ "cron": case.cron, "zone": case.zone, "after": case.after.as_second(), "count": case.count });
            format!("{line}\n")
        })
        .collect();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = child.wait_with_output().expect("python ends");
    writer.join().expect("no panic").expect("write the cases");
    assert!(output.status.success(), "croniter failed");
    let answers = String::from_utf8(output.stdout).expect("text");
    Some(answers.lines().map(|line| serde_json::from_str(line).expect("a list")).collect())
}

/// Whether it names a single time of the day, by its text.
fn is_single_time(cron: &str) -> bool {
    let fields: Vec<&str> = cron.split(' ').collect();
    let times = &fields[..fields.len() - 3];
    times.iter().all(|field| field.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The moment is the second pass of a time that comes twice.
fn is_second_pass(moment: Timestamp, zone: &TimeZone) -> bool {
    let zoned = moment.to_zoned(zone.clone());
    let first = zone.to_ambiguous_timestamp(zoned.datetime()).earlier().expect("in range");
    first != moment
}

/// The moment lies in the minute behind a gap, to which the other moves what the gap holds.
fn ends_a_gap(moment: Timestamp, zone: &TimeZone) -> bool {
    let before = moment - SignedDuration::from_mins(1);
    zone.to_offset(moment).seconds() > zone.to_offset(before).seconds()
}

#[test]
fn the_same_moments_as_croniter() {
    let count = if std::env::var_os("ALYX_LONG").is_some() { 10_000 } else { 1_000 };
    let cases = cases(&mut Random(0x5eed), count);
    let Some(answers) = croniter(&cases) else { return };
    assert_eq!(answers.len(), cases.len());
    let (mut gaps, mut passes, mut compared) = (0, 0, 0);
    for (case, theirs) in cases.iter().zip(answers) {
        let body: Value = json!({ "cron": case.cron, "zone": case.zone, "function": "f" });
        let schedule: Schedule =
            parse_schedule("s", &body).unwrap_or_else(|all| panic!("{}: {all:?}", case.cron));
        let zone = bundled_zone(case.zone).expect("a zone");
        let ours = schedule.upcoming(case.after, Timestamp::UNIX_EPOCH, &zone, case.count);
        let theirs: Vec<Timestamp> =
            theirs.into_iter().map(|second| Timestamp::from_second(second).unwrap()).collect();
        let end = *ours.last().expect("it runs").min(theirs.last().expect("it runs"));
        let until = |all: Vec<Timestamp>| all.into_iter().filter(|one| *one <= end).collect::<BTreeSet<_>>();
        let (ours, theirs) = (until(ours), until(theirs));
        let single = is_single_time(&case.cron);
        let about = || format!("{:?} in {} after {} (edge {})", case.cron, case.zone, case.after, case.edge);
        for moment in ours.symmetric_difference(&theirs) {
            let by_decision = match (theirs.contains(moment), single) {
                (true, true) => is_second_pass(*moment, &zone),
                (true, false) => ends_a_gap(*moment, &zone),
                // Half an hour that comes twice is more than the other one knows.
                (false, _) => case.zone == "Australia/Lord_Howe" && is_second_pass(*moment, &zone),
            };
            assert!(by_decision, "{}: {moment} is ours: {}", about(), ours.contains(moment));
            if single { passes += 1 } else { gaps += 1 }
        }
        compared += ours.intersection(&theirs).count();
        assert!(ours.iter().all(|moment| moment.round(Unit::Second).unwrap() == *moment));
    }
    assert!(compared > count * 10, "{compared} moments are the same");
    assert!(passes + gaps > 0, "no case met an edge");
    println!("{compared} moments the same; by decision: {passes} second passes, {gaps} ends of gaps");
}
