//! The TCP header and its options (RFC 9293 sections 3.1 and 3.2, RFC 2018, RFC 7323).

use super::{ParseError, front, room, u16_at, u32_at};
use crate::tcp::{Flags, Options, SackBlock, Segment, SeqNumber, Timestamps};

/// Octets of a header without options.
pub const HEADER_LEN: usize = 20;
/// Octets of a header with options, at most.
pub const MAX_HEADER_LEN: usize = 60;
/// Offset of the checksum.
pub const CHECKSUM_OFFSET: usize = 16;

const END: u8 = 0;
pub(super) const NOP: u8 = 1;
pub(super) const MSS: u8 = 2;
pub(super) const WINDOW_SCALE: u8 = 3;
pub(super) const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
pub(super) const TIMESTAMPS: u8 = 8;

/// The first word of the usual options of an established connection: NOP, NOP, timestamps of 10 octets.
pub(super) const ALIGNED_TIMESTAMPS: u32 = u32::from_be_bytes([NOP, NOP, TIMESTAMPS, 10]);

/// What stands in a TCP header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// The sender's port.
    pub source_port: u16,
    /// The receiver's port.
    pub destination_port: u16,
    /// Octets of the header, options included: 20 to 60.
    pub header_len: usize,
    /// As it stands in the header.
    pub checksum: u16,
    /// Sequence numbers, flags, options and the length of the payload.
    pub segment: Segment,
}

/// Reads a header and its options. `transport_len` is the IP payload's length. The checksum is the caller's to verify.
///
/// MSS, window scale and SACK-permitted are taken from a SYN only. A repeated option overrides the first. Reserved
/// bits are ignored.
///
/// # Errors
/// [`ParseError::Truncated`]; [`ParseError::Malformed`] for a data offset below 5 and an illegal option length (MUST-7).
#[inline]
pub fn parse(bytes: &[u8], transport_len: usize) -> Result<Header, ParseError> {
    let mut header = Header::default();
    parse_into(bytes, transport_len, &mut header)?;
    Ok(header)
}

/// As [`parse`], into a header that is there already (its old content does not matter; after an error neither does its
/// new one): on the path of every segment, where moving a result about costs more than reading the header.
///
/// # Errors
/// As [`parse`].
#[inline]
pub fn parse_into(bytes: &[u8], transport_len: usize, header: &mut Header) -> Result<(), ParseError> {
    let b: &[u8; HEADER_LEN] = front(bytes)?;
    let header_len = usize::from(b[12] >> 4) * 4;
    if header_len < HEADER_LEN {
        return Err(ParseError::Malformed);
    }
    if header_len > bytes.len() || header_len > transport_len {
        return Err(ParseError::Truncated);
    }
    let flags = Flags::from_bits_retain(b[13]);
    header.source_port = u16_at(b, 0);
    header.destination_port = u16_at(b, 2);
    header.header_len = header_len;
    header.checksum = u16_at(b, 16);
    let segment = &mut header.segment;
    segment.seq = SeqNumber(u32_at(b, 4));
    segment.ack = SeqNumber(u32_at(b, 8));
    segment.flags = flags;
    segment.window = u16_at(b, 14);
    segment.urgent = u16_at(b, 18);
    segment.payload_len = (transport_len - header_len) as u32;
    let options = &bytes[HEADER_LEN..header_len];
    if let Some(timestamps) = only_timestamps(options)
        && !flags.contains(Flags::SYN)
    {
        let Options {
            mss,
            window_scale,
            sack_permitted,
            timestamps: ts,
            sack,
        } = &mut segment.options;
        (*mss, *window_scale, *sack_permitted, *ts) = (None, None, false, Some(timestamps));
        sack.truncate(0);
        return Ok(());
    }
    segment.options = parse_options(options, flags.contains(Flags::SYN))?;
    Ok(())
}

/// The timestamps of the usual twelve octets of options on an established connection.
#[inline]
fn only_timestamps(options: &[u8]) -> Option<Timestamps> {
    let o: &[u8; 12] = options.try_into().ok()?;
    (u32_at(o, 0) == ALIGNED_TIMESTAMPS).then(|| Timestamps {
        value: u32_at(o, 4),
        echo: u32_at(o, 8),
    })
}

