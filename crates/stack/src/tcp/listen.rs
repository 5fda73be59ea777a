//! Passive opens: the SYN queue of half-open connections, the accept queue of finished ones, and cookies when the first
//! is full (RFC 9293 section 3.10.7.2, RFC 4987).
//!
//! ```text
//!    SYN ──▶ half-open (compact, bounded by syn_queue) ──ACK──▶ accept queue (backlog + 1, as Linux counts) ──▶ accept()
//!     └─ SYN queue full ──▶ SYN,ACK with a cookie, nothing kept ──ACK with cookie──┘
//! ```

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use super::choices::TcpOptions;
use super::conn::{AckOwed, Fact};
use super::open::{PeerOffer, Told};
use super::{Flags, Options, Segment, SeqNumber, Timestamps};
use crate::config::Config;
use crate::demux::{FourTuple, TableHash};
use crate::stack::{Readiness, SocketId};
use crate::time::{Duration, Instant};
use crate::trace::{Cause, ResetCause, RetransmitCause};
use crate::wheel::WheelEntry;
use core::net::SocketAddr;

/// A socket that listens.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) local: SocketAddr,
    pub(crate) options: TcpOptions,
    /// As the application gave it, capped by the settings.
    pub(crate) backlog: u32,
    /// Half-open connections of this listener.
    pub(crate) half_open: u32,
    /// Finished handshakes that nobody has accepted, oldest first.
    pub(crate) accept: VecDeque<SocketId>,
    /// When a cookie was last sent: an ACK is only taken for a cookie's within its lifetime.
    pub(crate) cookies_until: Instant,
    pub(crate) pending: Readiness,
}

impl Listener {
    /// Linux admits one more than the backlog, since it asks whether the queue is *over* its limit.
    pub(crate) fn accept_queue_full(&self) -> bool {
        self.accept.len() as u32 > self.backlog
    }
}

/// A half-open connection: SYN-RECEIVED of a passive open (MUST-11), kept in as few octets as its handshake needs.
#[derive(Debug)]
pub(crate) struct HalfOpen {
    pub(crate) tuple: FourTuple,
    /// The hash of the addresses.
    pub(crate) hash: TableHash,
    pub(crate) listener: SocketId,
    pub(crate) iss: SeqNumber,
    pub(crate) ts_offset: u32,
    pub(crate) peer: PeerOffer,
    pub(crate) told: Told,
    pub(crate) tries: u8,
    pub(crate) queued: bool,
    /// A SYN,ACK is to be sent, and why.
    pub(crate) owed: Option<Cause>,
    /// An ACK is to be sent, and why: one answers all that came since (MUST-58).
    pub(crate) ack_owed: AckOwed,
    /// Text that came with the SYN, and waits for ESTABLISHED.
    pub(crate) text: Option<Box<[u8]>>,
    /// When the first SYN,ACK left; never, if that was a cookie, of which nothing is known.
    pub(crate) sent_at: Instant,
    pub(crate) retry_at: Instant,
    pub(crate) wheel: WheelEntry,
}

/// What a segment did to a half-open connection.
#[must_use]
#[derive(Debug)]
pub(crate) enum Step {
    /// Nothing, or a SYN,ACK is owed again.
    Waits,
    /// An acknowledgment says where we are (not acceptable, or a challenge).
    Acknowledge(Cause),
    /// A reset answers the segment.
    Answer(Segment, ResetCause),
    /// The peer took its SYN back.
    Gone,
}

impl HalfOpen {
    pub(crate) fn rcv_nxt(&self) -> SeqNumber {
        self.peer.irs + 1
    }

    /// Whether this is what [`HalfOpen::segment_arrives`] waits for: the acceptable acknowledgment of our SYN, which completes
    /// the handshake.
    #[inline]
    pub(super) fn is_completed_by(&self, seg: &Segment) -> bool {
        let control = Flags::SYN | Flags::ACK | Flags::RST;
        seg.flags.intersection(control) == Flags::ACK
            && seg.ack == self.iss + 1
            && seg.seq.within(self.rcv_nxt(), u32::from(self.told.window.max(1)))
    }

