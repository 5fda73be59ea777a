//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args as ClapArgs, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use sockeye_lab::scenarios;
use sockeye_stack::{Duration, Profile};
use sockeye_view::{Detail, LadderStyle, Notation};

use crate::chat::ChatCommand;
use crate::exit::TABLE;
use crate::output::Color;
use crate::place::Place;
use crate::t;
use crate::tftp::{GetArgs, PutArgs, TftpCommand};
use crate::udp::UdpCommand;
use crate::upper::UpperCommand;
use crate::values;
use crate::words::Lang;

/// TCP and UDP that you can see through.
///
/// A complete TCP/IP stack that runs in this process, on a virtual network and on virtual time, and says of
/// every segment why it was sent.
#[derive(Parser, Debug)]
#[command(name = "sockeye", version, after_help = TABLE, max_term_width = 100, args_override_self = true)]
pub struct Args {
    /// Where upper, chat, udp and tftp have their sockets: `os`, `lab`, or `tun:NAME,addr=ADDRESS/PREFIX`.
    ///
    /// `os` is the operating system. `lab` is a virtual network in this process: the command is the client, and a server
    /// to talk with runs on the other host, which is called `server`. `tun:NAME,addr=10.77.0.2/24` is a Sockeye stack in this process with the address
    /// 10.77.0.2, on a TUN device that is made for the program and goes with it (root, or CAP_NET_ADMIN). Further settings,
    /// each after a comma: host=ADDRESS, the kernel's address on the device (otherwise the first other one of the prefix),
    /// addr6= and host6= for IPv6, mtu=N, profile=rfc|linux.
    #[arg(
        long,
        global = true,
        value_name = "WHERE",
        env = "SOCKEYE_NET",
        hide_env_values = true
    )]
    #[arg(default_value = "os", hide_default_value = true)]
    pub net: Place,
    /// What language messages are in. Without it LC_ALL, LC_MESSAGES or LANG decide.
    #[arg(long, global = true, value_enum, value_name = "LANG")]
    pub lang: Option<Lang>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Args {
    /// Reads the command line, its first word being the command's name.
    ///
    /// # Errors
    /// What is wrong with it, or the help that it asks for.
    pub fn read(words: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Args, clap::Error> {
        let matches = Args::command().try_get_matches_from(words)?;
        let args = Args::from_arg_matches(&matches)?;
        let is_told = matches.value_source("net") == Some(ValueSource::CommandLine);
        match args.command {
            Command::Upper { .. } | Command::Chat { .. } | Command::Udp { .. } | Command::Tftp(_) => {}
            _ if is_told => return Err(conflict(t!("place-not-here"))),
            _ => {}
        }
        if args.net != Place::Lab && args.command.wants_lab() {
            return Err(conflict(t!("lab-needs-net")));
        }
        Ok(args)
    }
}

fn conflict(text: String) -> clap::Error {
    Args::command().error(ErrorKind::ArgumentConflict, text)
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// TFTP: a server, a client, and packets in words.
    Tftp(crate::tftp::TftpArgs),
    /// Packet scripts: the packetdrill language, on virtual time and without privileges.
    #[command(after_help = crate::drill::HELP, args_override_self = true)]
    Drill(crate::drill::DrillArgs),
    /// Virtual networks on virtual time: two hours pass at once, and a seed repeats a run to the byte.
    Lab {
        /// What to do there.
        #[command(subcommand)]
        command: LabCommand,
    },
    /// Text in, capitals out, over TCP: a server and its client.
    Upper {
        /// Which side.
        #[command(subcommand)]
        command: crate::upper::UpperCommand,
    },
    /// Talk, line by line, over TCP or UDP: one to one, or several in rooms.
    Chat {
        /// Which side.
        #[command(subcommand)]
        command: crate::chat::ChatCommand,
    },
    /// Write completions for a shell to standard output.
    #[command(after_help = crate::manual::COMPLETIONS_HELP)]
    Completions(crate::manual::CompletionsArgs),
    /// Write the manual: a page for each command.
    #[command(after_help = crate::manual::MAN_HELP)]
    Man(crate::manual::ManArgs),
    /// The socket tables of running programs with `--net tun:`, and why their connections are quiet.
    #[command(after_help = crate::sockets::HELP)]
    Sockets(crate::sockets::SocketsArgs),
    /// Send and receive datagrams, a line each.
    Udp {
        /// What to do with them.
        #[command(subcommand)]
        command: crate::udp::UdpCommand,
    },
}

impl Command {
    /// Whether something is asked for that only `--net lab` has.
    fn wants_lab(&self) -> bool {
        match self {
            Command::Upper {
                command: UpperCommand::Connect(args),
            } => args.lab.are_given(),
            Command::Chat {
                command: ChatCommand::Connect(args),
            } => args.lab.are_given(),
            Command::Udp {
                command: UdpCommand::Send(args) | UdpCommand::Chat(args),
            } => args.lab.are_given(),
            Command::Tftp(args) => match &args.command {
                TftpCommand::Get(GetArgs { ask, .. }) | TftpCommand::Put(PutArgs { ask, .. }) => {
                    ask.lab.are_given() || ask.serve.is_some()
                }
                TftpCommand::Serve(_) | TftpCommand::Explain(_) => false,
            },
            _ => false,
        }
    }
}

/// What can be done in the lab.
#[derive(Subcommand, Debug)]
pub enum LabCommand {
    /// Send lines to an upper-casing server over a network that you choose, and watch TCP carry them.
    #[command(after_help = UPPER_HELP, args_override_self = true)]
    Upper(UpperArgs),
    /// List the scenarios.
    #[command(after_help = LIST_HELP)]
    List,
    /// Run a scenario: it shows what happens, and checks what it claims.
    #[command(after_help = RUN_HELP, args_override_self = true)]
    Run(RunArgs),
}

const UPPER_HELP: &str = "\
Examples:
  sockeye lab upper                                    type lines; Q or end of input closes
  echo python | sockeye lab upper --loss 20% --seed 7  see losses repaired
  sockeye lab upper --delay 150ms --rate 64kbit        a slow path
  sockeye lab upper --notation classroom               SYN=1, ACK=1, seq=y, ack=x+1
  echo hi | sockeye lab upper --pcap hi.pcapng         then: wireshark hi.pcapng

Exit codes: 0 closed in good order, 2 wrong command line, 3 a file or a standard stream could not be read or
written, 4 refused, 5 timed out, 6 reset, 7 another error of the network, 130 interrupted.";

const RUN_HELP: &str = "\
Examples:
  sockeye lab run handshake
  sockeye lab run retransmit --detail full             with the clauses of the RFCs
  sockeye lab run all --quiet                          verdicts only
  sockeye lab run teardown --pcap teardown.pcapng

Exit codes: 0 every claim held, 1 one did not, 2 wrong command line, 3 a file or the output could not be
written, 130 interrupted.";

const LIST_HELP: &str = "\
Exit codes: 0 listed, 2 wrong command line, 3 the output could not be written.";

/// What `lab upper` takes.
#[derive(ClapArgs, Clone, Debug)]
pub struct UpperArgs {
    /// Share of frames that the link loses, each way: 5% or 0.05.
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = values::share)]
    pub loss: f64,
    /// How long a frame travels, one way: 10ms, 250us, 1.5s.
    #[arg(long, value_name = "TIME", default_value = "10ms", value_parser = values::duration)]
    pub delay: Duration,
    /// Bits a second: 10mbit, 64kbit. Without it a frame takes no time to leave.
    #[arg(long, value_name = "RATE", value_parser = values::rate)]
    pub rate: Option<u64>,
    /// Largest IP packet in octets.
    #[arg(long, value_name = "OCTETS", default_value_t = 1500)]
    #[arg(value_parser = clap::value_parser!(u32).range(68..=65535))]
    pub mtu: u32,
    /// All chance comes from this number: the same seed gives the same run, to the byte.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// Whose figures both stacks have, where the RFCs and Linux differ.
    #[arg(long, value_enum, default_value_t = Figures::Rfc)]
    pub profile: Figures,
    /// Over IPv6.
    #[arg(long)]
    pub ipv6: bool,
    /// How it is shown.
    #[command(flatten)]
    pub view: ViewArgs,
}

