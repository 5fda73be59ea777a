//! Opening: SYN-SENT, simultaneous open, and the making of a block from a finished handshake
//! (RFC 9293 sections 3.5 and 3.10.7.3).

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::choices::{Extra, Switches, TcpOptions, own_buffers};
use super::congestion::Congestion;
use super::conn::{AckOwed, Fact, Tcb};
use super::ecn;
use super::egress;
use super::rtt::RttEstimator;
use super::spares::Spares;
use super::{Flags, Options, Segment, SeqNumber, State, Timestamps};
use crate::config::{Config, CongestionControl, Profile};
use crate::demux::{Entry, FourTuple, Kind, TableHash};
use crate::error::ConnectionError;
use crate::frame::Text;
use crate::iface::{IpLayer, Path};
use crate::stack::{InterfaceId, Readiness, SocketId};
use crate::time::{Duration, Instant};
use crate::trace::{AckCause, Cause, ChallengeCause, ResetCause, RetransmitCause};
use crate::wheel::{Wheel, WheelEntry};

/// What a SYN told us of the peer: agreed once, kept for the connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PeerOffer {
    pub(crate) irs: SeqNumber,
    /// The timestamp of the SYN; 0 without any.
    pub(crate) timestamp: u32,
    /// What both ends can do: timestamps, SACK, window scaling and ECN. The last is not read from the SYN here, since it depends on
    /// what we sent.
    pub(crate) agreed: Fact,
    pub(crate) mss: u16,
    /// The shift of the peer's window; 0 without scaling.
    pub(crate) scale: u8,
}

/// What our SYN or SYN,ACK told of the receive window: kept until the connection is made, whatever the application sets
/// meanwhile (RFC 7323 section 2.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Told {
    /// The window field of the SYN, which is not scaled.
    pub(crate) window: u16,
    /// The shift that it offered; without meaning where none was agreed.
    pub(crate) scale: u8,
}

impl Told {
    /// What these options and settings tell, with segments of up to `mss` octets to come.
    #[inline(never)]
    pub(crate) fn new(options: &TcpOptions, config: &Config, mss: u16) -> Told {
        let (buffer, buffer_max) = receive_buffer(options, config);
        let mss = u32::from(mss.max(1));
        let whole = match config.profile {
            // tcp_select_initial_window
            Profile::Linux if buffer > mss => buffer / mss * mss,
            Profile::Linux | Profile::Rfc => buffer,
        };
        Told {
            window: whole.min(0xffff) as u16,
            scale: scale_for(buffer_max),
        }
    }
    /// The window field of an ACK before the connection is established: what the SYN told, in the units of segments
    /// without SYN.
    pub(crate) fn field(self, peer: &PeerOffer) -> u16 {
        match peer.has(Fact::SCALING) {
            true => self.window >> self.scale,
            false => self.window,
        }
    }
}

impl PeerOffer {
    /// Reads the options of a SYN. MUST-15: without an MSS option, 536 or 1220.
    #[inline(never)]
    pub(crate) fn from_syn(seg: &Segment, ipv4: bool, config: &Config) -> PeerOffer {
        let options = &seg.options;
        // What is switched off counts as not offered. RFC 7323 section 2.3: a shift above 14 counts as 14.
        let shift = options.window_scale.filter(|_| config.window_scaling);
        let stamps = options.timestamps.filter(|_| config.timestamps);
        PeerOffer {
            irs: seg.seq,
            timestamp: stamps.map_or(0, |t| t.value),
            agreed: fact_if(stamps.is_some(), Fact::TIMESTAMPS)
                | fact_if(options.sack_permitted && config.sack, Fact::SACK)
                | fact_if(shift.is_some(), Fact::SCALING),
            mss: options.mss.unwrap_or(default_mss(ipv4)),
            scale: shift.map_or(0, |s| s.min(14)),
        }
    }
    /// Whether this was agreed.
    #[inline]
    pub(crate) fn has(&self, fact: Fact) -> bool {
        self.agreed.contains(fact)
    }
}

