use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::{any, prop_oneof};
use proptest::strategy::Strategy;
use proptest::{prop_assert, prop_assert_eq, proptest};
use serde_json::{Value, json};

use super::{CatchUp, Cron, Due, Schedule, Timing, bundled_zone, read_moment};
use crate::schema::parse_schedule;

fn at(text: &str) -> Timestamp {
    text.parse().expect("a moment")
}

fn zone(name: &str) -> TimeZone {
    bundled_zone(name).expect("a zone")
}

fn schedule(body: Value) -> Schedule {
    let mut body = body;
    body["function"] = json!("f");
    parse_schedule("s", &body).expect("a valid schedule")
}

/// The next moments of a cron expression, in UTC to the minute.
fn check_cron(expression: &str, zone_name: &str, after: &str, expected: &[&str]) {
    let schedule = schedule(json!({ "cron": expression, "zone": zone_name }));
    let found = schedule.upcoming(at(after), Timestamp::UNIX_EPOCH, &zone(zone_name), expected.len());
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found, expected, "{expression} in {zone_name}");
}

#[test]
fn cron_in_utc() {
    let check = |expression: &str, expected: &[&str]| {
        check_cron(expression, "UTC", "2026-03-27T12:00:00.5Z", expected);
    };
    check("0 3 * * *", &["2026-03-28T03:00:00Z", "2026-03-29T03:00:00Z"]);
    check("@daily", &["2026-03-28T00:00:00Z", "2026-03-29T00:00:00Z"]);
    check("@hourly", &["2026-03-27T13:00:00Z"]);
    check("@weekly", &["2026-03-29T00:00:00Z"]);
    check("@monthly", &["2026-04-01T00:00:00Z"]);
    check("@yearly", &["2027-01-01T00:00:00Z"]);
    check("*/20 * * * * *", &["2026-03-27T12:00:20Z", "2026-03-27T12:00:40Z"]);
    check("0 9 * * MON-FRI", &["2026-03-30T09:00:00Z", "2026-03-31T09:00:00Z"]);
    check("0 0 1 jan *", &["2027-01-01T00:00:00Z"]);
    // Both days are restricted: either matches.
    check("0 0 13 * 5", &["2026-04-03T00:00:00Z", "2026-04-10T00:00:00Z", "2026-04-13T00:00:00Z"]);
    check("0 0 29 2 *", &["2028-02-29T00:00:00Z"]);
    check("0 0 * * 7", &["2026-03-29T00:00:00Z"]);
}

