//! A segment arrives: it is checked, found its entry by address, and handed to that entry's state
//! (RFC 9293 section 3.10.7).

use core::net::{IpAddr, SocketAddr};

use super::burst::Reply;
use super::conn::{AckOwed, Tcb};
use super::egress::window_end;
use super::ingress::{self, Fate};
use super::open;
use super::table::{Slot, Tcp};
use super::{EcnField, Flags, Segment, State, timewait};
use crate::demux::{Entry, FourTuple, Kind};
use crate::error::ConnectionError;
use crate::frame::Text;
use crate::iface::{Env, IpLayer, Packet, Route};
use crate::stack::{Events, SocketId};
use crate::trace::{Cause, ChallengeCause, DropReason, ResetCause, TraceKind, TraceMask, Transition, Tuple};
use crate::wire;
use crate::wire::checksum;

/// What dispatch needs beside TCP itself.
pub(crate) struct Around<'a, 'e> {
    pub(crate) env: &'a mut Env<'e>,
    pub(crate) ip: &'a mut IpLayer,
    pub(crate) events: &'a mut Events,
}

impl Tcp {
    /// Takes a TCP packet: parses and checks it, and runs the state it meets.
    pub(crate) fn handle_packet(&mut self, cx: &mut Around<'_, '_>, packet: Packet<'_>) {
        let bytes = packet.frame.front().get(packet.at..).unwrap_or(&[]);
        let transport_len = packet.frame.len() - packet.at;
        let mut header = wire::tcp::Header::default();
        if let Err(error) = wire::tcp::parse_into(bytes, transport_len, &mut header) {
            return cx.env.dropped(error.into());
        }
        let tuple = FourTuple::new(
            packet.destination,
            header.destination_port,
            packet.source,
            header.source_port,
        );
        if !packet.checksum_verified && !checksum_holds(&packet, transport_len) {
            // MUST-3
            return self.dropped(cx.env, &tuple, DropReason::TransportChecksum);
        }
        if packet.to_many || tuple.remote().is_multicast() || tuple.remote().is_unspecified() {
            // MUST-57, MUST-63
            return self.dropped(cx.env, &tuple, DropReason::SynToMany);
        }
        header.segment.ecn = EcnField::from_class(packet.traffic_class);
        let mut text = packet.frame.text(packet.at + header.header_len);
        self.segment_arrives(cx, &tuple, &header.segment, &mut text);
    }

    /// Finds the entry and runs its state.
    #[inline]
    pub(crate) fn segment_arrives(
        &mut self,
        cx: &mut Around<'_, '_>,
        tuple: &FourTuple,
        seg: &Segment,
        text: &mut Text<'_>,
    ) {
        let entry = self.find_for_segment(tuple);
        self.arrives_at(cx, entry, tuple, seg, text);
    }

    /// Runs the state of the entry that was found for these addresses.
    #[inline]
    pub(super) fn arrives_at(
        &mut self,
        cx: &mut Around<'_, '_>,
        entry: Option<Entry>,
        tuple: &FourTuple,
        seg: &Segment,
        text: &mut Text<'_>,
    ) {
        if cx.env.trace.wants(TraceMask::SEGMENTS) {
            self.trace_arrived(cx, entry, tuple, seg);
        }
        match entry {
            Some(entry) if entry.is_connection() => self.at_connection(cx, entry.slot(), seg, text),
            Some(entry) => match entry.kind() {
                Kind::Connection => self.at_connection(cx, entry.slot(), seg, text),
                Kind::HalfOpen => {
                    if let Some(slot) = self.at_half_open(cx, tuple, entry.slot(), seg) {
                        self.rest_of(cx, slot, seg, text);
                    }
                }
                Kind::TimeWait => self.at_time_wait(cx, tuple, entry.slot(), seg, text),
            },
            None => self.at_listener(cx, tuple, seg, text, None),
        }
    }

    #[cold]
    #[inline(never)]
    fn trace_arrived(&self, cx: &mut Around<'_, '_>, entry: Option<Entry>, tuple: &FourTuple, seg: &Segment) {
        let socket = entry.and_then(|e| self.socket_id(e));
        let (tuple, segment) = (Tuple::from(*tuple), *seg);
        let kind = || TraceKind::SegmentIn { tuple, segment };
        cx.env.trace.record(TraceMask::SEGMENTS, cx.env.now, socket, kind);
    }