/// Ports and sequence number of a segment that an ICMP error quotes, of which only 8 octets need be there.
///
/// # Errors
/// [`ParseError::Truncated`].
pub fn parse_embedded(bytes: &[u8]) -> Result<(u16, u16, SeqNumber), ParseError> {
    let b: &[u8; 8] = front(bytes)?;
    Ok((u16_at(b, 0), u16_at(b, 2), SeqNumber(u32_at(b, 4))))
}

/// Reads options, of any segment (MUST-5), at any alignment (MUST-64).
#[inline]
fn parse_options(bytes: &[u8], syn: bool) -> Result<Options, ParseError> {
    if bytes.is_empty() {
        return Ok(Options::default());
    }
    if let Ok(b) = <&[u8; 12]>::try_from(bytes)
        && u32_at(b, 0) == ALIGNED_TIMESTAMPS
    {
        return Ok(Options {
            timestamps: Some(Timestamps {
                value: u32_at(b, 4),
                echo: u32_at(b, 8),
            }),
            ..Options::default()
        });
    }
    walk_options(bytes, syn)
}

fn walk_options(mut rest: &[u8], syn: bool) -> Result<Options, ParseError> {
    let mut options = Options::default();
    loop {
        // EOL and NOP are one octet, everything else has a length (MUST-4, MUST-68).
        let (kind, len) = match *rest {
            [] | [END, ..] => return Ok(options),
            [NOP, ref behind @ ..] => {
                rest = behind;
                continue;
            }
            [kind, len, ..] => (kind, usize::from(len)),
            [_] => return Err(ParseError::Malformed),
        };
        if len < 2 || len > rest.len() {
            return Err(ParseError::Malformed); // MUST-7
        }
        let (option, behind) = rest.split_at(len);
        read_option(kind, &option[2..], syn, &mut options)?;
        rest = behind;
    }
}

/// Takes one option; those that we do not know leave no mark (MUST-6).
fn read_option(kind: u8, data: &[u8], syn: bool, options: &mut Options) -> Result<(), ParseError> {
    match (kind, data) {
        (MSS, &[a, b]) => options.mss = syn.then_some(u16::from_be_bytes([a, b])),
        (WINDOW_SCALE, &[shift]) => options.window_scale = syn.then_some(shift),
        (SACK_PERMITTED, []) => options.sack_permitted = syn,
        (TIMESTAMPS, &[a, b, c, d, e, f, g, h]) => {
            options.timestamps = Some(Timestamps {
                value: u32::from_be_bytes([a, b, c, d]),
                echo: u32::from_be_bytes([e, f, g, h]),
            });
        }
        (SACK, data) if !data.is_empty() && data.len().is_multiple_of(8) => {
            options.sack = Default::default();
            for b in data.as_chunks::<8>().0 {
                options.sack.push(SackBlock {
                    start: SeqNumber(u32_at(b, 0)),
                    end: SeqNumber(u32_at(b, 4)),
                });
            }
        }
        (MSS | WINDOW_SCALE | SACK_PERMITTED | TIMESTAMPS | SACK, _) => return Err(ParseError::Malformed),
        _ => {}
    }
    Ok(())
}

/// Octets of options other than SACK blocks.
#[inline]
fn fixed_len(options: &Options) -> usize {
    let mss = if options.mss.is_some() { 4 } else { 0 };
    let scale = if options.window_scale.is_some() { 4 } else { 0 };
    let timestamps = if options.timestamps.is_some() { 12 } else { 0 };
    // With timestamps, SACK-permitted takes the place of their two NOPs.
    let permitted = if options.sack_permitted && options.timestamps.is_none() {
        4
    } else {
        0
    };
    mss + scale + timestamps + permitted
}

/// How many of the SACK blocks fit behind the other options.
#[inline]
fn sack_count(options: &Options, fixed: usize) -> usize {
    let space = (MAX_HEADER_LEN - HEADER_LEN).saturating_sub(fixed + 4) / 8;
    options.sack.as_slice().len().min(space)
}

/// Octets that [`emit`] writes for this segment: a multiple of 4, at most [`MAX_HEADER_LEN`].
#[inline]
pub fn header_len(segment: &Segment) -> usize {
    let fixed = fixed_len(&segment.options);
    let sack = match sack_count(&segment.options, fixed) {
        0 => 0,
        n => 4 + 8 * n,
    };
    HEADER_LEN + fixed + sack
}

