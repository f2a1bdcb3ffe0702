//! `alyx completions` and `alyx man`: both are made of the same definitions as the commands themselves.

use std::fs;
use std::io;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::args::Cli;
use crate::exit::{Exit, Failure};
use crate::print;

pub fn completions(shell: Shell) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "alyx", &mut text);
    print::raw(&text).map(|()| Exit::Ok)
}

/// One page for `alyx` and each command that help shows.
pub fn pages(folder: &Path) -> Result<Exit, Failure> {
    let mut command = Cli::command();
    // Gives every command its whole name.
    command.build();
    let failed = |error| Failure::new(format!("failed to write to {}: {error}", folder.display()));
    page(&command, folder).map_err(failed)?;
    Ok(Exit::Ok)
}

fn page(command: &clap::Command, folder: &Path) -> io::Result<()> {
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        page(inner, folder)?;
    }
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let source = format!("alyx {}", env!("CARGO_PKG_VERSION"));
    let mut text = Vec::new();
    Man::new(command.clone()).source(source).manual("Alyx").render(&mut text)?;
    fs::write(folder.join(format!("{name}.1")), text)
}
