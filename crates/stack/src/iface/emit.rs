//! Writing packets: link and IP headers, and fragments.

use core::net::IpAddr;

use super::layer::IpLayer;
use super::{Cast, Env, Full, IpFields, Link, Medium, Route};
use crate::InterfaceId;
use crate::frame::{Frame, Head, Payload, TxMeta};
use crate::trace::Cause;
use crate::wire::{ethernet, ipv4, ipv6, ipv6_extension, protocol};

/// Largest head: what stands in front of the payload of a packet that we make ourselves.
const HEADERS_MAX: usize = 128;

/// Which part of a datagram a packet carries.
#[derive(Clone, Copy)]
struct Part {
    offset: usize,
    more: bool,
    id: u32,
}

impl IpLayer {
    /// Writes link and IP header for `transport_len` octets (a super-segment may have more than the MTU takes) behind
    /// what stands in `out.head`, which is empty.
    pub(crate) fn prepare(
        &mut self,
        env: &mut Env<'_>,
        route: &Route,
        header: &IpFields,
        transport_len: usize,
        out: &mut Frame,
    ) -> Link {
        let ethertype = if header.destination.is_ipv4() {
            ethernet::IPV4
        } else {
            ethernet::IPV6
        };
        let link = self.write_link(env, route, ethertype, &mut out.head);
        self.write_ip(route, header, transport_len, None, &mut out.head);
        link
    }

    /// Writes the link header, with a destination of zeros if it is not known yet.
    pub(super) fn write_link(
        &mut self,
        env: &mut Env<'_>,
        route: &Route,
        ethertype: u16,
        head: &mut Head,
    ) -> Link {
        let Some(Medium::Ethernet { address }) = self.interface(route.interface).map(|i| i.medium) else {
            return Link::Ready;
        };
        let known = match route.cast {
            Cast::Broadcast => Some(ethernet::BROADCAST),
            Cast::Multicast => Some(ethernet::multicast(route.next_hop)),
            Cast::Unicast => self.neighbors.resolve(env.now, route.next_hop, route.interface),
        };
        let link = ethernet::Header {
            destination: known.unwrap_or_default(),
            source: address,
            ethertype,
            vlan: None,
        };
        ethernet::emit(&link, head.extend(ethernet::HEADER_LEN));
        if known.is_some() {
            Link::Ready
        } else {
            Link::Unresolved
        }
    }

    /// An identification for a packet that is not to be fragmented.
    #[inline]
    pub(crate) fn atomic_id(&mut self) -> u16 {
        self.ids.atomic()
    }

