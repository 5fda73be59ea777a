//! Neighbour discovery (RFC 4861): solicitations and advertisements. Routers and autoconfiguration are in `autoconf`.

use core::net::{IpAddr, Ipv6Addr};

use super::addresses::AddressState;
use super::control::To;
use super::layer::IpLayer;
use super::neighbor::Told;
use super::receive::{Facts, Received, Rx};
use super::{Env, Medium};
use crate::InterfaceId;
use crate::frame::Frame;
use crate::trace::{Cause, DropReason};
use crate::wire::{ethernet, ipv6, ndp};

impl IpLayer {
    pub(super) fn receive_ndp(
        &mut self,
        env: &mut Env<'_>,
        rx: Rx,
        frame: &mut Frame,
        facts: Facts,
    ) -> Received<'static> {
        let (IpAddr::V6(source), IpAddr::V6(destination)) = (facts.source, facts.destination) else {
            return Err(DropReason::Malformed);
        };
        if !matches!(
            self.interface(rx.on).map(|i| i.medium),
            Some(Medium::Ethernet { .. })
        ) {
            return Err(DropReason::UnknownProtocol);
        }
        frame.pull_up(frame.len());
        let message = frame.front().get(facts.at..).unwrap_or_default();
        match ndp::parse(message, source, destination, facts.hop_limit)? {
            ndp::Message::NeighborSolicitation { target, source_link } => {
                self.solicited(env, rx, source, target, source_link)
            }
            ndp::Message::NeighborAdvertisement {
                target,
                router,
                solicited,
                override_known,
                target_link,
            } => {
                let told = Told {
                    link: target_link,
                    solicited,
                    replaces: override_known,
                    creates: false,
                    router: Some(router),
                };
                self.advertised(env, rx, target, told)
            }
            ndp::Message::RouterAdvertisement {
                advertisement,
                options,
            } => {
                self.router_advertised(env, rx.on, source, &advertisement, options);
                Ok(None)
            }
            // We are no router; and redirects are refused: a host's routes are its own.
            ndp::Message::RouterSolicitation { .. } | ndp::Message::Redirect => {
                Err(DropReason::UnknownProtocol)
            }
        }
    }

    /// Somebody asks for a link address, or whether an address is free (RFC 4861 section 7.2.3, RFC 4862 section 5.4.3).
    fn solicited(
        &mut self,
        env: &mut Env<'_>,
        rx: Rx,
        source: Ipv6Addr,
        target: Ipv6Addr,
        source_link: Option<ethernet::Address>,
    ) -> Received<'static> {
        let local = self
            .addresses
            .find(target.into(), rx.on)
            .ok_or(DropReason::NotForUs)?;
        if local.state == AddressState::Tentative {
            // Another node checks the same address: neither may have it. Other questions stay unanswered.
            if source.is_unspecified() {
                self.duplicate_found(env, rx.on, target);
            }
            return Ok(None);
        }
        let mut to = To {
            source: target,
            destination: source,
            link: source_link,
        };
        if source.is_unspecified() {
            to.destination = super::address::ALL_NODES;
        } else if source_link.is_some() {
            let told = Told {
                link: source_link,
                solicited: false,
                replaces: true,
                creates: true,
                router: None,
            };
            self.learn(env, rx.on, source.into(), told);
        }
        let answer = ndp::Message::NeighborAdvertisement {
            target,
            router: false,
            solicited: !source.is_unspecified(),
            override_known: true,
            target_link: self.link_address(rx.on),
        };
        self.send_ndp(env, rx.on, to, &answer, Cause::NeighborReply);
        Ok(None)
    }

    fn advertised(&mut self, env: &mut Env<'_>, rx: Rx, target: Ipv6Addr, told: Told) -> Received<'static> {
        if let Some(local) = self.addresses.find(target.into(), rx.on) {
            if local.state == AddressState::Tentative {
                self.duplicate_found(env, rx.on, target);
                return Ok(None);
            }
            return Err(DropReason::AddressConflict);
        }
        if told.router == Some(false) {
            // It was a router, and is none any more (RFC 4861 section 7.2.5).
            self.forget_router(rx.on, target);
        }
        self.learn(env, rx.on, target.into(), told);
        Ok(None)
    }

    pub(super) fn link_address(&self, on: InterfaceId) -> Option<ethernet::Address> {
        match self.interface(on)?.medium {
            Medium::Ethernet { address } => Some(address),
            Medium::Ip => None,
        }
    }

    /// Asks for a link address: the target's solicited-node group, or the one who had it.
    pub(super) fn ask_ndp(
        &mut self,
        env: &mut Env<'_>,
        on: InterfaceId,
        target: Ipv6Addr,
        link: Option<ethernet::Address>,
        source: Option<IpAddr>,
    ) {
        // RFC 4861 section 7.2.2: of the packet that asks, if it is this interface's.
        let source = source
            .filter(|&s| self.addresses.find(s, on).is_some())
            .or_else(|| self.addresses.source_for(target.into(), on));
        let Some(IpAddr::V6(source)) = source else { return };
        let to = To {
            source,
            destination: if link.is_some() {
                target
            } else {
                ipv6::solicited_node(target)
            },
            link,
        };
        let question = ndp::Message::NeighborSolicitation {
            target,
            source_link: self.link_address(on),
        };
        self.send_ndp(env, on, to, &question, Cause::NeighborRequest);
    }

    pub(super) fn send_ndp(
        &mut self,
        env: &mut Env<'_>,
        on: InterfaceId,
        to: To,
        message: &ndp::Message<'_>,
        cause: Cause,
    ) {
        let mut bytes = [0; ndp::MAX_NEIGHBOR_LEN];
        let len = ndp::emit(message, &mut bytes[..]);
        self.send_control_v6(env, on, to, &mut bytes[..len], false, cause);
    }
}