    /// RFC 9293 section 3.10.7.4 as far as SYN-RECEIVED goes, passive open, for what does not complete the handshake.
    pub(crate) fn segment_arrives(&mut self, seg: &Segment) -> Step {
        let rcv_nxt = self.rcv_nxt();
        // A repeated SYN asks for our answer again; one that is still owed is not a retransmission yet.
        if seg.has(Flags::SYN) && seg.seq == self.peer.irs && !seg.flags.intersects(Flags::ACK | Flags::RST) {
            self.owed
                .get_or_insert(Cause::Retransmit(RetransmitCause::PeerRepeatedSyn));
            return Step::Waits;
        }
        let acceptable = seg.seq.within(rcv_nxt, u32::from(self.told.window.max(1)));
        if seg.has(Flags::RST) {
            return match (acceptable, seg.seq == rcv_nxt) {
                (_, true) => Step::Gone,
                (true, false) => {
                    Step::Acknowledge(Cause::Challenge(crate::trace::ChallengeCause::ResetInWindow))
                }
                (false, false) => Step::Waits,
            };
        }
        if !acceptable {
            return Step::Acknowledge(Cause::Ack(crate::trace::AckCause::NotAcceptable));
        }
        if seg.has(Flags::SYN) {
            // "If the connection was initiated with a passive OPEN, then return this connection to the LISTEN state."
            return Step::Gone;
        }
        if !seg.has(Flags::ACK) {
            return Step::Waits;
        }
        debug_assert!(!self.is_completed_by(seg));
        match super::burst::reset_for(seg) {
            Some(reset) => Step::Answer(reset, ResetCause::BadAck),
            None => Step::Waits,
        }
    }

    /// Repeats the SYN,ACK, or gives up.
    pub(crate) fn timer(&mut self, now: Instant, config: &Config) -> Result<(), ()> {
        if now < self.retry_at {
            return Ok(());
        }
        if self.tries >= config.syn_ack_retries {
            return Err(());
        }
        let rto = wait(config, self.tries);
        self.tries += 1;
        self.owed = Some(Cause::Retransmit(RetransmitCause::Timeout {
            count: self.tries,
            rto,
        }));
        Ok(())
    }

    /// The ACK that says where we are.
    pub(crate) fn acknowledgment(&self) -> Segment {
        Segment {
            seq: self.iss + 1,
            ack: self.rcv_nxt(),
            flags: Flags::ACK,
            window: self.told.field(&self.peer),
            ..Segment::default()
        }
    }

    /// The SYN,ACK is about to leave.
    pub(crate) fn sent(&mut self, now: Instant, config: &Config) {
        self.owed = None;
        if self.tries == 0 {
            self.sent_at = now;
        }
        self.retry_at = now + wait(config, self.tries);
    }

    /// When the SYN,ACK left that is answered now; never, if it was repeated (Karn's rule) or was a cookie.
    #[inline]
    pub(crate) fn timed_from(&self) -> Instant {
        if self.tries == 0 {
            self.sent_at
        } else {
            Instant::NEVER
        }
    }
}

fn wait(config: &Config, tries: u8) -> Duration {
    (config.rto_initial * (1 << u32::from(tries.min(16)))).min(config.rto_max)
}

/// What a SYN,ACK says of us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) iss: SeqNumber,
    pub(crate) mss: u16,
    pub(crate) ts_value: u32,
    pub(crate) told: Told,
}

/// The SYN,ACK that answers a SYN, from a half-open entry or with a cookie.
pub(crate) fn syn_ack(answer: Answer, peer: &PeerOffer) -> Segment {
    Segment {
        seq: answer.iss,
        ack: peer.irs + 1,
        // An ECN-setup SYN,ACK has ECE alone (RFC 3168 section 6.1.1).
        flags: if peer.has(Fact::ECN) {
            Flags::SYN | Flags::ACK | Flags::ECE
        } else {
            Flags::SYN | Flags::ACK
        },
        window: answer.told.window,
        options: Options {
            mss: Some(answer.mss),
            window_scale: peer.has(Fact::SCALING).then_some(answer.told.scale),
            sack_permitted: peer.has(Fact::SACK),
            timestamps: peer.has(Fact::TIMESTAMPS).then_some(Timestamps {
                value: answer.ts_value,
                echo: peer.timestamp,
            }),
            ..Options::default()
        },
        ..Segment::default()
    }
}
