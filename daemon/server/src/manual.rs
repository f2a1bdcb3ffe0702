//! Pages of the manual: `alyxd(8)` with a page for each subcommand, and `alyx.yaml(5)`. Made of the definitions
//! of flags and of the table of settings.

use std::fs;
use std::io;
use std::path::Path;

use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};

use crate::config::SETTINGS;

const MANUAL: &str = "Alyx";

/// Writes all pages to a directory that is there.
pub fn write(mut command: clap::Command, directory: &Path) -> io::Result<()> {
    // Gives every subcommand its whole name.
    command.build();
    program(&command, directory)?;
    fs::write(directory.join("alyx.yaml.5"), settings().to_roff())
}

fn source() -> String {
    format!("alyx {}", env!("CARGO_PKG_VERSION"))
}

fn program(command: &clap::Command, directory: &Path) -> io::Result<()> {
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        program(inner, directory)?;
    }
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let man = Man::new(command.clone()).section("8").source(source()).manual(MANUAL);
    let mut text = Vec::new();
    man.render(&mut text)?;
    fs::write(directory.join(format!("{name}.8")), text)
}

fn settings() -> Roff {
    let mut page = Roff::default();
    page.control("TH", ["alyx.yaml", "5", "", &source(), MANUAL]);
    page.control("SH", ["NAME"]).text([roman("alyx.yaml - configuration of alyxd")]);
    page.control("SH", ["DESCRIPTION"]);
    for paragraph in [
        "`alyxd` reads `/etc/alyx/alyx.yaml` where packages installed it, else `alyx.yaml` in the directory of the \
         project. Later wins: defaults, file, environment, flags.",
        "A key of a section is also the environment variable `ALYX_SECTION_KEY`, such as `ALYX_SERVER_LISTEN`. \
         `${VAR}` anywhere in a value is the environment variable `VAR`, and `${VAR:-text}` has a fallback.",
        "`alyxd check-config --config FILE` reports every problem in a file.",
    ] {
        page.control("PP", []).text(inlines(paragraph));
    }
    let mut section = "";
    for setting in SETTINGS {
        if setting.section != section {
            section = setting.section;
            page.control("SH", [section]);
        }
        let what = format!("{} Accepts {}. Default: {}.", setting.about, setting.accepts, setting.default);
        page.control("TP", []).text([bold(setting.key)]).text(inlines(&what));
    }
    page.control("SH", ["SEE ALSO"]).text([bold("alyxd"), roman("(8), "), bold("alyx"), roman("(1)")]);
    page
}

/// The text of the table without its marks: code becomes bold, a link its words.
fn inlines(text: &str) -> Vec<Inline> {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        match after.split_once("](").and_then(|(words, target)| Some((words, target.split_once(')')?.1))) {
            Some((words, after)) if !words.contains(']') => {
                plain.push_str(before);
                plain.push_str(words);
                rest = after;
            }
            _ => {
                plain.push_str(before);
                plain.push('[');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    let pieces = plain.split('`').enumerate();
    pieces.map(|(number, piece)| if number % 2 == 1 { bold(piece) } else { roman(piece) }).collect()
}

#[cfg(test)]
mod tests {
    use clap_mangen::roff::{bold, roman};

    use super::{inlines, settings};
    use crate::config::SETTINGS;

    #[test]
    fn marks_of_the_table_are_taken_out() {
        let expected = vec![roman("See backups, "), bold("x"), roman(" or [::]:80.")];
        assert_eq!(inlines("See [backups](backup.md#a), `x` or [::]:80."), expected);
    }

    #[test]
    fn every_setting_is_on_the_page() {
        let page = settings().to_roff();
        for setting in SETTINGS {
            // Roff wants hyphens escaped and leaves the rest of a key alone.
            assert!(page.contains(setting.key), "{}", setting.key);
        }
    }
}
