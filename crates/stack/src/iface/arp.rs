//! ARP (RFC 826, RFC 1122 section 2.3.2).

use core::net::Ipv4Addr;

use super::layer::IpLayer;
use super::neighbor::Told;
use super::receive::Rx;
use super::{Env, Medium};
use crate::InterfaceId;
use crate::frame::Frame;
use crate::time::Duration;
use crate::trace::{Cause, DropReason};
use crate::wire::{arp, ethernet};

/// DEFEND_INTERVAL (RFC 5227 section 1.1).
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);

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
        if !bad && self.addresses.find(sender.into(), rx.on).is_some() {
            self.defend(env, rx.on, sender);
            return Err(DropReason::AddressConflict);
        }
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

    /// Somebody else uses our address: the link is told again whose it is, once in ten seconds (RFC 5227 section 2.4 (c)).
    fn defend(&mut self, env: &mut Env<'_>, on: InterfaceId, address: Ipv4Addr) {
        if env.now < self.defends_at {
            return;
        }
        self.defends_at = env.now + DEFEND_INTERVAL;
        let announcement = arp::Packet {
            operation: arp::Operation::Request,
            sender_link: [0; 6],
            sender: address,
            target_link: [0; 6],
            target: address,
        };
        self.send_arp(env, on, announcement, ethernet::BROADCAST, Cause::NeighborReply);
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
