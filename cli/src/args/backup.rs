//! Arguments of `alyx backup`.

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub struct Backup {
    #[command(subcommand)]
    pub command: BackupCommand,
}

#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Make a backup while the daemon works
    Create,
    /// List backups, newest first
    List,
    /// Tell how far the database can be brought back
    Status,
    /// Examine a backup
    Verify {
        /// Its id
        id: String,
    },
    /// Remove all but the newest backups
    Prune {
        /// How many stay [default: backup.keep of the configuration]
        #[arg(long, value_name = "N")]
        keep: Option<u32>,
        /// Do it; without this nothing is removed
        #[arg(long)]
        yes: bool,
    },
    /// Examine a backup and say how to restore it
    Restore {
        /// Its id
        id: String,
    },
}
