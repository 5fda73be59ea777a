//! What `sockeye chat` takes.

use std::net::{IpAddr, SocketAddr};

use clap::{Args, Subcommand, ValueEnum};
#[cfg(target_os = "linux")]
use sockeye_apps::chat::LocalName;
use sockeye_apps::chat::{First, Settings};
use sockeye_apps::udp::{self, Manner};
use sockeye_net::{Net, lookup_host};
use sockeye_stack::Duration;

use crate::console::{self, Encoding};
use crate::exit::{Code, Failure};
use crate::lab::alone::LabArgs;
use crate::output::Color;
use crate::{t, values};

/// The two sides of a conversation.
#[derive(Subcommand, Debug)]
pub enum ChatCommand {
    /// Wait for others: one after the other, or all at once with --keep-open.
    #[command(after_help = LISTEN_HELP)]
    Listen(ListenArgs),
    /// Talk to one who listens.
    #[command(after_help = CONNECT_HELP)]
    Connect(ConnectArgs),
}

const LISTEN_HELP: &str = "\
Examples:
  sockeye chat listen 127.0.0.1:9001                    both may speak at any time
  sockeye chat listen 9001 --turns server               in turns, the server first
  sockeye chat listen 9001 --keep-open                  several at once: /nick, /join, /who, /quit
  sockeye chat listen 7891 --encoding gbk --bare        with a program that has one recv for a message
  sockeye chat listen 9001 --udp                        answers whoever spoke last
  sockeye chat listen --unix /run/talk.sock             programs of this machine; @talk is in no file system

Q (either case) or exit is sent and ends a conversation on both sides; the next client's turn comes. The
server ends at Ctrl-C, or when its input has ended and the conversation of that moment with it. At a terminal
lines are edited, and kept as history in sockeye/chat_history under XDG_STATE_HOME (~/.local/state); a line that
begins with a space is not kept.

Exit codes: 0 the input ended, 2 wrong command line, 3 some input could not be read, 7 the address cannot be
had or another error of the network, 130 interrupted.";

const CONNECT_HELP: &str = "\
Examples:
  sockeye chat connect 127.0.0.1:9001
  sockeye chat connect 9001 --turns server              the server speaks first
  echo hello | sockeye chat connect 9001                says it, and shows what comes until the peer closes
  echo hello | sockeye chat connect 9001 -w 3           as well, and goes after 3 s of silence
  sockeye chat connect 9001 --udp --turns client
  sockeye chat connect --unix /run/talk.sock
  sockeye chat connect server:9001 --net lab            in a lab, with one who says everything back

Q (either case) or exit is sent and ends the conversation on both sides. At a terminal lines are edited, and kept
as history in sockeye/chat_history under XDG_STATE_HOME (~/.local/state); a line that begins with a space is not
kept.

Exit codes: 0 ended in good order, 2 wrong command line, 3 some input could not be read, 4 refused,
5 timed out, 6 reset, 7 another error of the network, 130 interrupted.";

/// What `chat listen` takes.
#[derive(Args, Clone, Debug)]
pub struct ListenArgs {
    /// Where to listen: HOST:PORT, or PORT at all addresses.
    #[arg(value_name = "ADDR", value_parser = console::spelled, required_unless_present_any = REPLACES_ADDRESS)]
    pub address: Option<String>,
    /// Several at once, with names and rooms.
    #[arg(long, conflicts_with_all = ["turns", "udp", "bare"])]
    pub keep_open: bool,
    /// How it is held.
    #[command(flatten)]
    pub talk: TalkArgs,
}

