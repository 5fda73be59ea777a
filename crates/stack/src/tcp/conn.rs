//! The transmission control block of a synchronised connection, and what follows from it.
//!
//! ```text
//!        1         2          3          4
//!   ----------|----------|----------|----------      send sequence space (RFC 9293 section 3.3.1)
//!          SND.UNA    SND.NXT    SND.UNA
//!                               +SND.WND
//!   1 acknowledged   2 in flight   3 may be sent now   4 not yet
//!
//!        1          2          3
//!   ----------|----------|----------                 receive sequence space
//!          RCV.NXT    RCV.NXT
//!                    +RCV.WND
//!   1 acknowledged   2 what we take   3 not yet
//! ```
//!
//! SYN-RECEIVED of a passive open and TIME-WAIT have compact entries of their own ([`super::listen`],
//! [`super::timewait`]); SYN-SENT is in [`super::open`]. The six states between share this block, and their names
//! follow from what became of the two FINs: see [`Tcb::state`].

use alloc::boxed::Box;

use super::choices::{Extra, Switches};
use super::congestion::Congestion;
use super::recv::queue::ReceiveQueue;
use super::recv::reassembly::Reassembly;
use super::recv::tune::Tune;
use super::rtt::RttEstimator;
use super::send::buffer::SendBuffer;
use super::send::scoreboard::Scoreboard;
use super::urgent::Urgent;
use super::{SeqNumber, State};
use crate::config::Config;
use crate::demux::{FourTuple, TableHash};
use crate::error::ConnectionError;
use crate::iface::Path;
use crate::stack::{Readiness, SocketId};
use crate::time::{Duration, Instant};
use crate::trace::{AckCause, Cause, ChallengeCause, Held, ResetCause};
use crate::wheel::WheelEntry;

/// What became of our FIN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FinOut {
    /// The application has not closed its side.
    No,
    /// It has; the FIN goes out after the data queued before it.
    Queued,
    /// Sent, with SND.NXT after it.
    Sent,
    /// Acknowledged.
    Acked,
}

/// What became of the peer's FIN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FinIn {
    /// Not come yet.
    No,
    /// Come, in sequence.
    Received {
        /// Whether our side was still open then: it decides between LAST-ACK and CLOSING.
        before_ours: bool,
    },
}

/// How loss is being repaired.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Recovery {
    /// Nothing is known to be lost.
    Open,
    /// Fast recovery (RFC 6582, RFC 6675) until `recover` is acknowledged.
    Fast {
        /// RecoveryPoint: SND.NXT when recovery began.
        recover: SeqNumber,
        /// HighRxt: the octet after the last that recovery has sent again.
        high_rxt: SeqNumber,
        /// Whether the rescue retransmission has been used.
        rescued: bool,
    },
    /// After a timeout, until `recover` is acknowledged: everything not SACKed goes again in slow start.
    Loss {
        /// SND.NXT when the timer went off.
        recover: SeqNumber,
        /// The next octet to send again.
        next: SeqNumber,
    },
}

/// An acknowledgment that is owed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AckOwed {
    /// None.
    No,
    /// When the delayed-ACK timer goes off, or sooner on anything that we send.
    Delayed,
    /// Now.
    Now(AckCause),
    /// The ACK that completes our side of the handshake; queued data may go along with it (U-3).
    Open,
    /// Now, as a challenge (RFC 5961).
    Challenge(ChallengeCause),
}

impl AckOwed {
    /// The ACK that is sent for this.
    pub(crate) fn of(cause: Cause) -> Self {
        match cause {
            Cause::Challenge(why) => AckOwed::Challenge(why),
            Cause::Ack(why) => AckOwed::Now(why),
            _ => AckOwed::Now(AckCause::NotAcceptable),
        }
    }
    /// Why it is to be sent now, if it is.
    pub(crate) fn cause(self) -> Option<Cause> {
        match self {
            AckOwed::No | AckOwed::Delayed => None,
            AckOwed::Now(why) => Some(Cause::Ack(why)),
            AckOwed::Open => Some(Cause::OpenComplete),
            AckOwed::Challenge(why) => Some(Cause::Challenge(why)),
        }
    }
}

/// A retransmission or probe that is owed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ProbeOwed {
    /// None.
    No,
    /// The retransmission timer went off.
    Timeout,
    /// Fast retransmit.
    Fast,
    /// A partial ACK without SACK points at the next hole.
    Partial,
    /// The persist timer went off: what fits the window, or one octet into a closed one.
    Window,
    /// Keepalive.
    Keepalive,
}

