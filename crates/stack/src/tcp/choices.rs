//! What an application chooses for its sockets, and what a connection keeps of it.
//!
//! Few applications choose much, so a block has room for a few octets of it; whoever wants more pays for [`Extra`].

use alloc::boxed::Box;

use super::SeqNumber;
use super::conn::{Fact, Tcb};
use super::open::receive_buffer;
use crate::config::{Config, CongestionControl, Ecn};
use crate::time::{Duration, Instant};

/// When and how often an idle connection is probed (RFC 9293 section 3.8.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keepalive {
    /// Idle time before the first probe; at least 1 s, as on Linux.
    pub idle: Duration,
    /// Time between probes; at least 1 s.
    pub interval: Duration,
    /// Probes without answer before the connection ends.
    pub count: u8,
}

/// Options of a TCP socket. Connections inherit their listener's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TcpOptions {
    /// An IPv6 wildcard takes no IPv4 connections (IPV6_V6ONLY).
    pub ipv6_only: bool,
    /// Bind over TIME-WAIT entries (SO_REUSEADDR).
    pub reuse_address: bool,
    /// Share the port with other sockets that set it too (SO_REUSEPORT).
    pub reuse_port: bool,
    /// Switch Nagle's rule off (TCP_NODELAY, MUST-17).
    pub nodelay: bool,
    /// Send full segments only, until this is cleared (TCP_CORK).
    pub cork: bool,
    /// Acknowledge at once (TCP_QUICKACK).
    pub quick_ack: bool,
    /// Probe the idle connection (SO_KEEPALIVE, MUST-24, MUST-25: off by default).
    pub keepalive: Option<Keepalive>,
    /// What close does with unsent data (SO_LINGER): `None` sends it in the background, zero resets.
    pub linger: Option<Duration>,
    /// R2 for this connection (TCP_USER_TIMEOUT, MUST-21).
    pub user_timeout: Option<Duration>,
    /// Send buffer in octets; `None`: the stack's.
    pub send_buffer: Option<u32>,
    /// Receive buffer in octets; `None`: grows by measurement.
    pub receive_buffer: Option<u32>,
    /// Largest segment to offer and to send (TCP_MAXSEG).
    pub max_segment: Option<u16>,
    /// Congestion control (TCP_CONGESTION); `None`: the stack's.
    pub congestion_control: Option<CongestionControl>,
    /// TTL or hop limit (MUST-49); `None` and 0: the stack's, since no datagram may leave with 0 (RFC 1122 section 3.2.1.7).
    pub hop_limit: Option<u8>,
    /// DiffServ field (MUST-48): the upper six bits. The lower two are the ECN field, which is TCP's own.
    pub traffic_class: u8,
    /// Explicit congestion notification; `None`: the stack's. Takes effect when a connection is opened.
    pub ecn: Option<Ecn>,
    /// Leave urgent data in the stream (SO_OOBINLINE).
    pub urgent_inline: bool,
}

impl TcpOptions {
    /// The hop limit that the application asks for, if it is one.
    pub(crate) fn hops(&self) -> Option<u8> {
        self.hop_limit.filter(|&hops| hops > 0)
    }
}

/// What the application chose, in the few bytes that an idle connection should cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Switches {
    pub(crate) nodelay: bool,
    pub(crate) cork: bool,
    pub(crate) quick_ack: bool,
    pub(crate) urgent_inline: bool,
    pub(crate) reuse: bool,
    /// 0: the path's, or the stack's.
    pub(crate) hop_limit: u8,
    pub(crate) traffic_class: u8,
}

/// Options that few connections set, and deadlines that few have.
#[derive(Debug, Clone)]
pub(crate) struct Extra {
    pub(crate) options: TcpOptions,
    /// End of FIN-WAIT-2 after a full close, or of linger.
    pub(crate) end_at: Instant,
    /// When the last keepalive probe went out.
    pub(crate) probed_at: Instant,
    pub(crate) marks: Marks,
}

/// What congestion marks did to a connection with ECN (RFC 3168).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Marks {
    /// Segments that came with CE.
    pub(crate) ce_received: u32,
    /// ACKs that came with ECE.
    pub(crate) ece_received: u32,
    /// SND.NXT when the congestion window was last reduced. Marks and losses before it count once.
    pub(crate) reduced_at: Option<SeqNumber>,
}

impl Extra {
    fn new(options: TcpOptions) -> Self {
        Extra {
            options,
            end_at: Instant::NEVER,
            probed_at: Instant::ZERO,
            marks: Marks::default(),
        }
    }
}

impl Switches {
    /// Those of a socket for which nothing is chosen.
    pub(crate) const NONE: Switches = Switches {
        nodelay: false,
        cork: false,
        quick_ack: false,
        urgent_inline: false,
        reuse: false,
        hop_limit: 0,
        traffic_class: 0,
    };