/// Berlin: 02:00 becomes 03:00 on 29 March 2026, 03:00 becomes 02:00 on 25 October 2026.
#[test]
fn cron_where_clocks_change() {
    let check = |expression: &str, after: &str, expected: &[&str]| {
        check_cron(expression, "Europe/Berlin", after, expected);
    };
    let spring = "2026-03-28T12:00:00Z";
    // Skipped: once, behind the gap; the day after as ever.
    check("30 2 * * *", spring, &["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
    check("*/30 2 * * *", spring, &["2026-03-30T00:00:00Z", "2026-03-30T00:30:00Z"]);
    check("30 * * * *", "2026-03-29T00:00:00Z", &["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"]);
    let autumn = "2026-10-24T12:00:00Z";
    // Repeated: a fixed time once, what follows the clock in both passes.
    check("30 2 * * *", autumn, &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    check("30 * * * *", "2026-10-25T00:00:00Z", &["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]);
}

#[test]
fn wrong_expressions_are_refused() {
    let check = |text: &str, expected: &str| {
        let error = Cron::new(text).expect_err(text).to_string();
        assert!(error.contains(expected) && !error.ends_with('.'), "{text}: {error}");
    };
    check("", "no cron expression");
    check("* * * *", "no cron expression");
    check("* * * * * * 2030", "no cron expression");
    check("61 * * * *", "no cron expression");
    check("*/0 * * * *", "no cron expression");
    check("@reboot", "no cron expression");
    check("0 0 30 2 *", "never comes");
    check(&"1,".repeat(100_000), "no cron expression");
}

#[test]
fn intervals_and_moments() {
    let anchor = at("2026-01-01T00:00:00Z");
    let every = Timing::Every(Duration::from_secs(900));
    let next = |after: &str| every.next(at(after), anchor, &TimeZone::UTC).map(|moment| moment.to_string());
    let check = |after: &str, expected: &str| assert_eq!(next(after).as_deref(), Some(expected), "{after}");
    check("2025-12-31T12:00:00Z", "2026-01-01T00:15:00Z");
    check("2026-01-01T00:00:00Z", "2026-01-01T00:15:00Z");
    check("2026-01-01T00:15:00Z", "2026-01-01T00:30:00Z");
    check("2026-01-01T00:15:00.000001Z", "2026-01-01T00:30:00Z");
    let once = Timing::At(anchor);
    assert_eq!(once.next(at("2025-12-31T23:59:59Z"), anchor, &TimeZone::UTC), Some(anchor));
    assert_eq!(once.next(anchor, anchor, &TimeZone::UTC), None);
    let berlin = zone("Europe/Berlin");
    let check = |text: &str, expected: Option<&str>| {
        assert_eq!(read_moment(text, &berlin), expected.map(at), "{text}");
    };
    check("2026-07-01T09:00:00Z", Some("2026-07-01T09:00:00Z"));
    check("2026-07-01T09:00:00-04:00", Some("2026-07-01T13:00:00Z"));
    check("2026-07-01T09:00", Some("2026-07-01T07:00:00Z"));
    check("2026-03-29T02:30:00", Some("2026-03-29T01:30:00Z"));
    check("2026-10-25T02:30:00", Some("2026-10-25T00:30:00Z"));
    check("tomorrow", None);
    check("2026-07-01", Some("2026-06-30T22:00:00Z"));
}

#[test]
fn missed_runs_follow_the_policy() {
    let check = |catch_up: Value, now: &str, expected: &[&str]| {
        let schedule = schedule(json!({ "every": "1h", "catch_up": catch_up }));
        let anchor = at("2026-01-01T00:00:00Z");
        let due = schedule.due(at("2026-01-01T01:00:00Z"), at(now), anchor, &TimeZone::UTC);
        let runs: Vec<String> = due.runs.iter().map(|run| run.strftime("%H:%M").to_string()).collect();
        assert_eq!(runs, expected, "{catch_up:?} at {now}");
        assert!(due.next.is_some_and(|next| next > at(now)));
    };
    for any in [json!("none"), json!("last"), json!({ "all": 5 })] {
        check(any.clone(), "2026-01-01T00:59:59Z", &[]);
        // On time, also when the process has just been restarted.
        check(any.clone(), "2026-01-01T01:00:00Z", &["01:00"]);
        check(any, "2026-01-01T01:01:00Z", &["01:00"]);
    }
    let late = "2026-01-01T05:30:00Z";
    check(json!("none"), late, &[]);
    check(json!("last"), late, &["05:00"]);
    check(json!({ "all": 3 }), late, &["03:00", "04:00", "05:00"]);
    check(json!({ "all": 100 }), late, &["01:00", "02:00", "03:00", "04:00", "05:00"]);
    // One of them is on time.
    let late = "2026-01-01T05:00:01Z";
    check(json!("none"), late, &["05:00"]);
    check(json!("last"), late, &["05:00"]);
    check(json!({ "all": 1 }), late, &["04:00", "05:00"]);
}

#[test]
fn what_is_over_stays_over() {
    let once = schedule(json!({ "at": "2026-01-01T00:00:00Z", "catch_up": "none" }));
    let due = |schedule: &Schedule, now: &str| {
        schedule.due(at("2026-01-01T00:00:00Z"), at(now), at("2025-01-01T00:00:00Z"), &TimeZone::UTC)
    };
    let moment = at("2026-01-01T00:00:00Z");
    assert_eq!(due(&once, "2026-01-01T00:00:01Z"), Due { runs: vec![moment], next: None });
    assert_eq!(due(&once, "2026-02-01T00:00:00Z"), Due { runs: vec![], next: None });
    let late = Schedule { catch_up: CatchUp::Last, ..once };
    assert_eq!(due(&late, "2026-02-01T00:00:00Z"), Due { runs: vec![moment], next: None });
}

#[test]
fn what_is_kept_reads_as_it_was() {
    for timing in [
        json!({ "cron": "0 3 * * *" }),
        json!({ "every": "90s" }),
        json!({ "at": "2026-01-01T00:00:00.25Z" }),
    ] {
        let mut body = timing;
        body["catch_up"] = json!({ "all": 7 });
        body["overlap"] = json!("queue");
        body["input"] = json!({ "big": 18_446_744_073_709_551_615_u64 });
        body["zone"] = json!("America/New_York");
        let first = schedule(body);
        assert_eq!(parse_schedule("s", &first.to_json()).expect("valid"), first);
    }
}

#[test]
fn mistakes_are_all_told() {
    let body = json!({
        "cron": "0 0 30 2 *", "every": "1h", "zone": "Mars/Olympus", "overlap": "twice", "catch_up": { "all": 0 },
        "jitter": "2", "enabled": "yes", "color": "red",
    });
    let problems = parse_schedule("s", &body).expect_err("all of it is wrong");
    let mut paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["", "", "catch_up.all", "color", "enabled", "jitter", "overlap", "zone"]);
}

/// Days around both changes of the clock in zones that change it at odd hours and by odd amounts.
fn moments() -> impl Strategy<Value = (&'static str, i64)> {
    let edges = [
        ("Europe/Berlin", "2026-03-29T01:00:00Z"),
        ("Europe/Berlin", "2026-10-25T01:00:00Z"),
        ("America/New_York", "2026-03-08T07:00:00Z"),
        ("America/New_York", "2026-11-01T06:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
        ("America/Santiago", "2026-09-06T04:00:00Z"),
        ("Africa/Cairo", "2026-04-23T22:00:00Z"),
        ("UTC", "2026-06-01T00:00:00Z"),
    ];
    (0..edges.len(), -172_800_i64..172_800).prop_map(move |(place, offset)| {
        let (zone, edge) = edges[place];
        (zone, at(edge).as_second() + offset)
    })
}

fn expressions() -> impl Strategy<Value = String> {
    let field = |max: u32| {
        prop_oneof![
            (0..=max).prop_map(|value| value.to_string()),
            (1..=max / 2).prop_map(|step| format!("*/{step}")),
            proptest::strategy::Just("*".to_owned()),
        ]
    };
    (field(59), field(23)).prop_map(|(minute, hour)| format!("{minute} {hour} * * *"))
}

proptest! {
    /// Looking forwards and backwards names the same moments, and none is named twice.
    #[test]
    fn forwards_and_backwards_agree(expression in expressions(), (zone_name, from) in moments(), nanos in any::<u32>()) {
        let zone = zone(zone_name);
        let cron = Cron::new(&expression).unwrap();
        let from = Timestamp::new(from, i32::try_from(nanos % 1_000_000_000).unwrap()).unwrap();
        let mut moment = from;
        for _ in 0..20 {
            let next = cron.next(moment, &zone).unwrap();
            prop_assert!(next > moment);
            prop_assert_eq!(cron.last(next, &zone), Some(next));
            prop_assert!(cron.last(next - jiff::SignedDuration::from_nanos(1), &zone).unwrap() <= moment.max(from));
            moment = next;
        }
    }
}
