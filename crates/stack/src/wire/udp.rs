//! The UDP header (RFC 768, RFC 8200 section 8.1).

use super::{ParseError, front, room, u16_at};

/// Octets of the header.
pub const HEADER_LEN: usize = 8;
/// Offset of the checksum.
pub const CHECKSUM_OFFSET: usize = 6;

/// A UDP header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// The sender's port; 0 if no answer is wanted.
    pub source_port: u16,
    /// The receiver's port.
    pub destination_port: u16,
    /// Octets of header and payload. Emit writes at most 65,535; a super-segment may have more.
    pub length: usize,
    /// As it stands in the header; 0 if the sender made none, which IPv6 forbids. Emit writes 0.
    pub checksum: u16,
}

/// Reads a header. `transport_len` is the IP payload's length; what lies beyond the header's own length is no part of
/// the datagram, and the caller cuts it off.
///
/// # Errors
/// [`ParseError::Truncated`]; [`ParseError::Malformed`] for a length below 8.
#[inline]
pub fn parse(bytes: &[u8], transport_len: usize) -> Result<Header, ParseError> {
    let b: &[u8; HEADER_LEN] = front(bytes)?;
    let length = usize::from(u16_at(b, 4));
    if length < HEADER_LEN {
        return Err(ParseError::Malformed);
    }
    if length > transport_len {
        return Err(ParseError::Truncated);
    }
    Ok(Header {
        source_port: u16_at(b, 0),
        destination_port: u16_at(b, 2),
        length,
        checksum: u16_at(b, 6),
    })
}

/// Writes a header with checksum zero: [`HEADER_LEN`] octets.
///
/// # Panics
/// If `out` is shorter.
#[inline]
pub fn emit(header: &Header, out: &mut [u8]) -> usize {
    let b: &mut [u8; HEADER_LEN] = room(out);
    let length = u16::try_from(header.length).unwrap_or(u16::MAX);
    b[0..2].copy_from_slice(&header.source_port.to_be_bytes());
    b[2..4].copy_from_slice(&header.destination_port.to_be_bytes());
    b[4..6].copy_from_slice(&length.to_be_bytes());
    b[6..8].fill(0);
    HEADER_LEN
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves: 768-4.
    #[test]
    fn lengths() {
        let mut header = Header {
            source_port: 1000,
            destination_port: 53,
            length: 20,
            checksum: 0,
        };
        let mut out = [0xee; HEADER_LEN];
        assert_eq!(emit(&header, &mut out), HEADER_LEN);
        assert_eq!(parse(&out, 20), Ok(header));
        // Padding behind the datagram is the caller's to cut off.
        assert_eq!(parse(&out, 30), Ok(header));
        assert_eq!(parse(&out, 19), Err(ParseError::Truncated));
        assert_eq!(parse(&out[..7], 20), Err(ParseError::Truncated));
        for length in [0, 7] {
            header.length = length;
            emit(&header, &mut out);
            assert_eq!(parse(&out, 20), Err(ParseError::Malformed));
        }
        header.length = 100_000;
        emit(&header, &mut out);
        assert_eq!(out[4..6], [0xff, 0xff]);
    }
}