/// What `lab run` takes.
#[derive(ClapArgs, Clone, Debug)]
pub struct RunArgs {
    /// The scenario, or `all`. `sockeye lab list` says what each shows.
    #[arg(value_name = "NAME", value_parser = names(), hide_possible_values = true)]
    pub name: String,
    /// All chance comes from this number.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// How it is shown.
    #[command(flatten)]
    pub view: ViewArgs,
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(scenarios::ALL.iter().map(|scenario| scenario.name).chain(["all"]))
}

/// How a run is shown and kept.
#[derive(ClapArgs, Clone, Debug, Default)]
pub struct ViewArgs {
    /// No diagram: answers or verdicts only.
    #[arg(long, short)]
    pub quiet: bool,
    /// Write a capture for Wireshark, with the cause of each frame as its comment. Further networks of one
    /// scenario go to files with -2, -3 ... in their names.
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
    /// Write all events as lines of JSON.
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// Colours. `auto` colours a terminal, unless NO_COLOR is set.
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
    /// How sequence numbers are written.
    #[arg(long, value_enum, default_value_t = Writing::Relative)]
    pub notation: Writing,
    /// How much the diagram tells.
    #[arg(long, value_enum, default_value_t = Telling::Usual)]
    pub detail: Telling,
    /// Only ASCII characters in the diagram.
    #[arg(long)]
    pub ascii: bool,
    /// Columns of the diagram.
    #[arg(long, value_name = "COLUMNS", default_value_t = 110)]
    #[arg(value_parser = clap::value_parser!(u16).range(60..=400))]
    pub width: u16,
}

impl ViewArgs {
    /// The diagram's style, for standard output.
    pub fn style(&self) -> LadderStyle {
        LadderStyle {
            color: self.color.wanted(),
            ascii: self.ascii,
            detail: match self.detail {
                Telling::Brief => Detail::Brief,
                Telling::Usual => Detail::Usual,
                Telling::Full => Detail::Full,
            },
            notation: match self.notation {
                Writing::Relative => Notation::Relative,
                Writing::Classroom => Notation::Classroom,
            },
            width: usize::from(self.width),
        }
    }
}

/// Whose figures.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Figures {
    /// RFC 9293's: RTO at least 1 s, TIME-WAIT 4 min.
    Rfc,
    /// Linux's: RTO at least 200 ms, TIME-WAIT 60 s.
    Linux,
}

impl From<Figures> for Profile {
    fn from(figures: Figures) -> Profile {
        match figures {
            Figures::Rfc => Profile::Rfc,
            Figures::Linux => Profile::Linux,
        }
    }
}

/// How sequence numbers are written.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Writing {
    /// SYN,ACK seq=0 ack=1: as analysers do.
    #[default]
    Relative,
    /// SYN=1, ACK=1, seq=y, ack=x+1: as textbooks do.
    Classroom,
}

/// How much the diagram tells.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Telling {
    /// Arrows and states.
    Brief,
    /// And causes with their numbers.
    #[default]
    Usual,
    /// And timers, and what the RFCs say.
    Full,
}