/// The fact, if it holds; without a branch.
#[inline(always)]
pub(super) fn fact_if(holds: bool, fact: Fact) -> Fact {
    Fact::from_bits_retain(u32::from(holds) * fact.bits())
}

/// MUST-15.
pub(crate) fn default_mss(ipv4: bool) -> u16 {
    if ipv4 { 536 } else { 1220 }
}

/// The MSS that we offer: what the interface's MTU lets us receive (MUST-67, SHLD-5, SHLD-6), options not taken off.
#[inline(never)]
pub(crate) fn our_mss(ip: &IpLayer, on: InterfaceId, ipv4: bool, options: &TcpOptions) -> u16 {
    let headers = if ipv4 { 40 } else { 60 };
    let most = options.max_segment.unwrap_or(u16::MAX);
    let fits = ip.interface_mtu(on, ipv4).saturating_sub(headers);
    fits.min(u32::from(most)) as u16
}

/// The window shift that lets the largest receive buffer be offered (RFC 7323 section 2.3).
pub(crate) fn scale_for(buffer_max: u32) -> u8 {
    let bits = u32::BITS - buffer_max.leading_zeros();
    bits.saturating_sub(u16::BITS).min(14) as u8
}

/// An active open that waits for its SYN to be answered: SYN-SENT, or SYN-RECEIVED by simultaneous open (MUST-10).
/// That it came from an active open is remembered by its being here (MUST-11).
///
/// The fields lie in this order: the options, of which little is asked, last.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct SynSent {
    pub(crate) tuple: FourTuple,
    pub(crate) rto: Duration,
    pub(crate) sent_at: Instant,
    pub(crate) started: Instant,
    pub(crate) retry_at: Instant,
    pub(crate) id: SocketId,
    pub(crate) iss: SeqNumber,
    pub(crate) ts_offset: u32,
    /// The hash of the addresses.
    pub(crate) hash: TableHash,
    pub(crate) wheel: WheelEntry,
    pub(crate) told: Told,
    /// The MSS that we offer.
    pub(crate) mss: u16,
    pub(crate) pending: Readiness,
    pub(crate) queued: bool,
    pub(crate) tries: u8,
    /// The first SYN asked for ECN (RFC 3168 section 6.1.1).
    pub(crate) ecn: bool,
    /// A later one did not.
    pub(crate) plain_syn: bool,
    /// The application has closed the socket in SYN-RECEIVED: the FIN goes once the connection is established.
    pub(crate) closing: bool,
    pub(crate) soft_error: Option<ConnectionError>,
    /// An ACK is to be sent, and why: one answers all that came since.
    pub(crate) ack_owed: AckOwed,
    /// Something is to be sent, and why.
    pub(crate) owed: Option<Cause>,
    pub(crate) path: Path,
    /// The peer's SYN, once it came: simultaneous open.
    pub(crate) peer: Option<PeerOffer>,
    /// Text that came with the peer's SYN, and waits for ESTABLISHED.
    pub(crate) text: Option<Box<[u8]>>,
    pub(crate) options: TcpOptions,
}

/// What a segment did to an opening connection.
#[must_use]
#[derive(Debug)]
pub(crate) enum Opening {
    /// Nothing, or something is owed now.
    Waits,
    /// A reset answers the segment; the opening goes on.
    Answer(Segment, ResetCause),
    /// An acknowledgment says where we are; the opening goes on.
    Acknowledge(Cause),
    /// The peer's SYN came without an ACK of ours.
    Simultaneous,
    /// Both SYNs are acknowledged.
    Established,
    /// Refused or reset.
    Failed(ConnectionError),
}

impl SynSent {
    pub(crate) fn state(&self) -> State {
        if self.peer.is_some() {
            State::SynReceived
        } else {
            State::SynSent
        }
    }

    /// The SYN, or the SYN,ACK of a simultaneous open.
    #[inline]
    pub(crate) fn segment(&self, config: &Config, now: Instant) -> Segment {
        let mut segment = self.syn(config, now);
        if let Some(peer) = &self.peer {
            answer_with(&mut segment, peer);
        }
        segment
    }

