//! What a connection sends next: first decided, without changing anything, then built.
//!
//! [`decide`] is pure: it looks at the block and says what to send and why, or why nothing ([`Held`]). The book-keeping of what
//! was decided is in [`super::sent`], writing headers is the transmitter's part ([`super::burst`]).

use super::conn::{AckOwed, Fact, FinOut, Phase, ProbeOwed, Recovery, Tcb};
use super::recv::window;
use super::send::scoreboard::Rule;
use super::{Flags, Options, SackBlocks, Segment, SeqNumber, Timestamps, urgent};
use crate::config::{Config, Profile};
use crate::time::Instant;
use crate::trace::{AckCause, Cause, Held, ResetCause, RetransmitCause};

/// A segment, or a run of them, to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Plan {
    pub(crate) seq: SeqNumber,
    /// Octets of data, possibly many segments' worth.
    pub(crate) len: u32,
    pub(crate) fin: bool,
    pub(crate) kind: Kind,
    pub(crate) cause: Cause,
}

/// What the book-keeping has to know of a plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Octets never sent before.
    New,
    /// Octets sent before.
    Again,
    /// An acknowledgment alone.
    Bare,
    /// A keepalive probe: an old sequence number without data (SHLD-12).
    Probe,
}

/// What to do now.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Decision {
    /// Send a reset and end.
    Reset(ResetCause),
    /// Send this.
    Send(Plan),
    /// Nothing; what is queued is held for this reason, if anything is queued.
    Wait(Option<Held>),
}

/// Decides what goes next. `room` is the most payload that one frame to send may carry.
pub(crate) fn decide(tcb: &Tcb, config: &Config, room: u32) -> Decision {
    if let Some(cause) = tcb.reset_owed {
        return Decision::Reset(cause);
    }
    if let Some(plan) = owed_probe(tcb, config, room) {
        return Decision::Send(plan);
    }
    if let Some(plan) = repair(tcb, room) {
        return Decision::Send(plan);
    }
    let held = match new_data(tcb, config, super::ecn::run_limit(tcb, room)) {
        Ok(Some(plan)) => return Decision::Send(plan),
        Ok(None) => None,
        Err(held) => Some(held),
    };
    match tcb.ack_owed {
        AckOwed::Now(cause) => Decision::Send(bare(tcb, Cause::Ack(cause))),
        AckOwed::Challenge(cause) => Decision::Send(bare(tcb, Cause::Challenge(cause))),
        AckOwed::Open => Decision::Send(bare(tcb, Cause::OpenComplete)),
        // One for each segment that came out of order: a peer without SACK counts them (RFC 5681 section 4.2), but not what
        // carries data.
        _ if tcb.dup_acks_owed > 0 => Decision::Send(bare(tcb, Cause::Ack(AckCause::OutOfOrder))),
        _ if tcb.facts.contains(Fact::UPDATE_OWED) => {
            Decision::Send(bare(tcb, Cause::Ack(AckCause::WindowUpdate)))
        }
        AckOwed::No | AckOwed::Delayed => Decision::Wait(held),
    }
}

fn bare(tcb: &Tcb, cause: Cause) -> Plan {
    Plan {
        seq: tcb.snd_nxt,
        len: 0,
        fin: false,
        kind: Kind::Bare,
        cause,
    }
}

/// Sequence space from `seq` on that was sent before: data, then the FIN.
fn sent_from(tcb: &Tcb, seq: SeqNumber, most: u32) -> (u32, bool) {
    let data_end = tcb.data_end().earlier(tcb.snd_nxt);
    let data = if data_end.after(seq) {
        data_end.since(seq)
    } else {
        0
    };
    let fin = tcb.fin_out == FinOut::Sent && data <= most && (seq + data).before(tcb.snd_nxt);
    (data.min(most), fin)
}

fn again(tcb: &Tcb, seq: SeqNumber, most: u32, cause: RetransmitCause) -> Option<Plan> {
    let (len, fin) = sent_from(tcb, seq, most);
    (len > 0 || fin).then_some(Plan {
        seq,
        len,
        fin,
        kind: Kind::Again,
        cause: Cause::Retransmit(cause),
    })
}

