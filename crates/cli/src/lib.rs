//! The `sockeye` command as a library, so that tests call what the command calls.
//!
//! Answers, diagrams and verdicts go to standard output, errors to standard error as `sockeye: what, where,
//! what to do`. Exit codes are [`exit::Code`]'s.
#![forbid(unsafe_code)]

pub mod args;
pub mod chat;
pub mod console;
pub mod exit;
pub mod lab;
pub mod output;
pub mod place;
pub mod signals;
pub mod tftp;
pub mod udp;
pub mod upper;
pub mod values;
pub mod words;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use sockeye_net::Net;

use args::{Args, Command, LabCommand};
use exit::{Code, Failure};

/// Runs the command with these arguments, the first being its name.
pub fn run(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    words::speak(words::wanted(&arguments));
    let args = match Args::try_parse_from(arguments) {
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
    let net = || args.net.open();
    let result = match args.command {
        Command::Upper { command } => net().and_then(|net| upper::command(&command, &net)),
        Command::Chat { command } => net().and_then(|net| chat::command(&command, &net)),
        Command::Udp { command } => net().and_then(|net| udp::command(&command, &net)),
        Command::Tftp(options) => match if options.needs_net() { net() } else { Ok(Net::os()) } {
            Ok(net) => return tftp::run(&options, &net),
            Err(failure) => Err(failure),
        },
        Command::Lab { command } => match command {
            LabCommand::Upper(options) => lab::upper::command(&options),
            LabCommand::List => lab::scenario::list(),
            LabCommand::Run(options) => lab::scenario::command(&options),
        },
    };
    match result {
        Ok(code) => code.into(),
        Err(failure) => {
            if let Some(text) = failure.text() {
                eprintln!("sockeye: {text}");
            }
            failure.code().into()
        }
    }
}

/// What a command ends with.
pub type Outcome = Result<Code, Failure>;
