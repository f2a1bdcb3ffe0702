//! Reads one function: from `functions:` of a schema or from a `function.yaml` beside its code.

use std::collections::BTreeMap;
use std::path::{Component, Path};
use std::time::Duration;

use super::collection::read_rule;
use super::reader::{At, Reader};
use super::{
    Concurrency, FunctionConfig, FunctionLimits, FunctionRules, Instances, Record, Runtime, env, units,
};
use crate::limits::{CONCURRENCY_MAX, INSTANCES_MAX, TIMEOUT_MAX_SECONDS};

const KB: u64 = 1 << 10;
const MB: u64 = 1 << 20;
const GB: u64 = 1 << 30;

/// Fewest processes and threads that Node.js starts with.
const NODE_PROCESSES_MIN: u64 = 16;

/// Reads a function. Problems are reported; what is returned then must not be used.
pub(super) fn read(reader: &mut Reader<'_>, name: &str, at: &At<'_>) -> Option<FunctionConfig> {
    let mut section = reader.section(at)?;
    let (runtime, entrypoint) = (section.take("runtime"), section.take("entrypoint"));
    let (timeout, memory, limits) = (section.take("timeout"), section.take("memory"), section.take("limits"));
    let (concurrency, instances) = (section.take("concurrency"), section.take("instances"));
    let (environment, secrets, rules) = (section.take("env"), section.take("secrets"), section.take("rules"));
    let record = section.take("record");
    section.finish(reader);

    let words = [Runtime::Node, Runtime::Python, Runtime::Go].map(|runtime| (runtime.as_str(), runtime));
    let runtime = match runtime {
        Some(at) => reader.word(&at, "runtime", &words),
        None => {
            reader.report(at.key, &at.path, "the function has no runtime", "add runtime: node | python | go");
            None
        }
    };
    let max = Duration::from_secs(TIMEOUT_MAX_SECONDS);
    let timeout = duration(reader, timeout.as_ref(), Duration::from_secs(10), Duration::from_millis(1)..=max);
    let limits = read_limits(reader, limits.as_ref(), memory.as_ref(), timeout, runtime);
    let concurrency = concurrency.map_or(1, |at| number(reader, &at, 1, CONCURRENCY_MAX));
    let instances = read_instances(reader, instances.as_ref());
    let env = environment.map(|at| env::read(reader, &at)).unwrap_or_else(BTreeMap::new);
    let secrets = secrets.map(|at| env::read_secrets(reader, &at)).unwrap_or_default();
    let record = record.map(|at| read_record(reader, &at)).unwrap_or_default();
    let rules = rules.map(|at| read_rules(reader, &at)).unwrap_or_default();
    let runtime = runtime?;
    Some(FunctionConfig {
        name: name.to_owned(),
        runtime,
        entrypoint: read_entrypoint(reader, entrypoint.as_ref(), runtime)?,
        timeout,
        limits,
        concurrency: Concurrency(concurrency),
        instances,
        env,
        secrets,
        record,
        rules,
        position: at.key,
    })
}

fn read_rules(reader: &mut Reader<'_>, at: &At<'_>) -> FunctionRules {
    let Some(mut section) = reader.section(at) else { return FunctionRules::default() };
    let invoke = section.take("invoke").and_then(|at| read_rule(reader, &at));
    section.finish(reader);
    FunctionRules { invoke }
}

/// `record: [input, output]`.
fn read_record(reader: &mut Reader<'_>, at: &At<'_>) -> Record {
    let mut record = Record::default();
    for item in reader.list(at, 2).unwrap_or_default() {
        let Some(is_input) = reader.word(&item, "part", &[("input", true), ("output", false)]) else {
            continue;
        };
        *(if is_input { &mut record.input } else { &mut record.output }) = true;
    }
    record
}

fn read_entrypoint(reader: &mut Reader<'_>, at: Option<&At<'_>>, runtime: Runtime) -> Option<String> {
    let Some(at) = at else {
        return Some(match runtime {
            Runtime::Node => "index.js".to_owned(),
            Runtime::Python => "main.py".to_owned(),
            Runtime::Go => String::new(),
        });
    };
    let text = reader.text(at)?;
    if runtime == Runtime::Go {
        reader.refuse(at, "a Go function has no entrypoint", "remove it: the package exports Handler");
        return None;
    }
    let inside = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_)));
    let clean =
        !text.is_empty() && text.len() <= 255 && !text.contains(|c: char| c.is_control() || c == '\\');
    if !clean || !inside(Path::new(text)) || text.ends_with('/') {
        let hint = "write a path relative to the function's directory, such as src/index.js";
        reader.refuse(at, "the entrypoint must lie inside the function's directory", hint);
        return None;
    }
    Some(text.to_owned())
}