/// Retransmissions and probes that a timer or a duplicate ACK has put on the list.
fn owed_probe(tcb: &Tcb, config: &Config, room: u32) -> Option<Plan> {
    let mss = u32::from(tcb.snd_mss);
    match tcb.probe_owed {
        ProbeOwed::No => None,
        ProbeOwed::Timeout => {
            let (count, rto) = (tcb.rtt.timeouts(), tcb.rtt.rto_waited(&config.into()).duration());
            again(
                tcb,
                tcb.snd_una,
                mss.min(room),
                RetransmitCause::Timeout { count, rto },
            )
        }
        ProbeOwed::Fast => again(tcb, tcb.snd_una, mss.min(room), RetransmitCause::Fast),
        ProbeOwed::Partial => again(tcb, tcb.snd_una, mss.min(room), RetransmitCause::PartialAck),
        ProbeOwed::Window => window_probe(tcb, mss.min(room)),
        ProbeOwed::Keepalive => Some(Plan {
            seq: tcb.snd_nxt - 1,
            len: 0,
            fin: false,
            kind: Kind::Probe,
            cause: Cause::Keepalive(tcb.probes),
        }),
    }
}

/// RFC 9293 section 3.8.6.1 (MUST-36): at least one octet into a closed window; into one that is open but small, what fits
/// (the override of section 3.8.6.2.1).
fn window_probe(tcb: &Tcb, most: u32) -> Option<Plan> {
    let seq = tcb.snd_una;
    let octets = tcb.snd_wnd.clamp(1, most);
    let len = octets.min(tcb.send_len());
    let all = len == tcb.send_len();
    let fin = all && len < octets.max(1) && tcb.fin_out != FinOut::No || tcb.send_len() == 0;
    let fin = fin && matches!(tcb.fin_out, FinOut::Queued | FinOut::Sent);
    let kind = if (seq + len + u32::from(fin)).after(tcb.snd_nxt) {
        Kind::New
    } else {
        Kind::Again
    };
    let cause = if tcb.snd_wnd == 0 {
        Cause::WindowProbe(tcb.probes)
    } else {
        Cause::Data
    };
    (len > 0 || fin).then_some(Plan {
        seq,
        len,
        fin,
        kind,
        cause,
    })
}

/// Where the peer's window ends.
pub(super) fn window_end(tcb: &Tcb) -> SeqNumber {
    tcb.snd_una + tcb.snd_wnd
}

/// What recovery sends while the congestion window lets it (RFC 6675 section 5 (C); after a timeout, slow start).
fn repair(tcb: &Tcb, room: u32) -> Option<Plan> {
    let mss = u32::from(tcb.snd_mss);
    let space = tcb.congestion.cwnd().saturating_sub(tcb.flight());
    match tcb.recovery {
        Recovery::Open => None,
        Recovery::Loss { next, recover } => {
            let (next, sacked_from) = match &tcb.scoreboard {
                Some(board) => board.hole_from(next),
                None => (next, None),
            };
            let to_do = if recover.after(next) {
                recover.since(next)
            } else {
                0
            };
            // SHLD-16: old data inside the window is sent again; what lies beyond it waits for it to open (SHLD-17).
            let until_sacked = sacked_from.map_or(u32::MAX, |at| at.since(next));
            let most = space.min(to_do).min(until_sacked).min(room);
            let most = if most >= mss { most / mss * mss } else { most };
            if most == 0 || space < mss.min(to_do) {
                return None;
            }
            if tcb.snd_wnd == 0 {
                return None; // probes find out when it opens
            }
            let shrunk = tcb.facts.contains(Fact::PATH_SHRUNK);
            let cause = if shrunk {
                RetransmitCause::PathMtu
            } else {
                RetransmitCause::AfterTimeout
            };
            again(tcb, next, most, cause)
        }
        Recovery::Fast {
            recover: _,
            high_rxt,
            rescued,
        } => {
            let board = tcb.scoreboard.as_ref()?;
            if space < mss {
                return None;
            }
            let next = board.next_seg(tcb.snd_una, tcb.snd_nxt, high_rxt, mss, sendable(tcb), !rescued)?;
            let cause = match next.rule {
                Rule::Lost | Rule::MaybeLost => RetransmitCause::Scoreboard,
                Rule::New => return None, // new data takes its own way
                Rule::Rescue => RetransmitCause::Rescue,
            };
            again(tcb, next.start, next.len.min(mss).min(room), cause)
        }
    }
}