    /// The SYN.
    #[inline(always)]
    pub(super) fn syn(&self, config: &Config, now: Instant) -> Segment {
        Segment {
            seq: self.iss,
            flags: if self.ecn && !self.plain_syn {
                Flags::SYN | Flags::ECE | Flags::CWR
            } else {
                Flags::SYN
            },
            window: self.told.window,
            options: Options {
                mss: Some(self.mss),
                window_scale: config.window_scaling.then_some(self.told.scale),
                sack_permitted: config.sack,
                timestamps: config.timestamps.then(|| Timestamps {
                    value: (now.as_millis() as u32).wrapping_add(self.ts_offset),
                    echo: 0,
                }),
                ..Options::default()
            },
            ..Segment::default()
        }
    }

    /// What the peer offers, if this is what nearly every open is answered with: the acknowledgment of our SYN with the peer's.
    #[inline]
    pub(super) fn answer(&self, config: &Config, seg: &Segment) -> Option<PeerOffer> {
        let expected = Flags::SYN | Flags::ACK;
        let answers = seg.flags.intersection(expected | Flags::RST) == expected
            && seg.ack == self.iss + 1
            && self.peer.is_none();
        answers.then(|| self.offer(config, seg))
    }

    /// What the peer offers with its SYN.
    #[inline]
    fn offer(&self, config: &Config, seg: &Segment) -> PeerOffer {
        let mut peer = PeerOffer::from_syn(seg, self.tuple.is_ipv4(), config);
        if self.ecn && ecn::agrees(seg) {
            // "and has sent no non-ECN-setup SYN": then marks are echoed, but what we send is not ECN-capable.
            peer.agreed |= Fact::ECN | fact_if(!self.plain_syn, Fact::ECT);
        }
        peer
    }

    /// RFC 9293 section 3.10.7.3, in its order.
    #[cold]
    #[inline(never)]
    pub(crate) fn segment_arrives(&mut self, config: &Config, seg: &Segment) -> Opening {
        if self.peer.is_some() {
            return self.in_syn_received(seg);
        }
        // First, check the ACK bit.
        let acked = seg.has(Flags::ACK);
        if acked && seg.ack != self.iss + 1 {
            // SEG.ACK =< ISS or SEG.ACK > SND.NXT: unless RST, answer with a reset.
            return match super::burst::reset_for(seg) {
                Some(reset) => Opening::Answer(reset, ResetCause::BadAck),
                None => Opening::Waits,
            };
        }
        // Second, check the RST bit; the ACK was exact (U-2).
        if seg.has(Flags::RST) {
            return if acked {
                Opening::Failed(ConnectionError::Refused)
            } else {
                Opening::Waits
            };
        }
        // Third, security; fourth, check the SYN bit.
        if !seg.has(Flags::SYN) {
            return Opening::Waits;
        }
        self.peer = Some(self.offer(config, seg));
        if acked {
            return Opening::Established;
        }
        // Simultaneous open: SYN-RECEIVED, and our SYN goes again with an ACK.
        self.owed = Some(Cause::OpenReply);
        self.tries = 0;
        self.retry_at = Instant::NEVER;
        Opening::Simultaneous
    }

    /// SYN-RECEIVED of a simultaneous open (RFC 9293 section 3.10.7.4 for that state).
    fn in_syn_received(&mut self, seg: &Segment) -> Opening {
        let Some(peer) = self.peer else {
            return Opening::Waits;
        };
        let rcv_nxt = peer.irs + 1;
        // First, check the sequence number. The peer's SYN comes again with its ACK of ours: figure 8 of the RFC.
        let syn_again = seg.has(Flags::SYN) && seg.seq == peer.irs && !seg.has(Flags::RST);
        let window = u32::from(self.told.window.max(1));
        let in_window = syn_again || seg.seq.within(rcv_nxt, window);
        // Second, check the RST bit (U-4..U-6).
        if seg.has(Flags::RST) {
            return match (seg.seq == rcv_nxt, in_window) {
                (true, _) => Opening::Failed(ConnectionError::Refused),
                (false, true) => Opening::Acknowledge(Cause::Challenge(ChallengeCause::ResetInWindow)),
                (false, false) => Opening::Waits,
            };
        }
        // Fourth, check the SYN bit: of an active OPEN, as in the synchronised states (U-7).
        if seg.has(Flags::SYN) && !syn_again {
            return Opening::Acknowledge(Cause::Challenge(ChallengeCause::Syn));
        }
        if !in_window {
            return Opening::Acknowledge(Cause::Ack(AckCause::NotAcceptable));
        }
        // Fifth, check the ACK field.
        if !seg.has(Flags::ACK) {
            if syn_again {
                self.owed
                    .get_or_insert(Cause::Retransmit(RetransmitCause::PeerRepeatedSyn));
            }
            return Opening::Waits;
        }
        if seg.ack != self.iss + 1 {
            return match super::burst::reset_for(seg) {
                Some(reset) => Opening::Answer(reset, ResetCause::BadAck),
                None => Opening::Waits,
            };
        }
        Opening::Established
    }

