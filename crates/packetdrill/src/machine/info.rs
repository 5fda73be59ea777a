//! What Linux's structures tell of a connection: `struct tcp_info`, `union tcp_cc_info`, and the words of SO_MEMINFO.

use sockeye_stack::tcp::{Repair, State, TcpInfo};
use sockeye_stack::{Duration, Instant, SocketId, Stack};

/// Octets of `struct tcp_info` in Linux 6.18; programs that know a shorter one are given its beginning.
pub const TCP_INFO_LEN: usize = 280;
/// Octets of `union tcp_cc_info`.
pub const TCP_CC_INFO_LEN: usize = 20;
/// Octets of what SO_MEMINFO tells: nine words.
pub const SO_MEMINFO_LEN: usize = 36;

/// `struct tcp_info`, field by field; what this stack does not have is zero.
struct Layout([u8; TCP_INFO_LEN]);

impl Layout {
    fn u8(&mut self, at: usize, value: u8) {
        self.0[at] = value;
    }
    fn u32(&mut self, at: usize, value: u32) {
        self.0[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }
    fn u64(&mut self, at: usize, value: u64) {
        self.0[at..at + 8].copy_from_slice(&value.to_ne_bytes());
    }
    /// A time in microseconds.
    fn micros(&mut self, at: usize, time: Duration) {
        self.u32(at, clamp(time.as_micros()));
    }
    fn millis(&mut self, at: usize, time: Duration) {
        self.u32(at, clamp(time.as_millis()));
    }
}

fn clamp(n: u64) -> u32 {
    n.try_into().unwrap_or(u32::MAX)
}

/// TCP_INFO of a socket, as Linux lays it out.
pub(super) fn tcp_info(stack: &mut Stack, now: Instant, id: SocketId) -> Option<[u8; TCP_INFO_LEN]> {
    let config_delayed_ack = stack.config().delayed_ack;
    let socket = stack.tcp(now, id).ok()?;
    let mut out = Layout([0; TCP_INFO_LEN]);
    let state = socket.state();
    out.u8(0, number(state));
    match socket.info() {
        // Linux tells the two figures of the accept queue here.
        None if state == State::Listen => out.u32(24, clamp(socket.acceptable() as u64)),
        None => {}
        Some(info) => {
            connection(&mut out, &info, now);
            out.micros(12, config_delayed_ack); // ato
        }
    }
    Some(out.0)
}

fn connection(out: &mut Layout, info: &TcpInfo, now: Instant) {
    let mss = info.snd_mss.max(1);
    let segments = |octets: u32| octets.div_ceil(mss);
    let infinite = |octets: u32| {
        if octets >= i32::MAX as u32 {
            i32::MAX as u32 // TCP_INFINITE_SSTHRESH
        } else {
            octets / mss
        }
    };
    let (peer_scale, our_scale) = info.window_scale.unwrap_or_default();
    out.u8(
        1,
        match info.repair {
            Repair::None => 0,
            Repair::Suspected => 1,
            Repair::Fast => 3,
            Repair::Timeout => 4,
        },
    ); // ca_state
    out.u8(2, info.timeouts); // retransmits: of the segment at SND.UNA
    out.u8(3, info.probes);
    out.u8(4, info.backoff);
    let options = [
        (info.timestamps, 1),
        (info.sack, 2),
        (info.window_scale.is_some(), 4),
        (info.ecn, 8),
    ];
    out.u8(5, options.iter().filter(|(on, _)| *on).map(|(_, bit)| bit).sum());
    out.u8(
        6,
        if cfg!(target_endian = "little") {
            peer_scale | our_scale << 4
        } else {
            peer_scale << 4 | our_scale
        },
    );
    out.micros(8, info.rto);
    out.u32(16, info.snd_mss);
    out.u32(20, info.rcv_mss);
    out.u32(24, segments(info.outstanding)); // unacked
    out.u32(28, segments(info.sacked));
    out.millis(44, now.since(info.last_sent)); // last_data_sent
    out.millis(52, now.since(info.last_heard)); // last_data_recv
    out.millis(56, now.since(info.last_heard)); // last_ack_recv
    out.u32(60, info.path_mtu);
    out.u32(64, info.rcv_wnd); // rcv_ssthresh
    out.micros(68, info.srtt);
    out.micros(72, info.rttvar);
    out.u32(76, infinite(info.ssthresh));
    out.u32(80, segments(info.cwnd));
    out.u32(84, info.snd_mss); // advmss
    out.u32(88, 3); // reordering: DupThresh
    out.u32(96, info.rcv_wnd); // rcv_space
    out.u32(100, clamp(info.retransmits)); // total_retrans
    out.u64(104, u64::MAX); // pacing_rate: none
    out.u64(112, u64::MAX); // max_pacing_rate
    out.u64(120, info.bytes_acked);
    out.u64(128, info.bytes_received);
    out.u32(136, clamp(info.segments_out));
    out.u32(140, clamp(info.segments_in));
    out.u32(144, info.unsent);
    out.micros(148, info.min_rtt);
    out.u32(228, info.snd_wnd);
    out.u32(232, info.rcv_wnd);
    out.u32(248, clamp(info.ce_received)); // received_ce
}

/// Linux's number of a state (include/net/tcp_states.h).
fn number(state: State) -> u8 {
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

/// SO_MEMINFO: octets held for reading and sending, and the limits of both.
pub(super) fn memory(
    stack: &mut Stack,
    now: Instant,
    id: SocketId,
    receive_buffer: u32,
    send_buffer: u32,
) -> [u8; SO_MEMINFO_LEN] {
    let mut words = [0u32; SO_MEMINFO_LEN / 4];
    if let Ok(socket) = stack.tcp(now, id) {
        words[0] = clamp(socket.readable() as u64); // SK_MEMINFO_RMEM_ALLOC
        words[5] = clamp(socket.unacked() as u64); // SK_MEMINFO_WMEM_QUEUED
    } else if let Ok(socket) = stack.udp(now, id) {
        words[0] = socket
            .peek()
            .map_or(0, |datagram| clamp(datagram.payload.len() as u64));
    }
    words[1] = receive_buffer; // SK_MEMINFO_RCVBUF
    words[3] = send_buffer; // SK_MEMINFO_SNDBUF
    let mut out = [0; SO_MEMINFO_LEN];
    for (place, word) in out.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::{offset_of, size_of};

    /// The offsets, against those of the system's own structure, as far as it is known there.
    #[test]
    fn fields_stand_where_linux_has_them() {
        use libc::tcp_info as linux;
        assert!(size_of::<linux>() <= TCP_INFO_LEN);
        let places = [
            (offset_of!(linux, tcpi_state), 0),
            (offset_of!(linux, tcpi_probes), 3),
            (offset_of!(linux, tcpi_backoff), 4),
            (offset_of!(linux, tcpi_options), 5),
            (offset_of!(linux, tcpi_rto), 8),
            (offset_of!(linux, tcpi_ato), 12),
            (offset_of!(linux, tcpi_snd_mss), 16),
            (offset_of!(linux, tcpi_rcv_mss), 20),
            (offset_of!(linux, tcpi_unacked), 24),
            (offset_of!(linux, tcpi_sacked), 28),
            (offset_of!(linux, tcpi_last_data_sent), 44),
            (offset_of!(linux, tcpi_last_data_recv), 52),
            (offset_of!(linux, tcpi_last_ack_recv), 56),
            (offset_of!(linux, tcpi_pmtu), 60),
            (offset_of!(linux, tcpi_rcv_ssthresh), 64),
            (offset_of!(linux, tcpi_rtt), 68),
            (offset_of!(linux, tcpi_rttvar), 72),
            (offset_of!(linux, tcpi_snd_ssthresh), 76),
            (offset_of!(linux, tcpi_snd_cwnd), 80),
            (offset_of!(linux, tcpi_advmss), 84),
            (offset_of!(linux, tcpi_reordering), 88),
            (offset_of!(linux, tcpi_rcv_space), 96),
            (offset_of!(linux, tcpi_total_retrans), 100),
        ];
        for (theirs, ours) in places {
            assert_eq!(theirs, ours);
        }
    }
}
