//! The 52 octets that stand in front of most segments: IPv4 without options, then TCP with timestamps and nothing else.
//!
//! Written in one go from values in registers, and told from everything else with a handful of comparisons. What it writes
//! and reads is what [`super::ipv4`] and [`super::tcp`] write and read of the same headers.

use bytes::Bytes;
use core::net::Ipv4Addr;

use super::checksum::{Sum, add_long_word, is_intact};
use super::tcp::ALIGNED_TIMESTAMPS;
use super::{ipv4, octets_at, protocol, tcp, u16_at, u32_at, u64_at};
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
        let words = out.as_chunks_mut::<4>().0;
        let mut put = |at, word| put(words, at, word);
        let addresses = put(3, self.source.to_bits()) + put(4, self.destination.to_bits());
        let length_and_class = u32::from(self.traffic_class) << 16 | u32::from(total);
        let mut ip = put(0, u32::from(VERSION_AND_LENGTH) << 24 | length_and_class);
        ip += put(1, u32::from(self.identification) << 16 | u32::from(DONT_FRAGMENT));
        let third = u32::from(self.hop_limit) << 24 | u32::from(protocol::TCP) << 16;
        ip += addresses + u64::from(third.to_be());
        let ports = u32::from(self.source_port) << 16 | u32::from(self.destination_port);
        let mut tcp = addresses + put(5, ports);
        tcp += put(6, self.seq.0) + put(7, self.ack.0);
        let flags_and_window = u32::from(self.flags.bits()) << 16 | u32::from(self.window);
        tcp += put(8, u32::from(OFFSET) << 24 | flags_and_window);
        tcp += put(10, ALIGNED_TIMESTAMPS);
        tcp += put(11, self.timestamps.value) + put(12, self.timestamps.echo);
        if !checksums {
            put(2, third);
            put(9, 0);
            return;
        }
        put(2, third | u32::from(Sum::of_words(ip).finish()));
        let mut sum = Sum::of_words(tcp)
            .add_u32(u32::from(protocol::TCP))
            .add_u32(transport_len);
        if !payload.is_empty() {
            sum = sum.add(payload);
        }
        put(9, u32::from(sum.finish()) << 16);
    }
}

/// A segment without payload, urgent pointer and SACK blocks, and what IP has to know of it: SYNs and acknowledgments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bare<'s> {
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) traffic_class: u8,
    pub(crate) hop_limit: u8,
    pub(crate) identification: u16,
    pub(crate) segment: &'s Segment,
}

/// Words of the longest headers of such a segment: those of a SYN with all options.
const BARE_WORDS: usize = 15;
/// Timestamps, with SACK-permitted before them.
const STAMPS_PERMITTED: u32 = u32::from_be_bytes([tcp::SACK_PERMITTED, 2, tcp::TIMESTAMPS, 10]);
/// The window scale, before its shift.
const SCALE: u32 = u32::from_be_bytes([tcp::NOP, tcp::WINDOW_SCALE, 3, 0]);
/// Octets of them.
pub(crate) const BARE_LEN: usize = 4 * BARE_WORDS;

impl Bare<'_> {
    /// Writes the headers, with both checksums or with none, and returns how many octets they have. Options stand as
    /// [`tcp::emit`] has them.
    #[inline(always)]
    pub(crate) fn emit(&self, checksums: bool, out: &mut [u8; BARE_LEN]) -> usize {
        let Segment {
            seq,
            ack,
            flags,
            window,
            urgent,
            payload_len,
            options,
            ..
        } = self.segment;
        debug_assert!(*payload_len == 0 && *urgent == 0 && options.sack.is_empty());
        let words = out.as_chunks_mut::<4>().0;
        let (mut len, mut tcp) = (LEAST / 4, 0);
        let mut option = |word: u32| {
            tcp += put(words, len, word);
            len += 1;
        };
        if let Some(mss) = options.mss {
            option(u32::from_be_bytes([tcp::MSS, 4, 0, 0]) | u32::from(mss));
        }
        if let Some(t) = options.timestamps {
            option(match options.sack_permitted {
                true => STAMPS_PERMITTED,
                false => ALIGNED_TIMESTAMPS,
            });
            option(t.value);
            option(t.echo);
        } else if options.sack_permitted {
            option(u32::from_be_bytes([tcp::NOP, tcp::NOP, tcp::SACK_PERMITTED, 2]));
        }
        if let Some(shift) = options.window_scale {
            option(SCALE | u32::from(shift));
        }

        let total = 4 * len as u32;
        let addresses = put(words, 3, self.source.to_bits()) + put(words, 4, self.destination.to_bits());
        let length_and_class = u32::from(self.traffic_class) << 16 | total;
        let mut ip = put(words, 0, u32::from(VERSION_AND_LENGTH) << 24 | length_and_class);
        let second = u32::from(self.identification) << 16 | u32::from(DONT_FRAGMENT);
        ip += put(words, 1, second);
        let third = u32::from(self.hop_limit) << 24 | u32::from(protocol::TCP) << 16;
        ip += addresses + u64::from(third.to_be());
        let ports = u32::from(self.source_port) << 16 | u32::from(self.destination_port);
        tcp += addresses + put(words, 5, ports);
        tcp += put(words, 6, seq.0) + put(words, 7, ack.0);
        let flags_and_window = u32::from(flags.bits()) << 16 | u32::from(*window);
        let offset = len as u32 - ipv4::HEADER_LEN as u32 / 4;
        tcp += put(words, 8, offset << 28 | flags_and_window);
        if !checksums {
            put(words, 2, third);
            put(words, 9, 0);
            return total as usize;
        }
        put(words, 2, third | u32::from(Sum::of_words(ip).finish()));
        let sum = Sum::of_words(tcp)
            .add_u32(u32::from(protocol::TCP))
            .add_u32(total - ipv4::HEADER_LEN as u32);
        put(words, 9, u32::from(sum.finish()) << 16);
        total as usize
    }
}

