//! A TCP segment as the protocol sees it: header fields and options, without addresses or payload bytes.

use bitflags::bitflags;
use core::fmt;

use super::seq::SeqNumber;

bitflags! {
    /// The control bits of a TCP header (RFC 9293 section 3.1; ECE and CWR: RFC 3168).
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
    pub struct Flags: u8 {
        /// No more data from sender.
        const FIN = 0x01;
        /// Synchronise sequence numbers.
        const SYN = 0x02;
        /// Reset the connection.
        const RST = 0x04;
        /// Push function.
        const PSH = 0x08;
        /// The acknowledgment field is significant.
        const ACK = 0x10;
        /// The urgent pointer field is significant.
        const URG = 0x20;
        /// ECN echo.
        const ECE = 0x40;
        /// Congestion window reduced.
        const CWR = 0x80;
    }
}

/// Names separated by commas, in the order in which people say them: `SYN,ACK`, `FIN,ACK`, `PSH,ACK`.
impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ORDER: [(Flags, &str); 8] = [
            (Flags::SYN, "SYN"),
            (Flags::FIN, "FIN"),
            (Flags::RST, "RST"),
            (Flags::PSH, "PSH"),
            (Flags::URG, "URG"),
            (Flags::ECE, "ECE"),
            (Flags::CWR, "CWR"),
            (Flags::ACK, "ACK"),
        ];
        let mut first = true;
        for (flag, name) in ORDER {
            if self.contains(flag) {
                if !first {
                    f.write_str(",")?;
                }
                f.write_str(name)?;
                first = false;
            }
        }
        if first { f.write_str("none") } else { Ok(()) }
    }
}

/// One SACK block: the octets from `start` up to, not including, `end` have arrived (RFC 2018 section 3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SackBlock {
    /// First octet of the block.
    pub start: SeqNumber,
    /// The octet after its last.
    pub end: SeqNumber,
}

/// Up to four SACK blocks; three fit beside timestamps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SackBlocks {
    blocks: [SackBlock; 4],
    len: u8,
}

impl SackBlocks {
    /// No blocks.
    pub const NONE: SackBlocks = SackBlocks {
        blocks: [SackBlock {
            start: SeqNumber(0),
            end: SeqNumber(0),
        }; 4],
        len: 0,
    };

    /// Appends a block; a fifth is dropped.
    pub fn push(&mut self, block: SackBlock) {
        if let Some(place) = self.blocks.get_mut(self.len as usize) {
            *place = block;
            self.len += 1;
        }
    }
    /// The blocks in order.
    pub fn as_slice(&self) -> &[SackBlock] {
        &self.blocks[..self.len as usize]
    }
    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// Keeps the first `n`.
    pub fn truncate(&mut self, n: usize) {
        self.len = self.len.min(n as u8);
    }
}

impl FromIterator<SackBlock> for SackBlocks {
    fn from_iter<T: IntoIterator<Item = SackBlock>>(blocks: T) -> Self {
        let mut out = SackBlocks::NONE;
        for block in blocks {
            out.push(block);
        }
        out
    }
}

/// The timestamps option (RFC 7323 section 3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Timestamps {
    /// TSval: the sender's clock.
    pub value: u32,
    /// TSecr: the clock value that the sender echoes.
    pub echo: u32,
}

/// The options of a segment that this stack understands. Unknown ones are skipped by their length (MUST-6).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// Maximum segment size (kind 2), on SYN only.
    pub mss: Option<u16>,
    /// Window scale shift (kind 3), on SYN only; as received, before the limit of 14.
    pub window_scale: Option<u8>,
    /// SACK permitted (kind 4), on SYN only.
    pub sack_permitted: bool,
    /// Timestamps (kind 8).
    pub timestamps: Option<Timestamps>,
    /// SACK blocks (kind 5).
    pub sack: SackBlocks,
}

/// The ECN field of the IP header around a segment (RFC 3168 section 5).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub enum EcnField {
    /// The transport does not take part: routers drop where they would mark.
    #[default]
    NotEct = 0,
    /// ECN-capable, ECT(1). For experiments (RFC 8311 section 4.2); we take it for ECT(0) and never send it.
    Ect1 = 1,
    /// ECN-capable, ECT(0).
    Ect0 = 2,
    /// Congestion experienced: a router marked the packet instead of dropping it.
    Ce = 3,
}

impl EcnField {
    /// The field as it stands in the lowest two bits of a traffic class.
    #[inline]
    pub fn from_class(traffic_class: u8) -> Self {
        match traffic_class & 3 {
            0 => EcnField::NotEct,
            1 => EcnField::Ect1,
            2 => EcnField::Ect0,
            _ => EcnField::Ce,
        }
    }
    /// A traffic class with this in place of its ECN field.
    #[inline]
    pub fn in_class(self, traffic_class: u8) -> u8 {
        traffic_class & !3 | self as u8
    }
}

/// A segment's header and options, and how much payload comes with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Segment {
    /// SEG.SEQ: number of the first octet (of the SYN, where there is one).
    pub seq: SeqNumber,
    /// SEG.ACK; meaningful with the ACK bit.
    pub ack: SeqNumber,
    /// Control bits.
    pub flags: Flags,
    /// SEG.WND as it stands in the header, before scaling.
    pub window: u16,
    /// SEG.UP: the urgent pointer field; meaningful with the URG bit.
    pub urgent: u16,
    /// Octets of payload.
    pub payload_len: u32,
    /// Options.
    pub options: Options,
    /// The ECN field of the IP header; not part of the TCP header, which [`crate::wire::tcp`] reads and writes.
    pub ecn: EcnField,
}

impl Segment {
    /// SEG.LEN: octets of sequence space the segment takes; SYN and FIN count one each.
    #[inline]
    pub fn len(&self) -> u32 {
        self.payload_len
            + u32::from(self.flags.contains(Flags::SYN))
            + u32::from(self.flags.contains(Flags::FIN))
    }
    /// Whether it takes no sequence space.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The sequence number after the segment's last octet.
    #[inline]
    pub fn end(&self) -> SeqNumber {
        self.seq + self.len()
    }
    #[inline]
    pub(crate) fn has(&self, flags: Flags) -> bool {
        self.flags.contains(flags)
    }
}