fn read_limits(
    reader: &mut Reader<'_>,
    at: Option<&At<'_>>,
    short_memory: Option<&At<'_>>,
    timeout: Duration,
    runtime: Option<Runtime>,
) -> FunctionLimits {
    let mut section = at.and_then(|at| reader.section(at));
    let mut take = |key| section.as_mut().and_then(|section| section.take(key));
    let (memory, cpu, cpu_time) = (take("memory"), take("cpu"), take("cpu_time"));
    let (processes, files) = (take("processes"), take("files"));
    let (tmp, output, logs) = (take("tmp"), take("output"), take("logs"));
    if let Some(section) = section {
        section.finish(reader);
    }
    if let (Some(_), Some(short)) = (&memory, short_memory) {
        reader.report(short.key, &short.path, "memory is already given in limits", "remove one of them");
    }
    let cpu_time_max = Duration::from_secs(TIMEOUT_MAX_SECONDS * 16);
    let processes_min = if runtime == Some(Runtime::Node) { NODE_PROCESSES_MIN } else { 1 };
    FunctionLimits {
        memory_bytes: size(reader, memory.as_ref().or(short_memory), 128 * MB, 16 * MB, 64 * GB),
        cpu_percent: cpu.and_then(|at| read_cpu(reader, &at)).unwrap_or(100),
        cpu_time: duration(reader, cpu_time.as_ref(), timeout, Duration::from_millis(1)..=cpu_time_max),
        processes: processes.map_or(64, |at| number(reader, &at, processes_min, 4_096)),
        files: files.map_or(128, |at| number(reader, &at, 16, 65_536)),
        tmp_bytes: size(reader, tmp.as_ref(), 32 * MB, 0, 16 * GB),
        output_bytes: size(reader, output.as_ref(), 6 * MB, KB, OUTPUT_MAX_BYTES),
        logs_bytes: size(reader, logs.as_ref(), MB, 0, 64 * MB),
    }
}

/// Largest `output`: a frame of the worker link holds 16 MiB, and what stands around the output must
/// fit as well.
const OUTPUT_MAX_BYTES: u64 = 15 * MB;

/// Percent of one core, 1 to 6,400.
fn read_cpu(reader: &mut Reader<'_>, at: &At<'_>) -> Option<u32> {
    let cores = reader.number(at)?;
    let percent = (cores * 100.0).round();
    if !(1.0..=6_400.0).contains(&percent) {
        reader.refuse(at, "must be a number of cores from 0.01 to 64", "");
        return None;
    }
    // In range by the check above, and whole.
    Some(percent as u32)
}

fn read_instances(reader: &mut Reader<'_>, at: Option<&At<'_>>) -> Instances {
    let mut section = at.and_then(|at| reader.section(at));
    let mut take = |key| section.as_mut().and_then(|section| section.take(key));
    let (min, max) = (take("min"), take("max"));
    let (idle, recycle_after) = (take("idle"), take("recycle_after"));
    if let Some(section) = section {
        section.finish(reader);
    }
    let instances = Instances {
        min: min.as_ref().map_or(0, |at| number(reader, at, 0, INSTANCES_MAX)),
        max: max.map_or(8, |at| number(reader, &at, 1, INSTANCES_MAX)),
        idle: {
            let range = Duration::from_secs(1)..=Duration::from_secs(24 * 3_600);
            duration(reader, idle.as_ref(), Duration::from_secs(300), range)
        },
        recycle_after: recycle_after.and_then(|at| reader.whole(&at, 1, u64::MAX)).unwrap_or(10_000),
    };
    if let Some(at) = min.filter(|_| instances.min > instances.max) {
        reader.refuse(&at, format!("min is larger than max, which is {}", instances.max), "");
    }
    instances
}

/// A whole number within bounds that fit into 32 bits; `min` where a problem was reported.
pub(super) fn number(reader: &mut Reader<'_>, at: &At<'_>, min: u64, max: u64) -> u32 {
    let value = reader.whole(at, min, max).unwrap_or(min);
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn size(reader: &mut Reader<'_>, at: Option<&At<'_>>, default: u64, min: u64, max: u64) -> u64 {
    let Some(at) = at else { return default };
    let range = format!("must be a size from {} to {}", units::show_size(min), units::show_size(max));
    match unit_text(reader, at, "128mb").map(units::size) {
        Some(Some(bytes)) if (min..=max).contains(&bytes) => return bytes,
        Some(_) => reader.refuse(at, range, "write a whole number with b, kb, mb or gb, such as 128mb"),
        None => {}
    }
    default
}

pub(super) fn duration(
    reader: &mut Reader<'_>,
    at: Option<&At<'_>>,
    default: Duration,
    range: std::ops::RangeInclusive<Duration>,
) -> Duration {
    let Some(at) = at else { return default };
    match unit_text(reader, at, "10s").map(units::duration) {
        Some(Some(value)) if range.contains(&value) => return value,
        Some(_) => {
            let (min, max) = (units::show_duration(*range.start()), units::show_duration(*range.end()));
            let hint = "write a whole number with ms, s, m or h, such as 10s";
            reader.refuse(at, format!("must be a duration from {min} to {max}"), hint);
        }
        None => {}
    }
    default
}

/// Text with a unit; a bare number gets a hint of its own.
fn unit_text<'n>(reader: &mut Reader<'_>, at: &At<'n>, example: &str) -> Option<&'n str> {
    if let super::yaml::Yaml::Int(value) = at.node.value {
        reader.refuse(at, format!("{value} has no unit"), &format!("write it like {example}"));
        return None;
    }
    reader.text(at)
}
