//! A run of segments on its way out: one decision, one header, as many frames as the device wants.
//!
//! Where the device segments (GSO), the run leaves as one frame; where it does not, it is split here, and the segments
//! share everything but sequence number, flags of the end, and checksum.

use super::seq::SeqNumber;
use super::{Flags, Segment, urgent};
use crate::config::UrgentPointer;
use crate::demux::FourTuple;
use core::net::{IpAddr, Ipv4Addr};

use crate::frame::{ChecksumOffload, Frame, INLINE_PAYLOAD, Payload, TxMeta};
use crate::iface::{Capabilities, Env, IpFields, IpLayer, Link, Route};
use crate::stack::SocketId;
use crate::trace::{Cause, TraceKind, TraceMask, Tuple};
use crate::wire::checksum::Sum;
use crate::wire::{self, checksum, ipv4, ipv6, plain};

/// Segments that share a header, not all sent yet. There is one in a stack, filled in place.
#[derive(Debug)]
pub(crate) struct Burst {
    socket: Option<SocketId>,
    pub(crate) tuple: FourTuple,
    pub(crate) route: Route,
    /// The generation of the routes at which this one was found, if all three are those of a connection, good for its
    /// next run too.
    routed_at: Option<u32>,
    pub(crate) hop_limit: u8,
    pub(crate) traffic_class: u8,
    pub(crate) segment: Segment,
    pub(crate) payload: Payload,
    /// A short payload, copied instead of shared; `payload` is empty then.
    pub(crate) short: [u8; INLINE_PAYLOAD],
    pub(crate) short_len: u8,
    /// Payload of each segment but the last.
    pub(crate) mss: u32,
    /// Where the urgent data ends, and how that is told, if the run has any.
    pub(crate) urgent: Option<(SeqNumber, UrgentPointer)>,
    pub(crate) cause: Cause,
    /// The headers of the segment before, while the next differs in few fields.
    template: Option<Template>,
}

/// Headers that stay the same from segment to segment of a run, with the fields that change set to zero.
#[derive(Clone, Copy, Debug)]
struct Template {
    bytes: [u8; HEADERS_MAX],
    /// Octets of all headers.
    len: u8,
    /// Where the IP header starts, and the TCP header.
    network: u8,
    transport: u8,
    /// The sum over pseudo-header and TCP header, without length, sequence number, flags and payload.
    sum: Sum,
}

/// One segment of a run, but for its payload.
#[derive(Clone, Copy, Debug)]
struct Next {
    seq: SeqNumber,
    flags: Flags,
    /// Octets of payload.
    len: u32,
    /// None follows.
    last: bool,
}

impl Template {
    /// Writes the headers of a segment into `head`, as long as they are; `text` adds the payload to a sum.
    #[inline]
    fn write(
        &self,
        next: &Next,
        ip: &mut IpLayer,
        capabilities: Capabilities,
        text: impl FnOnce(Sum) -> Sum,
        head: &mut [u8],
    ) {
        match (head.first_chunk_mut::<{ plain::LEN }>(), self.bytes.first_chunk()) {
            // By far the most: a copy of known length is four moves, and no call.
            (Some(head), Some(bytes)) if usize::from(self.len) == plain::LEN => *head = *bytes,
            _ => head.copy_from_slice(&self.bytes[..usize::from(self.len)]),
        }
        let transport_len = usize::from(self.len - self.transport) + next.len as usize;
        let checksums = !capabilities.no_checksums;
        let (before, tcp) = head.split_at_mut(usize::from(self.transport));
        let header = &mut before[usize::from(self.network)..];
        if header.len() == ipv4::HEADER_LEN {
            ipv4::amend(header, header.len() + transport_len, ip.atomic_id(), checksums);
        } else {
            ipv6::amend(header, transport_len);
        }
        tcp[4..8].copy_from_slice(&next.seq.0.to_be_bytes());
        tcp[13] = next.flags.bits();
        if checksums {
            let sum = self
                .sum
                .add_u32(next.seq.0)
                .add_u16(u16::from(next.flags.bits()))
                .add_u32(transport_len as u32);
            let value = text(sum).finish();
            tcp[wire::tcp::CHECKSUM_OFFSET..][..2].copy_from_slice(&value.to_be_bytes());
        }
    }
}

