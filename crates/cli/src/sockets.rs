//! `sockeye sockets`: the socket tables of running programs.

use clap::Args;
use sockeye_view::sockets::{Choice, table_of};

use crate::console::{say, say_json};
use crate::control::{Table, tables};
use crate::exit::{Code, Failure};
use crate::{Outcome, t};

/// What follows the help of `sockeye sockets`.
pub const HELP: &str = "\
It shows what runs with --net tun:, of the same user: as ss does for the kernel's sockets, which are those of --net os.
A network of --net lab ends with its program, and its time stands still meanwhile: it is not shown.

Examples:
  sockeye sockets                 all programs, one table each
  sockeye sockets -i              with windows, times, and why nothing is being sent at this moment
  sockeye sockets --pid 4711 -t
  sockeye sockets --json          a line of JSON for each program; times in nanoseconds

Exit codes: 0 shown, 2 wrong command line, 12 no such program runs.";

/// What `sockets` takes.
#[derive(Args, Clone, Debug)]
pub struct SocketsArgs {
    /// Only of this process.
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// Only TCP.
    #[arg(long, short, conflicts_with = "udp")]
    pub tcp: bool,
    /// Only UDP.
    #[arg(long, short)]
    pub udp: bool,
    /// Of each connection also its windows, times and counts, and why nothing is being sent.
    #[arg(long, short)]
    pub info: bool,
    /// A line of JSON for each program, with all that is known.
    #[arg(long)]
    pub json: bool,
}

/// Shows them.
///
/// # Errors
/// Nothing runs that could be shown.
pub fn command(args: &SocketsArgs) -> Outcome {
    let mut found = tables();
    found.retain(|table| args.pid.is_none_or(|pid| pid == table.pid));
    if found.is_empty() {
        return Err(nothing(args.pid));
    }
    let choice = Choice {
        tcp: !args.udp,
        udp: !args.tcp,
        info: args.info,
        ..Choice::default()
    };
    for (place, table) in found.iter_mut().enumerate() {
        if args.json {
            table.sockets.retain(|socket| choice.wants(socket));
            say_json(&serde_json::json!(table));
        } else {
            if place > 0 {
                say("");
            }
            show(table, choice);
        }
    }
    Ok(Code::Well)
}

fn show(table: &Table, choice: Choice) {
    let (pid, stack, command) = (table.pid, &table.stack, &table.command);
    say(&t!("sockets-of", pid = pid, stack = stack, command = command));
    say(table_of(&table.sockets, choice).trim_end());
}

fn nothing(pid: Option<u32>) -> Failure {
    let text = match pid {
        Some(pid) => t!("sockets-not-that", pid = pid),
        None => t!("sockets-nothing"),
    };
    Failure::new(Code::NothingRuns, text)
}
