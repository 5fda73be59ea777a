//! The 52 octets that stand in front of most segments: IPv4 without options, then TCP with timestamps and nothing else.
//!
//! Written in one go from values in registers, and told from everything else with a handful of comparisons. What it writes
//! and reads is what [`super::ipv4`] and [`super::tcp`] write and read of the same headers.

use core::net::Ipv4Addr;

use super::checksum::Sum;
use super::tcp::ALIGNED_TIMESTAMPS;
use super::{ipv4, protocol, tcp, u16_at, u32_at};
use crate::frame::Text;
use crate::tcp::{EcnField, Flags, Options, Segment, SeqNumber, Timestamps};

/// Octets of both headers.
pub(crate) const LEN: usize = ipv4::HEADER_LEN + TCP_LEN;
/// Octets of the TCP header.
pub(crate) const TCP_LEN: usize = tcp::HEADER_LEN + 12;

/// Version 4, a header of 20 octets.
const VERSION_AND_LENGTH: u8 = 0x45;
/// Fragment field of what must not be fragmented.
const DONT_FRAGMENT: u16 = 0x4000;
/// Data offset of a TCP header of 32 octets, reserved bits clear.
const OFFSET: u8 = 0x80;

/// What differs from one such pair of headers to another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain {
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) traffic_class: u8,
    pub(crate) hop_limit: u8,
    pub(crate) identification: u16,
    pub(crate) seq: SeqNumber,
    pub(crate) ack: SeqNumber,
    pub(crate) flags: Flags,
    pub(crate) window: u16,
    pub(crate) timestamps: Timestamps,
}

impl Plain {
    /// Writes the headers of a segment with this payload, with both checksums or with none.
    #[inline(always)]
    pub(crate) fn emit(&self, payload: &[u8], checksums: bool, out: &mut [u8; LEN]) {
        let transport_len = (TCP_LEN + payload.len()) as u32;
        let total = u16::try_from(LEN + payload.len()).unwrap_or(u16::MAX);
        let first =
            u32::from(VERSION_AND_LENGTH) << 24 | u32::from(self.traffic_class) << 16 | u32::from(total);
        let second = u32::from(self.identification) << 16 | u32::from(DONT_FRAGMENT);
        let third = u32::from(self.hop_limit) << 24 | u32::from(protocol::TCP) << 16;
        let (source, destination) = (self.source.to_bits(), self.destination.to_bits());
        let ports = u32::from(self.source_port) << 16 | u32::from(self.destination_port);
        let control = u32::from(OFFSET) << 24 | u32::from(self.flags.bits()) << 16 | u32::from(self.window);
        let Timestamps { value, echo } = self.timestamps;
        let (ip_sum, tcp_sum) = if checksums {
            let addresses = Sum::ZERO.add_u32(source).add_u32(destination);
            let ip = addresses.add_u32(first).add_u32(second).add_u32(third);
            let tcp = addresses
                .add_u32(u32::from(protocol::TCP))
                .add_u32(transport_len)
                .add_u32(ports)
                .add_u32(self.seq.0)
                .add_u32(self.ack.0)
                .add_u32(control)
                .add_u32(ALIGNED_TIMESTAMPS)
                .add_u32(value)
                .add_u32(echo)
                .add(payload);
            (ip.finish(), tcp.finish())
        } else {
            (0, 0)
        };
        let words = [
            first,
            second,
            third | u32::from(ip_sum),
            source,
            destination,
            ports,
            self.seq.0,
            self.ack.0,
            control,
            u32::from(tcp_sum) << 16,
            ALIGNED_TIMESTAMPS,
            value,
            echo,
        ];
        for (octets, word) in out.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *octets = word.to_be_bytes();
        }
    }
}

/// Whether these are such headers, of a segment with ACK and perhaps PSH, that is no fragment.
#[inline(always)]
pub(crate) fn is_plain(b: &[u8; LEN]) -> bool {
    b[0] == VERSION_AND_LENGTH
        && u16_at(b, 6) & 0x3fff == 0
        && b[9] == protocol::TCP
        && b[32] == OFFSET
        && b[33] & !Flags::PSH.bits() == Flags::ACK.bits()
        && u32_at(b, 40) == ALIGNED_TIMESTAMPS
}

/// Octets of the whole packet, as such headers tell it.
#[inline]
pub(crate) fn total_len(b: &[u8; LEN]) -> usize {
    usize::from(u16_at(b, 2))
}

/// Whether they stand between these two: the source with its port, and the destination with its.
#[inline(always)]
pub(crate) fn is_between(b: &[u8; LEN], source: (Ipv4Addr, u16), destination: (Ipv4Addr, u16)) -> bool {
    u32_at(b, 12) == source.0.to_bits()
        && u32_at(b, 16) == destination.0.to_bits()
        && u32_at(b, 20) == u32::from(source.1) << 16 | u32::from(destination.1)
}

/// Whether the checksum of the IP header is right.
#[inline(always)]
pub(crate) fn ip_is_intact(b: &[u8; LEN]) -> bool {
    (0..5)
        .fold(Sum::ZERO, |sum, word| sum.add_u32(u32_at(b, 4 * word)))
        .verify()
}

/// Whether the checksum of the segment is right; `b` are the headers at the front of `whole`.
#[inline(always)]
pub(crate) fn tcp_is_intact(b: &[u8; LEN], whole: &Text<'_>) -> bool {
    let transport_len = (whole.len() - ipv4::HEADER_LEN) as u32;
    let pseudo = Sum::ZERO.add_u32(u32::from(protocol::TCP)).add_u32(transport_len);
    // From the addresses on, which are the rest of the pseudo-header.
    let headers = (3..LEN / 4).fold(pseudo, |sum, word| sum.add_u32(u32_at(b, 4 * word)));
    let front = headers.add(&whole.front()[LEN..]);
    whole
        .behind_front()
        .iter()
        .fold(front, |sum, part| sum.add(part))
        .verify()
}

