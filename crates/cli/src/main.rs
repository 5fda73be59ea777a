//! The sockeye command.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[expect(unreachable_pub, reason = "its place is in the library")]
mod tftp;

/// TCP and UDP that you can see through.
#[derive(Parser)]
#[command(name = "sockeye", version, max_term_width = 100)]
struct Args {
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

/// The commands.
#[derive(Subcommand)]
enum Command {
    /// TFTP: a server, a client, and packets in words.
    Tftp(tftp::TftpArgs),
}

fn main() -> ExitCode {
    match Args::parse().command {
        Command::Tftp(args) => tftp::run(&args, &sockeye_net::Net::os()),
    }
}