/// Link, IP and TCP header of a segment with data: timestamps are the longest option there.
const HEADERS_MAX: usize = 18 + 40 + 32;

impl Default for Burst {
    fn default() -> Self {
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Burst {
            socket: None,
            tuple: FourTuple::new(nowhere, 0, nowhere, 0),
            route: Route::nowhere(),
            routed_at: None,
            hop_limit: 0,
            traffic_class: 0,
            segment: Segment::default(),
            payload: Payload::new(),
            short: [0; INLINE_PAYLOAD],
            short_len: 0,
            mss: u32::MAX,
            urgent: None,
            cause: Cause::Raw,
            template: None,
        }
    }
}

/// What came of an attempt to send.
#[must_use]
#[derive(Debug)]
pub(crate) enum Sent {
    /// The frame is ready.
    Frame(TxMeta),
    /// The next hop's link address is unknown: the frame waits in the IP layer.
    Parked,
}

impl Burst {
    /// Whether addresses and route are those of this connection, found at this generation of the routes.
    #[inline]
    pub(crate) fn is_for(&self, socket: SocketId, generation: u32) -> bool {
        self.socket == Some(socket) && self.routed_at == Some(generation)
    }
    /// Sets addresses and route for what a connection sends next.
    pub(crate) fn turn_to(&mut self, socket: SocketId, generation: u32, tuple: FourTuple, route: Route) {
        (self.socket, self.routed_at) = (Some(socket), Some(generation));
        (self.tuple, self.route) = (tuple, route);
    }

    /// One segment without payload.
    pub(crate) fn bare(
        &mut self,
        socket: Option<SocketId>,
        reply: &Reply,
        route: Route,
        hop_limit: u8,
        traffic_class: u8,
    ) {
        let Reply {
            tuple,
            segment,
            cause,
        } = *reply;
        debug_assert!(
            self.payload.is_empty() && self.short_len == 0,
            "the run before has left"
        );
        (self.socket, self.tuple, self.route, self.hop_limit) = (socket, tuple, route, hop_limit);
        self.routed_at = None;
        self.urgent = None;
        (self.traffic_class, self.segment, self.mss, self.cause) = (traffic_class, segment, u32::MAX, cause);
    }

    /// Takes the next frame off the run.
    #[inline]
    pub(crate) fn next(&mut self, env: &mut Env<'_>, ip: &mut IpLayer, out: &mut Frame) -> Sent {
        match self.next_alike(env, ip, out) {
            Some(meta) => Sent::Frame(meta),
            None => self.next_anew(env, ip, out),
        }
    }

    fn next_anew(&mut self, env: &mut Env<'_>, ip: &mut IpLayer, out: &mut Frame) -> Sent {
        let capabilities = self.route.capabilities;
        let whole = capabilities.gso_max > 0 || self.payload.len() as u32 <= self.mss;
        if whole {
            out.body = core::mem::take(&mut self.payload);
        } else {
            out.body = self.payload.split_to(self.mss as usize);
        }
        let rest = if whole {
            None
        } else {
            Some(self.split(out.body.len() as u32))
        };
        let gso_size = if out.body.len() as u32 > self.mss {
            self.mss as u16
        } else {
            0
        };
        env.trace.record(TraceMask::SEGMENTS, env.now, self.socket, || {
            TraceKind::SegmentOut {
                tuple: Tuple::from(self.tuple),
                segment: self.segment,
                cause: self.cause,
            }
        });
        // A path that is narrower than we believe anybody: routers may fragment (RFC 1191 section 5 leaves DF off, too).
        let fragments = self.route.mtu <= env.config.path_mtu_min && self.tuple.is_ipv4();
        let fields = IpFields {
            source: self.tuple.local(),
            destination: self.tuple.remote(),
            protocol: wire::protocol::TCP,
            hop_limit: self.hop_limit,
            traffic_class: self.segment.ecn.in_class(self.traffic_class),
            dont_fragment: !fragments,
        };
        let header_len = wire::tcp::header_len(&self.segment);
        let short_len = usize::from(self.short_len);
        let transport_len = header_len + short_len + out.body.len();
        let link = ip.prepare(env, &self.route, &fields, transport_len, out);
        let start = out.head.len();
        let room = out.head.extend(header_len + short_len);
        wire::tcp::emit(
            &self.segment,
            self.tuple.local_port(),
            self.tuple.remote_port(),
            &mut room[..header_len],
        );
        room[header_len..].copy_from_slice(&self.short[..short_len]);
        self.short_len = 0;
        let checksum = self.fill_checksum(out, start, transport_len);
        if let Some(rest) = rest {
            self.segment = rest;
            if link == Link::Ready && checksum.is_none() && !fragments {
                self.keep_template(out.head.as_slice(), start);
            }
        }
        let meta = TxMeta {
            interface: self.route.interface,
            gso_size,
            checksum,
            cause: self.cause,
        };
        match link {
            Link::Ready => Sent::Frame(meta),
            Link::Unresolved => {
                ip.park_meta(env, &self.route, core::mem::take(out), meta);
                Sent::Parked
            }
        }
    }

