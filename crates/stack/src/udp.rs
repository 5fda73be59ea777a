//! UDP (RFC 768).

use core::marker::PhantomData;
use core::net::{IpAddr, SocketAddr};

use crate::InterfaceId;
use crate::Payload;
use crate::error::{ConnectionError, UdpError};

/// Options of a UDP socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UdpOptions {
    /// An IPv6 wildcard takes no IPv4 datagrams (IPV6_V6ONLY).
    pub ipv6_only: bool,
    /// Share address and port with other sockets that set it too (SO_REUSEADDR).
    pub reuse_address: bool,
    /// Share the port, datagrams spread over the sockets (SO_REUSEPORT).
    pub reuse_port: bool,
    /// May send to broadcast addresses (SO_BROADCAST).
    pub broadcast: bool,
    /// TTL or hop limit; `None`: the stack's.
    pub hop_limit: Option<u8>,
    /// TTL or hop limit of multicast (1 by default).
    pub multicast_hop_limit: u8,
    /// Multicast that we send is received by our own members too (on by default).
    pub multicast_loop: bool,
    /// Interface for multicast; `None`: by route.
    pub multicast_interface: Option<InterfaceId>,
    /// DiffServ and ECN field.
    pub traffic_class: u8,
    /// Octets of datagrams held; `None`: the stack's.
    pub receive_buffer: Option<u32>,
}

impl Default for UdpOptions {
    fn default() -> Self {
        UdpOptions {
            ipv6_only: false,
            reuse_address: false,
            reuse_port: false,
            broadcast: false,
            hop_limit: None,
            multicast_hop_limit: 1,
            multicast_loop: true,
            multicast_interface: None,
            traffic_class: 0,
            receive_buffer: None,
        }
    }
}

/// A received datagram, whole: boundaries are kept.
#[derive(Clone, Debug)]
pub struct Datagram {
    /// Its content; may be empty.
    pub payload: Payload,
    /// Who sent it.
    pub source: SocketAddr,
    /// Where it was sent to: ours, a broadcast address or a group.
    pub destination: SocketAddr,
    /// The interface it came by.
    pub interface: InterfaceId,
    /// TTL or hop limit as it came.
    pub hop_limit: u8,
    /// DiffServ and ECN field as it came.
    pub traffic_class: u8,
}

/// (being built)
#[derive(Debug)]
pub struct UdpSocket<'a>(PhantomData<&'a mut ()>);

#[derive(Debug)]
pub(crate) struct Udp;
use crate::error::*;
use crate::frame::*;
use crate::iface::*;
use crate::stack::*;
#[allow(unused)]
impl Udp {
    pub(crate) fn new(key: [u8; 16]) -> Self {
        Udp
    }
    pub(crate) fn handle_packet(
        &mut self,
        env: &mut Env<'_>,
        ip: &mut IpLayer,
        events: &mut Events,
        packet: Packet,
    ) {
    }
    pub(crate) fn handle_icmp(
        &mut self,
        env: &mut Env<'_>,
        ip: &mut IpLayer,
        events: &mut Events,
        n: &IcmpNotice,
    ) {
    }
    pub(crate) fn poll_transmit(
        &mut self,
        env: &mut Env<'_>,
        ip: &mut IpLayer,
        events: &mut Events,
        out: &mut Frame,
    ) -> Option<TxMeta> {
        None
    }
    pub(crate) fn take_pending(&mut self, id: SocketId) -> Readiness {
        Readiness::empty()
    }
    pub(crate) fn rows(&self, rows: &mut alloc::vec::Vec<crate::snapshot::SocketRow>) {}
    pub(crate) fn socket(&mut self, o: UdpOptions) -> SocketId {
        todo!()
    }
    pub(crate) fn bind(
        &mut self,
        env: &mut Env<'_>,
        ip: &mut IpLayer,
        id: SocketId,
        local: SocketAddr,
    ) -> Result<(), BindError> {
        todo!()
    }
    pub(crate) fn borrow<'a>(
        &'a mut self,
        env: Env<'a>,
        ip: &'a mut IpLayer,
        events: &'a mut Events,
        id: SocketId,
    ) -> Result<UdpSocket<'a>, StaleSocket> {
        todo!()
    }
}

#[allow(unused_variables, missing_docs, clippy::missing_errors_doc)]
impl UdpSocket<'_> {
    pub fn send_to(&mut self, data: &[u8], to: SocketAddr) -> Result<(), UdpError> {
        todo!()
    }
    pub fn send(&mut self, data: &[u8]) -> Result<(), UdpError> {
        todo!()
    }
    pub fn recv(&mut self) -> Result<Datagram, UdpError> {
        todo!()
    }
    pub fn peek(&self) -> Result<&Datagram, UdpError> {
        todo!()
    }
    pub fn connect(&mut self, to: SocketAddr) -> Result<(), UdpError> {
        todo!()
    }
    pub fn disconnect(&mut self) {
        todo!()
    }
    pub fn join(&mut self, group: IpAddr, on: Option<InterfaceId>) -> Result<(), UdpError> {
        todo!()
    }
    pub fn leave(&mut self, group: IpAddr, on: Option<InterfaceId>) -> Result<(), UdpError> {
        todo!()
    }
    pub fn local_addr(&self) -> Option<SocketAddr> {
        todo!()
    }
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        todo!()
    }
    pub fn options(&self) -> UdpOptions {
        todo!()
    }
    pub fn set_options(&mut self, options: UdpOptions) {
        todo!()
    }
    pub fn take_error(&mut self) -> Option<ConnectionError> {
        todo!()
    }
    pub fn close(self) {
        todo!()
    }
}
