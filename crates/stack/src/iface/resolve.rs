//! From next hop to link address: the neighbour cache at work, for ARP and NDP alike.

use alloc::collections::VecDeque;
use core::net::{IpAddr, SocketAddr};

use super::layer::IpLayer;
use super::neighbor::{Due, Told, Waiting};
use super::{Env, IcmpError, IcmpNotice, Medium, Path, Route};
use crate::InterfaceId;
use crate::frame::{Frame, TxMeta};
use crate::time::{Duration, Instant};
use crate::trace::{Cause, DropReason};
use crate::wire::{ethernet, ipv4, ipv6, protocol};

/// Notices of undeliverable frames that nobody took yet; beyond them they are lost.
const NOTICES_MAX: usize = 256;

impl IpLayer {
    /// Keeps a finished frame whose next hop's link address is unknown, asks for it, and sends the frame when it is known.
    /// The frame has its checksum; see [`IpLayer::park_meta`] for one that leaves it to the device.
    pub(crate) fn park(&mut self, env: &mut Env<'_>, route: &Route, frame: Frame, cause: Cause) {
        let meta = TxMeta {
            interface: route.interface,
            gso_size: 0,
            checksum: None,
            cause,
        };
        self.park_meta(env, route, frame, meta);
    }

    /// As [`IpLayer::park`], for a frame with all that is to be told to the device.
    pub(crate) fn park_meta(&mut self, env: &mut Env<'_>, route: &Route, frame: Frame, meta: TxMeta) {
        let retrans = self
            .interface(route.interface)
            .map_or(super::neighbor::RETRANS_TIMER, |i| i.retrans);
        let (to, on) = (route.next_hop, route.interface);
        let parked = self.neighbors.park(env.now, to, on, retrans, frame, meta);
        for _ in 0..parked.dropped {
            env.dropped(DropReason::TransmitQueueFull);
        }
        if parked.ask {
            self.ask(env, on, to, None, Some(route.source));
        }
    }

    /// Upper-layer confirmation that the next hop delivers: new data of ours was acknowledged (RFC 4861 section 7.3.1).
    #[inline]
    pub(crate) fn confirm_reachable(&mut self, now: Instant, path: impl Into<Path>) {
        let path = path.into();
        let Some(interface) = self.interface(path.interface) else {
            return;
        };
        if interface.medium != Medium::Ip {
            let reachable = interface.reachable;
            self.neighbors
                .confirm(now, path.next_hop, path.interface, reachable);
        }
    }

    /// A connection has heard nothing for long: is the next hop there? (RFC 1122 section 3.3.1.4: negative advice; MUST-20.)
    /// If it is not, another router serves.
    pub(crate) fn doubt(&mut self, now: Instant, path: Path) {
        self.neighbors.doubt(now, path.next_hop, path.interface);
    }

    /// Takes what a message says of a neighbour, and sends what waited for it.
    pub(super) fn learn(&mut self, env: &mut Env<'_>, on: InterfaceId, neighbor: IpAddr, told: Told) {
        let base = self
            .interface(on)
            .map_or(super::neighbor::REACHABLE_TIME, |i| i.reachable);
        // RFC 4861 section 6.3.2: uniform between 0.5 and 1.5 of what routers say.
        let spread = base.as_nanos() / 1000 * u64::from(500 + env.rng.below(1001));
        let reachable = Duration::from_nanos(spread);
        if self.neighbors.has_failed(neighbor, on) && self.routes.is_gateway(neighbor) {
            self.changed(); // a router that is back
        }
        let known = self.neighbors.learn(env.now, neighbor, on, reachable, told);
        let Some((link, frames)) = known else { return };
        for (mut frame, meta) in frames {
            // The link header was written with a destination of zeros.
            if let Some(to) = frame.head.as_mut_slice().get_mut(..6) {
                to.copy_from_slice(&link);
            }
            if self.queue.push(frame, meta).is_err() {
                env.dropped(DropReason::TransmitQueueFull);
            }
        }
    }

    /// Asks for a neighbour's link address in the manner of its family.
    fn ask(
        &mut self,
        env: &mut Env<'_>,
        on: InterfaceId,
        neighbor: IpAddr,
        link: Option<ethernet::Address>,
        source: Option<IpAddr>,
    ) {
        match neighbor {
            IpAddr::V4(target) => self.ask_arp(env, on, target, link),
            IpAddr::V6(target) => self.ask_ndp(env, on, target, link, source),
        }
    }

    /// Asks again, or gives up, where it is time.
    pub(super) fn neighbors_due(&mut self, env: &mut Env<'_>) {
        while let Some(due) = self.neighbors.due(env.now) {
            match due {
                Due::Ask {
                    address,
                    interface,
                    link,
                } => self.ask(env, interface, address, link, None),
                Due::Failed { address, frames } => self.failed(env, address, frames),
                Due::Forgotten { address } => {
                    if self.routes.is_gateway(address) {
                        self.changed();
                    }
                }
            }
        }
    }

    /// A neighbour does not answer: what waited for it is lost, its senders hear of it, and routes avoid it for a while.
    fn failed(&mut self, env: &mut Env<'_>, neighbor: IpAddr, frames: VecDeque<Waiting>) {
        for (frame, _) in frames {
            env.dropped(DropReason::NeighborUnreachable);
            if let Some(notice) = undeliverable(&frame)
                && self.notices.len() < NOTICES_MAX
            {
                self.notices.push_back(notice);
            }
        }
        if self.routes.is_gateway(neighbor) {
            self.changed();
        }
    }

    /// The next notice of a packet that could not leave since its next hop did not answer. Ask after `handle_timeout`.
    pub(crate) fn poll_notice(&mut self) -> Option<IcmpNotice> {
        self.notices.pop_front()
    }
}

/// What a router would have said of this frame: host unreachable.
fn undeliverable(frame: &Frame) -> Option<IcmpNotice> {
    let bytes = frame.front().get(ethernet::HEADER_LEN..)?;
    let (source, destination, protocol, transport): (IpAddr, IpAddr, u8, &[u8]) = match bytes.first()? >> 4 {
        4 => {
            let h = ipv4::parse_embedded(bytes)
                .ok()
                .filter(|h| h.fragment_offset == 0)?;
            (
                h.source.into(),
                h.destination.into(),
                h.protocol,
                bytes.get(h.header_len..)?,
            )
        }
        _ => {
            let h = ipv6::parse_embedded(bytes).ok()?;
            (
                h.source.into(),
                h.destination.into(),
                h.next_header,
                bytes.get(ipv6::HEADER_LEN..)?,
            )
        }
    };
    let &[a, b, c, d, ref rest @ ..] = transport else {
        return None;
    };
    if !matches!(protocol, protocol::TCP | protocol::UDP) {
        return None;
    }
    let sequence = rest.first_chunk::<4>().filter(|_| protocol == protocol::TCP);
    Some(IcmpNotice {
        protocol,
        local: SocketAddr::new(source, u16::from_be_bytes([a, b])),
        remote: SocketAddr::new(destination, u16::from_be_bytes([c, d])),
        sequence: sequence.map(|s| u32::from_be_bytes(*s)),
        error: IcmpError::HostUnreachable,
    })
}
