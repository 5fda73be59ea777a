//! The segments that open a connection and the last that ends it, sent at once: a SYN, the SYN,ACK of a half-open entry, the
//! acknowledgment of a TIME-WAIT entry.
//!
//! As in [`super::quick`]: over IPv4, on a link without link headers. What is sent is decided and noted as in
//! [`super::transmit`]; the headers are written in one go ([`Bare`]) instead of by way of a run of segments.

use super::conn::AckOwed;
use super::quick::ROOM;
use super::table::Slot;
use super::{Segment, listen, open};
use crate::config::Config;
use crate::demux::{Entry, FourTuple, Kind};
use crate::frame::TxMeta;
use crate::iface::{IpLayer, PlainPath};
use crate::stack::{InterfaceId, Readiness, SocketId, Stack};
use crate::time::Instant;
use crate::trace::{Cause, Trace, TraceKind, TraceMask, Tuple};
use crate::wire::plain::Bare;

/// What IP has to know of a segment.
#[derive(Clone, Copy)]
struct Fields {
    hop_limit: u8,
    traffic_class: u8,
    checksums: bool,
}

impl Fields {
    /// For a packet along this path, if it may be written in one go; `asked` is what the socket's options ask for.
    #[inline(always)]
    fn along(path: PlainPath, asked: (Option<u8>, u8), config: &Config) -> Option<Fields> {
        // Where DF stays off, headers are others.
        if u32::from(path.mtu) <= config.path_mtu_min {
            return None;
        }
        let hop_limit = match (asked.0, path.hop_limit) {
            (None, 0) => config.hop_limit,
            (None, told) => told,
            (Some(chosen), _) => chosen,
        };
        Some(Fields {
            hop_limit,
            traffic_class: asked.1,
            checksums: path.checksums,
        })
    }
}

impl Stack {
    /// The SYN of the active open that is next, if it owes one.
    #[inline(never)]
    pub(super) fn quick_syn(
        &mut self,
        now: Instant,
        slot: u32,
        out: &mut [u8; ROOM],
    ) -> Option<(TxMeta, usize)> {
        let Stack {
            config,
            trace,
            ip,
            tcp,
            ..
        } = self;
        let Some(Slot::SynSent(opening)) = tcp.tables.sockets.at_mut(slot) else {
            return None;
        };
        let opening = &mut **opening; // the box is looked into once
        let cause = opening.owed?;
        // The SYN,ACK of a simultaneous open is rare, and so is a SYN with news for the application.
        if opening.peer.is_some() || opening.pending.contains(Readiness::SOFT_ERROR) {
            return None;
        }
        let asked = (opening.options.hops(), opening.options.traffic_class);
        let path = PlainPath::of(opening.path)?;
        let fields = Fields::along(path, asked, config)?;

        // From here on it is sent.
        tcp.ready.pop_front();
        opening.queued = false;
        opening.ack_owed = AckOwed::No;
        opening.sent(now);
        let entry = Entry::new(Kind::Connection, slot);
        tcp.wheel
            .schedule(&mut opening.wheel, entry.raw(), opening.retry_at);
        let segment = opening.syn(config, now);
        let len = write_bare(ip, fields, &opening.tuple, &segment, out)?;
        if trace.wants(TraceMask::SEGMENTS) {
            trace_sent(trace, now, Some(opening.id), &opening.tuple, &segment, cause);
        }
        #[cfg(test)]
        {
            tcp.short_ways[1] += 1;
        }
        Some((meta(path.interface, cause), len))
    }

    /// The SYN,ACK of the half-open entry that is next, if it owes one.
    #[inline(never)]
    pub(super) fn quick_syn_ack(
        &mut self,
        now: Instant,
        place: u32,
        out: &mut [u8; ROOM],
    ) -> Option<(TxMeta, usize)> {
        let Stack {
            config,
            trace,
            ip,
            tcp,
            ..
        } = self;
        let half = tcp.tables.half_open.at_mut(place)?;
        let cause = half.owed?;
        let Some(Slot::Listener(listener)) = tcp
            .tables
            .sockets
            .get(half.listener.slot, half.listener.generation)
        else {
            return None;
        };
        let path = ip.plain_path(&half.tuple)?;
        let asked = (listener.options.hops(), listener.options.traffic_class);
        let fields = Fields::along(path, asked, config)?;
        let mss = open::our_mss(ip, path.interface, true, &listener.options);

        // From here on it is sent.
        tcp.ready.pop_front();
        half.queued = false;
        half.ack_owed = AckOwed::No; // the SYN,ACK says all that an ACK does
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
        let len = write_bare(ip, fields, &half.tuple, &segment, out)?;
        if trace.wants(TraceMask::SEGMENTS) {
            trace_sent(trace, now, None, &half.tuple, &segment, cause);
        }
        #[cfg(test)]
        {
            tcp.short_ways[1] += 1;
        }
        Some((meta(path.interface, cause), len))
    }

    /// The acknowledgment of the TIME-WAIT entry that is next, if it owes one.
    #[inline(never)]
    pub(super) fn quick_last_ack(
        &mut self,
        now: Instant,
        place: u32,
        out: &mut [u8; ROOM],
    ) -> Option<(TxMeta, usize)> {
        let Stack {
            config,
            trace,
            ip,
            tcp,
            ..
        } = self;
        let entry = tcp.tables.time_wait.at_mut(place)?;
        let cause = entry.owed.cause()?;
        let path = ip.plain_path(&entry.tuple)?;
        let fields = Fields::along(path, (None, 0), config)?;

        // From here on it is sent.
        tcp.ready.pop_front();
        entry.queued = false;
        entry.owed = AckOwed::No;
        let segment = entry.ack(now);
        let len = write_bare(ip, fields, &entry.tuple, &segment, out)?;
        if trace.wants(TraceMask::SEGMENTS) {
            trace_sent(trace, now, None, &entry.tuple, &segment, cause);
        }
        #[cfg(test)]
        {
            tcp.short_ways[1] += 1;
        }
        Some((meta(path.interface, cause), len))
    }
}

/// Writes the headers of such a segment, and returns how many octets they have.
#[inline(never)]
fn write_bare(
    ip: &mut IpLayer,
    fields: Fields,
    tuple: &FourTuple,
    segment: &Segment,
    out: &mut [u8; ROOM],
) -> Option<usize> {
    let (source, destination) = tuple.as_v4()?;
    let bare = Bare {
        source,
        destination,
        source_port: tuple.local_port(),
        destination_port: tuple.remote_port(),
        traffic_class: segment.ecn.in_class(fields.traffic_class),
        hop_limit: fields.hop_limit,
        identification: ip.atomic_id(),
        segment,
    };
    Some(bare.emit(fields.checksums, out.first_chunk_mut()?))
}

/// What the driver is told of such a segment.
#[inline]
fn meta(interface: InterfaceId, cause: Cause) -> TxMeta {
    TxMeta {
        interface,
        gso_size: 0,
        checksum: None,
        cause,
    }
}

/// Traces the segment that was written.
#[cold]
#[inline(never)]
fn trace_sent(
    trace: &mut Trace,
    now: Instant,
    socket: Option<SocketId>,
    tuple: &FourTuple,
    segment: &Segment,
    cause: Cause,
) {
    trace.record(TraceMask::SEGMENTS, now, socket, || TraceKind::SegmentOut {
        tuple: Tuple::from(*tuple),
        segment: *segment,
        cause,
    });
}