/// What `chat connect` takes.
#[derive(Args, Clone, Debug)]
pub struct ConnectArgs {
    /// Who listens: HOST:PORT, or PORT at this machine.
    #[arg(value_name = "ADDR", value_parser = console::spelled, required_unless_present_any = NO_ADDRESS)]
    pub address: Option<String>,
    /// Give up connecting after this time: 3s, 500ms, or a number of seconds. When the input has ended, go after as
    /// long a silence. Without it the operating system decides, and the peer.
    #[arg(long, short = 'w', value_name = "TIME", value_parser = values::seconds)]
    pub timeout: Option<Duration>,
    /// An empty line ends the conversation, instead of being refused.
    #[arg(long, conflicts_with = "udp")]
    pub empty_ends: bool,
    /// Over UDP: our Q or exit ends it on this side only, and is not sent.
    #[arg(long, requires = "udp")]
    pub no_goodbye: bool,
    /// How it is held.
    #[command(flatten)]
    pub talk: TalkArgs,
    /// What the network of a lab is like.
    #[command(flatten)]
    pub lab: LabArgs,
}

/// What stands for the address of one who listens.
#[cfg(target_os = "linux")]
const REPLACES_ADDRESS: [&str; 2] = ["port", "unix"];
#[cfg(not(target_os = "linux"))]
const REPLACES_ADDRESS: [&str; 1] = ["port"];
/// What stands for the address of a peer.
#[cfg(target_os = "linux")]
const NO_ADDRESS: [&str; 1] = ["unix"];
#[cfg(not(target_os = "linux"))]
const NO_ADDRESS: [&str; 0] = [];

/// What both sides take.
#[derive(Args, Clone, Debug)]
pub struct TalkArgs {
    /// Through a name of AF_UNIX: a path, or @NAME in no file system. A socket that nobody listens at any more is
    /// replaced.
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "PATH", value_parser = local_name)]
    #[arg(conflicts_with_all = ["address", "udp", "ipv4", "ipv6", "source", "port"])]
    pub unix: Option<LocalName>,
    /// IPv4 only.
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub ipv4: bool,
    /// IPv6 only.
    #[arg(short = '6', long)]
    pub ipv6: bool,
    /// Our own address.
    #[arg(short = 's', long, value_name = "IP")]
    pub source: Option<IpAddr>,
    /// Our own port.
    #[arg(short = 'p', long, value_name = "PORT")]
    pub port: Option<u16>,
    /// In turns, one message each, beginning with this side. Both sides have to agree on it.
    #[arg(long, value_enum, value_name = "FIRST")]
    pub turns: Option<Turns>,
    /// How text is encoded on the network.
    #[arg(long, value_enum, default_value_t = Encoding::Utf8)]
    pub encoding: Encoding,
    /// Send messages without a newline, to programs that take what one recv gives for one message.
    #[arg(long)]
    pub bare: bool,
    /// Over UDP: each message a datagram, which may be lost. An empty line is sent, as an empty datagram.
    #[arg(long, short = 'u')]
    pub udp: bool,
    /// Tell each event as a line of JSON.
    #[arg(long)]
    pub json: bool,
    /// Tell addresses, times and how much was said.
    #[arg(long, short)]
    pub verbose: bool,
    /// Write before each line when it came.
    #[arg(long)]
    pub timestamps: bool,
    /// Colours. `auto` colours a terminal, unless NO_COLOR is set.
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
    /// Keep no history of what is typed at a terminal.
    #[arg(long, env = "SOCKEYE_NO_HISTORY", value_parser = clap::builder::FalseyValueParser::new())]
    pub no_history: bool,
}

#[cfg(target_os = "linux")]
fn local_name(text: &str) -> Result<LocalName, String> {
    text.parse().map_err(String::from)
}

/// Whose turn is first.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turns {
    /// The one who listens.
    Server,
    /// The one who connected.
    Client,
}

impl From<Turns> for First {
    fn from(turns: Turns) -> First {
        match turns {
            Turns::Server => First::Server,
            Turns::Client => First::Client,
        }
    }
}