/// How a connection stands, beside its state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Segments of it are looked up here.
    Live,
    /// A compact TIME-WAIT entry has taken over; the block stays for what the application has not read.
    TimeWait,
    /// Over. The block stays until the application closes the socket.
    Ended,
}

bitflags::bitflags! {
    /// Facts that are one bit each.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub(crate) struct Fact: u32 {
        /// Timestamps were agreed (RFC 7323).
        const TIMESTAMPS = 0x0001;
        /// SACK was agreed (RFC 2018).
        const SACK = 0x0002;
        /// Window scaling was agreed.
        const SCALING = 0x0004;
        /// In the transmit queue.
        const QUEUED = 0x0008;
        /// The application has closed the socket; the connection finishes by itself.
        const ORPHAN = 0x0020;
        /// The application reads no more.
        const NO_READ = 0x0040;
        /// The application waits for room in the send buffer.
        const WANTS_ROOM = 0x0080;
        /// Reading has opened the window by enough to tell the peer.
        const UPDATE_OWED = 0x0010;
        /// R1 has been reported for the data in flight.
        const R1_TOLD = 0x0100;
        /// Waits in a listener's accept queue.
        const UNACCEPTED = 0x0200;
        /// The peer's window has been closed to zero and probes are under way.
        const PROBING = 0x0400;
        /// cwnd was not what limited the last burst, so it must not grow.
        const APP_LIMITED = 0x0800;
        /// A segment is being timed ([`Tcb::timed`]).
        const TIMED = 0x1000;
        /// The peer's FIN waits behind a gap ([`Tcb::fin_ahead`]).
        const FIN_AHEAD = 0x4000;
        /// The path MTU shrank; what did not fit goes again in smaller pieces.
        const PATH_SHRUNK = 0x2000;
        /// ECN was agreed (RFC 3168): the peer's marked segments are echoed.
        const ECN = 0x8000;
        /// And our data is ECN-capable.
        const ECT = 0x8_0000;
        /// A CE mark came: ACKs carry ECE until the peer says CWR.
        const ECE_OWED = 0x1_0000;
        /// The congestion window was reduced: the next new data carries CWR.
        const CWR_OWED = 0x2_0000;
        /// Nothing comes back: IP is to ask whether the next hop is there (MUST-20).
        const DOUBTED = 0x10_0000;
        /// Requests and answers take turns, so an ACK may wait for the answer (Linux's "pingpong mode").
        const INTERACTIVE = 0x20_0000;
        /// The application chose the size of the send buffer: [`Tcb::snd_buf_max`].
        const OWN_SEND_BUFFER = 0x4_0000;
        /// The application chose the size of the receive buffer: [`Tcb::rcv_buf_max`].
        const OWN_RECEIVE_BUFFER = 0x40_0000;
    }
}

