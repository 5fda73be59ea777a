//! `sockeye drill`: packet scripts against the stack, on virtual time.

mod files;
mod report;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};
use sockeye_lab::drill::{self, Family, Kind, Mode, Run, Script, Setup};
use sockeye_stack::Profile;

use crate::Outcome;
use crate::exit::{Code, Failure};
use crate::output::Color;

/// The help's examples and what the exit codes mean here.
pub const HELP: &str = "\
Examples:
  sockeye drill scripts                          every script of a folder, both profiles, IPv4, IPv6 and mapped
  sockeye drill handshake.pkt --verbose          what happens, event by event
  sockeye drill x.pkt --profile linux --ip ipv4 --pcap x.pcapng
  sockeye drill x.pkt --set net.ipv4.tcp_sack=0  another setting

Exit codes:
  0  every script that was run passed
  1  something was not as a script expects
  2  the command line was wrong
  3  a file could not be read or written
  13 a script has an error
  14 a script asks for something that is not supported";

/// What `drill` takes.
#[derive(ClapArgs, Clone, Debug)]
pub struct DrillArgs {
    /// Scripts, and folders with scripts (`*.pkt`, in them and below).
    #[arg(value_name = "FILE|FOLDER", required = true)]
    pub paths: Vec<PathBuf>,
    /// Whose figures the stack has. A script may be written for one only (`Only: linux` in a comment).
    #[arg(long, value_enum, default_value_t = Profiles::Both)]
    pub profile: Profiles,
    /// Which family. A script may be written for some only (`Only: ipv4` in a comment, or --ip_version).
    #[arg(long, value_enum, default_value_t = Families::All)]
    pub ip: Families,
    /// Initial sequence numbers, ports and all other chance come from this number.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// Change a setting of the stack: a sysctl's name, or one of ours (docs/drill.md lists them).
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    pub settings: Vec<(String, String)>,
    /// Pass over shell lines that set nothing known, instead of refusing the script.
    #[arg(long)]
    pub skip_shell: bool,
    /// Print every event of every run, with its time and why the stack sent what it sent.
    #[arg(long, short)]
    pub verbose: bool,
    /// Print a line of JSON for each run, and one for all.
    #[arg(long, conflicts_with = "verbose")]
    pub json: bool,
    /// Write a capture of each run, with the cause of each packet as its comment; further runs go to files with
    /// -2, -3 ... in their names.
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
    /// Colours. `auto` colours a terminal, unless NO_COLOR is set.
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
}

/// Which profiles.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Profiles {
    /// RFC 9293's figures.
    Rfc,
    /// Linux's figures.
    Linux,
    /// One after the other.
    Both,
}

/// Which families.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Families {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// IPv4 on the wire, IPv6 sockets.
    Mapped,
    /// All three.
    All,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("this is not NAME=VALUE")?;
    let (name, value) = (name.trim().to_string(), value.trim().to_string());
    if drill::SETTINGS.iter().all(|setting| setting.name != name) {
        return Err(format!("there is no setting {name}; docs/drill.md lists them"));
    }
    Ok((name, value))
}

impl DrillArgs {
    fn modes(&self) -> Vec<Mode> {
        let profiles: &[Profile] = match self.profile {
            Profiles::Rfc => &[Profile::Rfc],
            Profiles::Linux => &[Profile::Linux],
            Profiles::Both => &[Profile::Rfc, Profile::Linux],
        };
        let families: &[Family] = match self.ip {
            Families::Ipv4 => &[Family::V4],
            Families::Ipv6 => &[Family::V6],
            Families::Mapped => &[Family::Mapped],
            Families::All => &Family::ALL,
        };
        let of = |&profile: &Profile| families.iter().map(move |&family| Mode { profile, family });
        profiles.iter().flat_map(of).collect()
    }
    fn setup(&self) -> Setup {
        Setup {
            seed: self.seed,
            settings: self.settings.clone(),
            skip_shell: self.skip_shell,
            traced: self.pcap.is_some(),
        }
    }
}

/// How many runs ended how.
#[derive(Clone, Copy, Default, Debug)]
struct Counts {
    scripts: usize,
    runs: usize,
    passed: usize,
    failed: usize,
    wrong: usize,
    unsupported: usize,
    /// Scripts that none of the modes asked for suits.
    unsuited: usize,
}

impl Counts {
    fn add(&mut self, run: &Run) {
        self.runs += 1;
        match run.result.as_ref().map_err(|fault| fault.kind) {
            Ok(()) => self.passed += 1,
            Err(Kind::NotHeld) => self.failed += 1,
            Err(Kind::Script) => self.wrong += 1,
            Err(Kind::Unsupported) => self.unsupported += 1,
        }
    }
    /// The worst of all decides.
    fn code(&self) -> Code {
        if self.failed > 0 {
            Code::NotHeld
        } else if self.wrong > 0 {
            Code::Script
        } else if self.unsupported > 0 {
            Code::Unsupported
        } else {
            Code::Well
        }
    }
}

/// Runs scripts; verdicts go to standard output, what is wrong to standard error.
///
/// # Errors
/// A file that cannot be read or written; see [`Code`] for what scripts come to.
pub fn command(args: &DrillArgs) -> Outcome {
    run(args, &mut io::stdout().lock(), &mut io::stderr().lock())
}

/// As [`command`], on other streams.
///
/// # Errors
/// As there.
pub fn run(args: &DrillArgs, output: &mut dyn Write, errors: &mut dyn Write) -> Outcome {
    let files = files::scripts(&args.paths)?;
    let (modes, setup) = (args.modes(), args.setup());
    let mut counts = Counts::default();
    let mut show = report::Show::new(args, output, errors);
    let mut captures = files::Captures::new(args.pcap.clone());
    for path in files {
        let text = files::read(&path)?;
        let name = path.display().to_string();
        counts.scripts += 1;
        let script = match Script::parse(&name, &text) {
            Ok(script) => script,
            Err(fault) => {
                match fault.kind {
                    Kind::Unsupported => counts.unsupported += 1,
                    _ => counts.wrong += 1,
                }
                show.unread(&name, &text, &fault)?;
                continue;
            }
        };
        let suited: Vec<_> = modes.iter().filter(|mode| script.suits(**mode)).collect();
        if suited.is_empty() {
            counts.unsuited += 1;
        }
        for mode in suited {
            let run = drill::run(&script, *mode, &setup);
            counts.add(&run);
            captures.write(&run)?;
            show.ran(&script, *mode, &run)?;
        }
    }
    show.summary(&counts)?;
    Ok(counts.code())
}

/// A failure of the streams.
fn lost(error: io::Error) -> Failure {
    Failure::output(&error)
}
