//! Arguments of `alyx jobs`.

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub struct Jobs {
    #[command(subcommand)]
    pub command: JobsCommand,
}

#[derive(Debug, Subcommand)]
pub enum JobsCommand {
    /// List the latest jobs, newest first
    List {
        /// Only of this state: held, pending, running, done or dead
        #[arg(long, value_name = "STATE")]
        state: Option<String>,
        /// Only of this kind, such as hook
        #[arg(long, value_name = "KIND")]
        kind: Option<String>,
        /// Only for this target, such as the name of a hook
        #[arg(long, value_name = "NAME")]
        target: Option<String>,
        /// At most this many
        #[arg(long, value_name = "N", default_value_t = 30)]
        limit: u32,
    },
    /// Show one job with its payload
    Show {
        /// Its id
        id: String,
    },
    /// Have jobs that are done or dead carried out again
    Replay {
        /// Their ids
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Remove jobs that are dead, or done
    Purge {
        /// Those that are done
        #[arg(long)]
        done: bool,
        /// Only of this kind
        #[arg(long, value_name = "KIND")]
        kind: Option<String>,
        /// Also those that were given up: nobody can have them carried out any more
        #[arg(long)]
        yes: bool,
    },
}
