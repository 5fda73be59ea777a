//! The block of no connection, as which each begins, and the active open of nobody.

use core::net::{IpAddr, Ipv4Addr};

use super::SeqNumber;
use super::choices::{Switches, TcpOptions};
use super::congestion::Congestion;
use super::conn::{AckOwed, Fact, FinIn, FinOut, Phase, ProbeOwed, Recovery, Stats, Tcb};
use super::open::{SynSent, Told};
use super::recv::tune::Tune;
use super::rtt::RttEstimator;
use crate::InterfaceId;
use crate::demux::{FourTuple, TableHash};
use crate::iface::{Path, PlainLink, Route};
use crate::stack::{Readiness, SocketId};
use crate::time::{Duration, Instant};
use crate::wheel::WheelEntry;

impl SynSent {
    /// An active open of nobody, to be filled.
    pub(crate) fn blank() -> SynSent {
        SynSent {
            tuple: FourTuple::v4(0, 0),
            rto: Duration::ZERO,
            sent_at: Instant::ZERO,
            started: Instant::ZERO,
            retry_at: Instant::NEVER,
            id: SocketId {
                slot: 0,
                generation: 0,
            },
            iss: SeqNumber(0),
            ts_offset: 0,
            hash: TableHash::NONE,
            wheel: WheelEntry::new(),
            told: Told::default(),
            mss: 0,
            pending: Readiness::empty(),
            queued: false,
            tries: 0,
            ecn: false,
            plain_syn: false,
            closing: false,
            soft_error: None,
            ack_owed: AckOwed::No,
            owed: None,
            path: Route::nowhere().into(),
            peer: None,
            text: None,
            options: TcpOptions::default(),
        }
    }
}

impl Tcb {
    /// A block of no connection: what [`establish`](super::open::establish) does not set begins like this.
    pub(crate) const BLANK: Tcb = Tcb {
        id: SocketId {
            slot: 0,
            generation: 0,
        },
        tuple: FourTuple::v4(0, 0),
        hash: TableHash::NONE,
        path: Path {
            next_hop: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            hop_limit: 0,
            interface: InterfaceId::LOOPBACK,
            mtu: 0,
            plain: PlainLink::No,
        },
        route_generation: 0,
        phase: Phase::Live,
        facts: Fact::empty(),
        fin_out: FinOut::No,
        fin_in: FinIn::No,
        error: None,
        soft_error: None,
        snd_una: SeqNumber(0),
        snd_nxt: SeqNumber(0),
        snd_wnd: 0,
        max_snd_wnd: 0,
        snd_wl1: SeqNumber(0),
        snd_wl2: SeqNumber(0),
        snd_mss: 0,
        peer_mss: 0,
        snd_wscale: 0,
        dup_acks: 0,
        probe_owed: ProbeOwed::No,
        recovery: Recovery::Open,
        reset_owed: None,
        held: None,
        snd_buf_max: 0,
        send: None,
        scoreboard: None,
        congestion: Congestion::BLANK,
        rtt: RttEstimator::new(),
        timing: (SeqNumber(0), 0),
        first_again: 0,
        small_end: SeqNumber(0),
        rcv_nxt: SeqNumber(0),
        rcv_adv: SeqNumber(0),
        last_ack_sent: SeqNumber(0),
        rcv_wscale: 0,
        quick_acks: 0,
        rcv_mss: 0,
        ack_owed: AckOwed::No,
        dup_acks_owed: 0,
        rcv_buf: 0,
        rcv_buf_max: 0,
        receive: None,
        reassembly: None,
        fin_ahead: SeqNumber(0),
        dsack: None,
        tune: Tune::NOTHING_READ,
        ts_recent: 0,
        ts_recent_at: 0,
        ts_offset: 0,
        rexmt_at: Instant::NEVER,
        ack_at: Instant::NEVER,
        answered_at: 0,
        last_text: 0,
        last_heard: Instant::ZERO,
        last_sent: Instant::ZERO,
        stalled_since: Instant::NEVER,
        wheel: WheelEntry::new(),
        wakes_at: Instant::NEVER,
        probes: 0,
        switches: Switches::NONE,
        extra: None,
        urgent: None,
        pending: Readiness::empty(),
        stats: Stats {
            bytes_acked: 0,
            bytes_received: 0,
        },
        segments_out: 0,
        segments_in: 0,
        retransmits: 0,
    };

    /// Makes of the block of a connection that is gone one that [`establish`](super::open::establish) can fill: as
    /// [`Tcb::BLANK`] wherever that sets nothing. To write these few fields takes a quarter of what it takes to copy a block.
    #[inline(always)]
    pub(super) fn wipe(&mut self) {
        // All fields are named, so that a new one is not forgotten.
        let Tcb {
            phase,
            fin_out,
            fin_in,
            error,
            soft_error,
            dup_acks,
            probe_owed,
            recovery,
            reset_owed,
            held,
            congestion,
            first_again,
            ack_owed,
            dup_acks_owed,
            tune,
            rexmt_at,
            ack_at,
            stalled_since,
            wheel,
            wakes_at,
            probes,
            pending,
            stats,
            segments_out,
            segments_in,
            retransmits,
            // Empty since `release`.
            send: _,
            scoreboard: _,
            receive: _,
            reassembly: _,
            dsack: _,
            extra: _,
            urgent: _,
            // Set by `establish`.
            id: _,
            tuple: _,
            hash: _,
            path: _,
            route_generation: _,
            facts: _,
            snd_una: _,
            snd_nxt: _,
            snd_wnd: _,
            max_snd_wnd: _,
            snd_wl1: _,
            snd_wl2: _,
            snd_mss: _,
            peer_mss: _,
            snd_wscale: _,
            snd_buf_max: _,
            rtt: _,
            timing: _,
            small_end: _,
            rcv_nxt: _,
            rcv_adv: _,
            last_ack_sent: _,
            rcv_wscale: _,
            quick_acks: _,
            rcv_mss: _,
            rcv_buf: _,
            rcv_buf_max: _,
            fin_ahead: _,
            ts_recent: _,
            ts_recent_at: _,
            ts_offset: _,
            answered_at: _,
            last_text: _,
            last_heard: _,
            last_sent: _,
            switches: _,
        } = self;
        *phase = Phase::Live;
        *fin_out = FinOut::No;
        *fin_in = FinIn::No;
        *error = None;
        *soft_error = None;
        *dup_acks = 0;
        *probe_owed = ProbeOwed::No;
        *recovery = Recovery::Open;
        *reset_owed = None;
        *held = None;
        core::mem::forget(core::mem::replace(congestion, Congestion::BLANK));
        *first_again = 0;
        *ack_owed = AckOwed::No;
        *dup_acks_owed = 0;
        *tune = Tune::NOTHING_READ;
        *rexmt_at = Instant::NEVER;
        *ack_at = Instant::NEVER;
        *stalled_since = Instant::NEVER;
        *wheel = WheelEntry::new();
        *wakes_at = Instant::NEVER;
        *probes = 0;
        *pending = Readiness::empty();
        *stats = Stats::default();
        *segments_out = 0;
        *segments_in = 0;
        *retransmits = 0;
    }
}
