//! TCP_INFO: what a stack tells of a connection, under Linux's names and in the layout of its `struct tcp_info`
//! (include/uapi/linux/tcp.h). What a stack does not have is zero there, and has no name here.

use sockeye_stack::tcp::{Repair, State, TcpInfo};
use sockeye_stack::{Duration, Instant};

/// Octets of `struct tcp_info` in Linux 6.18; programs that know a shorter one are given its beginning.
pub const LEN: usize = 280;

/// Linux's slow-start threshold before there was a loss (TCP_INFINITE_SSTHRESH).
const INFINITE: u32 = i32::MAX as u32;

/// Names, with their places in the structure and their sizes, in octets.
pub const FIELDS: &[(&str, usize, usize)] = &[
    ("tcpi_state", 0, 1),
    ("tcpi_ca_state", 1, 1),
    ("tcpi_retransmits", 2, 1),
    ("tcpi_probes", 3, 1),
    ("tcpi_backoff", 4, 1),
    ("tcpi_options", 5, 1),
    ("tcpi_rto", 8, 4),
    ("tcpi_ato", 12, 4),
    ("tcpi_snd_mss", 16, 4),
    ("tcpi_rcv_mss", 20, 4),
    ("tcpi_unacked", 24, 4),
    ("tcpi_sacked", 28, 4),
    ("tcpi_last_data_sent", 44, 4),
    ("tcpi_last_data_recv", 52, 4),
    ("tcpi_last_ack_recv", 56, 4),
    ("tcpi_pmtu", 60, 4),
    ("tcpi_rcv_ssthresh", 64, 4),
    ("tcpi_rtt", 68, 4),
    ("tcpi_rttvar", 72, 4),
    ("tcpi_snd_ssthresh", 76, 4),
    ("tcpi_snd_cwnd", 80, 4),
    ("tcpi_advmss", 84, 4),
    ("tcpi_reordering", 88, 4),
    ("tcpi_rcv_space", 96, 4),
    ("tcpi_total_retrans", 100, 4),
    ("tcpi_pacing_rate", 104, 8),
    ("tcpi_max_pacing_rate", 112, 8),
    ("tcpi_bytes_acked", 120, 8),
    ("tcpi_bytes_received", 128, 8),
    ("tcpi_segs_out", 136, 4),
    ("tcpi_segs_in", 140, 4),
    ("tcpi_notsent_bytes", 144, 4),
    ("tcpi_min_rtt", 148, 4),
    ("tcpi_snd_wnd", 228, 4),
    ("tcpi_rcv_wnd", 232, 4),
    ("tcpi_received_ce", 248, 4),
];
/// The two window scales share an octet: bit fields.
const WINDOW_SCALES: usize = 6;

/// Linux's number of a state (include/net/tcp_states.h).
pub fn state_number(state: State) -> u8 {
    match state {
        State::Established => 1,
        State::SynSent => 2,
        State::SynReceived => 3,
        State::FinWait1 => 4,
        State::FinWait2 => 5,
        State::TimeWait => 6,
        State::Closed => 7,
        State::CloseWait => 8,
        State::LastAck => 9,
        State::Listen => 10,
        State::Closing => 11,
    }
}

