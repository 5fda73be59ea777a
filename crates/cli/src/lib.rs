//! The `sockeye` command as a library, so that tests call what the command calls.
//!
//! Answers, diagrams and verdicts go to standard output, errors to standard error as `sockeye: what, where,
//! what to do`. Exit codes are [`exit::Code`]'s.
#![forbid(unsafe_code)]

pub mod args;
pub mod chat;
pub mod console;
pub mod control;
pub mod drill;
pub mod exit;
pub mod lab;
pub mod manual;
pub mod output;
pub mod place;
pub mod signals;
pub mod sockets;
pub mod terminal;
pub mod tftp;
pub mod udp;
pub mod upper;
pub mod values;
pub mod words;

use std::ffi::OsString;
use std::process::ExitCode;

use sockeye_net::Net;

use args::{Args, Command, LabCommand};
use exit::{Code, Failure};
use place::Place;

/// Runs the command with these arguments, the first being its name.
pub fn run(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    words::speak(words::wanted(&arguments));
    let args = match Args::read(arguments) {
        Ok(args) => args,
        Err(error) if error.use_stderr() => {
            let text = error.render().to_string();
            eprint!("sockeye: {}", text.strip_prefix("error: ").unwrap_or(&text));
            return Code::Usage.into();
        }
        Err(help) => {
            // Help that nobody reads any more is no failure.
            let _ = help.print();
            return Code::Well.into();
        }
    };
    let code = of_command(args);
    exit::leave_to_who_ends_it();
    code
}

fn of_command(args: Args) -> ExitCode {
    let place = &args.net;
    match args.command {
        Command::Upper { command } if *place == Place::Lab => ended(lab::alone::upper(&command)),
        Command::Chat { command } if *place == Place::Lab => ended(lab::alone::chat(&command)),
        Command::Udp { command } if *place == Place::Lab => ended(lab::alone::udp(&command)),
        Command::Tftp(options) if *place == Place::Lab && options.needs_net() => lab::alone::tftp(options),
        Command::Upper { command } => on_net(place, |net| ended(upper::command(&command, net))),
        Command::Chat { command } => on_net(place, |net| ended(chat::command(&command, net))),
        Command::Udp { command } => on_net(place, |net| ended(udp::command(&command, net))),
        Command::Tftp(options) if options.needs_net() => on_net(place, |net| tftp::run(&options, net)),
        Command::Tftp(options) => tftp::run(&options, &Net::os()),
        Command::Drill(options) => ended(drill::command(&options)),
        Command::Sockets(options) => ended(sockets::command(&options)),
        Command::Completions(options) => ended(manual::completions(&options)),
        Command::Man(options) => ended(manual::pages(&options)),
        Command::Lab { command } => ended(match command {
            LabCommand::Upper(options) => lab::upper::command(&options),
            LabCommand::List => lab::scenario::list(),
            LabCommand::Run(options) => lab::scenario::command(&options),
        }),
    }
}

/// Runs a program on the net that `--net` asks for; its socket table can be seen meanwhile.
fn on_net(place: &Place, program: impl FnOnce(&Net) -> ExitCode) -> ExitCode {
    match place.open() {
        Ok(net) => {
            let _offer = control::offer(&net);
            program(&net)
        }
        Err(failure) => ended(Err(failure)),
    }
}

/// Says what went wrong; the exit code.
pub(crate) fn ended(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(code) => code.into(),
        Err(failure) => {
            if let Some(text) = failure.text() {
                console::note(text);
            }
            failure.code().into()
        }
    }
}

/// What a command ends with.
pub type Outcome = Result<Code, Failure>;