/// One synchronised connection.
///
/// The fields lie in the order in which they stand here. What nearly every segment asks for comes first, in two cache lines, where
/// an instruction names a field with one octet instead of four; in each group larger ones come before smaller ones, so that
/// nothing is lost between them.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Tcb {
    // What nearly every segment asks for, ours and the peer's.
    pub(crate) send: Option<Box<SendBuffer>>,
    /// Retransmission or persist timer.
    pub(crate) rexmt_at: Instant,
    /// Since when the oldest data in flight has waited without progress; never, if none does.
    pub(crate) stalled_since: Instant,
    /// When the wheel will wake this connection; its own deadlines may have moved later since.
    pub(crate) wakes_at: Instant,
    pub(crate) ack_at: Instant,
    pub(crate) facts: Fact,
    /// SND.UNA: oldest unacknowledged sequence number (RFC 9293 section 3.3.1).
    pub(crate) snd_una: SeqNumber,
    /// SND.NXT: next sequence number to send for the first time.
    pub(crate) snd_nxt: SeqNumber,
    /// SND.WND: send window, scaled.
    pub(crate) snd_wnd: u32,
    /// SND.WL1: segment sequence number of the last window update.
    pub(crate) snd_wl1: SeqNumber,
    /// SND.WL2: segment acknowledgment number of the last window update.
    pub(crate) snd_wl2: SeqNumber,
    /// RCV.NXT: next sequence number expected.
    pub(crate) rcv_nxt: SeqNumber,
    /// RCV.NXT + RCV.WND as last told to the peer: the right edge, which never moves left (SHLD-14).
    pub(crate) rcv_adv: SeqNumber,
    /// RCV.NXT as last told to the peer (Last.ACK.sent of RFC 7323).
    pub(crate) last_ack_sent: SeqNumber,
    /// TS.Recent: the peer's timestamp to echo (RFC 7323 section 4.3).
    pub(crate) ts_recent: u32,
    /// When it was taken, in milliseconds of our clock: it ages after 24 days.
    pub(crate) ts_recent_at: u32,
    /// What we add to our clock for timestamps (RFC 7323 section 5.4).
    pub(crate) ts_offset: u32,
    pub(crate) route_generation: u32,
    /// Eff.snd.MSS: largest payload a segment may carry, options taken off (MUST-16).
    pub(crate) snd_mss: u16,
    /// Largest segment seen from the peer, for "every second full-sized segment".
    pub(crate) rcv_mss: u16,
    pub(crate) pending: Readiness,
    pub(crate) ack_owed: AckOwed,
    pub(crate) phase: Phase,
    pub(crate) fin_out: FinOut,
    pub(crate) fin_in: FinIn,
    pub(crate) probe_owed: ProbeOwed,
    pub(crate) reset_owed: Option<ResetCause>,
    pub(crate) held: Option<Held>,
    pub(crate) dup_acks: u8,
    /// Duplicate ACKs that are owed: one for each segment that came out of order (RFC 5681 section 4.2).
    pub(crate) dup_acks_owed: u8,
    pub(crate) snd_wscale: u8,
    pub(crate) rcv_wscale: u8,
    pub(crate) probes: u8,
    pub(crate) quick_acks: u8,
    pub(crate) scoreboard: Option<Box<Scoreboard>>,
    pub(crate) reassembly: Option<Box<Reassembly>>,

    // Boxes that most connections do not have, or not for long.
    /// A block to report as received twice (RFC 2883).
    pub(crate) dsack: Option<Box<super::SackBlock>>,
    pub(crate) urgent: Option<Box<Urgent>>,
    /// Options beyond their defaults.
    pub(crate) extra: Option<Box<Extra>>,
    pub(crate) receive: Option<Box<ReceiveQueue>>,

    // Between whom it is, and on which way.
    pub(crate) tuple: FourTuple,
    pub(crate) id: SocketId,
    pub(crate) path: Path,
    /// The hash of the addresses.
    pub(crate) hash: TableHash,

    // The rest of sending.
    pub(crate) rtt: RttEstimator,
    pub(crate) recovery: Recovery,
    pub(crate) congestion: Congestion,
    /// When data was last sent: a window unused for long starts again small (RFC 5681 section 4.1).
    pub(crate) last_sent: Instant,
    /// The octet after the segment being timed, and when it was sent; `None` while nothing is timed (Karn's rule).
    pub(crate) timing: (SeqNumber, u32),
    /// MAX.SND.WND: the largest window that the peer ever offered (RFC 9293 section 3.8.6.2.1, RFC 5961 section 5).
    pub(crate) max_snd_wnd: u32,
    /// The octet after the last segment that was not full (Minshall's snd_sml).
    pub(crate) small_end: SeqNumber,
    /// Our timestamp on the first retransmission of this recovery, for telling a late ACK from a lost segment (RFC 3522);
    /// 0 if there is none.
    pub(crate) first_again: u32,
    /// Limit of the send buffer in octets.
    pub(crate) snd_buf_max: u32,

    // The rest of receiving.
    /// Receive buffer in octets, and whether it may still grow.
    pub(crate) rcv_buf: u32,
    pub(crate) rcv_buf_max: u32,
    /// The peer's FIN that waits behind a gap: its sequence number.
    pub(crate) fin_ahead: SeqNumber,
    pub(crate) tune: Tune,
    /// When text last came, in milliseconds: an answer soon after makes the connection interactive.
    pub(crate) last_text: u32,
    /// When a segment of this connection last came: keepalive counts from here.
    pub(crate) last_heard: Instant,

    // The rest of all.
    pub(crate) stats: Stats,
    pub(crate) segments_out: u32,
    pub(crate) segments_in: u32,
    pub(crate) retransmits: u32,
    /// When a bad segment without text was last answered, in milliseconds.
    pub(crate) answered_at: u32,
    pub(crate) wheel: WheelEntry,
    /// What the peer's MSS option allows, options not taken off.
    pub(crate) peer_mss: u16,
    pub(crate) switches: Switches,
    /// Why the connection ended, until the application takes it.
    pub(crate) error: Option<ConnectionError>,
    /// A soft error (ICMP, R1), until the application takes it (MUST-47).
    pub(crate) soft_error: Option<ConnectionError>,
}

