//! A run of segments on its way out: one decision, one header, as many frames as the device wants.
//!
//! Where the device segments (GSO), the run leaves as one frame; where it does not, it is split here, and the segments
//! share everything but sequence number, flags of the end, and checksum.

use super::seq::SeqNumber;
use super::{Flags, Segment};
use crate::demux::FourTuple;
use crate::frame::{ChecksumOffload, Frame, Payload, TxMeta};
use crate::iface::{Env, IpFields, IpLayer, Link, Route};
use crate::stack::SocketId;
use crate::trace::{Cause, TraceKind, TraceMask, Tuple};
use crate::wire::{self, checksum};

/// Segments that share a header, not all sent yet.
#[derive(Debug)]
pub(crate) struct Burst {
    pub(crate) socket: Option<SocketId>,
    pub(crate) tuple: FourTuple,
    pub(crate) route: Route,
    pub(crate) hop_limit: u8,
    pub(crate) traffic_class: u8,
    pub(crate) segment: Segment,
    pub(crate) payload: Payload,
    /// Payload of each segment but the last.
    pub(crate) mss: u32,
    pub(crate) cause: Cause,
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
    /// Takes the next frame off the run.
    pub(crate) fn next(&mut self, env: &mut Env<'_>, ip: &mut IpLayer, out: &mut Frame) -> Sent {
        let capabilities = self.route.capabilities;
        let whole = capabilities.gso_max > 0 || self.payload.len() as u32 <= self.mss;
        let (segment, payload) = if whole { self.take_all() } else { self.take_one() };
        let gso_size = if payload.len() as u32 > self.mss {
            self.mss as u16
        } else {
            0
        };
        env.trace.record(TraceMask::SEGMENTS, env.now, self.socket, || {
            TraceKind::SegmentOut {
                tuple: Tuple::from(self.tuple),
                segment,
                cause: self.cause,
            }
        });
        let fields = IpFields {
            source: self.tuple.local,
            destination: self.tuple.remote,
            protocol: wire::protocol::TCP,
            hop_limit: self.hop_limit,
            traffic_class: self.traffic_class,
            dont_fragment: true,
        };
        let header_len = wire::tcp::header_len(&segment);
        let transport_len = header_len + payload.len();
        let link = ip.prepare(env, &self.route, &fields, transport_len, out);
        let start = out.head.len();
        let ports = (self.tuple.local_port, self.tuple.remote_port);
        wire::tcp::emit(&segment, ports.0, ports.1, out.head.extend(header_len));
        out.body = payload;
        let checksum = self.fill_checksum(out, start, transport_len, gso_size > 0);
        match link {
            Link::Ready => Sent::Frame(TxMeta {
                interface: self.route.interface,
                gso_size,
                checksum,
                cause: self.cause,
            }),
            Link::Unresolved => {
                ip.park(env, &self.route, core::mem::take(out), self.cause);
                Sent::Parked
            }
        }
    }

    /// Whether everything has left.
    pub(crate) fn is_done(&self) -> bool {
        self.payload.is_empty()
    }

    fn take_all(&mut self) -> (Segment, Payload) {
        (self.segment, core::mem::take(&mut self.payload))
    }

    /// The first segment of several: the flags of the end stay with the last.
    fn take_one(&mut self) -> (Segment, Payload) {
        let payload = self.payload.split_to(self.mss as usize);
        let mut segment = self.segment;
        segment.payload_len = payload.len() as u32;
        segment.flags.remove(Flags::PSH | Flags::FIN);
        self.segment.seq = segment.seq + segment.payload_len;
        self.segment.payload_len -= segment.payload_len;
        self.segment.urgent = self
            .segment
            .urgent
            .saturating_sub(segment.payload_len.min(0xffff) as u16);
        if self.segment.urgent == 0 {
            self.segment.flags.remove(Flags::URG);
        }
        (segment, payload)
    }

    /// MUST-2: the checksum is always made, by us or by the device.
    fn fill_checksum(
        &self,
        out: &mut Frame,
        start: usize,
        transport_len: usize,
        gso: bool,
    ) -> Option<ChecksumOffload> {
        let capabilities = self.route.capabilities;
        if capabilities.no_checksums {
            return None;
        }
        let length = if gso { 0 } else { transport_len as u32 };
        let pseudo = checksum::pseudo(self.tuple.local, self.tuple.remote, wire::protocol::TCP, length);
        let at = start + wire::tcp::CHECKSUM_OFFSET;
        if capabilities.tx_checksum {
            // The device adds the rest; for a super-segment it also adds each segment's length.
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
#[derive(Clone, Debug)]
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
