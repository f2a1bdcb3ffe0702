//! Passwords: asked for without echo, read from a pipe, or made.
//!
//! A password never appears in an argument, where other users of the host could read it.

use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read};

use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

use crate::exit::Failure;
use crate::print;

/// Letters of a made password: no two of them look alike. 32 of them, 5 bits each.
const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz123456789";

/// 24 letters of 5 bits: 120 bits.
const LENGTH: usize = 24;

/// A random password.
pub fn made() -> Result<String, Failure> {
    let mut bytes = [0_u8; LENGTH];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(|error| Failure::new(format!("failed to read /dev/urandom: {error}")))?;
    Ok(bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect())
}

/// The first line of standard input.
pub fn from_stdin() -> Result<String, Failure> {
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| Failure::new(format!("failed to read standard input: {error}")))?;
    let password = line.trim_end_matches(['\n', '\r']).to_owned();
    if password.is_empty() {
        return Err(Failure::usage("standard input holds no password"));
    }
    Ok(password)
}

/// Whether somebody can be asked.
pub fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for a password on the terminal, without echo.
pub fn ask() -> Result<String, Failure> {
    ask_for("password")
}

/// Asks for something secret on the terminal, without echo.
pub fn ask_for(what: &str) -> Result<String, Failure> {
    let stdin = io::stdin();
    let failed = |error: nix::Error| Failure::new(format!("failed to set up the terminal: {error}"));
    let before = tcgetattr(&stdin).map_err(failed)?;
    let mut silent = before.clone();
    silent.local_flags.remove(LocalFlags::ECHO);
    print::note(&format!("{what} (not shown):"));
    tcsetattr(&stdin, SetArg::TCSAFLUSH, &silent).map_err(failed)?;
    let password = from_stdin();
    tcsetattr(&stdin, SetArg::TCSAFLUSH, &before).map_err(failed)?;
    password
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{LENGTH, LETTERS, made};

    #[test]
    fn made_passwords_are_long_and_differ() {
        let passwords: BTreeSet<String> = (0..100).map(|_| made().unwrap()).collect();
        assert_eq!(passwords.len(), 100);
        assert!(passwords.iter().all(|password| password.len() == LENGTH));
        assert_eq!(LETTERS.iter().collect::<BTreeSet<_>>().len(), 32);
    }
}
