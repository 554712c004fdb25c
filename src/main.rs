//! The `middlebox` command: parses, runs one command, and turns its result into an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    middlebox::cli::run(std::env::args_os())
}