/// A field of a connection by its name; `None` for one that this stack does not tell. Times are microseconds
/// (`tcpi_last_...`: milliseconds before `now`), windows segments, as on Linux.
pub fn value(info: &TcpInfo, now: Instant, name: &str) -> Option<u64> {
    let micros = |time: Duration| time.as_micros();
    let before = |then: Instant| now.since(then).as_millis();
    let segments = |octets: u32| u64::from(octets.div_ceil(info.snd_mss.max(1)));
    let (peer_scale, our_scale) = info.window_scale.unwrap_or_default();
    Some(match name {
        "tcpi_state" => state_number(info.state).into(),
        "tcpi_ca_state" => match info.repair {
            Repair::None => 0,
            Repair::Suspected => 1,
            Repair::Fast => 3,
            Repair::Timeout => 4,
        },
        "tcpi_retransmits" => info.timeouts.into(),
        "tcpi_probes" => info.probes.into(),
        "tcpi_backoff" => info.backoff.into(),
        "tcpi_options" => {
            let agreed = [
                (info.timestamps, 1),
                (info.sack, 2),
                (info.window_scale.is_some(), 4),
                (info.ecn, 8),
            ];
            agreed.iter().filter(|(on, _)| *on).map(|(_, bit)| bit).sum()
        }
        "tcpi_snd_wscale" => peer_scale.into(),
        "tcpi_rcv_wscale" => our_scale.into(),
        "tcpi_rto" => micros(info.rto),
        "tcpi_snd_mss" | "tcpi_advmss" => info.snd_mss.into(),
        "tcpi_rcv_mss" => info.rcv_mss.into(),
        "tcpi_unacked" => segments(info.outstanding),
        "tcpi_sacked" => segments(info.sacked),
        "tcpi_last_data_sent" => before(info.last_sent),
        "tcpi_last_data_recv" | "tcpi_last_ack_recv" => before(info.last_heard),
        "tcpi_pmtu" => info.path_mtu.into(),
        "tcpi_rtt" => micros(info.srtt),
        "tcpi_rttvar" => micros(info.rttvar),
        "tcpi_snd_ssthresh" if info.ssthresh >= INFINITE => INFINITE.into(),
        "tcpi_snd_ssthresh" => (info.ssthresh / info.snd_mss.max(1)).into(),
        "tcpi_snd_cwnd" => segments(info.cwnd),
        "tcpi_reordering" => 3, // DupThresh
        "tcpi_rcv_wnd" | "tcpi_rcv_ssthresh" | "tcpi_rcv_space" => info.rcv_wnd.into(),
        "tcpi_total_retrans" => info.retransmits,
        "tcpi_pacing_rate" | "tcpi_max_pacing_rate" => u64::MAX, // none
        "tcpi_bytes_acked" => info.bytes_acked,
        "tcpi_bytes_received" => info.bytes_received,
        "tcpi_segs_out" => info.segments_out,
        "tcpi_segs_in" => info.segments_in,
        "tcpi_notsent_bytes" => info.unsent.into(),
        "tcpi_min_rtt" => micros(info.min_rtt),
        "tcpi_snd_wnd" => info.snd_wnd.into(),
        "tcpi_received_ce" => info.ce_received,
        _ => return None,
    })
}

/// A `struct tcp_info`, all zero at first.
#[derive(Clone, Debug)]
pub struct Layout([u8; LEN]);

impl Layout {
    /// One that has only a state: of a socket that is no connection.
    pub fn new(state: State) -> Layout {
        let mut layout = Layout([0; LEN]);
        layout.set("tcpi_state", state_number(state).into());
        layout
    }
    /// All that can be told of a connection.
    pub fn of(info: &TcpInfo, now: Instant) -> Layout {
        let mut layout = Layout::new(info.state);
        for (name, ..) in FIELDS {
            if let Some(value) = value(info, now, name) {
                layout.set(name, value);
            }
        }
        let (peer, our) = info.window_scale.unwrap_or_default();
        let (low, high) = if cfg!(target_endian = "little") {
            (peer, our)
        } else {
            (our, peer)
        };
        layout.0[WINDOW_SCALES] = low | high << 4;
        layout
    }
    /// Sets one of [`FIELDS`]; a value that is too large for it becomes the largest. Another name changes nothing.
    pub fn set(&mut self, name: &str, value: u64) {
        let Some(&(_, at, size)) = FIELDS.iter().find(|(field, ..)| *field == name) else {
            return;
        };
        let place = &mut self.0[at..at + size];
        match size {
            1 => place.copy_from_slice(&u8::try_from(value).unwrap_or(u8::MAX).to_ne_bytes()),
            4 => place.copy_from_slice(&u32::try_from(value).unwrap_or(u32::MAX).to_ne_bytes()),
            _ => place.copy_from_slice(&value.to_ne_bytes()),
        }
    }
    /// Its octets.
    pub fn octets(&self) -> &[u8; LEN] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_follow_each_other_and_fit() {
        let mut end = 0;
        for &(name, at, size) in FIELDS {
            assert!(at >= end && at % size == 0 && [1, 4, 8].contains(&size), "{name}");
            assert!(!(at..at + size).contains(&WINDOW_SCALES), "{name}");
            end = at + size;
        }
        assert!(end <= LEN);
    }

    #[test]
    fn what_is_too_large_is_the_largest() {
        let mut layout = Layout::new(State::Listen);
        layout.set("tcpi_unacked", 1 << 40);
        layout.set("tcpi_probes", 300);
        layout.set("tcpi_unknown", 1);
        assert_eq!(layout.octets()[..4], [10, 0, 0, 255]);
        assert_eq!(layout.octets()[24..28], [255; 4]);
        assert_eq!(layout.octets().iter().filter(|octet| **octet != 0).count(), 6);
    }
}