    /// Remembers the headers of a segment that others will follow.
    fn keep_template(&mut self, head: &[u8], transport: usize) {
        let ip_len = if self.tuple.is_ipv4() {
            ipv4::HEADER_LEN
        } else {
            ipv6::HEADER_LEN
        };
        let fits = head.len() <= HEADERS_MAX && !self.segment.flags.contains(Flags::URG);
        let (Some(network), true) = (transport.checked_sub(ip_len), fits) else {
            return;
        };
        let mut bytes = [0; HEADERS_MAX];
        bytes[..head.len()].copy_from_slice(head);
        let tcp = &mut bytes[transport..head.len()];
        tcp[4..8].fill(0);
        tcp[13] = 0;
        tcp[wire::tcp::CHECKSUM_OFFSET..][..2].fill(0);
        let sum = checksum::pseudo(self.tuple.local(), self.tuple.remote(), wire::protocol::TCP, 0).add(tcp);
        self.template = Some(Template {
            bytes,
            len: head.len() as u8,
            network: network as u8,
            transport: transport as u8,
            sum,
        });
    }

    /// The next segment of a run: headers as before, but for length, identification, sequence number, flags of the end
    /// and checksum. `None` where the headers are not known yet.
    #[inline(never)]
    pub(crate) fn next_alike(
        &mut self,
        env: &mut Env<'_>,
        ip: &mut IpLayer,
        out: &mut Frame,
    ) -> Option<TxMeta> {
        self.template.as_ref()?;
        let next = self.step(env);
        if next.last {
            out.body = core::mem::take(&mut self.payload);
        } else {
            self.payload.move_to(self.mss as usize, &mut out.body);
        }
        if let Some(like) = &self.template {
            let text = |sum: Sum| sum.add_payload(&out.body);
            let head = out.head.extend(usize::from(like.len));
            like.write(&next, ip, self.route.capabilities, text, head);
        }
        self.end_run(&next);
        Some(self.meta_alike())
    }

    /// As [`Burst::next`], written into one piece of octets, which has room for it: what it is and its length. `None` where
    /// nothing of a run is left, or its headers are not known yet.
    #[inline]
    pub(crate) fn next_into(
        &mut self,
        env: &mut Env<'_>,
        ip: &mut IpLayer,
        out: &mut [u8],
    ) -> Option<(TxMeta, usize)> {
        self.template.as_ref()?;
        let next = self.step(env);
        let like = self.template.as_ref()?;
        let (head, room) = out.split_at_mut(usize::from(like.len));
        let octets = &mut room[..next.len as usize];
        let len = head.len() + octets.len();
        self.payload.copy_to(octets);
        let text = |sum: Sum| sum.add(octets);
        like.write(&next, ip, self.route.capabilities, text, head);
        self.payload.advance(next.len as usize);
        self.end_run(&next);
        Some((self.meta_alike(), len))
    }