    /// The acknowledgment that says where we are, in SYN-RECEIVED.
    pub(crate) fn acknowledgment(&self, config: &Config, now: Instant) -> Segment {
        let mut segment = self.segment(config, now);
        segment.seq += 1;
        segment.flags = Flags::ACK;
        segment.options = Options {
            timestamps: segment.options.timestamps,
            ..Options::default()
        };
        if let Some(peer) = &self.peer {
            segment.window = self.told.field(peer);
        }
        segment
    }

    /// MUST-22, MUST-23: SYNs are repeated with growing waits; the application's user timeout or the retries end it.
    pub(crate) fn timer(&mut self, now: Instant, config: &Config) -> Result<(), ConnectionError> {
        if now < self.retry_at {
            return Ok(());
        }
        // Of SYNs alone, not of the SYN,ACKs of a simultaneous open.
        let linear = match self.peer {
            None => config.syn_linear_timeouts,
            Some(_) => 0,
        };
        let over = match self.options.user_timeout {
            Some(limit) => now.since(self.started) >= limit,
            None => self.tries >= config.syn_retries.saturating_add(linear),
        };
        if over {
            return Err(self.soft_error.unwrap_or(ConnectionError::TimedOut));
        }
        self.tries = self.tries.saturating_add(1); // a user timeout of hours allows more than can be counted
        if self.tries == config.r1 {
            self.pending |= Readiness::SOFT_ERROR;
        }
        let cause = RetransmitCause::Timeout {
            count: self.tries,
            rto: self.rto,
        };
        self.owed = Some(Cause::Retransmit(cause));
        // RFC 3168 section 6.1.1.1: a path that swallows SYNs that ask for ECN lets one without pass.
        self.plain_syn |= self.peer.is_none();
        if self.tries > linear {
            self.rto = (self.rto * 2).min(config.rto_max);
        }
        Ok(())
    }

    /// The SYN is about to leave: notes when, and when to repeat it.
    pub(crate) fn sent(&mut self, now: Instant) {
        self.owed = None;
        self.sent_at = now;
        self.retry_at = now + self.rto;
        if let Some(limit) = self.options.user_timeout {
            self.retry_at = self.retry_at.min(self.started + limit).max(now);
        }
    }
}

/// Makes of our SYN the SYN,ACK of a simultaneous open: only what the peer offered, too.
#[cold]
#[inline(never)]
fn answer_with(segment: &mut Segment, peer: &PeerOffer) {
    segment.ack = peer.irs + 1;
    segment.flags = match peer.has(Fact::ECN) {
        true => Flags::SYN | Flags::ACK | Flags::ECE,
        false => Flags::SYN | Flags::ACK,
    };
    let options = &mut segment.options;
    options.window_scale = options.window_scale.filter(|_| peer.has(Fact::SCALING));
    options.sack_permitted &= peer.has(Fact::SACK);
    options.timestamps = options
        .timestamps
        .filter(|_| peer.has(Fact::TIMESTAMPS))
        .map(|ours| Timestamps {
            echo: peer.timestamp,
            ..ours
        });
}

