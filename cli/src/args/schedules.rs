//! Arguments of `alyx schedules`.

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub struct Schedules {
    #[command(subcommand)]
    pub command: SchedulesCommand,
}

#[derive(Debug, Subcommand)]
pub enum SchedulesCommand {
    /// List schedules and when they run next
    List,
    /// Show a schedule with its next runs
    Show {
        /// Its name
        name: String,
    },
    /// Make a schedule beside those of the schema
    Create(Box<NewSchedule>),
    /// Stop a schedule for now
    Pause {
        /// Its name
        name: String,
    },
    /// Let a paused schedule go on
    Resume {
        /// Its name
        name: String,
    },
    /// Run a schedule now; prints the id of the job
    Trigger {
        /// Its name
        name: String,
    },
    /// Delete a schedule that is not of the schema
    Delete {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Args)]
pub struct NewSchedule {
    /// Its name
    pub name: String,
    /// The function that runs
    #[arg(long, value_name = "NAME")]
    pub function: String,
    /// When: minute, hour, day, month, weekday; or @daily
    #[arg(long, value_name = "EXPRESSION", conflicts_with_all = ["every", "at"])]
    pub cron: Option<String>,
    /// How often, such as 15m
    #[arg(long, value_name = "TIME", conflicts_with = "at")]
    pub every: Option<String>,
    /// Once, such as 2030-01-01T09:00:00Z
    #[arg(long, value_name = "MOMENT")]
    pub at: Option<String>,
    /// Time zone, such as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "NAME")]
    pub zone: Option<String>,
    /// What the function gets, as JSON
    #[arg(long, value_name = "JSON")]
    pub input: Option<String>,
    /// While another run goes on: skip, queue or allow [default: skip]
    #[arg(long, value_name = "WORD")]
    pub overlap: Option<String>,
    /// Runs that were missed: none, last or all:N [default: last]
    #[arg(long, value_name = "WORD")]
    pub catch_up: Option<String>,
    /// Begin up to this much later, by chance
    #[arg(long, value_name = "TIME")]
    pub jitter: Option<String>,
    /// How often a run is tried while the function fails [default: 1]
    #[arg(long, value_name = "N")]
    pub attempts: Option<u32>,
}
