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

/// The figures of all groups that were measured.
#[derive(Debug, Default)]
pub struct Report {
    figures: Vec<Figure>,
    sections: Vec<Section>,
}

/// The figures of one group.
#[derive(Debug)]
struct Section {
    group: &'static str,
    /// Of the machine when measuring began.
    load: String,
    /// What its processors had done by then, and when it ended.
    ticks: (Ticks, Ticks),
    lines: Vec<[String; 5]>,
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
    /// What is added from now on is of this group.
    pub fn begin(&mut self, group: &'static str) {
        self.end();
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or_default().to_owned();
        let lines = vec![["figure", "value", "bar", "reference", ""].map(str::to_owned)];
        self.sections.push(Section { group, load, ticks: (Ticks::now(), Ticks::default()), lines });
    }

    fn end(&mut self) {
        if let Some(section) = self.sections.last_mut() {
            section.ticks.1 = Ticks::now();
        }
    }

    pub fn add(&mut self, figure: &str, value: f64, unit: &'static str, bar: Bar, reference: Option<f64>) {
        let (text, number, reached) = match bar {
            Bar::AtMost(most) => (format!("≤ {most:.1}"), Some(most), value <= most),
            Bar::AtLeast(least) => (format!("≥ {least:.0}"), Some(least), value >= least),
            Bar::None => (String::new(), None, true),
        };
        let verdict = if reached { "" } else { "not reached" };
        eprintln!("{figure}: {value:.2} {unit}");
        let section = self.sections.last_mut().expect("a group has begun");
        section.lines.push([
            figure.to_owned(),
            format!("{value:.2} {unit}"),
            text,
            reference.map(|value| format!("{value:.2}")).unwrap_or_default(),
            verdict.to_owned(),
        ]);
        self.figures.push(Figure { figure: figure.to_owned(), value, unit, bar: number, reference });
    }

    /// Prints the tables and writes the file; the page too if that is wanted.
    pub fn finish(mut self, page: bool) -> io::Result<()> {
        self.end();
        for section in &self.sections {
            section.print();
        }
        let folder = tree::root().join("target/bench");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("report.json"), serde_json::to_vec_pretty(&self.figures)?)?;
        if page { self.write_page() } else { Ok(()) }
    }

    /// Puts each table into its place in `docs/performance.md`; those of other groups stay.
    fn write_page(&self) -> io::Result<()> {
        const END: &str = "<!-- end -->";
        let path = tree::root().join("docs/performance.md");
        let mut page = fs::read_to_string(&path)?;
        for section in &self.sections {
            let begin = format!("<!-- measured: {} -->\n", section.group);
            let (before, rest) = page.split_once(&begin).expect("the page has a place for every group");
            let (_, after) = rest.split_once(END).expect("the table has an end");
            page = format!("{before}{begin}{}{END}{after}", section.table());
        }
        fs::write(path, page)
    }
}

impl Section {
    fn print(&self) {
        let width =
            |column: usize| self.lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths = [0, 1, 2, 3, 4].map(width);
        for line in &self.lines {
            let cells: Vec<String> =
                line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            println!("{}", cells.join("  ").trim_end());
        }
        println!("{}", self.conditions());
    }

    fn table(&self) -> String {
        let mut table = self.conditions();
        for (number, line) in self.lines.iter().enumerate() {
            table.push_str(&format!("| {} |\n", line.join(" | ")));
            if number == 0 {
                table.push_str("|---|---|---|---|---|\n");
            }
        }
        table
    }

    /// What the figures were measured on, and what else ran there.
    fn conditions(&self) -> String {
        let (load, stolen) = (&self.load, self.ticks.1.stolen_since(self.ticks.0));
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpus = read("/proc/cpuinfo");
        let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let model = model.map_or("unknown processor", |(_, name)| name);
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let kernel = read("/proc/sys/kernel/osrelease");
        format!(
            "{cores} cores of {model}, Linux {}; load {load} before it began; {stolen:.1} % of the busy time of \
             the processors went to other guests of the host.\n\n",
            kernel.trim()
        )
    }
}

/// The value below which this part of all values lies. Unit: milliseconds.
pub fn percentile(times: &mut [Duration], part: f64) -> f64 {
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    // The index is at most `last`, which fits.
    let index = (part * last as f64).round() as usize;
    times.get(index).map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
}
