//! Looks at the processes of a worker that has no cgroup with a memory controller.
//!
//! It starts at the init and follows `children` of every thread, so a process that was orphaned or
//! started by another thread is found too: orphans belong to the init. Memory is what cannot be shared
//! with a file: anonymous and shared-memory pages, what of them is swapped out, and the tables that map
//! them. Pages that two processes share after a fork count twice. What a process hides by dying between
//! two looks is not seen, nor what it makes the kernel hold, such as full sockets.

use std::fs;
use std::io;

use crate::limits::SAMPLE_PROCESSES_MAX;

/// What a worker uses at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Sum over its processes.
    pub memory_bytes: u64,
    /// Without the init.
    pub processes: u32,
    /// Of living processes and the children they waited for. Resolution is a clock tick.
    pub cpu_us: u64,
}

/// Clock ticks are a hundredth of a second in every Linux `/proc`.
const TICK_US: u64 = 10_000;

/// Adds up the tree below an init. A tree that is gone uses nothing.
pub fn sample(init: i32) -> Sample {
    let mut sample = Sample::default();
    let mut waiting = vec![init];
    let mut seen = 0;
    while let Some(pid) = waiting.pop() {
        seen += 1;
        if seen > SAMPLE_PROCESSES_MAX {
            break;
        }
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        sample.memory_bytes += memory_bytes(&read("status"));
        sample.cpu_us += ticks(&read("stat")) * TICK_US;
        sample.processes += u32::from(pid != init);
        // A process that ends in between simply has no children any more; its own go to the init.
        waiting.extend(children(pid).unwrap_or_default());
    }
    sample
}

fn children(pid: i32) -> io::Result<Vec<i32>> {
    let mut children = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("children")).unwrap_or_default();
        children.extend(text.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
    }
    Ok(children)
}

fn memory_bytes(status: &str) -> u64 {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    let counted = ["RssAnon:", "RssShmem:", "VmSwap:", "VmPTE:"];
    counted.into_iter().filter_map(field).sum::<u64>() * 1024
}

/// User and system time, with that of children waited for, from `/proc/<pid>/stat`.
fn ticks(stat: &str) -> u64 {
    // The name in parentheses may hold anything, so count from its end.
    let Some((_, fields)) = stat.rsplit_once(')') else { return 0 };
    fields.split_ascii_whitespace().skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::{memory_bytes, sample, ticks};

    #[test]
    fn numbers_are_found() {
        assert_eq!(memory_bytes("RssAnon:\t  100 kB\nRssFile:\t 7 kB\nRssShmem:\t 2 kB\n"), 102 * 1024);
        assert_eq!(memory_bytes("VmPTE:\t 3 kB\nRssAnon:\t 1 kB\nVmSwap:\t 4 kB\n"), 8 * 1024);
        assert_eq!(memory_bytes(""), 0);
        assert_eq!(ticks("5 (a) 1 2) S 1 1 1 0 -1 4 1 2 3 4 10 20 30 40 20 0 1"), 100);
        assert_eq!(ticks("garbage"), 0);
    }

    #[test]
    fn this_process_uses_something() {
        assert!(sample(std::process::id() as i32).memory_bytes > 0);
        assert_eq!(sample(i32::MAX).memory_bytes, 0);
    }
}