impl TalkArgs {
    /// How a conversation is held.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            charset: self.encoding.into(),
            turns: self.turns.map(First::from),
            bare: self.bare,
            ..Settings::default()
        }
    }
    /// How datagrams are exchanged.
    pub(crate) fn datagrams(&self, side: First) -> Result<udp::Settings, Failure> {
        if self.turns == Some(Turns::Server) {
            return Err(Failure::new(Code::Usage, t!("chat-udp-server-first")));
        }
        Ok(udp::Settings {
            charset: self.encoding.into(),
            ..udp::Settings::new(Manner::Chat {
                side,
                turns: self.turns.map(First::from),
            })
        })
    }
    /// The name of AF_UNIX, if it is one.
    ///
    /// # Errors
    /// On a stack of our own: whoever is there is a program of this process.
    #[cfg(target_os = "linux")]
    pub(super) fn local_name(&self, net: &Net) -> Result<Option<&LocalName>, Failure> {
        match (&self.unix, net.host()) {
            (Some(_), Some(_)) => Err(Failure::new(Code::Usage, t!("chat-unix-of-the-system"))),
            (name, _) => Ok(name.as_ref()),
        }
    }
    fn allows(&self, address: IpAddr) -> bool {
        !(self.ipv4 && address.is_ipv6() || self.ipv6 && address.is_ipv4())
    }
    /// The addresses of a name that the family allows.
    async fn look_up(&self, net: &Net, address: &str, doing: &str) -> Result<Vec<SocketAddr>, Failure> {
        let told = |error| console::failure(doing, &error);
        let found = lookup_host(net, address).await.map_err(told)?;
        let allowed: Vec<_> = found.filter(|found| self.allows(found.ip())).collect();
        match allowed.is_empty() {
            true => Err(Failure::new(Code::Usage, t!("chat-wrong-family", doing = doing))),
            false => Ok(allowed),
        }
    }
}

impl ListenArgs {
    /// Where to listen, as it is told.
    pub(super) fn address(&self) -> String {
        let talk = &self.talk;
        let host = match (talk.source, talk.ipv6) {
            (Some(IpAddr::V6(ip)), _) => format!("[{ip}]"),
            (Some(ip), _) => ip.to_string(),
            (None, true) => "[::]".into(),
            (None, false) => "0.0.0.0".into(),
        };
        match (&self.address, talk.port) {
            // It was looked at when the command line was.
            (Some(address), _) => console::address(address, &host).unwrap_or_else(|_| address.clone()),
            (None, port) => format!("{host}:{}", port.unwrap_or_default()),
        }
    }
    pub(super) async fn addresses(&self, net: &Net, doing: &str) -> Result<Vec<SocketAddr>, Failure> {
        self.talk.look_up(net, &self.address(), doing).await
    }
}

impl ConnectArgs {
    /// To whom, as it is told.
    pub(crate) fn address(&self) -> String {
        let host = if self.talk.ipv6 { "[::1]" } else { "127.0.0.1" };
        let address = self.address.as_deref().unwrap_or_default();
        console::address(address, host).unwrap_or_else(|_| address.into())
    }
    /// To whom, and from where if that was said: those of the same family.
    pub(super) async fn addresses(
        &self,
        net: &Net,
        doing: &str,
    ) -> Result<(Vec<SocketAddr>, Option<SocketAddr>), Failure> {
        let mut to = self.talk.look_up(net, &self.address(), doing).await?;
        if let Some(source) = self.talk.source {
            to.retain(|to| to.is_ipv6() == source.is_ipv6());
        } else if self.talk.port.is_some() {
            let v6 = to.first().is_some_and(SocketAddr::is_ipv6);
            to.retain(|to| to.is_ipv6() == v6);
        }
        let Some(first) = to.first() else {
            return Err(Failure::new(Code::Usage, t!("chat-wrong-family", doing = doing)));
        };
        let any: IpAddr = match first {
            SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        let given = self.talk.source.is_some() || self.talk.port.is_some();
        let from = SocketAddr::new(self.talk.source.unwrap_or(any), self.talk.port.unwrap_or(0));
        Ok((to, given.then_some(from)))
    }
}
