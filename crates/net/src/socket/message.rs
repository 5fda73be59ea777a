//! What goes with a message beside its bytes.

use std::net::IpAddr;
use std::os::fd::OwnedFd;

use bitflags::bitflags;

use super::Address;

bitflags! {
    /// Flags of one call, and of a received message. The values are Linux's.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Flags: u32 {
        /// The urgent octet (MSG_OOB).
        const OOB = 0x01;
        /// Look, and leave it where it is (MSG_PEEK).
        const PEEK = 0x02;
        /// Received: ancillary data did not fit (MSG_CTRUNC).
        const CTRUNC = 0x08;
        /// Tell the length of the datagram, even where it is more than the buffer (MSG_TRUNC). On a TCP socket: drop the
        /// data instead of copying it. Received: the datagram was longer than the buffer, and its rest is gone.
        const TRUNC = 0x20;
        /// Do not wait (MSG_DONTWAIT).
        const DONTWAIT = 0x40;
        /// Wait until the buffer is full, the stream ends or an error comes (MSG_WAITALL). Datagrams do not heed it, nor
        /// do sockets that do not block or have a timeout.
        const WAITALL = 0x100;
    }
}

/// Ancillary data: what `recvmsg` tells and `sendmsg` is told of a message.
#[derive(Debug)]
#[non_exhaustive]
pub enum Ancillary {
    /// Where a datagram was sent to, and the interface it came by (IP_PKTINFO, IPV6_PKTINFO). Received when
    /// [`SockOpt::RecvPacketInfo`](super::SockOpt::RecvPacketInfo) is set.
    PacketInfo {
        /// The destination: ours, a broadcast address or a group.
        destination: IpAddr,
        /// Index of the interface, counted from 1 (on a stack in the order of adding).
        interface: u32,
    },
    /// TTL or hop limit. Received when [`SockOpt::RecvHopLimit`](super::SockOpt::RecvHopLimit) is set.
    HopLimit(u8),
    /// DiffServ and ECN field. Received when [`SockOpt::RecvTrafficClass`](super::SockOpt::RecvTrafficClass) is set.
    TrafficClass(u8),
    /// Descriptors, over AF_UNIX (SCM_RIGHTS). The receiver gets duplicates; the ones given are closed.
    Rights(Vec<OwnedFd>),
}

/// What `recvmsg` says.
#[derive(Debug)]
pub struct Message {
    /// Octets in the buffers, or with [`Flags::TRUNC`] asked for, octets of the datagram.
    pub len: usize,
    /// TRUNC, CTRUNC, OOB.
    pub flags: Flags,
    /// Who sent it; `None` on a connection.
    pub address: Option<Address>,
    /// What was asked for by options.
    pub ancillary: Vec<Ancillary>,
}

impl Message {
    /// Before anything was received.
    pub(crate) fn nothing() -> Message {
        Message {
            len: 0,
            flags: Flags::empty(),
            address: None,
            ancillary: Vec::new(),
        }
    }
}