    /// The switches among a socket's options.
    pub(crate) fn from_options(options: &TcpOptions) -> Self {
        Switches {
            nodelay: options.nodelay,
            cork: options.cork,
            quick_ack: options.quick_ack,
            urgent_inline: options.urgent_inline,
            reuse: options.reuse_address,
            hop_limit: options.hop_limit.unwrap_or(0),
            traffic_class: options.traffic_class,
        }
    }
}

impl Extra {
    /// The options to keep, if they are [needed](Extra::is_needed).
    pub(crate) fn from_options(options: &TcpOptions, least: u32) -> Option<Box<Extra>> {
        Extra::is_needed(options, least).then(|| Box::new(Extra::new(*options)))
    }
    /// Whether anything is chosen beside the switches and the sizes of the buffers ([`own_buffers`]).
    #[inline]
    pub(crate) fn is_needed(options: &TcpOptions, least: u32) -> bool {
        let plain = TcpOptions {
            send_buffer: options.send_buffer,
            receive_buffer: options.receive_buffer.filter(|size| *size >= least),
            nodelay: options.nodelay,
            cork: options.cork,
            quick_ack: options.quick_ack,
            urgent_inline: options.urgent_inline,
            reuse_address: options.reuse_address,
            hop_limit: options.hop_limit,
            traffic_class: options.traffic_class,
            ..TcpOptions::default()
        };
        plain != *options || options.hop_limit.is_some()
    }
}

/// Which of the buffers have a size that the application chose, and that the block knows without [`Extra`]. `least` is the
/// smallest receive buffer that the block can have.
pub(crate) fn own_buffers(options: &TcpOptions, least: u32) -> Fact {
    let mut own = Fact::empty();
    own.set(Fact::OWN_SEND_BUFFER, options.send_buffer.is_some());
    let receive = options.receive_buffer.is_some_and(|size| size >= least);
    own.set(Fact::OWN_RECEIVE_BUFFER, receive);
    own
}

impl Tcb {
    /// When FIN-WAIT-2 after a full close, or linger, ends.
    #[inline]
    pub(crate) fn end_at(&self) -> Instant {
        self.extra.as_ref().map_or(Instant::NEVER, |e| e.end_at)
    }
    /// Sets when FIN-WAIT-2 after a full close, or linger, ends.
    pub(crate) fn set_end(&mut self, at: Instant) {
        if self.extra.is_some() || !at.is_never() {
            self.extra_mut().end_at = at;
        }
    }
    /// Keeps options that are beyond what a block has room for.
    #[cold]
    #[inline(never)]
    pub(super) fn keep_extra(&mut self, options: &TcpOptions) {
        self.extra = Some(Box::new(Extra::new(*options)));
    }
    #[inline(never)]
    fn extra_mut(&mut self) -> &mut Extra {
        let options = match &self.extra {
            Some(_) => TcpOptions::default(),
            None => self.options(),
        };
        self.extra.get_or_insert_with(|| Box::new(Extra::new(options)))
    }
    /// What congestion marks did so far.
    pub(crate) fn marks(&self) -> Marks {
        self.extra.as_ref().map_or(Marks::default(), |e| e.marks)
    }
    pub(crate) fn marks_mut(&mut self) -> &mut Marks {
        &mut self.extra_mut().marks
    }
    /// The options as they are now.
    pub(crate) fn options(&self) -> TcpOptions {
        let own = |fact, size| self.facts.contains(fact).then_some(size);
        let base = match &self.extra {
            Some(extra) => extra.options,
            None => TcpOptions {
                send_buffer: own(Fact::OWN_SEND_BUFFER, self.snd_buf_max),
                receive_buffer: own(Fact::OWN_RECEIVE_BUFFER, self.rcv_buf_max),
                ..TcpOptions::default()
            },
        };
        let Switches {
            nodelay,
            cork,
            quick_ack,
            urgent_inline,
            reuse,
            hop_limit: _,
            traffic_class,
        } = self.switches;
        TcpOptions {
            nodelay,
            cork,
            quick_ack,
            urgent_inline,
            reuse_address: reuse,
            traffic_class,
            ..base
        }
    }
    /// Changes options of a connection.
    pub(crate) fn set_options(&mut self, options: &TcpOptions, config: &Config) {
        let before = self.options();
        self.switches = Switches {
            reuse: self.switches.reuse,
            ..Switches::from_options(options)
        };
        // Less than one unit of the agreed scale could never be told as a window.
        let least = 1 << self.rcv_wscale;
        match &mut self.extra {
            // Its deadlines and marks stay.
            Some(extra) => extra.options = *options,
            None => self.extra = Extra::from_options(options, least),
        }
        self.facts
            .remove(Fact::OWN_SEND_BUFFER | Fact::OWN_RECEIVE_BUFFER);
        self.facts.insert(own_buffers(options, least));
        self.snd_buf_max = options.send_buffer.unwrap_or(config.send_buffer);
        let was_fixed = before.receive_buffer.is_some();
        if options.receive_buffer.is_some() || was_fixed {
            let (now, most) = receive_buffer(options, config);
            (self.rcv_buf, self.rcv_buf_max) = (now.max(least), most.max(least));
        }
        self.set_mss();
    }
}
