//! Arguments of `alyx hooks`.

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub struct Hooks {
    #[command(subcommand)]
    pub command: HooksCommand,
}

#[derive(Debug, Subcommand)]
pub enum HooksCommand {
    /// List hooks, those of the schema first
    List,
    /// Show one hook
    Show {
        /// Its id
        id: String,
    },
    /// Make a hook at run time
    Create {
        #[command(flatten)]
        parts: HookParts,
        /// Its id [default: the name of the function]
        #[arg(long, value_name = "ID")]
        id: Option<String>,
        /// Make it stopped
        #[arg(long)]
        disabled: bool,
    },
    /// Change a hook that was made at run time
    Edit {
        /// Its id
        id: String,
        #[command(flatten)]
        parts: HookParts,
    },
    /// Have a hook that was stopped run again
    Enable {
        /// Its id
        id: String,
    },
    /// Stop a hook that was made at run time
    Disable {
        /// Its id
        id: String,
    },
    /// Delete a hook that was made at run time
    Delete {
        /// Its id
        id: String,
    },
}

/// What a hook is made of, as in the schema.
#[derive(Debug, Args)]
pub struct HookParts {
    /// A collection, auth, or event
    #[arg(long, value_name = "WHAT")]
    pub on: Option<String>,
    /// The event, for --on event
    #[arg(long, value_name = "EVENT")]
    pub name: Option<String>,
    /// Which actions, with commas between them [default: all]
    #[arg(long, value_name = "ACTIONS", value_delimiter = ',')]
    pub actions: Vec<String>,
    /// before or after [default: after]
    #[arg(long, value_name = "WHEN")]
    pub when: Option<String>,
    /// After: sync, while the request waits, or async, as a job [default: async]
    #[arg(long, value_name = "MODE")]
    pub mode: Option<String>,
    /// The function
    #[arg(long, value_name = "NAME")]
    pub function: Option<String>,
    /// How failures are tried again: attempts=N,first=TIME,longest=TIME, or some of them
    #[arg(long, value_name = "PARTS", value_delimiter = ',')]
    pub retry: Vec<String>,
}
