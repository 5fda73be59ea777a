//! Records made by hand for tests: a connection with an exchange, a loss and a close, told as stacks and links tell it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;
use etherparse::{PacketBuilder, TcpOptionElement};
use sockeye_stack::iface::Cidr;
use sockeye_stack::tcp::State;
use sockeye_stack::trace::{
    AckCause, Cause, CongestionChange, DropReason, RetransmitCause, Timer, TraceEvent, TraceKind, Transition,
    Tuple,
};
use sockeye_stack::{Duration, Instant, InterfaceId, Medium};

use crate::packet::Packet;
use crate::record::{Backlog, Cast, HostIndex, HostInfo, LinkLoss, Record, What, WireEvent};

pub(crate) const CLIENT: HostIndex = HostIndex(0);
pub(crate) const SERVER: HostIndex = HostIndex(1);
const CLIENT_ISN: u32 = 0xffff_fc00; // wraps within the first segments
const SERVER_ISN: u32 = 7_000;

/// Two hosts with Chinese names.
pub(crate) fn cast() -> Cast {
    let host = |name, n| {
        HostInfo::ip(
            name,
            &[Cidr {
                address: Ipv4Addr::new(10, 0, 0, n).into(),
                prefix: 24,
            }],
        )
    };
    Cast {
        hosts: vec![host("客户端", 1), host("聊天服务器", 2)],
    }
}

pub(crate) fn end(host: HostIndex) -> SocketAddr {
    let port = if host == CLIENT { 49152 } else { 8000 };
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, host.0 as u8 + 1)), port)
}
fn tuple(host: HostIndex) -> Tuple {
    Tuple {
        local: end(host),
        remote: end(HostIndex(1 - host.0)),
    }
}

/// A segment in few words: flags as letters, numbers relative.
pub(crate) struct Seg<'a> {
    pub(crate) flags: &'a str,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) len: usize,
}

pub(crate) fn frame(from: HostIndex, seg: &Seg<'_>) -> Bytes {
    let (source, destination) = (end(from), end(HostIndex(1 - from.0)));
    let (own, other) = if from == CLIENT {
        (CLIENT_ISN, SERVER_ISN)
    } else {
        (SERVER_ISN, CLIENT_ISN)
    };
    let mut build = PacketBuilder::ipv4([10, 0, 0, from.0 as u8 + 1], [10, 0, 0, 2 - from.0 as u8], 64).tcp(
        source.port(),
        destination.port(),
        own.wrapping_add(seg.seq),
        if seg.flags.contains('S') { 64_240 } else { 502 },
    );
    for flag in seg.flags.chars() {
        build = match flag {
            'S' => build.syn(),
            'F' => build.fin(),
            'P' => build.psh(),
            'R' => build.rst(),
            _ => build.ack(other.wrapping_add(seg.ack)),
        };
    }
    if seg.flags.contains('S') {
        let options = [
            TcpOptionElement::MaximumSegmentSize(1460),
            TcpOptionElement::SelectiveAcknowledgementPermitted,
            TcpOptionElement::WindowScale(7),
        ];
        build = build.options(&options).expect("three options fit");
    }
    let mut bytes = Vec::new();
    build
        .write(&mut bytes, &vec![b'x'; seg.len])
        .expect("writing to memory");
    bytes.into()
}

/// Records in the making.
#[derive(Default)]
pub(crate) struct Scene {
    pub(crate) records: Vec<Record>,
    next: u64,
}

impl Scene {
    pub(crate) fn put(&mut self, at_ms: u64, host: HostIndex, what: What) {
        self.records.push(Record {
            at: Instant::from_millis(at_ms),
            host,
            what,
        });
    }
    pub(crate) fn stack(&mut self, at_ms: u64, host: HostIndex, kind: TraceKind) {
        self.put(
            at_ms,
            host,
            What::Stack(TraceEvent {
                at: Instant::from_millis(at_ms),
                socket: None,
                kind,
            }),
        );
    }
    fn state(&mut self, at_ms: u64, host: HostIndex, from: State, to: State, why: Transition) {
        self.stack(
            at_ms,
            host,
            TraceKind::State {
                tuple: tuple(host),
                from,
                to,
                why,
            },
        );
    }
    fn rtt(&mut self, at_ms: u64, host: HostIndex, rttvar_ms: u64) {
        let (sample, srtt) = (Duration::from_millis(20), Duration::from_millis(20));
        let rto = srtt + Duration::from_millis(rttvar_ms * 4);
        self.stack(
            at_ms,
            host,
            TraceKind::Rtt {
                sample,
                srtt,
                rttvar: Duration::from_millis(rttvar_ms),
                rto,
            },
        );
    }
    fn congestion(&mut self, at_ms: u64, host: HostIndex, numbers: (u32, u32, u32), why: CongestionChange) {
        let (cwnd, ssthresh, flight) = numbers;
        self.stack(
            at_ms,
            host,
            TraceKind::Congestion {
                cwnd,
                ssthresh,
                flight,
                why,
            },
        );
    }
    /// A frame enters the link; gives its id.
    pub(crate) fn sent(&mut self, at_ms: u64, from: HostIndex, bytes: Bytes, cause: Cause) -> u64 {
        self.next += 1;
        let sent = WireEvent::Sent {
            id: self.next,
            bytes,
            cause,
            interface: InterfaceId(0),
            link: 0,
        };
        self.put(at_ms, from, What::Wire(sent));
        self.next
    }
    pub(crate) fn arrived(&mut self, at_ms: u64, to: HostIndex, id: u64) {
        let (from, sent_at, bytes) = self
            .records
            .iter()
            .find_map(|record| match &record.what {
                What::Wire(WireEvent::Sent { id: own, bytes, .. }) if *own == id => {
                    Some((record.host, record.at, bytes.clone()))
                }
                _ => None,
            })
            .expect("it was sent");
        let interface = InterfaceId(0);
        self.put(
            at_ms,
            to,
            What::Wire(WireEvent::Arrived {
                id,
                bytes,
                sent_at,
                from,
                interface,
            }),
        );
    }
    /// Sent, and ten milliseconds later there.
    fn carried(&mut self, at_ms: u64, from: HostIndex, seg: &Seg<'_>, cause: Cause) {
        let bytes = frame(from, seg);
        if let Packet::Tcp { segment, .. } = Packet::read(&bytes, Medium::Ip) {
            self.stack(
                at_ms,
                from,
                TraceKind::SegmentOut {
                    tuple: tuple(from),
                    segment,
                    cause,
                },
            );
        }
        let id = self.sent(at_ms, from, bytes, cause);
        self.arrived(at_ms + 10, HostIndex(1 - from.0), id);
    }
}