/// New data that the peer's window lets go.
fn sendable(tcb: &Tcb) -> u32 {
    let usable = if window_end(tcb).after(tcb.snd_nxt) {
        window_end(tcb).since(tcb.snd_nxt)
    } else {
        0
    };
    tcb.unsent().min(usable)
}

/// New data, as far as the peer's window, the congestion window, Nagle's rule and silly-window avoidance let it; with the
/// FIN, when it is its turn.
fn new_data(tcb: &Tcb, config: &Config, room: u32) -> Result<Option<Plan>, Held> {
    let waiting = tcb.unsent();
    let fin_due = tcb.fin_out == FinOut::Queued;
    if waiting == 0 && !fin_due || tcb.phase != Phase::Live {
        return Ok(None);
    }
    let mss = u32::from(tcb.snd_mss);
    if let Recovery::Loss { recover, next } = tcb.recovery
        && next.before(recover)
        && tcb.snd_una.before(recover)
    {
        return Err(Held::CongestionWindow); // what was lost goes first
    }
    // MUST-34: the usable window may be negative when the peer has shrunk it.
    let usable = if window_end(tcb).after(tcb.snd_nxt) {
        window_end(tcb).since(tcb.snd_nxt)
    } else {
        0
    };
    let fin_only = waiting == 0;
    if usable == 0 {
        return Err(Held::PeerWindow);
    }
    let space = congestion_space(tcb, mss);
    let most = waiting.min(usable).min(space).min(room);
    if !fin_only && most < mss.min(waiting) {
        // Less than a segment may go although more is waiting: which limit is it?
        if space < mss.min(waiting) && space <= usable {
            return Err(Held::CongestionWindow);
        }
        if usable < waiting.min(mss) && !silly_exception(tcb, usable) {
            return Err(if usable < mss {
                Held::SillyWindow
            } else {
                Held::PeerWindow
            });
        }
    }
    // Whole segments, and a smaller last one only if nothing holds it back (SHLD-28).
    let whole = if most < mss { 0 } else { most / mss * mss };
    let tail = most - whole;
    let takes_all = most == waiting;
    let tail_waits = || whole > 0 && (!takes_all || small_held(tcb, config, whole > 0, fin_due).is_some());
    let len = if tail == 0 || tail_waits() {
        whole
    } else if takes_all {
        match small_held(tcb, config, false, fin_due) {
            Some(held) => return Err(held),
            None => most,
        }
    } else {
        most // the silly-window exception
    };
    let fin = fin_due && len == waiting && usable > len;
    let cause = if len == 0 { Cause::Fin } else { Cause::Data };
    Ok(Some(Plan {
        seq: tcb.snd_nxt,
        len,
        fin,
        kind: Kind::New,
        cause,
    }))
}

/// What the congestion window has left. Before recovery, each duplicate ACK lets one new segment go (limited transmit,
/// RFC 3042; with SACK the flight already leaves out what has arrived).
fn congestion_space(tcb: &Tcb, mss: u32) -> u32 {
    let mut cwnd = tcb.congestion.cwnd();
    if tcb.recovery == Recovery::Open && tcb.dup_acks > 0 && !tcb.facts.contains(Fact::SACK) {
        cwnd += u32::from(tcb.dup_acks.min(2)) * mss;
    }
    cwnd.saturating_sub(tcb.flight())
}

/// RFC 9293 section 3.8.6.2.1 (3): with nothing in flight, half of the largest window ever offered is worth sending into
/// (MUST-38).
fn silly_exception(tcb: &Tcb, usable: u32) -> bool {
    tcb.outstanding() == 0 && usable >= tcb.max_snd_wnd / 2
}

