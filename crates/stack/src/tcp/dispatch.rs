//! A segment arrives: it is checked, found its entry by address, and handed to that entry's state
//! (RFC 9293 section 3.10.7).

use core::net::{IpAddr, SocketAddr};

use super::burst::{Reply, reset_for};
use super::conn::{AckOwed, Fact, Tcb};
use super::ecn;
use super::egress::window_end;
use super::handshake::Finished;
use super::ingress::{self, Fate};
use super::isn::initial_sequence_number;
use super::listen::{self, HalfOpen};
use super::open::{self, PeerOffer};
use super::table::{Slot, Tcp};
use super::{EcnField, Flags, Segment, SeqNumber, State, timewait};
use crate::config::{Ecn, Profile, SynCookies};
use crate::demux::{Entry, FourTuple, Kind};
use crate::error::ConnectionError;
use crate::frame::Text;
use crate::iface::{Env, IcmpError, IcmpNotice, IpLayer, Packet, Route};
use crate::stack::{Events, Readiness, SocketId};
use crate::time::{Duration, Instant};
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
        let text = packet.frame.text(packet.at + header.header_len);
        self.segment_arrives(cx, &tuple, &header.segment, text);
    }

    /// Finds the entry and runs its state.
    #[inline]
    pub(crate) fn segment_arrives(
        &mut self,
        cx: &mut Around<'_, '_>,
        tuple: &FourTuple,
        seg: &Segment,
        text: Text<'_>,
    ) {
        let entry = self.find_for_segment(tuple);
        self.arrives_at(cx, entry, tuple, seg, text);
    }

    /// Runs the state of the entry that was found for these addresses.
    pub(super) fn arrives_at(
        &mut self,
        cx: &mut Around<'_, '_>,
        entry: Option<Entry>,
        tuple: &FourTuple,
        seg: &Segment,
        text: Text<'_>,
    ) {
        if cx.env.trace.wants(TraceMask::SEGMENTS) {
            let socket = entry.and_then(|e| self.socket_id(e));
            let (tuple, segment) = (Tuple::from(*tuple), *seg);
            let kind = || TraceKind::SegmentIn { tuple, segment };
            cx.env.trace.record(TraceMask::SEGMENTS, cx.env.now, socket, kind);
        }
        match entry {
            Some(entry) if entry.is_connection() => self.at_connection(cx, entry.slot(), seg, text),
            Some(entry) => match entry.kind() {
                Kind::Connection => self.at_connection(cx, entry.slot(), seg, text),
                Kind::HalfOpen => self.at_half_open(cx, tuple, entry.slot(), seg, text),
                Kind::TimeWait => self.at_time_wait(cx, tuple, entry.slot(), seg, text),
            },
            None => self.at_listener(cx, tuple, seg, text, None),
        }
    }

    fn socket_id(&self, entry: Entry) -> Option<SocketId> {
        match (entry.kind(), self.tables.sockets.at(entry.slot())) {
            (Kind::Connection, Some(Slot::Open(tcb))) => Some(tcb.id),
            (Kind::Connection, Some(Slot::SynSent(open))) => Some(open.id),
            _ => None,
        }
    }

    pub(crate) fn dropped(&mut self, env: &mut Env<'_>, tuple: &FourTuple, reason: DropReason) {
        env.trace
            .dropped(env.now, None, Some(Tuple::from(*tuple)), reason);
    }

    pub(super) fn at_connection(
        &mut self,
        cx: &mut Around<'_, '_>,
        slot: u32,
        seg: &Segment,
        text: Text<'_>,
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
            Fate::Resets(error, cause, why) => {
                let Some(Slot::Open(tcb)) = self.tables.sockets.at(slot) else {
                    return;
                };
                let reset = reset_of(tcb, cause);
                self.reply(reset);
                self.end(cx.env, cx.events, slot, error, why);
            }
        }
    }

    fn at_time_wait(
        &mut self,
        cx: &mut Around<'_, '_>,
        tuple: &FourTuple,
        place: u32,
        seg: &Segment,
        text: Text<'_>,
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

    /// LISTEN and CLOSED (RFC 9293 sections 3.10.7.2 and 3.10.7.1).
    fn at_listener(
        &mut self,
        cx: &mut Around<'_, '_>,
        tuple: &FourTuple,
        seg: &Segment,
        text: Text<'_>,
        beyond: Option<SeqNumber>,
    ) {
        let found = self.bindings.listener_for(tuple);
        let Some(id) = found else {
            return self.refuse(cx, tuple, seg, DropReason::NoSocket, ResetCause::NoConnection);
        };
        // First, a RST is ignored; second, an ACK is answered with one, unless it carries a cookie.
        if seg.has(Flags::RST) {
            return self.dropped(cx.env, tuple, DropReason::NoSocket);
        }
        if seg.has(Flags::ACK) {
            return self.maybe_cookie(cx, tuple, id, seg, text);
        }
        // Third, a SYN; fourth, anything else is dropped.
        if !seg.has(Flags::SYN) || seg.has(Flags::FIN) {
            return self.dropped(cx.env, tuple, DropReason::NoAck);
        }
        self.syn_arrives(cx, tuple, id, seg, text, beyond);
    }

    fn refuse(
        &mut self,
        cx: &mut Around<'_, '_>,
        tuple: &FourTuple,
        seg: &Segment,
        reason: DropReason,
        cause: ResetCause,
    ) {
        self.dropped(cx.env, tuple, reason);
        let Some(segment) = reset_for(seg) else { return };
        if self.may_reset(cx.env) {
            self.reply(Reply {
                tuple: *tuple,
                segment,
                cause: Cause::Reset(cause),
            });
        } else {
            self.dropped(cx.env, tuple, DropReason::RateLimited);
        }
    }

    /// A SYN for a listener: a half-open entry, or a cookie, or nothing.
    fn syn_arrives(
        &mut self,
        cx: &mut Around<'_, '_>,
        tuple: &FourTuple,
        id: SocketId,
        seg: &Segment,
        text: Text<'_>,
        beyond: Option<SeqNumber>,
    ) {
        let (now, config) = (cx.env.now, cx.env.config);
        let Some(listener) = self.listener(id) else { return };
        if listener.accept_queue_full() {
            return self.dropped(cx.env, tuple, DropReason::AcceptQueueFull);
        }
        let full = listener.half_open >= config.syn_queue;
        let mut peer = PeerOffer::from_syn(seg, tuple.is_ipv4(), config);
        peer.ecn = ecn::is_setup_syn(seg) && ecn::setting(&listener.options, config) != Ecn::Off;
        peer.ect = peer.ecn;
        match (config.syn_cookies, full) {
            (SynCookies::Always, _) | (SynCookies::WhenFull, true) => {
                return self.send_cookie(cx, tuple, id, &peer);
            }
            (SynCookies::Off, true) => return self.dropped(cx.env, tuple, DropReason::SynQueueFull),
            (_, false) => listener.half_open += 1,
        }
        let told = told_towards(cx, tuple, &peer, &listener.options);
        let mut iss = initial_sequence_number(now, self.demux.sequence_place(tuple));
        if let Some(old) = beyond
            && !iss.after(old)
        {
            iss = old + 64_000; // MAY-2: larger than any the old connection used
        }
        let (place, _) = self.tables.half_open.insert(HalfOpen {
            tuple: *tuple,
            listener: id,
            iss,
            ts_offset: self.offsets.timestamp_offset(tuple),
            peer,
            told,
            tries: 0,
            ack_owed: AckOwed::No,
            text: open::keep_text(&text, told.window),
            queued: true,
            owed: Some(Cause::OpenReply),
            sent_at: now,
            retry_at: Instant::NEVER,
            wheel: Default::default(),
        });
        self.enter(tuple, Entry::new(Kind::HalfOpen, place));
        state_moved(
            cx.env,
            None,
            tuple,
            State::Listen,
            State::SynReceived,
            Transition::Syn,
        );
        self.ready.push_back(Entry::new(Kind::HalfOpen, place));
    }

    /// RFC 4987 section 3.6: everything the handshake needs goes into the sequence number and the timestamp.
    fn send_cookie(&mut self, cx: &mut Around<'_, '_>, tuple: &FourTuple, id: SocketId, peer: &PeerOffer) {
        let (now, config) = (cx.env.now, cx.env.config);
        let iss = self.cookies.make(now, tuple, peer.irs, peer.mss);
        let offset = self.offsets.timestamp_offset(tuple);
        let ts_value = self
            .cookies
            .timestamp(now, peer.window_scale, peer.sack, peer.ecn)
            .wrapping_add(offset);
        let Some(listener) = self.listener(id) else { return };
        listener.cookies_until = now + COOKIE_LIFE;
        let options = listener.options.clone();
        let Some(mss) = mss_towards(cx.ip, tuple, &options) else {
            return;
        };
        // Without timestamps there is no room for options: they are not agreed.
        let mut told = *peer;
        if peer.timestamp.is_none() {
            told.window_scale = None;
            told.sack = false;
            told.ecn = false;
        }
        let answer = listen::Answer {
            iss,
            mss,
            ts_value,
            told: open::Told::new(&options, config, open::answered_mss(mss, &told)),
        };
        let segment = listen::syn_ack(answer, &told);
        self.reply(Reply {
            tuple: *tuple,
            segment,
            cause: Cause::OpenCookie,
        });
    }

    /// An ACK for a listener: good only if it carries a cookie of ours.
    fn maybe_cookie(
        &mut self,
        cx: &mut Around<'_, '_>,
        tuple: &FourTuple,
        id: SocketId,
        seg: &Segment,
        text: Text<'_>,
    ) {
        let (now, config) = (cx.env.now, cx.env.config);
        let Some(listener) = self.listener(id) else { return };
        let expected = config.syn_cookies != SynCookies::Off && now <= listener.cookies_until;
        let full = listener.accept_queue_full();
        let setting = ecn::setting(&listener.options, config);
        let options = listener.options.clone();
        let irs = seg.seq - 1;
        let cookie = if expected {
            self.cookies.check(now, tuple, irs, seg.ack - 1)
        } else {
            None
        };
        let Some(mss) = cookie else {
            let reason = if expected {
                DropReason::BadCookie
            } else {
                DropReason::NoSocket
            };
            return self.refuse(cx, tuple, seg, reason, ResetCause::BadAck);
        };
        if full {
            return self.dropped(cx.env, tuple, DropReason::AcceptQueueFull);
        }
        let offset = self.offsets.timestamp_offset(tuple);
        let stamps = seg.options.timestamps.filter(|_| config.timestamps);
        let agreed = stamps.map(|ts| self.cookies.options_from(ts.echo.wrapping_sub(offset)));
        let peer = PeerOffer {
            irs,
            mss,
            // What was switched off was not in our SYN,ACK, whatever the peer says.
            window_scale: agreed
                .and_then(|a| a.window_scale)
                .filter(|_| config.window_scaling),
            sack: agreed.is_some_and(|a| a.sack) && config.sack,
            timestamp: stamps.map(|t| t.value),
            ecn: agreed.is_some_and(|a| a.ecn) && setting != Ecn::Off,
            ect: agreed.is_some_and(|a| a.ecn) && setting != Ecn::Off,
        };
        let told = told_towards(cx, tuple, &peer, &options);
        let done = Finished {
            tuple: *tuple,
            iss: seg.ack - 1,
            peer,
            told,
            text: None,
            round_trip: None,
            syn_lost: false,
            half_open: None,
            ts_offset: offset,
            wheel: Default::default(),
        };
        self.admit(cx, id, done, seg, text);
    }

    /// An ICMP error about a segment of ours (MUST-54..56, SHLD-25, SHLD-26, RFC 5927).
    pub(crate) fn handle_icmp(&mut self, cx: &mut Around<'_, '_>, notice: &IcmpNotice) {
        let tuple = FourTuple::new(
            notice.local.ip(),
            notice.local.port(),
            notice.remote.ip(),
            notice.remote.port(),
        );
        let Some(entry) = self.find(&tuple).filter(|e| e.kind() == Kind::Connection) else {
            return self.dropped(cx.env, &tuple, DropReason::IcmpMismatch);
        };
        let error = match notice.error {
            IcmpError::PortUnreachable | IcmpError::ProtocolUnreachable => ConnectionError::PortUnreachable,
            _ => ConnectionError::Unreachable,
        };
        let hard = matches!(error, ConnectionError::PortUnreachable);
        match self.tables.sockets.at_mut(entry.slot()) {
            Some(Slot::SynSent(opening)) => {
                if notice.sequence.is_some_and(|s| SeqNumber(s) != opening.iss) {
                    return self.dropped(cx.env, &tuple, DropReason::IcmpMismatch);
                }
                if let IcmpError::PacketTooBig { .. } = notice.error {
                    return;
                }
                if hard {
                    let refused = ConnectionError::Refused;
                    return self.fail_open(cx.env, cx.events, entry.slot(), refused, Transition::Icmp);
                }
                opening.soft_error = Some(error);
                opening.pending |= Readiness::SOFT_ERROR;
                let id = opening.id;
                self.announce(cx.events, id);
            }
            Some(Slot::Open(tcb)) => {
                // RFC 5927 section 4.1: the quoted octet must be in flight.
                let in_flight = notice.sequence.is_some_and(|s| {
                    SeqNumber(s).within(tcb.snd_una, tcb.outstanding()) && tcb.outstanding() > 0
                });
                if !in_flight {
                    return self.dropped(cx.env, &tuple, DropReason::IcmpMismatch);
                }
                let id = tcb.id;
                if let IcmpError::PacketTooBig { mtu } = notice.error {
                    cx.ip.packet_too_big(cx.env, tuple.remote(), mtu);
                    return self.shrink(cx, entry.slot());
                }
                // On a synchronised connection every ICMP error is soft (RFC 5461; SHLD-26 weighed against RFC 5927).
                tcb.soft_error = Some(error);
                tcb.pending |= Readiness::SOFT_ERROR;
                self.announce(cx.events, id);
            }
            Some(Slot::Fresh(_) | Slot::Listener(_)) | None => {}
        }
    }

    /// The path takes smaller packets than was thought: what did not fit goes again in smaller pieces at once, which is no
    /// sign of congestion (RFC 1191 section 6.3, RFC 8201 section 5.4).
    fn shrink(&mut self, cx: &mut Around<'_, '_>, slot: u32) {
        let Some((tcb, scope)) = self.open(cx.env, cx.events, slot) else {
            return;
        };
        let before = tcb.snd_mss;
        if let Some(route) = cx.ip.route(tcb.tuple.remote(), Some(tcb.tuple.local()), None) {
            tcb.path = route.into();
            tcb.route_generation = cx.ip.generation();
            tcb.set_mss();
        }
        if tcb.snd_mss < before {
            tcb.recovery = super::conn::Recovery::Loss {
                recover: tcb.snd_nxt,
                next: tcb.snd_una,
            };
            tcb.facts.remove(Fact::TIMED);
            tcb.rexmt_at = scope.now + tcb.rto(scope.config);
            tcb.facts.insert(Fact::PATH_SHRUNK);
        }
        self.kick(Entry::new(Kind::Connection, slot));
    }
}