    fn socket_id(&self, entry: Entry) -> Option<SocketId> {
        match (entry.kind(), self.tables.sockets.at(entry.slot())) {
            (Kind::Connection, Some(Slot::Open(tcb))) => Some(tcb.id),
            (Kind::Connection, Some(Slot::SynSent(open))) => Some(open.id),
            _ => None,
        }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn dropped(&mut self, env: &mut Env<'_>, tuple: &FourTuple, reason: DropReason) {
        env.trace
            .dropped(env.now, None, Some(Tuple::from(*tuple)), reason);
    }

    #[inline(never)]
    pub(super) fn at_connection(
        &mut self,
        cx: &mut Around<'_, '_>,
        slot: u32,
        seg: &Segment,
        text: &mut Text<'_>,
    ) {
        let Some((tcb, mut scope)) = self.open(cx.env, cx.events, slot) else {
            return self.at_syn_sent(cx, slot, seg, text);
        };
        let una = tcb.snd_una;
        let fate = ingress::segment_arrives(tcb, &mut scope, seg, text);
        if tcb.snd_una != una {
            // Our data arrived, so the next hop delivers (RFC 4861 section 7.3.1).
            cx.ip.confirm_reachable(scope.now, tcb.path);
        }
        if fate == Fate::Lives {
            scope.kick(tcb);
            scope.announce(tcb);
        } else {
            self.settle(cx, slot, fate);
        }
    }

    /// Carries out what a step made of a connection.
    #[inline]
    pub(crate) fn settle(&mut self, cx: &mut Around<'_, '_>, slot: u32, fate: Fate) {
        match fate {
            Fate::Lives => {
                if let Some((tcb, mut scope)) = self.open(cx.env, cx.events, slot) {
                    scope.kick(tcb);
                    scope.announce(tcb);
                }
            }
            Fate::TimeWait => self.enter_time_wait(cx.env, cx.events, slot),
            Fate::Ends(error, why) => self.end(cx.env, cx.events, slot, error, why),
            Fate::Resets(error, cause, why) => self.reset_and_end(cx, slot, error, cause, why),
        }
    }

    #[cold]
    #[inline(never)]
    fn reset_and_end(
        &mut self,
        cx: &mut Around<'_, '_>,
        slot: u32,
        error: Option<ConnectionError>,
        cause: ResetCause,
        why: Transition,
    ) {
        let Some(Slot::Open(tcb)) = self.tables.sockets.at(slot) else {
            return;
        };
        let reset = reset_of(tcb, cause);
        self.reply(reset);
        self.end(cx.env, cx.events, slot, error, why);
    }

    #[inline(never)]
    fn at_time_wait(
        &mut self,
        cx: &mut Around<'_, '_>,
        tuple: &FourTuple,
        place: u32,
        seg: &Segment,
        text: &mut Text<'_>,
    ) {
        let Some(entry) = self.tables.time_wait.at_mut(place) else {
            return;
        };
        match entry.segment_arrives(seg) {
            timewait::Step::Ignored => {}
            timewait::Step::Acknowledge { restart, cause } => {
                let first = core::mem::replace(&mut entry.owed, AckOwed::of(cause)) == AckOwed::No;
                if restart {
                    self.restart_time_wait(cx.env, place);
                    self.kick(Entry::new(Kind::TimeWait, place));
                } else {
                    self.owe_ack(cx.env, first, Entry::new(Kind::TimeWait, place));
                }
            }
            timewait::Step::Reset => self.end_time_wait(cx.env, place, Transition::Reset),
            timewait::Step::Reuse(after) => {
                let Some(listener) = self.bindings.listener_for(tuple).and_then(|id| self.listener(id))
                else {
                    // Nobody would take the new connection: a SYN like any other here (U-7).
                    return self.challenge_in_time_wait(cx, place);
                };
                if listener.accept_queue_full() {
                    return self.dropped(cx.env, tuple, DropReason::AcceptQueueFull);
                }
                self.end_time_wait(cx.env, place, Transition::Reused);
                self.at_listener(cx, tuple, seg, text, Some(after));
            }
        }
    }

    fn challenge_in_time_wait(&mut self, cx: &mut Around<'_, '_>, place: u32) {
        let Some(entry) = self.tables.time_wait.at_mut(place) else {
            return;
        };
        let challenge = AckOwed::Challenge(ChallengeCause::Syn);
        let first = core::mem::replace(&mut entry.owed, challenge) == AckOwed::No;
        self.owe_ack(cx.env, first, Entry::new(Kind::TimeWait, place));
    }
}

/// The MSS to offer to a peer at the end of this route.
pub(super) fn mss_along(ip: &IpLayer, route: &Route, options: &super::TcpOptions) -> u16 {
    open::our_mss(ip, route.interface, route.source.is_ipv4(), options)
}

/// The reset that ends one of our own connections (RFC 9293 section 3.10.5). It has SND.NXT for its number, as the RFC has it,
/// or the end of the peer's window where that lies before (Linux: `tcp_acceptable_seq`): beyond it, as after the octet of a
/// window probe, the peer would take no reset.
pub(super) fn reset_of(tcb: &Tcb, cause: ResetCause) -> Reply {
    Reply {
        tuple: tcb.tuple,
        segment: Segment {
            seq: tcb.snd_nxt.earlier(window_end(tcb)),
            ack: tcb.rcv_nxt,
            flags: Flags::RST | Flags::ACK,
            ..Segment::default()
        },
        cause: Cause::Reset(cause),
    }
}

/// Traces a change of state.
#[inline(always)]
pub(crate) fn state_moved(
    env: &mut Env<'_>,
    socket: Option<SocketId>,
    tuple: &FourTuple,
    from: State,
    to: State,
    why: Transition,
) {
    if env.trace.wants(TraceMask::STATES) {
        trace_move(env, socket, tuple, from, to, why);
    }
}

#[cold]
#[inline(never)]
fn trace_move(
    env: &mut Env<'_>,
    socket: Option<SocketId>,
    tuple: &FourTuple,
    from: State,
    to: State,
    why: Transition,
) {
    env.trace
        .record(TraceMask::STATES, env.now, socket, || TraceKind::State {
            tuple: Tuple::from(*tuple),
            from,
            to,
            why,
        });
}

fn checksum_holds(packet: &Packet<'_>, transport_len: usize) -> bool {
    let frame = &packet.frame;
    let pseudo = checksum::pseudo(
        packet.source,
        packet.destination,
        wire::protocol::TCP,
        transport_len as u32,
    );
    let mut sum = pseudo.add(&frame.front()[packet.at..]);
    if frame.head.is_empty() {
        for part in frame.body.parts().iter().skip(1) {
            sum = sum.add(part);
        }
    } else {
        sum = sum.add_payload(&frame.body);
    }
    sum.verify()
}

/// The socket address of one end.
pub(crate) fn socket_addr(ip: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(ip, port)
}