/// Nagle's rule (SHLD-7): a small segment waits while anything is in flight; in the Linux profile, as Minshall has it,
/// while another small one is. TCP_NODELAY switches it off (MUST-17), a FIN goes along, TCP_CORK holds small segments whatever is in flight.
fn small_held(tcb: &Tcb, config: &Config, behind_whole: bool, fin_due: bool) -> Option<Held> {
    if fin_due {
        return None;
    }
    if tcb.switches.cork {
        return Some(Held::Cork);
    }
    if tcb.switches.nodelay || urgent_ahead(tcb) {
        return None;
    }
    let waits = match config.profile {
        Profile::Rfc => behind_whole || tcb.outstanding() > 0,
        Profile::Linux => tcb.small_end.after(tcb.snd_una),
    };
    waits.then_some(Held::Nagle)
}

fn urgent_ahead(tcb: &Tcb) -> bool {
    tcb.urgent
        .as_ref()
        .is_some_and(|u| u.snd_up.is_some_and(|up| up.after(tcb.snd_nxt)))
}

/// Whether another look may find something to send right after a segment was committed. Errs on the side of yes.
#[inline]
pub(crate) fn may_have_more(tcb: &Tcb) -> bool {
    tcb.unsent() > 0
        || tcb.fin_out == FinOut::Queued
        || tcb.recovery != Recovery::Open
        || tcb.probe_owed != ProbeOwed::No
        || tcb.reset_owed.is_some()
        || tcb.dup_acks_owed > 0
}

/// The header of a plan's first segment. Flags that belong to the last one only (FIN, PSH) are set here too; splitting
/// takes them off the others.
pub(crate) fn header(tcb: &Tcb, config: &Config, plan: &Plan, now: Instant) -> Segment {
    let mut flags = Flags::ACK;
    if plan.fin {
        flags |= Flags::FIN;
    }
    // MUST-61: PSH on the last segment of what is buffered.
    if plan.len > 0 && plan.seq + plan.len == tcb.data_end() {
        flags |= Flags::PSH;
    }
    let (marks, ecn) = super::ecn::outgoing(tcb, plan);
    flags |= marks;
    let pointer = urgent::outgoing(tcb, config.urgent_pointer, plan.seq);
    if pointer.is_some() {
        flags |= Flags::URG;
    }
    Segment {
        seq: plan.seq,
        ack: tcb.rcv_nxt,
        flags,
        window: window::field(tcb),
        urgent: pointer.unwrap_or(0),
        payload_len: plan.len,
        options: options(tcb, plan, now),
        ecn,
    }
}

fn options(tcb: &Tcb, plan: &Plan, now: Instant) -> Options {
    let timestamps = tcb.facts.contains(Fact::TIMESTAMPS).then(|| Timestamps {
        value: tcb.ts_now(now),
        echo: tcb.ts_recent,
    });
    let wanted = tcb.reassembly.is_some() || tcb.dsack.is_some();
    let sack = if wanted && tcb.facts.contains(Fact::SACK) {
        blocks(tcb, sack_space(tcb, plan))
    } else {
        SackBlocks::NONE
    };
    Options {
        timestamps,
        sack,
        ..Options::default()
    }
}

/// How many SACK blocks a segment has room for: "SACK options SHOULD be included in all ACKs which do not ACK the highest
/// sequence number in the data receiver's queue" (RFC 2018 section 4), but full segments are not cut for them.
pub(super) fn sack_space(tcb: &Tcb, plan: &Plan) -> usize {
    let most = if tcb.facts.contains(Fact::TIMESTAMPS) {
        3
    } else {
        4
    };
    if plan.len == 0 {
        return most;
    }
    let room = u32::from(tcb.snd_mss).saturating_sub(plan.len);
    most.min((room.saturating_sub(4) / 8) as usize)
}

/// RFC 2018 section 4: the most recent blocks first; RFC 2883: before them the block that came twice.
fn blocks(tcb: &Tcb, most: usize) -> SackBlocks {
    let duplicate = tcb.dsack.as_ref().map(|block| **block);
    let mut out = match &tcb.reassembly {
        Some(store) => store.sack_blocks(duplicate),
        None => SackBlocks::from_iter(duplicate),
    };
    out.truncate(most);
    out
}

/// Whether the profile answers the first segments without delay.
pub(crate) fn initial_quick_acks(config: &Config) -> u8 {
    match config.profile {
        Profile::Rfc => 0,
        Profile::Linux => 16,
    }
}
