//! The segments that open a connection and the last that ends it, sent at once: a SYN, the SYN,ACK of a half-open entry, the
//! acknowledgment of a TIME-WAIT entry.
//!
//! As in [`super::quick`]: over IPv4, on a link without link headers. What is sent is decided and noted as in
//! [`super::transmit`]; the headers are written in one go ([`Bare`]) instead of by way of a run of segments.

use core::net::Ipv4Addr;

use super::Segment;
use super::conn::AckOwed;
use super::dispatch::mss_along;
use super::listen;
use super::quick::{ROOM, plain_link};
use super::table::Slot;
use crate::config::Config;
use crate::demux::{Entry, FourTuple, Kind};
use crate::frame::TxMeta;
use crate::iface::{IpLayer, Path};
use crate::stack::{InterfaceId, Readiness, SocketId, Stack};
use crate::time::Instant;
use crate::trace::{Cause, TraceKind, TraceMask, Tuple};
use crate::wire::plain::Bare;

/// Where a segment goes and how, known before anything is changed.
struct Way {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    interface: InterfaceId,
    hop_limit: u8,
    traffic_class: u8,
    checksums: bool,
}

impl Way {
    /// The way along this path, if it is one that this module knows. `hop_limit` and `traffic_class` are what the socket's
    /// options ask for.
    #[inline(always)]
    fn along(
        path: Path,
        tuple: &FourTuple,
        (hop_limit, traffic_class): (Option<u8>, u8),
        ip: &IpLayer,
        config: &Config,
    ) -> Option<Way> {
        let (source, destination) = tuple.as_v4()?;
        // Where DF stays off, headers are others.
        if path.mtu <= config.path_mtu_min {
            return None;
        }
        Some(Way {
            source,
            destination,
            interface: path.interface,
            hop_limit: hop_limit.unwrap_or_else(|| path.hop_limit_or(config)),
            traffic_class,
            checksums: plain_link(path.interface, ip)?,
        })
    }
}

impl Stack {
    /// The SYN of the active open that is next, or its SYN,ACK, if it owes one.
    #[inline(never)]
    pub(super) fn quick_syn(
        &mut self,
        now: Instant,
        slot: u32,
        out: &mut [u8; ROOM],
    ) -> Option<(TxMeta, usize)> {
        let Stack {
            config,
            ip,
            tcp,
            events,
            ..
        } = self;
        let Some(Slot::SynSent(opening)) = tcp.tables.sockets.at_mut(slot) else {
            return None;
        };
        let cause = opening.owed?;
        let asked = (opening.options.hops(), opening.options.traffic_class);
        let way = Way::along(opening.path, &opening.tuple, asked, ip, config)?;

        // From here on it is sent.
        tcp.ready.pop_front();
        opening.queued = false;
        opening.ack_owed = AckOwed::No; // the SYN,ACK says all that an ACK does
        opening.sent(now);
        let segment = opening.segment(config, now);
        let entry = Entry::new(Kind::Connection, slot);
        tcp.wheel
            .schedule(&mut opening.wheel, entry.raw(), opening.retry_at);
        let (id, tuple) = (opening.id, opening.tuple);
        if opening.pending.contains(Readiness::SOFT_ERROR) {
            tcp.announce(events, id);
        }
        self.write_bare(now, way, Some(id), &tuple, &segment, cause, out)
    }

    /// The SYN,ACK of the half-open entry that is next, if it owes one.
    #[inline(never)]
    pub(super) fn quick_syn_ack(
        &mut self,
        now: Instant,
        place: u32,
        out: &mut [u8; ROOM],
    ) -> Option<(TxMeta, usize)> {
        let Stack { config, ip, tcp, .. } = self;
        let half = tcp.tables.half_open.at_mut(place)?;
        let cause = half.owed?;
        let (tuple, listener) = (half.tuple, half.listener);
        let Some(Slot::Listener(listener)) = tcp.tables.sockets.get(listener.slot, listener.generation)
        else {
            return None;
        };
        let route = ip.route(tuple.remote(), Some(tuple.local()), None)?;
        let asked = (listener.options.hops(), listener.options.traffic_class);
        let way = Way::along(route.into(), &tuple, asked, ip, config)?;
        let mss = mss_along(ip, &route, &listener.options);

        // From here on it is sent.
        tcp.ready.pop_front();
        half.queued = false;
        half.ack_owed = AckOwed::No;
        half.sent(now, config);
        let entry = Entry::new(Kind::HalfOpen, place);
        tcp.wheel.schedule(&mut half.wheel, entry.raw(), half.retry_at);
        let answer = listen::Answer {
            iss: half.iss,
            mss,
            ts_value: (now.as_millis() as u32).wrapping_add(half.ts_offset),
            told: half.told,
        };
        let segment = listen::syn_ack(answer, &half.peer);
        self.write_bare(now, way, None, &tuple, &segment, cause, out)
    }

    /// The acknowledgment of the TIME-WAIT entry that is next, if it owes one.
    #[inline(never)]
    pub(super) fn quick_last_ack(
        &mut self,
        now: Instant,
        place: u32,
        out: &mut [u8; ROOM],
    ) -> Option<(TxMeta, usize)> {
        let Stack { config, ip, tcp, .. } = self;
        let entry = tcp.tables.time_wait.at_mut(place)?;
        let cause = entry.owed.cause()?;
        let tuple = entry.tuple;
        let route = ip.route(tuple.remote(), Some(tuple.local()), None)?;
        let way = Way::along(route.into(), &tuple, (None, 0), ip, config)?;

        // From here on it is sent.
        tcp.ready.pop_front();
        entry.queued = false;
        entry.owed = AckOwed::No;
        let segment = entry.ack(now);
        self.write_bare(now, way, None, &tuple, &segment, cause, out)
    }

    #[inline(never)]
    #[expect(
        clippy::too_many_arguments,
        reason = "three callers beside it, each with all of them at hand"
    )]
    fn write_bare(
        &mut self,
        now: Instant,
        way: Way,
        socket: Option<SocketId>,
        tuple: &FourTuple,
        segment: &Segment,
        cause: Cause,
        out: &mut [u8; ROOM],
    ) -> Option<(TxMeta, usize)> {
        let kind = || TraceKind::SegmentOut {
            tuple: Tuple::from(*tuple),
            segment: *segment,
            cause,
        };
        self.trace.record(TraceMask::SEGMENTS, now, socket, kind);
        let bare = Bare {
            source: way.source,
            destination: way.destination,
            source_port: tuple.local_port(),
            destination_port: tuple.remote_port(),
            traffic_class: segment.ecn.in_class(way.traffic_class),
            hop_limit: way.hop_limit,
            identification: self.ip.atomic_id(),
            segment,
        };
        let len = bare.emit(way.checksums, out.first_chunk_mut()?);
        #[cfg(test)]
        {
            self.tcp.short_ways[1] += 1;
        }
        let meta = TxMeta {
            interface: way.interface,
            gso_size: 0,
            checksum: None,
            cause,
        };
        Some((meta, len))
    }
}
