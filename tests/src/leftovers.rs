//! What a stopped service must not leave: processes, mounts, sockets, temporary files.
//!
//! Processes are known by id and start time, so a reused id is not taken for a leftover.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// One process, by id and start time in clock ticks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    pub pid: i32,
    started: u64,
    pub command: String,
}

impl Process {
    /// The process of that id, if there is one and it is not a zombie.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        stat(pid).filter(|(_, state, _)| *state != 'Z').map(|(process, _, _)| process)
    }

    /// Whether this very process still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid).is_some_and(|now| now.started == self.started)
    }

    /// Resident memory. Unit: bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0) * 1024
    }
}

/// The process and all its descendants.
#[must_use]
pub fn tree_of(pid: i32) -> BTreeSet<Process> {
    let all: Vec<(Process, i32)> = fs::read_dir("/proc")
        .expect("list processes")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| stat(pid).map(|(process, _, parent)| (process, parent)))
        .collect();
    let mut found: BTreeSet<Process> =
        all.iter().filter(|(one, _)| one.pid == pid).map(|(one, _)| one.clone()).collect();
    loop {
        let before = found.len();
        for (process, parent) in &all {
            if found.iter().any(|known| known.pid == *parent) {
                found.insert(process.clone());
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// Everything that mentions a folder and should be gone. Empty if all is well.
#[must_use]
pub fn of_folder(folder: &Path) -> Vec<String> {
    let name = folder.to_string_lossy().into_owned();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("list processes").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|text| text.parse::<i32>().ok()) else {
            continue;
        };
        let path = entry.path();
        let mounts = fs::read_to_string(path.join("mountinfo")).unwrap_or_default();
        found.extend(
            mounts
                .lines()
                .filter(|line| line.contains(&name))
                .map(|line| format!("mount seen by {pid}: {line}")),
        );
        let command = fs::read(path.join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if command.contains(&name) && pid != std::process::id().cast_signed() {
            found.push(format!("process {pid}: {command}"));
        }
    }
    found
}

fn stat(pid: i32) -> Option<(Process, char, i32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command stands in parentheses and may itself hold any letter. Source: proc_pid_stat(5).
    let (head, tail) = text.rsplit_once(')')?;
    let command = head.split_once('(')?.1.to_owned();
    let fields: Vec<&str> = tail.split_whitespace().collect();
    let state = fields.first()?.chars().next()?;
    let parent = fields.get(1)?.parse().ok()?;
    let started = fields.get(19)?.parse().ok()?;
    Some((Process { pid, started, command }, state, parent))
}