/// Writes a word of headers, and returns what it adds to their sum: each is summed when it is known, so that none waits in
/// memory for the others, to be read again by another width.
#[inline(always)]
fn put(words: &mut [[u8; 4]], at: usize, word: u32) -> u64 {
    let word = word.to_be();
    words[at] = word.to_ne_bytes();
    u64::from(word)
}

/// Octets of the least that TCP over IPv4 has in front of its payload: both headers without options.
pub(crate) const LEAST: usize = ipv4::HEADER_LEN + tcp::HEADER_LEN;

/// Whether this is the front of a TCP packet without IP options that is no fragment.
#[inline(always)]
pub(crate) fn is_whole_tcp(b: &[u8; LEAST]) -> bool {
    // Neither an offset nor more fragments, whatever the hop limit; the protocol.
    b[0] == VERSION_AND_LENGTH && u32_at(b, 6) & 0x3fff_00ff == protocol::TCP as u32
}

/// The headers of such a packet and its payload, if the TCP header has timestamps as its only option and is not that of a
/// SYN.
#[inline(always)]
pub(crate) fn split(front: &[u8]) -> Option<(&[u8; LEN], &[u8])> {
    front.split_first_chunk().filter(|(b, _)| is_plain(b))
}

#[inline(always)]
fn is_plain(b: &[u8; LEN]) -> bool {
    b[32] >> 4 == OFFSET >> 4 && b[33] & Flags::SYN.bits() == 0 && u32_at(b, 40) == ALIGNED_TIMESTAMPS
}

/// Octets of the whole packet, as its header tells it.
#[inline(always)]
pub(crate) fn total_len(b: &[u8; LEAST]) -> usize {
    usize::from(u16_at(b, 2))
}

/// Both addresses in one word, the source in its upper half.
#[inline(always)]
pub(crate) fn pair<const N: usize>(b: &[u8; N]) -> u64 {
    u64_at(b, 12)
}

/// Whether the source of such a pair is the unspecified address.
#[inline(always)]
pub(crate) fn is_from_nowhere(pair: u64) -> bool {
    pair >> 32 == 0
}

/// Both ports in one word, the source's in its upper half.
#[inline(always)]
pub(crate) fn ports<const N: usize>(b: &[u8; N]) -> u32 {
    u32_at(b, 20)
}

/// Whether the checksum of the IP header is right.
#[inline(always)]
pub(crate) fn ip_is_intact(b: &[u8; LEAST]) -> bool {
    let long = |at| u64::from_ne_bytes(octets_at(b, at));
    let last = u32::from_ne_bytes(octets_at(b, 16));
    is_intact(add_long_word(add_long_word(long(0), long(8)), last.into()))
}

/// Whether the checksum of the segment is right. `headers` are the first `N` octets of a packet of `total`, up to the payload,
/// and `payload` is in `front` and `behind`.
#[inline(always)]
pub(crate) fn tcp_is_intact<const N: usize>(
    headers: &[u8; N],
    total: usize,
    front: &[u8],
    behind: &[Bytes],
) -> bool {
    // The addresses, which stand in front of the TCP header, are the rest of the pseudo-header.
    const BEFORE: usize = 12;
    const { assert!((N - BEFORE).is_multiple_of(8)) };
    let len = (total - ipv4::HEADER_LEN) as u32;
    let pseudo = u64::from(u32::from(protocol::TCP).to_be()) + u64::from(len.to_be());
    let mut sum = pseudo;
    for word in headers[BEFORE..].as_chunks::<8>().0 {
        sum = add_long_word(sum, u64::from_ne_bytes(*word));
    }
    if front.is_empty() && behind.is_empty() {
        return is_intact(sum);
    }
    let sum = Sum::of_long_words(sum).add(front);
    behind.iter().fold(sum, |sum, part| sum.add(part)).verify()
}

