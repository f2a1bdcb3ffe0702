//! The table and `target/bench/report.json`.

use std::time::Duration;
use std::{fs, io};

use alyx_tests::tree;
use serde::Serialize;

/// One measured number.
#[derive(Debug, Serialize)]
struct Figure {
    figure: String,
    value: f64,
    unit: &'static str,
    /// What it should reach, where there is such a number.
    bar: Option<f64>,
    /// What it is to be compared with, measured in the same run.
    reference: Option<f64>,
}

/// Whether more or less is better, with the number to reach.
#[derive(Clone, Copy, Debug)]
pub enum Bar {
    AtMost(f64),
    AtLeast(f64),
    None,
}

#[derive(Debug)]
pub struct Report {
    /// Of the machine when measuring began.
    load: String,
    /// What its processors had done by then.
    before: Ticks,
    figures: Vec<Figure>,
    lines: Vec<[String; 5]>,
}

impl Default for Report {
    fn default() -> Self {
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or_default().to_owned();
        Self { load, before: Ticks::now(), figures: Vec::new(), lines: Vec::new() }
    }
}

/// Time of all processors, in ticks since the start of the system (`/proc/stat`, proc(5)).
#[derive(Clone, Copy, Debug, Default)]
struct Ticks {
    busy: f64,
    /// They had something to do, and the host ran others.
    stolen: f64,
}

impl Ticks {
    fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = stat.lines().next().unwrap_or_default();
        let ticks: Vec<f64> = line.split_whitespace().skip(1).filter_map(|text| text.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal
        let [user, nice, system, _, _, irq, softirq, stolen, ..] = ticks[..] else { return Self::default() };
        Self { busy: user + nice + system + irq + softirq + stolen, stolen }
    }

    /// Percent of the busy time.
    fn stolen_since(self, before: Self) -> f64 {
        let busy = (self.busy - before.busy).max(1.0);
        (self.stolen - before.stolen) / busy * 100.0
    }
}

impl Report {
    pub fn add(&mut self, figure: &str, value: f64, unit: &'static str, bar: Bar, reference: Option<f64>) {
        let (text, number, reached) = match bar {
            Bar::AtMost(most) => (format!("≤ {most:.1}"), Some(most), value <= most),
            Bar::AtLeast(least) => (format!("≥ {least:.0}"), Some(least), value >= least),
            Bar::None => (String::new(), None, true),
        };
        let verdict = if reached { "" } else { "not reached" };
        eprintln!("{figure}: {value:.2} {unit}");
        self.lines.push([
            figure.to_owned(),
            format!("{value:.2} {unit}"),
            text,
            reference.map(|value| format!("{value:.2}")).unwrap_or_default(),
            verdict.to_owned(),
        ]);
        self.figures.push(Figure { figure: figure.to_owned(), value, unit, bar: number, reference });
    }

    /// Prints the table and writes the file; the page too if that is wanted.
    pub fn finish(self, page: bool) -> io::Result<()> {
        let mut lines = vec![["figure", "value", "bar", "reference", ""].map(str::to_owned)];
        lines.extend(self.lines);
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths = [0, 1, 2, 3, 4].map(width);
        for line in &lines {
            let cells: Vec<String> =
                line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            println!("{}", cells.join("  ").trim_end());
        }
        let folder = tree::root().join("target/bench");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("report.json"), serde_json::to_vec_pretty(&self.figures)?)?;
        let stolen = Ticks::now().stolen_since(self.before);
        println!("{stolen:.1} % of the processors' time went to other guests of the host");
        if page { write_page(&lines, &self.load, stolen) } else { Ok(()) }
    }
}

/// Puts the table into `docs/performance.md`.
fn write_page(lines: &[[String; 5]], load: &str, stolen: f64) -> io::Result<()> {
    const FROM: &str = "<!-- written by make bench -->\n";
    const TO: &str = "<!-- end -->";
    let path = tree::root().join("docs/performance.md");
    let page = fs::read_to_string(&path)?;
    let (before, rest) = page.split_once(FROM).expect("the page has a place for the table");
    let (_, after) = rest.split_once(TO).expect("the table has an end");
    let mut table = machine(load, stolen);
    for (number, line) in lines.iter().enumerate() {
        table.push_str(&format!("| {} |\n", line.join(" | ")));
        if number == 0 {
            table.push_str("|---|---|---|---|---|\n");
        }
    }
    fs::write(path, format!("{before}{FROM}{table}{TO}{after}"))
}

/// What the figures were measured on, and what else ran there.
fn machine(load: &str, stolen: f64) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let model = model.map_or("unknown processor", |(_, name)| name);
    let loaded = load.parse().is_ok_and(|load: f64| load > 0.5);
    let others =
        if loaded { "; other work ran on them, so they are worse than they would be alone" } else { "" };
    let kernel = kernel.trim();
    format!(
        "Measured on {cores} cores of {model}, Linux {kernel}, with a load of {load} before it began{others}.\n\
         Of the time in which they had something to do, {stolen:.1} % went to other guests of the same host.\n\n"
    )
}

/// The value below which this part of all values lies. Unit: milliseconds.
pub fn percentile(times: &mut [Duration], part: f64) -> f64 {
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    // The index is at most `last`, which fits.
    let index = (part * last as f64).round() as usize;
    times.get(index).map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
}
