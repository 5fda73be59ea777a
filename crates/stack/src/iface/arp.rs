//! ARP (RFC 826, RFC 1122 section 2.3.2).

use core::net::Ipv4Addr;

use super::layer::IpLayer;
use super::neighbor::Told;
use super::receive::Rx;
use super::{Env, Medium};
use crate::InterfaceId;
use crate::frame::Frame;
use crate::trace::{Cause, DropReason};
use crate::wire::{arp, ethernet};

impl IpLayer {
    /// Takes an ARP packet. Entries are made for those who ask for us, and updated, never made, by everything else:
    /// a gratuitous ARP cannot fill the cache.
    pub(super) fn receive_arp(
        &mut self,
        env: &mut Env<'_>,
        rx: Rx,
        frame: &mut Frame,
    ) -> Result<(), DropReason> {
        frame.pull_up(rx.network + arp::PACKET_LEN);
        let packet = arp::parse(&frame.front()[rx.network..])?;
        let sender = packet.sender;
        let target_local = self.addresses.find(packet.target.into(), rx.on).is_some();
        let bad = sender.is_multicast() || self.addresses.is_broadcast(sender) || sender.is_loopback();
        if bad || self.is_local(sender.into()) {
            return Err(DropReason::BadSource);
        }
        let asks_us = target_local && packet.operation == arp::Operation::Request;
        if !sender.is_unspecified() {
            let told = Told {
                link: Some(packet.sender_link),
                // An answer to us alone is an answer to a question of ours.
                solicited: packet.operation == arp::Operation::Reply && target_local && !rx.link_to_many,
                replaces: true,
                creates: asks_us,
                router: None,
            };
            self.learn(env, rx.on, sender.into(), told);
        }
        if asks_us {
            let reply = arp::Packet {
                operation: arp::Operation::Reply,
                sender_link: [0; 6],
                sender: packet.target,
                target_link: packet.sender_link,
                target: sender,
            };
            self.send_arp(env, rx.on, reply, packet.sender_link, Cause::NeighborReply);
        }
        Ok(())
    }

    /// Asks for a link address: everybody, or the one who had it.
    pub(super) fn ask_arp(
        &mut self,
        env: &mut Env<'_>,
        on: InterfaceId,
        target: Ipv4Addr,
        link: Option<ethernet::Address>,
    ) {
        let Some(core::net::IpAddr::V4(sender)) = self.addresses.source_for(target.into(), on) else {
            return;
        };
        let request = arp::Packet {
            operation: arp::Operation::Request,
            sender_link: [0; 6],
            sender,
            target_link: [0; 6],
            target,
        };
        let to = link.unwrap_or(ethernet::BROADCAST);
        self.send_arp(env, on, request, to, Cause::NeighborRequest);
    }

    fn send_arp(
        &mut self,
        env: &mut Env<'_>,
        on: InterfaceId,
        mut packet: arp::Packet,
        to: ethernet::Address,
        cause: Cause,
    ) {
        let Some(Medium::Ethernet { address }) = self.interface(on).map(|i| i.medium) else {
            return;
        };
        packet.sender_link = address;
        let link = ethernet::Header {
            destination: to,
            source: address,
            ethertype: ethernet::ARP,
            vlan: None,
        };
        let mut frame = Frame::new();
        ethernet::emit(&link, frame.head.extend(ethernet::HEADER_LEN));
        arp::emit(&packet, frame.head.extend(arp::PACKET_LEN));
        self.enqueue(env, on, frame, cause);
    }
}