/// As [`tcp_is_intact`], of a segment with whatever options: `front` is the packet up to `behind`.
#[inline(never)]
pub(crate) fn any_tcp_is_intact(total: usize, front: &[u8], behind: &[Bytes]) -> bool {
    let pseudo = Sum::ZERO
        .add_u32(u32::from(protocol::TCP))
        .add_u32((total - ipv4::HEADER_LEN) as u32);
    let sum = pseudo.add(&front[12..]);
    behind.iter().fold(sum, |sum, part| sum.add(part)).verify()
}

/// Octets of both headers of a SYN with all options that this stack sends.
pub(crate) const SYN_LEN: usize = LEAST + 20;

/// The headers of a SYN without payload whose options stand as [`tcp::emit`] writes them, with nothing behind: MSS,
/// SACK-permitted (or not), timestamps, window scale.
#[inline(always)]
pub(crate) fn syn_headers(front: &[u8]) -> Option<&[u8; SYN_LEN]> {
    <&[u8; SYN_LEN]>::try_from(front).ok().filter(|b| is_syn(b))
}

#[inline(always)]
fn is_syn(b: &[u8; SYN_LEN]) -> bool {
    const MSS: u16 = u16::from_be_bytes([tcp::MSS, 4]);
    let stamps = u32_at(b, 44);
    let flags = Flags::from_bits_retain(b[33]);
    usize::from(b[32] >> 4) * 4 == SYN_LEN - ipv4::HEADER_LEN
        && usize::from(u16_at(b, 2)) == SYN_LEN
        && flags.contains(Flags::SYN)
        && u16_at(b, 40) == MSS
        && (stamps == STAMPS_PERMITTED || stamps == ALIGNED_TIMESTAMPS)
        && u32_at(b, 56) & !0xff == SCALE
}

/// The segment in such a packet.
#[inline(always)]
pub(crate) fn syn(b: &[u8; SYN_LEN]) -> Segment {
    Segment {
        seq: SeqNumber(u32_at(b, 24)),
        ack: SeqNumber(u32_at(b, 28)),
        flags: Flags::from_bits_retain(b[33]),
        window: u16_at(b, 34),
        urgent: u16_at(b, 38),
        payload_len: 0,
        options: Options {
            mss: Some(u16_at(b, 42)),
            window_scale: Some(b[59]),
            sack_permitted: u32_at(b, 44) == STAMPS_PERMITTED,
            timestamps: Some(Timestamps {
                value: u32_at(b, 48),
                echo: u32_at(b, 52),
            }),
            ..Options::default()
        },
        ecn: EcnField::from_class(b[1]),
    }
}

/// The segment in a packet of `total` octets that begins with `front`, with whatever options, and the octets of both headers;
/// `None` if anything is wrong with it.
#[cold]
#[inline(never)]
pub(crate) fn any_segment(front: &[u8], total: usize) -> Option<(Segment, usize)> {
    let mut header = tcp::Header::default();
    tcp::parse_into(&front[ipv4::HEADER_LEN..], total - ipv4::HEADER_LEN, &mut header).ok()?;
    header.segment.ecn = EcnField::from_class(front[1]);
    Some((header.segment, ipv4::HEADER_LEN + header.header_len))
}

/// What such headers say of the segment: a third of what a [`Segment`] takes to write, most of which would be options that it
/// does not have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived {
    pub(crate) seq: SeqNumber,
    pub(crate) ack: SeqNumber,
    pub(crate) payload_len: u32,
    pub(crate) timestamps: Timestamps,
    pub(crate) window: u16,
    pub(crate) urgent: u16,
    pub(crate) flags: Flags,
    pub(crate) ecn: EcnField,
}

impl Arrived {
    /// Reads the headers in front of a payload of this many octets.
    #[inline(always)]
    pub(crate) fn read(b: &[u8; LEN], payload_len: u32) -> Arrived {
        Arrived {
            seq: SeqNumber(u32_at(b, 24)),
            ack: SeqNumber(u32_at(b, 28)),
            payload_len,
            timestamps: Timestamps {
                value: u32_at(b, 44),
                echo: u32_at(b, 48),
            },
            window: u16_at(b, 34),
            urgent: u16_at(b, 38),
            flags: Flags::from_bits_retain(b[33]),
            ecn: EcnField::from_class(b[1]),
        }
    }
    /// The segment.
    #[inline]
    pub(crate) fn segment(&self) -> Segment {
        Segment {
            seq: self.seq,
            ack: self.ack,
            flags: self.flags,
            window: self.window,
            urgent: self.urgent,
            payload_len: self.payload_len,
            options: Options {
                timestamps: Some(self.timestamps),
                ..Options::default()
            },
            ecn: self.ecn,
        }
    }
}