/// Counts for TCP_INFO.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stats {
    pub(crate) bytes_acked: u64,
    pub(crate) bytes_received: u64,
}

impl Tcb {
    /// The RFC's name for where the connection stands (RFC 9293 section 3.3.2).
    pub(crate) fn state(&self) -> State {
        match self.phase {
            Phase::Ended => return State::Closed,
            Phase::TimeWait => return State::TimeWait,
            Phase::Live => {}
        }
        match (self.fin_out, self.fin_in) {
            (FinOut::No, FinIn::No) => State::Established,
            (FinOut::No, FinIn::Received { .. }) => State::CloseWait,
            (FinOut::Queued | FinOut::Sent, FinIn::No) => State::FinWait1,
            (FinOut::Acked, FinIn::No) => State::FinWait2,
            (FinOut::Queued | FinOut::Sent, FinIn::Received { before_ours: true }) => State::LastAck,
            (FinOut::Queued | FinOut::Sent, FinIn::Received { before_ours: false }) => State::Closing,
            (FinOut::Acked, FinIn::Received { before_ours: true }) => State::Closed,
            (FinOut::Acked, FinIn::Received { before_ours: false }) => State::TimeWait,
        }
    }

    /// The octet after the segment being timed, and when it was sent.
    #[inline]
    pub(crate) fn timed(&self) -> Option<(SeqNumber, u32)> {
        self.facts.contains(Fact::TIMED).then_some(self.timing)
    }
    /// The sequence number of the peer's FIN, while it waits behind a gap.
    #[inline]
    pub(crate) fn fin_ahead(&self) -> Option<SeqNumber> {
        self.facts.contains(Fact::FIN_AHEAD).then_some(self.fin_ahead)
    }

    /// Octets in the send buffer: in flight and waiting.
    #[inline]
    pub(crate) fn send_len(&self) -> u32 {
        self.send.as_ref().map_or(0, |b| b.len())
    }
    /// The octet after the last that the application has sent, without FIN.
    #[inline]
    pub(crate) fn data_end(&self) -> SeqNumber {
        self.snd_una + self.send_len()
    }
    /// Octets never sent yet.
    #[inline]
    pub(crate) fn unsent(&self) -> u32 {
        let end = self.data_end();
        if end.after(self.snd_nxt) {
            end.since(self.snd_nxt)
        } else {
            0
        }
    }
    /// SND.NXT - SND.UNA: sequence space in flight, FIN included.
    #[inline]
    pub(crate) fn outstanding(&self) -> u32 {
        self.snd_nxt.since(self.snd_una)
    }
    /// Octets that we believe to be in the network ("pipe" of RFC 6675, FlightSize of RFC 5681).
    #[inline]
    pub(crate) fn flight(&self) -> u32 {
        if self.recovery == Recovery::Open && self.scoreboard.is_none() {
            return self.outstanding();
        }
        self.flight_in_recovery()
    }
    fn flight_in_recovery(&self) -> u32 {
        let unsacked_before = |end: SeqNumber| match &self.scoreboard {
            Some(board) => board.not_sacked_before(self.snd_una, end),
            None if end.after(self.snd_una) => end.since(self.snd_una),
            None => 0,
        };
        match self.recovery {
            Recovery::Open => unsacked_before(self.snd_nxt),
            Recovery::Fast { high_rxt, .. } => match &self.scoreboard {
                Some(board) => board.pipe(self.snd_una, self.snd_nxt, high_rxt, u32::from(self.snd_mss)),
                None => self.outstanding(),
            },
            Recovery::Loss { next, recover } if next.before(recover) => unsacked_before(next),
            Recovery::Loss { .. } => unsacked_before(self.snd_nxt),
        }
    }
    /// RCV.WND: what we still take, as last told to the peer.
    #[inline]
    pub(crate) fn rcv_wnd(&self) -> u32 {
        if self.rcv_adv.after(self.rcv_nxt) {
            self.rcv_adv.since(self.rcv_nxt)
        } else {
            0
        }
    }
    /// Octets that the application can read.
    #[inline]
    pub(crate) fn readable(&self) -> usize {
        self.receive.as_ref().map_or(0, |q| q.len() as usize)
    }
    /// The sequence number of the next octet that the application reads.
    pub(crate) fn read_nxt(&self) -> SeqNumber {
        let fin = u32::from(self.fin_in != FinIn::No);
        self.rcv_nxt - fin - self.readable() as u32
    }
    /// Octets that the send buffer still takes.
    pub(crate) fn room(&self) -> usize {
        self.snd_buf_max.saturating_sub(self.send_len()) as usize
    }
    /// Whether our application may still send.
    pub(crate) fn can_send(&self) -> bool {
        self.phase == Phase::Live && self.fin_out == FinOut::No
    }
    /// Our clock for timestamps: one tick a millisecond (RFC 7323 section 4.1).
    #[inline]
    pub(crate) fn ts_now(&self, now: Instant) -> u32 {
        (now.as_millis() as u32).wrapping_add(self.ts_offset)
    }
    /// Octets of TCP options on a data segment without SACK blocks.
    pub(crate) fn option_len(&self) -> u16 {
        if self.facts.contains(Fact::TIMESTAMPS) {
            12
        } else {
            0
        }
    }
    /// Eff.snd.MSS from the path's MTU and the peer's option (MUST-16, RFC 9293 section 3.7.1).
    pub(crate) fn effective_mss(&self) -> u16 {
        let ip = if self.tuple.is_ipv4() { 20 } else { 40 };
        let path = self.path.mtu.saturating_sub(ip + 20);
        let limit = self
            .extra
            .as_ref()
            .and_then(|e| e.options.max_segment)
            .unwrap_or(u16::MAX);
        let mss = self
            .peer_mss
            .min(path)
            .min(limit)
            .saturating_sub(self.option_len());
        mss.max(MIN_MSS)
    }
    /// Sets [`Tcb::effective_mss`].
    pub(crate) fn set_mss(&mut self) {
        self.snd_mss = self.effective_mss();
        // A window of less than a segment would never let one go.
        let least = u32::from(self.snd_mss);
        if self.congestion.cwnd() < least {
            self.congestion.set_cwnd(least);
        }
    }