fn seg(flags: &str, seq: u32, ack: u32, len: usize) -> Seg<'_> {
    Seg { flags, seq, ack, len }
}

/// Handshake, one exchange, a loss and its repair, and a close down to TIME-WAIT and its end.
pub(crate) fn connection() -> Vec<Record> {
    let mut s = Scene::default();
    opening(&mut s);
    exchange(&mut s);
    closing(&mut s);
    s.records
}

fn opening(s: &mut Scene) {
    let listening = Backlog {
        listener: end(SERVER),
        half_open: 1,
        accept: 0,
        backlog: 128,
    };
    s.put(0, CLIENT, What::Note("三次握手: the client opens".into()));
    s.state(0, CLIENT, State::Closed, State::SynSent, Transition::Open);
    s.carried(0, CLIENT, &seg("S", 0, 0, 0), Cause::Open);
    s.state(10, SERVER, State::Listen, State::SynReceived, Transition::Syn);
    s.put(10, SERVER, What::Backlog(listening));
    s.carried(10, SERVER, &seg("SA", 0, 1, 0), Cause::OpenReply);
    s.rtt(20, CLIENT, 10);
    s.congestion(20, CLIENT, (14_600, u32::MAX, 0), CongestionChange::Initial);
    s.state(20, CLIENT, State::SynSent, State::Established, Transition::SynAck);
    s.carried(20, CLIENT, &seg("A", 1, 1, 0), Cause::OpenComplete);
    s.state(
        30,
        SERVER,
        State::SynReceived,
        State::Established,
        Transition::SynAcked,
    );
    s.put(
        30,
        SERVER,
        What::Backlog(Backlog {
            half_open: 0,
            accept: 1,
            ..listening
        }),
    );
}

fn exchange(s: &mut Scene) {
    s.put(31, CLIENT, What::Note("the first segment of data is lost".into()));
    let first = s.sent(31, CLIENT, frame(CLIENT, &seg("PA", 1, 1, 1460)), Cause::Data);
    s.put(
        31,
        CLIENT,
        What::Wire(WireEvent::Lost {
            id: first,
            why: LinkLoss::Random,
        }),
    );
    s.stack(
        91,
        CLIENT,
        TraceKind::TimerFired {
            timer: Timer::Retransmit,
        },
    );
    s.congestion(91, CLIENT, (1_460, 2_920, 1_460), CongestionChange::Timeout);
    let again = RetransmitCause::Timeout {
        count: 1,
        rto: Duration::from_millis(60),
    };
    s.carried(91, CLIENT, &seg("PA", 1, 1, 1460), Cause::Retransmit(again));
    s.carried(
        141,
        SERVER,
        &seg("A", 1, 1461, 0),
        Cause::Ack(AckCause::DelayTimer),
    );
    s.congestion(151, CLIENT, (2_920, 2_920, 0), CongestionChange::SlowStart);
    s.carried(160, SERVER, &seg("PA", 1, 1461, 5), Cause::Data);
    s.carried(170, CLIENT, &seg("A", 1461, 6, 0), Cause::Ack(AckCause::Quick));
    s.stack(
        180,
        SERVER,
        TraceKind::Dropped {
            tuple: Some(tuple(SERVER)),
            reason: DropReason::Duplicate,
        },
    );
}

fn closing(s: &mut Scene) {
    s.put(
        200,
        CLIENT,
        What::Note("四次挥手: the client closes first".into()),
    );
    s.state(
        200,
        CLIENT,
        State::Established,
        State::FinWait1,
        Transition::Close,
    );
    s.carried(200, CLIENT, &seg("FA", 1461, 6, 0), Cause::Fin);
    s.state(210, SERVER, State::Established, State::CloseWait, Transition::Fin);
    s.carried(210, SERVER, &seg("A", 6, 1462, 0), Cause::Ack(AckCause::Fin));
    s.state(
        220,
        CLIENT,
        State::FinWait1,
        State::FinWait2,
        Transition::FinAcked,
    );
    s.state(300, SERVER, State::CloseWait, State::LastAck, Transition::Close);
    s.carried(300, SERVER, &seg("FA", 6, 1462, 0), Cause::Fin);
    s.state(310, CLIENT, State::FinWait2, State::TimeWait, Transition::Fin);
    s.carried(310, CLIENT, &seg("A", 1462, 7, 0), Cause::Ack(AckCause::Fin));
    s.state(320, SERVER, State::LastAck, State::Closed, Transition::FinAcked);
    s.state(
        240_310,
        CLIENT,
        State::TimeWait,
        State::Closed,
        Transition::TimeWaitOver,
    );
}