/// The segment that such headers stand before, with a payload of this many octets.
#[inline]
pub(crate) fn segment(b: &[u8; LEN], payload_len: u32) -> Segment {
    Arrived::read(b, payload_len).segment()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Check, checksum};
    use proptest::prelude::*;
    use std::vec::Vec;

    /// The same headers by way of the general writers.
    fn written_out(plain: &Plain, payload: &[u8]) -> Vec<u8> {
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
        packet(plain, &segment, payload)
    }

    /// The headers of a segment by way of the general writers; addresses and the like are those of `plain`.
    fn packet(plain: &Plain, segment: &Segment, payload: &[u8]) -> Vec<u8> {
        let headers = ipv4::HEADER_LEN + tcp::header_len(segment);
        let header = ipv4::Header {
            hop_limit: plain.hop_limit,
            traffic_class: plain.traffic_class,
            identification: plain.identification,
            ..ipv4::Header::new(
                plain.source,
                plain.destination,
                protocol::TCP,
                headers + payload.len(),
            )
        };
        let mut out = std::vec![0; headers];
        ipv4::emit(&header, &mut out);
        tcp::emit(segment, plain.source_port, plain.destination_port, &mut out[20..]);
        let len = (headers - ipv4::HEADER_LEN + payload.len()) as u32;
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
        fn bare_segments_are_what_the_general_writers_write(
            plain in any_plain(), flags: u8, mss: Option<u16>, scale: Option<u8>, sack_permitted: bool, stamped: bool
        ) {
            let segment = Segment {
                seq: plain.seq,
                ack: plain.ack,
                flags: Flags::from_bits_retain(flags),
                window: plain.window,
                options: Options {
                    mss,
                    window_scale: scale,
                    sack_permitted,
                    timestamps: stamped.then_some(plain.timestamps),
                    ..Options::default()
                },
                ..Segment::default()
            };
            let bare = Bare {
                source: plain.source,
                destination: plain.destination,
                source_port: plain.source_port,
                destination_port: plain.destination_port,
                traffic_class: plain.traffic_class,
                hop_limit: plain.hop_limit,
                identification: plain.identification,
                segment: &segment,
            };
            let mut whole = [0xee; BARE_LEN];
            let len = bare.emit(true, &mut whole);
            let mut expected = packet(&plain, &segment, &[]);
            prop_assert_eq!(&whole[..len], &expected[..]);
            prop_assert!(any_tcp_is_intact(len, &whole[..len], &[]));
            let all = mss.is_some() && scale.is_some() && stamped && flags & Flags::SYN.bits() != 0;
            let read = syn_headers(&whole[..len]).map(syn);
            prop_assert_eq!(read.is_some(), all);
            if let Some(read) = read {
                prop_assert!(tcp_is_intact(&whole, len, &[], &[]));
                let ecn = EcnField::from_class(plain.traffic_class);
                prop_assert_eq!(read, Segment { ecn, ..segment });
            }
            let len = bare.emit(false, &mut whole);
            expected[10..12].fill(0);
            expected[36..38].fill(0);
            prop_assert_eq!(&whole[..len], &expected[..]);
        }

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
            let least: &[u8; LEAST] = out.first_chunk().unwrap();
            prop_assert!(is_whole_tcp(least) && is_plain(&out) && ip_is_intact(least));
            let payload = std::vec![7; payload_len];
            let (front, behind) = payload.split_at(payload_len / 3);
            let behind = [Bytes::copy_from_slice(behind)];
            prop_assert!(tcp_is_intact(&out, LEN + payload_len, front, &behind));
            prop_assert!(any_tcp_is_intact(LEN + payload_len, &[&out, front].concat(), &behind));
            prop_assert_eq!(total_len(least), LEN + payload_len);
            let (source, destination) = (plain.source.to_bits(), plain.destination.to_bits());
            prop_assert_eq!(pair(least), u64::from(source) << 32 | u64::from(destination));
            prop_assert_eq!(is_from_nowhere(pair(least)), plain.source.is_unspecified());
            let both = u32::from(plain.source_port) << 16 | u32::from(plain.destination_port);
            prop_assert_eq!(ports(least), both);
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
            let least = out.first_chunk().unwrap();
            if is_whole_tcp(least) && is_plain(&out) && total_len(least) >= LEN {
                prop_assert_eq!(any_segment(&out, LEN), Some((segment(&out, 0), LEN)));
                let (header, mut read) = (header.unwrap(), read.unwrap());
                read.segment.ecn = EcnField::from_class(header.traffic_class);
                prop_assert!(header.header_len == 20 && header.protocol == protocol::TCP && !header.is_fragment());
                prop_assert_eq!(segment(&out, 0), read.segment);
            }
        }
    }
}
