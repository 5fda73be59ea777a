//! `sockeye tftp`: serve, get, put, explain.

mod args;
mod ask;
mod bar;
mod serve;

use std::future::Future;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use sockeye_apps::tftp::{client, explain};
use sockeye_net::Net;

pub use args::{AskArgs, ExplainArgs, GetArgs, PutArgs, ServeArgs, TftpArgs, TftpCommand, UploadPolicy};

use crate::place;
use crate::signals::stop_on_interrupt;
use crate::{t, words};

/// How the command fails: an exit code of the table above, and a sentence.
pub(crate) struct Failure(u8, String);
impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Failure {
        Failure(error.exit_code(), error.text(words::current()))
    }
}
fn said(code: u8, what: impl std::fmt::Display) -> impl FnOnce(io::Error) -> Failure {
    move |error| {
        let error = words::current().error(&error);
        Failure(code, t!("tftp-failed", what = what.to_string(), error = error))
    }
}
const INTERRUPTED: u8 = 130;

/// Runs the command on sockets of `net`.
pub fn run(args: &TftpArgs, net: &Net) -> ExitCode {
    // One thread serves all transfers; a few more wait for disks.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .build();
    let result = runtime
        .map_err(said(3, t!("tftp-cannot-start")))
        .and_then(|runtime| {
            let result = runtime.block_on(command(args, net));
            // Standard input may still be waited for: nobody needs it any more.
            runtime.shutdown_background();
            place::finish(net);
            result
        });
    ended(result)
}

/// Says what went wrong; the exit code.
pub(crate) fn ended(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(code, text)) => {
            if !text.is_empty() {
                eprintln!("sockeye: {text}");
            }
            ExitCode::from(code)
        }
    }
}

pub(crate) async fn command(args: &TftpArgs, net: &Net) -> Result<(), Failure> {
    match &args.command {
        TftpCommand::Serve(args) => serve::serve(args, net).await,
        TftpCommand::Get(args) => until_interrupted(ask::get(args, net)).await,
        TftpCommand::Put(args) => until_interrupted(ask::put(args, net)).await,
        TftpCommand::Explain(args) => explain_file(args),
    }
}
/// Dropping a transfer tells the peer and removes what was half written.
async fn until_interrupted(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let mut stop = stop_on_interrupt();
    tokio::select! {
        result = work => result,
        () = stop.stopped() => Err(Failure(INTERRUPTED, t!("tftp-interrupted"))),
    }
}

fn explain_file(args: &ExplainArgs) -> Result<(), Failure> {
    let bytes = match &args.file {
        Some(path) => std::fs::read(path).map_err(said(3, path.display()))?,
        None => {
            let mut bytes = Vec::new();
            io::stdin()
                .read_to_end(&mut bytes)
                .map_err(said(3, t!("tftp-stdin")))?;
            bytes
        }
    };
    let datagrams = explain::datagrams(&bytes).map_err(|bad| Failure(3, bad.text(words::current())))?;
    let explained = explain::explain(&datagrams);
    if explained.is_empty() {
        return Err(Failure(3, t!("tftp-none")));
    }
    let mut out = io::stdout().lock();
    for one in explained {
        // Nobody reads any more: nothing to say.
        if write!(out, "{}", one.text(words::current())).is_err() {
            break;
        }
    }
    Ok(())
}
