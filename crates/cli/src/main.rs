//! The `sockeye` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    sockeye_cli::run(std::env::args_os())
}
