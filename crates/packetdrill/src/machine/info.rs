//! What Linux's structures tell of a connection: `struct tcp_info`, `union tcp_cc_info`, and the words of SO_MEMINFO.

use sockeye_net::tcp_info::{self, Layout};
use sockeye_stack::tcp::State;
use sockeye_stack::{Instant, SocketId, Stack};

/// Octets of `struct tcp_info` in Linux 6.18; programs that know a shorter one are given its beginning.
pub const TCP_INFO_LEN: usize = tcp_info::LEN;
/// Octets of `union tcp_cc_info`.
pub const TCP_CC_INFO_LEN: usize = 20;
/// Octets of what SO_MEMINFO tells: nine words.
pub const SO_MEMINFO_LEN: usize = 36;

fn clamp(n: u64) -> u32 {
    n.try_into().unwrap_or(u32::MAX)
}

/// TCP_INFO of a socket, as Linux lays it out.
pub(super) fn tcp_info(stack: &mut Stack, now: Instant, id: SocketId) -> Option<[u8; TCP_INFO_LEN]> {
    let delayed_ack = stack.config().delayed_ack;
    let socket = stack.tcp(now, id).ok()?;
    let state = socket.state();
    let layout = match socket.info() {
        // Linux tells the two figures of the accept queue here.
        None if state == State::Listen => {
            let mut layout = Layout::new(state);
            layout.set("tcpi_unacked", socket.acceptable() as u64);
            layout
        }
        None => Layout::new(state),
        Some(info) => {
            let mut layout = Layout::of(&info, now);
            layout.set("tcpi_ato", delayed_ack.as_micros());
            layout
        }
    };
    Some(*layout.octets())
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
            (offset_of!(linux, tcpi_state), "tcpi_state"),
            (offset_of!(linux, tcpi_probes), "tcpi_probes"),
            (offset_of!(linux, tcpi_backoff), "tcpi_backoff"),
            (offset_of!(linux, tcpi_options), "tcpi_options"),
            (offset_of!(linux, tcpi_rto), "tcpi_rto"),
            (offset_of!(linux, tcpi_ato), "tcpi_ato"),
            (offset_of!(linux, tcpi_snd_mss), "tcpi_snd_mss"),
            (offset_of!(linux, tcpi_rcv_mss), "tcpi_rcv_mss"),
            (offset_of!(linux, tcpi_unacked), "tcpi_unacked"),
            (offset_of!(linux, tcpi_sacked), "tcpi_sacked"),
            (offset_of!(linux, tcpi_last_data_sent), "tcpi_last_data_sent"),
            (offset_of!(linux, tcpi_last_data_recv), "tcpi_last_data_recv"),
            (offset_of!(linux, tcpi_last_ack_recv), "tcpi_last_ack_recv"),
            (offset_of!(linux, tcpi_pmtu), "tcpi_pmtu"),
            (offset_of!(linux, tcpi_rcv_ssthresh), "tcpi_rcv_ssthresh"),
            (offset_of!(linux, tcpi_rtt), "tcpi_rtt"),
            (offset_of!(linux, tcpi_rttvar), "tcpi_rttvar"),
            (offset_of!(linux, tcpi_snd_ssthresh), "tcpi_snd_ssthresh"),
            (offset_of!(linux, tcpi_snd_cwnd), "tcpi_snd_cwnd"),
            (offset_of!(linux, tcpi_advmss), "tcpi_advmss"),
            (offset_of!(linux, tcpi_reordering), "tcpi_reordering"),
            (offset_of!(linux, tcpi_rcv_space), "tcpi_rcv_space"),
            (offset_of!(linux, tcpi_total_retrans), "tcpi_total_retrans"),
        ];
        for (theirs, name) in places {
            let ours = tcp_info::FIELDS.iter().find(|(field, ..)| *field == name);
            assert_eq!(ours.map(|(_, at, _)| *at), Some(theirs), "{name}");
        }
    }
}