/// The payload of the largest segment that the peer will send: timestamps, where agreed, take their part of the MSS.
pub(crate) fn answered_mss(mss: u16, peer: &PeerOffer) -> u16 {
    mss.saturating_sub(if peer.has(Fact::TIMESTAMPS) { 12 } else { 0 })
}

/// Most text of a SYN that is kept, in octets: a segment's worth. The rest is sent again by the peer.
const SYN_TEXT_MAX: usize = 1460;

/// Text on a SYN "may be queued until the connection is fully established" (RFC 9293 sections 3.10.7.2 and 3.10.7.3): a
/// segment's worth, within the window that the SYN,ACK will tell.
#[cold]
#[inline(never)]
pub(crate) fn keep_text(text: &Text<'_>, window: u16) -> Option<Box<[u8]>> {
    let most = SYN_TEXT_MAX.min(usize::from(window));
    if text.is_empty() || most == 0 {
        return None;
    }
    let mut kept = Vec::with_capacity(text.len().min(most));
    for piece in text.pieces() {
        let room = most - kept.len();
        kept.extend_from_slice(&piece[..piece.len().min(room)]);
    }
    Some(kept.into_boxed_slice())
}

/// The receive buffer at the start, and its limit, as options and settings have it.
pub(crate) fn receive_buffer(options: &TcpOptions, config: &Config) -> (u32, u32) {
    match options.receive_buffer {
        // Without any room the peer's data could never come.
        Some(fixed) => (fixed.max(1), fixed.max(1)),
        None => (config.receive_buffer, config.receive_buffer_max),
    }
}

/// What a finished handshake knows.
#[derive(Debug)]
pub(crate) struct Handshake<'a> {
    pub(crate) id: SocketId,
    pub(crate) tuple: &'a FourTuple,
    pub(crate) hash: TableHash,
    pub(crate) path: &'a Path,
    pub(crate) route_generation: u32,
    pub(crate) options: &'a TcpOptions,
    pub(crate) iss: SeqNumber,
    pub(crate) peer: &'a PeerOffer,
    pub(crate) told: Told,
    /// The segment that completed it.
    pub(crate) last: &'a Segment,
    pub(crate) ts_offset: u32,
    /// When the SYN left that is answered now; never, if it was repeated (Karn).
    pub(crate) timed_from: Instant,
    pub(crate) syn_lost: bool,
    /// Its place in the wheel, which becomes the connection's.
    pub(crate) waits: &'a mut WheelEntry,
}

impl Handshake<'_> {
    /// The estimate with which a connection begins whose handshake gave no sample (RFC 6298 sections 2 and 5.7).
    #[cold]
    #[inline(never)]
    fn begin_untimed(&self, rtt: &mut RttEstimator) {
        *rtt = RttEstimator::new();
        if self.syn_lost {
            rtt.on_established_after_syn_loss();
        }
    }
    /// TS.Recent: the last segment stands at the last acknowledgment sent, so it follows that (RFC 7323 section 4.3).
    fn ts_recent(&self) -> u32 {
        let first = self.peer.timestamp;
        match self.last.options.timestamps {
            Some(last) if self.peer.has(Fact::TIMESTAMPS) && (last.value.wrapping_sub(first) as i32) > 0 => {
                last.value
            }
            _ => first,
        }
    }
    /// The receive buffer at the start, and its limit, with windows of at least `least`.
    fn receive_buffer(&self, config: &Config, least: u32) -> (u32, u32) {
        let (buffer, buffer_max) = receive_buffer(self.options, config);
        let buffer = match config.profile {
            // The window stays as told until reading shows that more is of use.
            Profile::Linux if self.options.receive_buffer.is_none() => {
                buffer.min(u32::from(self.told.window))
            }
            Profile::Linux | Profile::Rfc => buffer,
        };
        (buffer.max(least), buffer_max.max(least))
    }
}

#[cold]
#[inline(never)]
fn other_congestion(tcb: &mut Tcb, algorithm: CongestionControl) {
    tcb.congestion = Congestion::new(algorithm, 0);
}

