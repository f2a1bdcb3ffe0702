//! `alyx-supervisor`: wiring only, the library has the map.

use std::process::ExitCode;

fn main() -> ExitCode {
    alyx_sandbox::cli::main(std::env::args().skip(1))
}