    /// RTO, backed off as it is now (RFC 6298).
    #[inline]
    pub(crate) fn rto(&self, config: &Config) -> Duration {
        self.rtt.rto(&config.into()).duration()
    }
    /// SRTT, zero before the first sample.
    #[inline]
    pub(crate) fn srtt(&self) -> Duration {
        self.rtt.srtt().unwrap_or_default()
    }

    /// Lets everything go that the block holds beside itself.
    /// Each field that owns memory stands here: [`Tcb::wipe`] relies on it and drops nothing.
    #[inline]
    pub(crate) fn release(&mut self) {
        // At the end of most connections none does: one look tells it.
        let any = self.send.is_some()
            | self.scoreboard.is_some()
            | self.receive.is_some()
            | self.reassembly.is_some()
            | self.dsack.is_some()
            | self.extra.is_some()
            | self.urgent.is_some()
            | self.congestion.holds_memory();
        if any {
            self.release_all();
        }
    }
    #[cold]
    #[inline(never)]
    fn release_all(&mut self) {
        self.send = None;
        self.scoreboard = None;
        self.receive = None;
        self.reassembly = None;
        self.dsack = None;
        self.extra = None;
        self.urgent = None;
        self.congestion = Congestion::BLANK;
    }

    /// What must hold after every step; checked in debug builds.
    pub(crate) fn check(&self) {
        if self.phase != Phase::Live {
            return;
        }
        debug_assert!(self.snd_una.at_or_before(self.snd_nxt), "SND.UNA <= SND.NXT");
        debug_assert!(
            self.last_ack_sent.at_or_before(self.rcv_nxt),
            "never acknowledged what did not come"
        );
        let sent_fin = matches!(self.fin_out, FinOut::Sent);
        debug_assert!(
            self.snd_nxt.at_or_before(self.data_end() + u32::from(sent_fin)),
            "SND.NXT lies within the data, or one after it for the FIN"
        );
        debug_assert!(
            !self.send.as_ref().is_some_and(|b| b.is_empty()),
            "an empty send buffer is dropped"
        );
        debug_assert!(
            self.congestion.cwnd() >= u32::from(self.snd_mss.min(MIN_MSS)),
            "cwnd is at least a segment"
        );
    }
}

/// Least payload of a segment: an IPv4 host takes 576 octets, a link at least 68; options must leave room for data.
/// A peer that offers less is not followed below this (RFC 9293 section 3.7.1; tiny segments are an attack).
pub(crate) const MIN_MSS: u16 = 36;

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::offset_of;

    #[test]
    fn a_block_has_no_gaps_and_begins_with_what_is_used_most() {
        assert_eq!(offset_of!(Tcb, dsack), 128);
        assert_eq!(size_of::<Tcb>(), 416);
    }
}