/// Makes the block of a connection whose handshake is complete, and which is about to be [queued](Fact::QUEUED).
///
/// What is the same for all is there ([`Tcb::BLANK`]); the rest is written where it will stay, one after the other, since so
/// many values do not fit into registers.
pub(crate) fn establish(
    h: &mut Handshake<'_>,
    config: &Config,
    now: Instant,
    spares: &mut Spares,
    wheel: &mut Wheel,
) -> Box<Tcb> {
    let mut tcb = spares.block();
    let millis = now.as_millis() as u32;
    tcb.id = h.id;
    tcb.tuple = *h.tuple;
    tcb.hash = h.hash;
    tcb.path = *h.path;
    tcb.route_generation = h.route_generation;

    let snd_nxt = h.iss + 1;
    tcb.snd_una = snd_nxt;
    tcb.snd_nxt = snd_nxt;
    tcb.timing = (h.iss, 0);
    tcb.small_end = h.iss;
    // Both ends scale or none does (RFC 7323 section 2.2).
    let snd_wscale = h.peer.scale;
    // The window on a SYN is not scaled, whoever's it is.
    let unscaled = u32::from(h.last.window);
    let snd_wnd = unscaled << if h.last.has(Flags::SYN) { 0 } else { snd_wscale };
    tcb.snd_wscale = snd_wscale;
    tcb.snd_wnd = snd_wnd;
    tcb.max_snd_wnd = snd_wnd;
    tcb.snd_wl1 = h.last.seq;
    tcb.snd_wl2 = h.last.ack;
    tcb.snd_buf_max = h.options.send_buffer.unwrap_or(config.send_buffer);

    let rcv_nxt = h.peer.irs + 1;
    tcb.rcv_nxt = rcv_nxt;
    tcb.last_ack_sent = rcv_nxt;
    tcb.fin_ahead = rcv_nxt;
    tcb.rcv_adv = rcv_nxt + u32::from(h.told.window);
    let rcv_wscale = if h.peer.has(Fact::SCALING) {
        h.told.scale
    } else {
        0
    };
    tcb.rcv_wscale = rcv_wscale;
    // Less than one unit of the agreed scale could never be told as a window.
    let least = 1 << rcv_wscale;
    (tcb.rcv_buf, tcb.rcv_buf_max) = h.receive_buffer(config, least);
    tcb.rcv_mss = default_mss(h.tuple.is_ipv4());
    tcb.quick_acks = egress::initial_quick_acks(config);

    tcb.ts_recent = h.ts_recent();
    tcb.ts_recent_at = millis;
    tcb.ts_offset = h.ts_offset;
    tcb.answered_at = millis.wrapping_sub(1000);
    tcb.last_text = millis.wrapping_sub(1000);
    tcb.last_heard = now;
    tcb.last_sent = now;

    tcb.facts = Fact::QUEUED | h.peer.agreed | own_buffers(h.options, least);
    tcb.switches = Switches::from_options(h.options);
    if Extra::is_needed(h.options, least) {
        tcb.keep_extra(h.options);
    }
    if h.timed_from.is_never() {
        h.begin_untimed(&mut tcb.rtt);
    } else {
        tcb.rtt = RttEstimator::from_first(now, now.since(h.timed_from));
    }
    let algorithm = h.options.congestion_control.unwrap_or(config.congestion_control);
    if algorithm != CongestionControl::Cubic {
        other_congestion(&mut tcb, algorithm);
    }
    tcb.peer_mss = h.peer.mss;
    let mss = tcb.effective_mss();
    tcb.snd_mss = mss;
    // RFC 6928; RFC 5681 section 3.1: one segment if the SYN or its answer was lost.
    let segments = if h.syn_lost { 1 } else { config.initial_window };
    tcb.congestion
        .set_cwnd(config.first_window(u32::from(mss), segments));
    // What the connection has to wait for will hardly come sooner than what its SYN waited for. The deadline is the wheel's own
    // word, since it may just have gone off.
    tcb.wheel = core::mem::take(h.waits);
    let owner = Entry::new(Kind::Connection, h.id.slot);
    tcb.wakes_at = wheel.hand_over(&tcb.wheel, owner.raw());
    tcb
}