    /// Takes the next segment off the run, but for its payload.
    fn step(&mut self, env: &mut Env<'_>) -> Next {
        let last = self.payload.len() as u32 <= self.mss;
        let mut next = Next {
            seq: self.segment.seq,
            flags: self.segment.flags,
            len: self.mss.min(self.payload.len() as u32),
            last,
        };
        if !last {
            next.flags.remove(Flags::PSH | Flags::FIN);
        }
        if env.trace.wants(TraceMask::SEGMENTS) {
            self.trace_next(env, &next);
        }
        self.segment.seq += next.len;
        next
    }

    #[cold]
    #[inline(never)]
    fn trace_next(&self, env: &mut Env<'_>, next: &Next) {
        env.trace.record(TraceMask::SEGMENTS, env.now, self.socket, || {
            TraceKind::SegmentOut {
                tuple: Tuple::from(self.tuple),
                segment: Segment {
                    seq: next.seq,
                    flags: next.flags,
                    payload_len: next.len,
                    ..self.segment
                },
                cause: self.cause,
            }
        });
    }

    /// The headers are of no more use after the last.
    fn end_run(&mut self, next: &Next) {
        if next.last {
            self.template = None;
        }
    }

    fn meta_alike(&self) -> TxMeta {
        TxMeta {
            interface: self.route.interface,
            gso_size: 0,
            checksum: None,
            cause: self.cause,
        }
    }

    /// Whether everything has left.
    pub(crate) fn is_done(&self) -> bool {
        self.payload.is_empty()
    }

    /// Makes the header that of a first segment of `len` octets, and returns the header of the rest. The flags of the end
    /// stay with the last.
    fn split(&mut self, len: u32) -> Segment {
        let mut rest = self.segment;
        self.segment.payload_len = len;
        self.segment.flags.remove(Flags::PSH | Flags::FIN);
        rest.seq += len;
        rest.payload_len -= len;
        let pointer = self
            .urgent
            .and_then(|(end, reading)| urgent::pointer(end, reading, rest.seq));
        rest.urgent = pointer.unwrap_or(0);
        rest.flags.set(Flags::URG, pointer.is_some());
        rest
    }

    /// MUST-2: the checksum is always made, by us or by the device.
    fn fill_checksum(&self, out: &mut Frame, start: usize, transport_len: usize) -> Option<ChecksumOffload> {
        let capabilities = self.route.capabilities;
        if capabilities.no_checksums {
            return None;
        }
        let (local, remote) = (self.tuple.local(), self.tuple.remote());
        let pseudo = checksum::pseudo(local, remote, wire::protocol::TCP, transport_len as u32);
        let at = start + wire::tcp::CHECKSUM_OFFSET;
        if capabilities.tx_checksum {
            // The device adds the rest. A super-segment has its whole length in the sum; whoever splits it puts each
            // segment's in its place (virtio 1.2 section 5.1.6.2.2, as Linux).
            let partial = pseudo.partial();
            out.head.as_mut_slice()[at..at + 2].copy_from_slice(&partial.to_be_bytes());
            return Some(ChecksumOffload {
                start: start as u16,
                offset: wire::tcp::CHECKSUM_OFFSET as u16,
            });
        }
        let value = pseudo
            .add(&out.head.as_slice()[start..])
            .add_payload(&out.body)
            .finish();
        out.head.as_mut_slice()[at..at + 2].copy_from_slice(&value.to_be_bytes());
        None
    }
}

/// A segment that belongs to no block: resets, SYN,ACKs of half-open connections, TIME-WAIT's acknowledgments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply {
    pub(crate) tuple: FourTuple,
    pub(crate) segment: Segment,
    pub(crate) cause: Cause,
}

/// The RST that answers a segment which no connection takes (RFC 9293 section 3.10.7.1). None answers a RST.
pub(crate) fn reset_for(seg: &Segment) -> Option<Segment> {
    if seg.has(Flags::RST) {
        return None;
    }
    Some(if seg.has(Flags::ACK) {
        Segment {
            seq: seg.ack,
            flags: Flags::RST,
            ..Segment::default()
        }
    } else {
        Segment {
            seq: SeqNumber(0),
            ack: seg.end(),
            flags: Flags::RST | Flags::ACK,
            ..Segment::default()
        }
    })
}