    fn write_ip(&mut self, route: &Route, f: &IpFields, len: usize, part: Option<Part>, head: &mut Head) {
        match (f.source, f.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let identification = match part {
                    Some(part) => part.id as u16,
                    None if f.dont_fragment => self.ids.atomic(),
                    None => self.ids.next(f.source, f.destination, f.protocol) as u16,
                };
                let header = ipv4::Header {
                    hop_limit: f.hop_limit,
                    traffic_class: f.traffic_class,
                    identification,
                    dont_fragment: f.dont_fragment,
                    more_fragments: part.is_some_and(|p| p.more),
                    fragment_offset: part.map_or(0, |p| p.offset as u16),
                    ..ipv4::Header::new(source, destination, f.protocol, ipv4::HEADER_LEN + len)
                };
                let at = head.len();
                ipv4::emit(&header, head.extend(ipv4::HEADER_LEN));
                if route.capabilities.no_checksums {
                    head.as_mut_slice()[at + ipv4::CHECKSUM_OFFSET..][..2].fill(0);
                }
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let extra = if part.is_some() {
                    ipv6_extension::FRAGMENT_LEN
                } else {
                    0
                };
                let next = if part.is_some() {
                    protocol::FRAGMENT
                } else {
                    f.protocol
                };
                let header = ipv6::Header {
                    hop_limit: f.hop_limit,
                    traffic_class: f.traffic_class,
                    ..ipv6::Header::new(source, destination, next, extra + len)
                };
                ipv6::emit(&header, head.extend(ipv6::HEADER_LEN));
                if let Some(p) = part {
                    let out = head.extend(ipv6_extension::FRAGMENT_LEN);
                    ipv6_extension::emit_fragment(f.protocol, p.offset as u16, p.more, p.id, out);
                }
            }
            // Routes have one family, and transports take their addresses from them.
            _ => debug_assert!(false, "addresses of two families in one packet"),
        }
    }

    /// Queues a datagram, in fragments where the path's MTU asks for them. `transport_header` is at most 64 octets.
    /// Where the queue has no room for all of it, nothing is queued.
    pub(crate) fn send_datagram(
        &mut self,
        env: &mut Env<'_>,
        route: &Route,
        header: &IpFields,
        transport_header: &[u8],
        mut payload: Payload,
        cause: Cause,
    ) -> Result<(), Full> {
        let total = transport_header.len() + payload.len();
        let v4 = header.destination.is_ipv4();
        let ip_len = if v4 { ipv4::HEADER_LEN } else { ipv6::HEADER_LEN };
        let mtu = route.mtu as usize;
        if ip_len + total <= mtu {
            if !self.queue.has_room(1, HEADERS_MAX + total) {
                return Err(Full);
            }
            let mut frame = Frame::new();
            let link = self.prepare(env, route, header, total, &mut frame);
            frame
                .head
                .extend(transport_header.len())
                .copy_from_slice(transport_header);
            frame.body = payload;
            self.dispatch(env, route, link, frame, cause);
            return Ok(());
        }
        let extra = if v4 { 0 } else { ipv6_extension::FRAGMENT_LEN };
        // All parts but the last are multiples of 8; an MTU of 68 or more leaves 48.
        let step = (mtu.saturating_sub(ip_len + extra) & !7).max(8);
        let count = total.div_ceil(step);
        if !self.queue.has_room(count, total + count * HEADERS_MAX) {
            return Err(Full);
        }
        let id = self.ids.next(header.source, header.destination, header.protocol);
        let fields = IpFields {
            dont_fragment: false,
            ..*header
        };
        let ethertype = if v4 { ethernet::IPV4 } else { ethernet::IPV6 };
        let mut offset = 0;
        while offset < total {
            let len = step.min(total - offset);
            let more = offset + len < total;
            let mut frame = Frame::new();
            let link = self.write_link(env, route, ethertype, &mut frame.head);
            self.write_ip(
                route,
                &fields,
                len,
                Some(Part { offset, more, id }),
                &mut frame.head,
            );
            // The transport header may itself be cut, on a link of the smallest MTU.
            let from_header = transport_header.get(offset..).unwrap_or_default();
            let from_header = &from_header[..from_header.len().min(len)];
            frame.head.extend(from_header.len()).copy_from_slice(from_header);
            frame.body = payload.split_to(len - from_header.len());
            self.dispatch(env, route, link, frame, cause);
            offset += len;
        }
        Ok(())
    }

    /// Queues a frame, or keeps it until its neighbour is known.
    pub(super) fn dispatch(
        &mut self,
        env: &mut Env<'_>,
        route: &Route,
        link: Link,
        frame: Frame,
        cause: Cause,
    ) {
        match link {
            Link::Ready => self.enqueue(env, route.interface, frame, cause),
            Link::Unresolved => self.park(env, route, frame, cause),
        }
    }

    /// Queues a finished frame; a full queue drops it.
    pub(super) fn enqueue(&mut self, env: &mut Env<'_>, on: InterfaceId, frame: Frame, cause: Cause) {
        let meta = TxMeta {
            interface: on,
            gso_size: 0,
            checksum: None,
            cause,
        };
        if self.queue.push(frame, meta).is_err() {
            env.dropped(crate::trace::DropReason::TransmitQueueFull);
        }
    }
}
