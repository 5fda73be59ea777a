//! What a script consists of, once read.

use std::sync::Arc;

use super::code::Statement;
use super::fault::Span;

/// A script, read and found to make sense.
#[derive(Clone, Debug)]
pub struct Script {
    /// Its name, for people: the path.
    pub name: String,
    /// Its text.
    pub text: Arc<str>,
    /// What its comments say of it.
    pub notes: Notes,
    pub(super) options: Vec<HeadOption>,
    pub(super) events: Vec<Event>,
}

/// What a script says of itself in comments.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Notes {
    /// The first comment: what it shows.
    pub about: String,
    /// `Shows: MUST-13, SHLD-2`: requirements.
    pub shows: Vec<String>,
    /// `Cell: ESTABLISHED x SYN repeated`: cells of the table of states and events.
    pub cells: Vec<String>,
    /// `Only: linux, ipv4`: the profiles and families for which it is written; empty for all.
    pub only: Vec<String>,
}

/// `--name=value`.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct HeadOption {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) span: Span,
}

/// Something that happens at a time.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) when: When,
    pub(super) action: Action,
    /// All of it, with its time.
    pub(super) span: Span,
}

/// Times in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum When {
    At(i64),
    After(i64),
    Any,
    Between(i64, i64),
    AfterBetween(i64, i64),
}

#[derive(Clone, Debug)]
pub(super) enum Action {
    Packet(Packet),
    Call(Call),
    Shell(String),
    Code(Vec<Statement>),
}

/// A packet to hand in, or to wait for.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) inbound: bool,
    pub(super) ip: IpPart,
    /// The peer's port and ours, where the script names them: as they stand, source before destination.
    pub(super) ports: Option<(u16, u16)>,
    pub(super) body: Body,
}

/// What stands in brackets before the segment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct IpPart {
    pub(super) ecn: Option<Ecn>,
    pub(super) tos: Option<u8>,
    pub(super) ttl: Option<u8>,
    pub(super) flow_label: Option<u32>,
    pub(super) source: Option<std::net::IpAddr>,
    pub(super) destination: Option<std::net::IpAddr>,
    /// Octets of options for the IPv4 header.
    pub(super) options: Vec<u8>,
    /// A transport checksum that is wrong.
    pub(super) bad_checksum: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ecn {
    /// The two bits.
    Bits(u8),
    /// ECT(0) or ECT(1).
    Ect01,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    Tcp(Tcp),
    Udp { len: u16 },
    Icmp(Icmp),
}

/// A segment; numbers as the script has them.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Tcp {
    pub(super) flags: u8,
    pub(super) start: u32,
    pub(super) len: u16,
    pub(super) ack: Option<u32>,
    pub(super) window: Option<u16>,
    pub(super) urgent: Option<u16>,
    /// `None`: any.
    pub(super) options: Option<Vec<TcpOption>>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum TcpOption {
    End,
    Nop,
    Mss(u16),
    WindowScale(u8),
    SackPermitted,
    Sack(Vec<(u32, u32)>),
    Timestamps {
        value: u32,
        echo: u32,
    },
    /// Any other: its octets, kind and length among them.
    Raw(Vec<u8>),
}

/// An ICMP message by its names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Icmp {
    pub(super) kind: String,
    pub(super) code: Option<String>,
    pub(super) mtu: Option<u32>,
    pub(super) quoted: Quoted,
    pub(super) span: Span,
}

/// The packet that an ICMP error quotes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Quoted {
    /// Nothing is said of it: the connection's, with sequence number 0.
    Unsaid,
    Tcp {
        start: u32,
        len: u16,
    },
    Udp {
        len: u16,
    },
}

/// A system call with what it is to answer.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) arguments: Vec<Expr>,
    /// When it is to return, if it blocks: microseconds, absolute or relative as the event's time.
    pub(super) until: Option<i64>,
    pub(super) result: Expr,
    pub(super) errno: Option<(String, Option<String>)>,
    pub(super) span: Span,
}

/// An expression and its place.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Expr {
    pub(super) node: Node,
    pub(super) span: Span,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Node {
    /// `...`
    Any,
    Int(i64),
    Word(String),
    /// A text; `true`: it goes on with `...`.
    Text(Vec<u8>, bool),
    /// `a | b`, `a + b` ...
    Binary(char, Box<Expr>, Box<Expr>),
    /// `-a`, `~a`.
    Unary(char, Box<Expr>),
    /// `name = value`.
    Assign(String, Box<Expr>),
    /// `[a, b]`
    List(Vec<Expr>),
    /// `{a, b = c, d(e) = f}`
    Struct(Vec<Field>),
    /// `htons(80)`, `inet_addr("192.0.2.1")`.
    Apply(String, Vec<Expr>),
}

#[derive(Clone, PartialEq, Debug)]
pub(super) struct Field {
    /// Empty for one without a name.
    pub(super) name: String,
    /// `msg_iov(2)`.
    pub(super) argument: Option<Expr>,
    pub(super) value: Expr,
}