/// Writes a header with checksum zero and reserved bits zero: [`header_len`] octets. SACK blocks that do not fit
/// are left out, the last first.
///
/// Options stand in Linux's order, each group a multiple of four octets long, so that no padding is needed (MUST-69):
/// MSS, then SACK-permitted and timestamps (or NOP NOP SACK-permitted, or NOP NOP timestamps), NOP window scale, NOP NOP
/// SACK.
///
/// # Panics
/// If `out` is shorter.
#[inline]
pub fn emit(segment: &Segment, source_port: u16, destination_port: u16, out: &mut [u8]) -> usize {
    let len = header_len(segment);
    let b: &mut [u8; HEADER_LEN] = room(out);
    b[0..2].copy_from_slice(&source_port.to_be_bytes());
    b[2..4].copy_from_slice(&destination_port.to_be_bytes());
    b[4..8].copy_from_slice(&segment.seq.0.to_be_bytes());
    b[8..12].copy_from_slice(&segment.ack.0.to_be_bytes());
    b[12] = ((len / 4) as u8) << 4;
    b[13] = segment.flags.bits();
    b[14..16].copy_from_slice(&segment.window.to_be_bytes());
    b[16..18].fill(0);
    b[18..20].copy_from_slice(&segment.urgent.to_be_bytes());
    if len > HEADER_LEN {
        emit_options(&segment.options, &mut out[HEADER_LEN..len]);
    }
    len
}

#[inline]
fn emit_options(options: &Options, out: &mut [u8]) {
    if let (Some(t), Ok(b)) = (options.timestamps, <&mut [u8; 12]>::try_from(&mut *out))
        && !options.sack_permitted
    {
        b[0..4].copy_from_slice(&ALIGNED_TIMESTAMPS.to_be_bytes());
        b[4..8].copy_from_slice(&t.value.to_be_bytes());
        b[8..12].copy_from_slice(&t.echo.to_be_bytes());
        return;
    }
    emit_any_options(options, out);
}

