//! Packets of the layer's own that need fields which transports have no use for: hop limits of 1 and 255, router
//! alerts, sources that are not routable.

use bytes::Bytes;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::layer::IpLayer;
use super::{Cast, Env, Link, PlainLink, Route};
use crate::InterfaceId;
use crate::frame::{Frame, Payload};
use crate::trace::Cause;
use crate::wire::{ethernet, icmpv6, ipv4, ipv6, ipv6_extension, protocol};

/// Hop limit of neighbour discovery: proof that no router passed it on (RFC 4861).
pub(super) const ON_LINK: u8 = 255;

/// Where an ICMPv6 message of the layer goes.
#[derive(Clone, Copy)]
pub(super) struct To {
    pub(super) source: Ipv6Addr,
    pub(super) destination: Ipv6Addr,
    /// The link address, where a message told it.
    pub(super) link: Option<ethernet::Address>,
}

impl IpLayer {
    fn control_route(&self, on: InterfaceId, source: IpAddr, destination: IpAddr) -> Option<Route> {
        let interface = self.interface(on)?;
        let many = destination.is_multicast();
        Some(Route {
            source,
            next_hop: destination,
            mtu: interface.mtu,
            capabilities: interface.capabilities,
            interface: on,
            cast: if many { Cast::Multicast } else { Cast::Unicast },
            loopback: false,
            hop_limit: 0,
            plain: PlainLink::No,
        })
    }

    /// Sends an ICMPv6 message whose checksum is still to be written. Membership messages (`alert`) carry a router alert and
    /// hop limit 1 (RFC 3810 section 5), the others hop limit 255.
    pub(super) fn send_control_v6(
        &mut self,
        env: &mut Env<'_>,
        on: InterfaceId,
        to: To,
        message: &mut [u8],
        alert: bool,
        cause: Cause,
    ) {
        let Some(route) = self.control_route(on, to.source.into(), to.destination.into()) else {
            return;
        };
        icmpv6::fill_checksum(to.source, to.destination, message);
        let mut frame = Frame::new();
        let mut link = self.write_link(env, &route, ethernet::IPV6, &mut frame.head);
        if let (Link::Unresolved, Some(address)) = (link, to.link) {
            frame.head.as_mut_slice()[..6].copy_from_slice(&address);
            link = Link::Ready;
        }
        let extra = if alert {
            ipv6_extension::ROUTER_ALERT_LEN
        } else {
            0
        };
        let next = if alert {
            protocol::HOP_BY_HOP
        } else {
            protocol::ICMPV6
        };
        let header = ipv6::Header {
            hop_limit: if alert { 1 } else { ON_LINK },
            ..ipv6::Header::new(to.source, to.destination, next, extra + message.len())
        };
        ipv6::emit(&header, frame.head.extend(ipv6::HEADER_LEN));
        if alert {
            let out = frame.head.extend(ipv6_extension::ROUTER_ALERT_LEN);
            ipv6_extension::emit_router_alert(protocol::ICMPV6, out);
        }
        frame.body = Payload::from(Bytes::copy_from_slice(message));
        self.dispatch(env, &route, link, frame, cause);
    }

    /// Sends an IGMP message, its checksum written: TTL 1 and a router alert (RFC 3376 section 4).
    pub(super) fn send_igmp(&mut self, env: &mut Env<'_>, on: InterfaceId, to: Ipv4Addr, message: &[u8]) {
        let source = match self.addresses.source_for(to.into(), on) {
            Some(IpAddr::V4(a)) => a,
            _ => Ipv4Addr::UNSPECIFIED,
        };
        let Some(route) = self.control_route(on, source.into(), to.into()) else {
            return;
        };
        let mut frame = Frame::new();
        let link = self.write_link(env, &route, ethernet::IPV4, &mut frame.head);
        let len = ipv4::ROUTER_ALERT_LEN + message.len();
        let header = ipv4::Header {
            hop_limit: 1,
            // Internetwork control (RFC 3376 section 4).
            traffic_class: 0xc0,
            identification: self.ids.atomic(),
            router_alert: true,
            ..ipv4::Header::new(source, to, protocol::IGMP, len)
        };
        ipv4::emit(&header, frame.head.extend(ipv4::ROUTER_ALERT_LEN));
        frame.body = Payload::from(Bytes::copy_from_slice(message));
        self.dispatch(env, &route, link, frame, Cause::Membership);
    }
}
