//! Table of metrics: each once, with its labels and what it says. `docs/metrics.md` is this table; a test
//! holds the two together.
//!
//! A label never comes from a request: its values are of a closed set, or names of the project's schema.

/// What a number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, from the start of the daemon on.
    Counter,
    /// It is as it is now.
    Gauge,
    /// How many lasted how long, in seconds.
    Histogram,
}

/// A metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

macro_rules! metrics {
    ($($constant:ident $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub const $constant: Metric =
            Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };)*

        /// The table. Those of the process itself come from a library and are not in it.
        #[cfg(test)]
        pub const METRICS: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    BUILD_INFO Gauge "alyx_build_info" ["version"]
        "Always 1; the label is the version that runs.";
    HEALTH Gauge "alyx_health_state" ["component"]
        "0 if the component is ok, 1 if it is degraded, 2 if it is down; `/health` says why.";
    HTTP_REQUESTS Counter "alyx_http_requests_total" ["method", "route", "code"]
        "Requests that were answered, by route of docs/api.md and status; `none` is a path that there is not, or that does not take the method.";
    HTTP_DURATION Histogram "alyx_http_request_duration_seconds" ["method", "route"]
        "Time from the head of a request to the head of its answer.";
    HTTP_IN_FLIGHT Gauge "alyx_http_requests_in_flight" []
        "Requests whose answer has not begun.";
    DATABASE_BYTES Gauge "alyx_database_size_bytes" []
        "Size of the database file.";
    DATABASE_LOG_BYTES Gauge "alyx_database_wal_size_bytes" []
        "Size of its write-ahead log.";
    DATABASE_WRITES_WAITING Gauge "alyx_database_writes_waiting" []
        "Writes that wait for the writer.";
    DATABASE_READS_WAITING Gauge "alyx_database_reads_waiting" []
        "Reads that wait for a reader.";
    DATABASE_COMMITS Counter "alyx_database_commits_total" ["result"]
        "Commits, each of one or more writes: `ok` or `failed`.";
    DATABASE_COMMIT_DURATION Histogram "alyx_database_commit_duration_seconds" []
        "Time until a commit was on the disk.";
    CHANGES Counter "alyx_changes_total" []
        "Sequence number of the last change of the feed; it goes on after a restart.";
    REALTIME_CONNECTIONS Gauge "alyx_realtime_connections" []
        "Open realtime connections.";
    REALTIME_SUBSCRIPTIONS Gauge "alyx_realtime_subscriptions" []
        "Subscriptions of these connections.";
    REALTIME_MESSAGES Counter "alyx_realtime_messages_total" []
        "Messages that were sent to realtime connections.";
    FUNCTION_INVOCATIONS Counter "alyx_function_invocations_total" ["function", "outcome"]
        "Invocations that ended, by how: the outcomes of docs/functions.md.";
    FUNCTION_DURATION Histogram "alyx_function_run_duration_seconds" ["function"]
        "Time of an invocation in its worker.";
    FUNCTION_QUEUE_DURATION Histogram "alyx_function_queue_duration_seconds" ["function"]
        "Time until an invocation had a worker.";
    FUNCTION_CPU Counter "alyx_function_cpu_seconds_total" ["function"]
        "Processor time of invocations, where it was watched.";
    FUNCTION_STARTS Counter "alyx_function_worker_starts_total" ["function", "result"]
        "Workers that were started: `ok` if they took invocations, else `failed`.";
    FUNCTION_WORKERS Gauge "alyx_function_workers" ["function", "state"]
        "Workers, `ready` or `starting`.";
    FUNCTION_RUNNING Gauge "alyx_function_invocations_running" ["function"]
        "Invocations in workers.";
    FUNCTION_QUEUED Gauge "alyx_function_invocations_queued" ["function"]
        "Invocations that wait for a worker.";
    RECORDS_DROPPED Counter "alyx_execution_records_dropped_total" []
        "Execution records that were dropped because the database did not keep up.";
    JOB_ATTEMPTS Counter "alyx_job_attempts_total" ["kind", "result"]
        "Attempts at jobs: `done`, `retry` if another follows, `dead` if none does.";
    JOBS Gauge "alyx_jobs" ["kind", "state"]
        "Jobs that are `held`, `pending`, `running` or `dead`.";
    JOB_LATENESS Gauge "alyx_job_lateness_seconds" ["kind"]
        "How long ago the job was due that waits longest; 0 if none is late.";
    BACKUP_LAST Gauge "alyx_backup_last_success_timestamp_seconds" []
        "When the last backup was made since the start of the daemon, or found at it; 0 if there is none.";
    BACKUP_FAILURES Counter "alyx_backup_failures_total" []
        "Backups that could not be made.";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fmt::Write as _;

    use super::{Kind, METRICS};

    const BEGIN: &str = "<!-- metrics: made from the table -->\n";
    const END: &str = "<!-- end of metrics -->\n";

    /// `UPDATE=1 cargo test -p alyx-server` rewrites the page.
    #[test]
    fn the_page_has_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        let found = std::fs::read_to_string(path).unwrap();
        let (head, rest) = found.split_once(BEGIN).unwrap();
        let (_, tail) = rest.split_once(END).unwrap();
        let mut table = "| metric | kind | labels | what it says |\n|---|---|---|---|\n".to_owned();
        for metric in METRICS {
            let kind = format!("{:?}", metric.kind).to_lowercase();
            let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            writeln!(table, "| `{}` | {kind} | {} | {} |", metric.name, labels.join(", "), metric.help)
                .unwrap();
        }
        let page = format!("{head}{BEGIN}{table}{END}{tail}");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &page).unwrap();
            return;
        }
        assert!(found == page, "docs/metrics.md differs from the table; run with UPDATE=1 and review");
    }

    #[test]
    fn names_follow_the_conventions() {
        let mut names = HashSet::new();
        for metric in METRICS {
            assert!(names.insert(metric.name), "{} is there twice", metric.name);
            assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
            if metric.kind == Kind::Histogram {
                assert!(metric.name.ends_with("_seconds"), "{}", metric.name);
            }
        }
    }
}
