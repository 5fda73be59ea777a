//! `sockeye completions` and `sockeye man`: what a shell and `man` want to know, made from the command line's own
//! description.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args as ClapArgs, CommandFactory};
use clap_complete::Shell;

use crate::Outcome;
use crate::args::Args;
use crate::exit::{Code, Failure};

/// What follows the help of `sockeye completions`.
pub const COMPLETIONS_HELP: &str = "\
Examples:
  sockeye completions bash > ~/.local/share/bash-completion/completions/sockeye
  sockeye completions zsh > ~/.zfunc/_sockeye               with ~/.zfunc in fpath
  sockeye completions fish > ~/.config/fish/completions/sockeye.fish

Exit codes: 0 written, 2 wrong command line, 3 the output cannot be written.";

/// What follows the help of `sockeye man`.
pub const MAN_HELP: &str = "\
Examples:
  sockeye man | man -l -                                    the first page
  sockeye man ~/.local/share/man/man1                       all; then: man sockeye-upper-serve

Exit codes: 0 written, 2 wrong command line, 3 a file or the output cannot be written.";

/// What `completions` takes.
#[derive(ClapArgs, Clone, Debug)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// What `man` takes.
#[derive(ClapArgs, Clone, Debug)]
pub struct ManArgs {
    /// Where the pages go, a file each; it is made if it is not there. Without it, the first page goes to standard output.
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

/// Writes completions.
///
/// # Errors
/// The output cannot be written.
pub fn completions(args: &CompletionsArgs) -> Outcome {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "sockeye", &mut text);
    write(&text)
}

/// Writes manual pages.
///
/// # Errors
/// A file or the output cannot be written.
pub fn pages(args: &ManArgs) -> Outcome {
    match &args.directory {
        None => {
            let mut text = Vec::new();
            let page = clap_mangen::Man::new(Args::command());
            page.render(&mut text).map_err(|error| Failure::output(&error))?;
            write(&text)
        }
        Some(directory) => {
            let written = fs::create_dir_all(directory)
                .and_then(|()| clap_mangen::generate_to(Args::command(), directory));
            written.map_err(|error| Failure::file(directory, &error))?;
            Ok(Code::Well)
        }
    }
}

fn write(text: &[u8]) -> Outcome {
    let mut out = io::stdout().lock();
    out.write_all(text)
        .and_then(|()| out.flush())
        .map_err(|error| Failure::output(&error))?;
    Ok(Code::Well)
}