/// The segment that such headers stand before, with a payload of this many octets.
#[inline(always)]
pub(crate) fn segment(b: &[u8; LEN], payload_len: u32) -> Segment {
    Segment {
        seq: SeqNumber(u32_at(b, 24)),
        ack: SeqNumber(u32_at(b, 28)),
        flags: Flags::from_bits_retain(b[33]),
        window: u16_at(b, 34),
        urgent: u16_at(b, 38),
        payload_len,
        options: Options {
            timestamps: Some(Timestamps {
                value: u32_at(b, 44),
                echo: u32_at(b, 48),
            }),
            ..Options::default()
        },
        ecn: EcnField::from_class(b[1]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Check, checksum};
    use proptest::prelude::*;
    use std::vec::Vec;

    /// The same headers by way of the general writers.
    fn written_out(plain: &Plain, payload: &[u8]) -> Vec<u8> {
        let header = ipv4::Header {
            hop_limit: plain.hop_limit,
            traffic_class: plain.traffic_class,
            identification: plain.identification,
            ..ipv4::Header::new(
                plain.source,
                plain.destination,
                protocol::TCP,
                LEN + payload.len(),
            )
        };
        let segment = Segment {
            seq: plain.seq,
            ack: plain.ack,
            flags: plain.flags,
            window: plain.window,
            payload_len: payload.len() as u32,
            options: Options {
                timestamps: Some(plain.timestamps),
                ..Options::default()
            },
            ..Segment::default()
        };
        let mut out = std::vec![0; LEN];
        ipv4::emit(&header, &mut out);
        tcp::emit(
            &segment,
            plain.source_port,
            plain.destination_port,
            &mut out[20..],
        );
        let len = (TCP_LEN + payload.len()) as u32;
        let sum = checksum::pseudo_v4(plain.source, plain.destination, protocol::TCP, len)
            .add(&out[20..])
            .add(payload);
        out[36..38].copy_from_slice(&sum.finish().to_be_bytes());
        out
    }

    fn any_plain() -> impl Strategy<Value = Plain> {
        let ends = (any::<[u8; 4]>(), any::<[u8; 4]>(), any::<u16>(), any::<u16>());
        let ip = (any::<u8>(), any::<u8>(), any::<u16>());
        let tcp = (
            any::<u32>(),
            any::<u32>(),
            any::<bool>(),
            any::<u16>(),
            any::<u32>(),
            any::<u32>(),
        );
        (ends, ip, tcp).prop_map(|(ends, ip, tcp)| Plain {
            source: ends.0.into(),
            destination: ends.1.into(),
            source_port: ends.2,
            destination_port: ends.3,
            traffic_class: ip.0,
            hop_limit: ip.1,
            identification: ip.2,
            seq: SeqNumber(tcp.0),
            ack: SeqNumber(tcp.1),
            flags: if tcp.2 {
                Flags::ACK | Flags::PSH
            } else {
                Flags::ACK
            },
            window: tcp.3,
            timestamps: Timestamps {
                value: tcp.4,
                echo: tcp.5,
            },
        })
    }

    proptest! {
        #[test]
        fn is_what_the_general_writers_write(plain in any_plain(), payload in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut out = [0; LEN];
            plain.emit(&payload, true, &mut out);
            prop_assert_eq!(&out[..], &written_out(&plain, &payload)[..]);
            plain.emit(&payload, false, &mut out);
            let mut bare = written_out(&plain, &payload);
            bare[10..12].fill(0);
            bare[36..38].fill(0);
            prop_assert_eq!(&out[..], &bare[..]);
        }

        #[test]
        fn is_read_as_the_general_readers_read_it(plain in any_plain(), payload_len in 0usize..300) {
            let mut out = [0; LEN];
            plain.emit(&std::vec![7; payload_len], true, &mut out);
            prop_assert!(is_plain(&out));
            prop_assert_eq!(total_len(&out), LEN + payload_len);
            prop_assert!(is_between(
                &out, (plain.source, plain.source_port), (plain.destination, plain.destination_port)
            ));
            let mut read = tcp::parse(&out[20..], TCP_LEN + payload_len).unwrap();
            read.segment.ecn = EcnField::from_class(plain.traffic_class);
            prop_assert_eq!(segment(&out, payload_len as u32), read.segment);
        }

        /// Whatever is not plain is refused: a change of any octet that the check looks at.
        #[test]
        fn is_told_from_everything_else(plain in any_plain(), at in 0usize..LEN, change in 1u8..) {
            let mut out = [0; LEN];
            plain.emit(&[], false, &mut out);
            out[at] ^= change;
            let read = tcp::parse(&out[20..], TCP_LEN);
            let header = ipv4::parse(&out, 1 << 16, Check::Trust);
            // A total length that leaves no room for the headers is for the caller to refuse.
            if is_plain(&out) && total_len(&out) >= LEN {
                let (header, mut read) = (header.unwrap(), read.unwrap());
                read.segment.ecn = EcnField::from_class(header.traffic_class);
                prop_assert!(header.header_len == 20 && header.protocol == protocol::TCP && !header.is_fragment());
                prop_assert_eq!(segment(&out, 0), read.segment);
            }
        }
    }
}
