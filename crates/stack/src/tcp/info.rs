//! What is known of a connection (TCP_INFO).

use super::State;
use super::conn::{Fact, Recovery, Stats, Tcb};
use crate::config::Config;
use crate::time::{Duration, Instant};
use crate::trace::Held;

/// What is known of a connection. Times and octets as named.
#[derive(Clone, Debug)]
pub struct TcpInfo {
    /// The state.
    pub state: State,
    /// Smoothed round-trip time.
    pub srtt: Duration,
    /// Its variation.
    pub rttvar: Duration,
    /// Least round-trip time seen.
    pub min_rtt: Duration,
    /// Retransmission timeout.
    pub rto: Duration,
    /// Largest segment we send.
    pub snd_mss: u32,
    /// Largest segment seen from the peer.
    pub rcv_mss: u32,
    /// Congestion window in octets.
    pub cwnd: u32,
    /// Slow-start threshold in octets.
    pub ssthresh: u32,
    /// Octets sent and not acknowledged.
    pub flight: u32,
    /// The peer's window in octets.
    pub snd_wnd: u32,
    /// The window we offer.
    pub rcv_wnd: u32,
    /// Octets acknowledged by the peer.
    pub bytes_acked: u64,
    /// Octets received in order.
    pub bytes_received: u64,
    /// Segments sent.
    pub segments_out: u64,
    /// Segments received.
    pub segments_in: u64,
    /// Segments sent again.
    pub retransmits: u64,
    /// How often the RTO is doubled: once for each timeout since the last sample (Karn's rule).
    pub backoff: u8,
    /// Timeouts in a row, since anything was acknowledged.
    pub timeouts: u8,
    /// Whether both ends agreed on explicit congestion notification (RFC 3168).
    pub ecn: bool,
    /// Segments with new data that came marked with CE.
    pub ce_received: u64,
    /// ACKs that echoed a mark on what we had sent (ECE).
    pub ece_received: u64,
    /// Octets that the application has written and that were never sent.
    pub unsent: u32,
    /// Why these did not leave when they were last looked at.
    pub held: Option<Held>,
    /// Octets of sequence space sent and not acknowledged, a FIN included; those that SACK tells of too.
    pub outstanding: u32,
    /// Octets above the cumulative acknowledgment that SACK says have arrived.
    pub sacked: u32,
    /// How losses are being repaired.
    pub repair: Repair,
    /// Probes of a closed window, or of a silent peer, that are not answered yet.
    pub probes: u8,
    /// Timestamps were agreed (RFC 7323).
    pub timestamps: bool,
    /// SACK was agreed (RFC 2018).
    pub sack: bool,
    /// The shift counts of the windows, the peer's and ours, if scaling was agreed (RFC 7323).
    pub window_scale: Option<(u8, u8)>,
    /// Largest IP packet on the path.
    pub path_mtu: u32,
    /// When data was last sent, or the connection was opened.
    pub last_sent: Instant,
    /// When a segment last came.
    pub last_heard: Instant,
}

/// How a connection repairs losses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Repair {
    /// There is nothing to repair.
    #[default]
    None,
    /// Duplicate acknowledgments have come, fewer than it takes.
    Suspected,
    /// Fast recovery (RFC 6582, RFC 6675).
    Fast,
    /// After a timeout.
    Timeout,
}

impl Tcb {
    /// TCP_INFO.
    pub(crate) fn info(&self, config: &Config) -> TcpInfo {
        let Stats {
            bytes_acked,
            bytes_received,
        } = self.stats;
        let marks = self.marks();
        TcpInfo {
            state: self.state(),
            srtt: self.srtt(),
            rttvar: self.rtt.rttvar().unwrap_or_default(),
            min_rtt: self.rtt.min_rtt().unwrap_or_default(),
            rto: self.rto(config),
            snd_mss: u32::from(self.snd_mss),
            rcv_mss: u32::from(self.rcv_mss),
            cwnd: self.congestion.cwnd(),
            ssthresh: self.congestion.ssthresh(),
            flight: self.flight(),
            snd_wnd: self.snd_wnd,
            rcv_wnd: self.rcv_wnd(),
            bytes_acked,
            bytes_received,
            segments_out: u64::from(self.segments_out),
            segments_in: u64::from(self.segments_in),
            retransmits: u64::from(self.retransmits),
            backoff: self.rtt.backoff(),
            timeouts: self.rtt.timeouts(),
            ecn: self.facts.contains(Fact::ECN),
            ce_received: u64::from(marks.ce_received),
            ece_received: u64::from(marks.ece_received),
            unsent: self.unsent(),
            held: self.held.filter(|_| self.unsent() > 0),
            outstanding: self.outstanding(),
            sacked: self.scoreboard.as_ref().map_or(0, |board| board.sacked()),
            repair: match self.recovery {
                Recovery::Open if self.dup_acks > 0 => Repair::Suspected,
                Recovery::Open => Repair::None,
                Recovery::Fast { .. } => Repair::Fast,
                Recovery::Loss { .. } => Repair::Timeout,
            },
            probes: self.probes,
            timestamps: self.facts.contains(Fact::TIMESTAMPS),
            sack: self.facts.contains(Fact::SACK),
            window_scale: self
                .facts
                .contains(Fact::SCALING)
                .then_some((self.snd_wscale, self.rcv_wscale)),
            path_mtu: self.path.mtu.into(),
            last_sent: self.last_sent,
            last_heard: self.last_heard,
        }
    }
}