/// What a SYN,ACK tells this peer of the window.
fn told_towards(
    cx: &Around<'_, '_>,
    tuple: &FourTuple,
    peer: &PeerOffer,
    options: &super::TcpOptions,
) -> open::Told {
    let mss = match cx.env.config.profile {
        Profile::Linux => mss_towards(cx.ip, tuple, options),
        Profile::Rfc => None, // it does not depend on it
    };
    open::Told::new(options, cx.env.config, open::answered_mss(mss.unwrap_or(1), peer))
}

/// The MSS to offer to this peer.
fn mss_towards(ip: &IpLayer, tuple: &FourTuple, options: &super::TcpOptions) -> Option<u16> {
    let route = ip.route(tuple.remote(), Some(tuple.local()), None)?;
    Some(mss_along(ip, &route, options))
}

/// The MSS to offer to a peer at the end of this route.
pub(super) fn mss_along(ip: &IpLayer, route: &Route, options: &super::TcpOptions) -> u16 {
    let ipv4 = route.source.is_ipv4();
    open::our_mss(ip.interface_mtu(route.interface, ipv4), ipv4, options.max_segment)
}

/// How long after the last cookie an ACK may carry one.
const COOKIE_LIFE: Duration = Duration::from_secs(128);

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

pub(crate) fn state_moved(
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
