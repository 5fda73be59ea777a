//! A TCP peer made by hand, for segments that no well-behaved stack would send at that moment.

use std::net::{IpAddr, SocketAddr};

use sockeye_stack::tcp::Flags;

use super::stage::{Scene, address};
use crate::packet::{Packet, tcp_packet};
use crate::world::NodeId;

/// One end of a connection, at a node without a stack.
#[derive(Clone, Copy)]
pub(super) struct Peer {
    node: NodeId,
    own: (IpAddr, u16),
    other: (IpAddr, u16),
    /// The sequence number of the next segment.
    pub(super) seq: u32,
    /// The next octet expected.
    pub(super) ack: u32,
}

impl Peer {
    /// An end at `own` that talks to `other`, with this initial sequence number.
    pub(super) fn new(node: NodeId, own: &str, other: &str, seq: u32) -> Peer {
        let pair = |address: SocketAddr| (address.ip(), address.port());
        Peer {
            node,
            own: pair(address(own)),
            other: pair(address(other)),
            seq,
            ack: 0,
        }
    }
    /// Sends a segment, and counts what it takes of the sequence space.
    pub(super) fn send(&mut self, scene: &mut Scene<'_>, flags: Flags, payload: &[u8]) {
        let packet = tcp_packet(self.own, self.other, self.seq, self.ack, flags, payload);
        scene.world.inject(self.node, 0, packet);
        let controls = u32::from(flags.contains(Flags::SYN)) + u32::from(flags.contains(Flags::FIN));
        self.seq = self.seq.wrapping_add(payload.len() as u32 + controls);
        scene.settle();
    }
    /// What has come for this end since the last look, and the acknowledgment that it asks for.
    pub(super) fn received(&mut self, packets: &[Packet]) -> Vec<Packet> {
        let mine = packets.iter().filter(|packet| {
            packet.destination == self.own.0
                && packet.destination_port == self.own.1
                && (packet.source, packet.source_port) == self.other
        });
        let mine: Vec<Packet> = mine.copied().collect();
        for packet in &mine {
            let controls =
                u32::from(packet.flags.contains(Flags::SYN)) + u32::from(packet.flags.contains(Flags::FIN));
            let next = packet.seq.0.wrapping_add(packet.payload_len as u32 + controls);
            if self.ack == 0 || next.wrapping_sub(self.ack) < 1 << 31 {
                self.ack = next;
            }
        }
        mine
    }
}

/// All TCP segments that have come to a node without a stack since the last look.
pub(super) fn take(scene: &mut Scene<'_>, node: NodeId) -> Vec<Packet> {
    let frames = scene.world.received(node);
    frames
        .iter()
        .filter_map(|(_, _, frame)| Packet::parse(frame, sockeye_stack::Medium::Ip))
        .collect()
}