fn emit_any_options(options: &Options, out: &mut [u8]) {
    let mut at = 0;
    let mut word = |bytes: [u8; 4]| {
        out[at..at + 4].copy_from_slice(&bytes);
        at += 4;
    };
    if let Some(mss) = options.mss {
        let [a, b] = mss.to_be_bytes();
        word([MSS, 4, a, b]);
    }
    let permitted = if options.sack_permitted {
        [SACK_PERMITTED, 2]
    } else {
        [NOP, NOP]
    };
    if let Some(t) = options.timestamps {
        word([permitted[0], permitted[1], TIMESTAMPS, 10]);
        word(t.value.to_be_bytes());
        word(t.echo.to_be_bytes());
    } else if options.sack_permitted {
        word([NOP, NOP, SACK_PERMITTED, 2]);
    }
    if let Some(shift) = options.window_scale {
        word([NOP, WINDOW_SCALE, 3, shift]);
    }
    let blocks = sack_count(options, fixed_len(options));
    if blocks > 0 {
        word([NOP, NOP, SACK, 2 + 8 * blocks as u8]);
        for block in &options.sack.as_slice()[..blocks] {
            word(block.start.0.to_be_bytes());
            word(block.end.0.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::SackBlocks;
    use alloc::vec;
    use alloc::vec::Vec;

    fn options_of(options: Options) -> Vec<u8> {
        let segment = Segment {
            flags: Flags::SYN,
            options,
            ..Segment::default()
        };
        let mut out = vec![0xee; header_len(&segment)];
        assert_eq!(emit(&segment, 1, 2, &mut out), out.len());
        assert_eq!(usize::from(out[12] >> 4) * 4, out.len());
        out.split_off(HEADER_LEN)
    }

    fn blocks(n: u32) -> SackBlocks {
        let mut blocks = SackBlocks::NONE;
        for i in 0..n {
            blocks.push(SackBlock {
                start: SeqNumber(10 * i),
                end: SeqNumber(10 * i + 5),
            });
        }
        blocks
    }

    const TIMES: Option<Timestamps> = Some(Timestamps { value: 1, echo: 2 });

    /// The order of Linux's `tcp_options_write`, whole words, no padding.
    ///
    /// Proves: MUST-14, MUST-65, MUST-69.
    #[test]
    fn options_stand_where_linux_puts_them() {
        let syn = Options {
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: true,
            timestamps: TIMES,
            sack: SackBlocks::NONE,
        };
        let expected = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 3, 3, 7];
        assert_eq!(options_of(syn), expected);
        let plain = Options {
            timestamps: None,
            ..syn
        };
        assert_eq!(options_of(plain), [2, 4, 5, 180, 1, 1, 4, 2, 1, 3, 3, 7]);
        let no_sack = Options {
            sack_permitted: false,
            ..syn
        };
        let expected = [2, 4, 5, 180, 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 3, 3, 7];
        assert_eq!(options_of(no_sack), expected);
        let data = Options {
            timestamps: TIMES,
            sack: blocks(1),
            ..Options::default()
        };
        let expected = [
            1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1, 5, 10, 0, 0, 0, 0, 0, 0, 0, 5,
        ];
        assert_eq!(options_of(data), expected);
        assert!(options_of(Options::default()).is_empty());
    }

    /// Proves: 2018-4b.
    #[test]
    fn as_many_sack_blocks_as_fit() {
        let with = |timestamps| Options {
            timestamps,
            sack: blocks(4),
            ..Options::default()
        };
        assert_eq!(options_of(with(None)).len(), 4 + 4 * 8);
        assert_eq!(options_of(with(TIMES)).len(), 12 + 4 + 3 * 8);
        let crowded = Options {
            mss: Some(1460),
            window_scale: Some(7),
            ..with(None)
        };
        assert_eq!(options_of(crowded).len(), 4 + 4 + 4 + 3 * 8);
    }

    fn with_options(flags: u8, options: &[u8]) -> Result<Options, ParseError> {
        let mut bytes = vec![0; HEADER_LEN];
        bytes.extend_from_slice(options);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes[12] = ((bytes.len() / 4) as u8) << 4;
        bytes[13] = flags;
        parse(&bytes, bytes.len()).map(|h| h.segment.options)
    }

    /// Proves: MUST-7.
    #[test]
    fn illegal_lengths_are_malformed() {
        for options in [
            &[2, 0, 5, 180][..],
            &[2, 1, 5, 180],
            &[2, 3, 5, 1],
            &[99, 0, 0, 0],
            &[99, 5, 0, 0],
            &[1, 1, 1, 8],
            &[1, 1, 8, 9],
            &[5, 2, 1, 1],
            &[5, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(
                with_options(2, options),
                Err(ParseError::Malformed),
                "{options:?}"
            );
        }
    }

    /// Nothing behind the end is looked at; unknown ones are passed over.
    ///
    /// Proves: MUST-4, MUST-6, MUST-68.
    #[test]
    fn end_and_unknown_options() {
        assert_eq!(with_options(2, &[0, 2, 0, 0]), Ok(Options::default()));
        let options = with_options(2, &[99, 4, 0, 0, 2, 4, 5, 180]).unwrap();
        assert_eq!(options.mss, Some(1460));
    }

    /// MSS, window scale and SACK-permitted mean nothing outside a SYN; the others do in any segment.
    ///
    /// Proves: 2018-2, MUST-5.
    #[test]
    fn options_of_a_syn_elsewhere() {
        let all = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 3, 3, 7];
        let options = with_options(0x10, &all).unwrap();
        let expected = Options {
            timestamps: TIMES,
            ..Options::default()
        };
        assert_eq!(options, expected);
    }

    #[test]
    fn lengths_that_cannot_be() {
        let mut bytes = [0; 40];
        bytes[12] = 0x40;
        assert_eq!(parse(&bytes, 40), Err(ParseError::Malformed));
        bytes[12] = 0xa0;
        assert!(parse(&bytes, 40).is_ok());
        assert_eq!(parse(&bytes, 39), Err(ParseError::Truncated));
        assert_eq!(parse(&bytes[..39], 40), Err(ParseError::Truncated));
        assert_eq!(parse(&bytes[..19], 19), Err(ParseError::Truncated));
        // The payload may lie elsewhere, and be a super-segment's.
        assert_eq!(parse(&bytes, 70_000).unwrap().segment.payload_len, 70_000 - 40);
    }

    #[test]
    fn quoted_segment_of_eight_octets() {
        let quoted = parse_embedded(&[0, 80, 0x12, 0x34, 0, 0, 0, 9]);
        assert_eq!(quoted, Ok((80, 0x1234, SeqNumber(9))));
        assert_eq!(parse_embedded(&[0; 7]), Err(ParseError::Truncated));
    }
}
