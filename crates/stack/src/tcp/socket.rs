//! A TCP socket, borrowed from its stack for one or more calls.

use bytes::Bytes;
use core::marker::PhantomData;
use core::net::SocketAddr;

use super::State;
use crate::Payload;
use crate::config::CongestionControl;
use crate::error::{ConnectionError, RecvError, SendError};
use crate::time::Duration;

/// When and how often an idle connection is probed (RFC 9293 section 3.8.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keepalive {
    /// Idle time before the first probe.
    pub idle: Duration,
    /// Time between probes.
    pub interval: Duration,
    /// Probes without answer before the connection ends.
    pub count: u8,
}

/// Options of a TCP socket. Connections inherit their listener's.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TcpOptions {
    /// An IPv6 wildcard takes no IPv4 connections (IPV6_V6ONLY).
    pub ipv6_only: bool,
    /// Bind over TIME-WAIT entries (SO_REUSEADDR).
    pub reuse_address: bool,
    /// Share the port with other sockets that set it too (SO_REUSEPORT).
    pub reuse_port: bool,
    /// Switch Nagle's rule off (TCP_NODELAY, MUST-17).
    pub nodelay: bool,
    /// Send full segments only, until this is cleared (TCP_CORK).
    pub cork: bool,
    /// Acknowledge at once (TCP_QUICKACK).
    pub quick_ack: bool,
    /// Probe the idle connection (SO_KEEPALIVE, MUST-24, MUST-25: off by default).
    pub keepalive: Option<Keepalive>,
    /// What close does with unsent data (SO_LINGER): `None` sends it in the background, zero resets.
    pub linger: Option<Duration>,
    /// R2 for this connection (TCP_USER_TIMEOUT, MUST-21).
    pub user_timeout: Option<Duration>,
    /// Send buffer in octets; `None`: the stack's.
    pub send_buffer: Option<u32>,
    /// Receive buffer in octets; `None`: grows by measurement.
    pub receive_buffer: Option<u32>,
    /// Largest segment to offer and to send (TCP_MAXSEG).
    pub max_segment: Option<u16>,
    /// Congestion control (TCP_CONGESTION); `None`: the stack's.
    pub congestion_control: Option<CongestionControl>,
    /// TTL or hop limit (MUST-49); `None`: the stack's.
    pub hop_limit: Option<u8>,
    /// DiffServ and ECN field (MUST-48).
    pub traffic_class: u8,
    /// Leave urgent data in the stream (SO_OOBINLINE).
    pub urgent_inline: bool,
}

/// (being built)
#[derive(Debug)]
pub struct TcpSocket<'a>(PhantomData<&'a mut ()>);

/// What is known of a connection (TCP_INFO). Times and octets as named.
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
    /// Timeouts in a row that are not answered yet.
    pub backoff: u8,
}

#[allow(unused_variables, missing_docs, clippy::missing_errors_doc)]
impl TcpSocket<'_> {
    pub fn state(&self) -> State {
        todo!()
    }
    pub fn local_addr(&self) -> Option<SocketAddr> {
        todo!()
    }
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        todo!()
    }
    pub fn send(&mut self, data: &[u8]) -> Result<usize, SendError> {
        todo!()
    }
    pub fn send_bytes(&mut self, data: Bytes) -> Result<usize, SendError> {
        todo!()
    }
    pub fn send_urgent(&mut self, data: &[u8]) -> Result<usize, SendError> {
        todo!()
    }
    pub fn recv(&mut self, out: &mut [u8]) -> Result<usize, RecvError> {
        todo!()
    }
    pub fn peek(&mut self, out: &mut [u8]) -> Result<usize, RecvError> {
        todo!()
    }
    pub fn recv_bytes(&mut self, max: usize) -> Result<Payload, RecvError> {
        todo!()
    }
    pub fn recv_urgent(&mut self) -> Result<u8, RecvError> {
        todo!()
    }
    pub fn at_urgent_mark(&self) -> bool {
        todo!()
    }
    pub fn readable(&self) -> usize {
        todo!()
    }
    pub fn writable(&self) -> usize {
        todo!()
    }
    pub fn unacked(&self) -> usize {
        todo!()
    }
    pub fn shutdown_send(&mut self) -> Result<(), SendError> {
        todo!()
    }
    pub fn shutdown_recv(&mut self) {
        todo!()
    }
    pub fn close(self) {
        todo!()
    }
    pub fn abort(self) {
        todo!()
    }
    pub fn take_error(&mut self) -> Option<ConnectionError> {
        todo!()
    }
    pub fn options(&self) -> TcpOptions {
        todo!()
    }
    pub fn set_options(&mut self, options: TcpOptions) {
        todo!()
    }
    pub fn info(&self) -> TcpInfo {
        todo!()
    }
}
