//! The Internet checksum (RFC 1071), its incremental update (RFC 1624) and the pseudo-headers of TCP, UDP and ICMPv6.
//!
//! The one's complement sum does not care about byte order or grouping: words of any width may be added in the
//! machine's order, and folded at the end. So bytes are summed in wide words, in a shape that the compiler turns into
//! vector code, and swapped once.
//!
//! ```
//! use sockeye_stack::wire::checksum::{self, Sum};
//! let whole = checksum::sum(b"one piece of data");
//! let parts = Sum::ZERO.add(b"one").add(b" piece of").add(b" data");
//! assert_eq!(whole.finish(), parts.finish());
//! ```

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::frame::Payload;

/// A running sum over bytes, given in parts of any length, even or odd.
#[derive(Clone, Copy, Debug)]
pub struct Sum {
    /// One's complement sum of 16-bit words in the machine's byte order, not folded; below 2^63 for any data that
    /// fits into memory, since each part adds less than 2^33.
    value: u64,
    /// An odd number of bytes came so far: the next byte is the second of its word.
    odd: bool,
}

impl Sum {
    /// The sum over nothing.
    pub const ZERO: Sum = Sum { value: 0, odd: false };

    /// Adds bytes behind those that came before.
    #[inline]
    #[must_use]
    #[allow(clippy::should_implement_trait)]
    pub fn add(self, bytes: &[u8]) -> Sum {
        let part = raw(bytes);
        let part = if self.odd { swap(part) } else { part };
        Sum {
            value: self.value + part,
            odd: self.odd ^ (bytes.len() % 2 == 1),
        }
    }

    /// Adds all slices of a payload.
    #[inline]
    #[must_use]
    pub fn add_payload(self, payload: &Payload) -> Sum {
        payload.parts().iter().fold(self, |sum, part| sum.add(part))
    }

    /// Adds another sum, whose bytes stand behind those that came before.
    #[inline]
    #[must_use]
    pub fn join(self, behind: Sum) -> Sum {
        let value = if self.odd {
            swap(behind.value)
        } else {
            behind.value
        };
        Sum {
            value: self.value + u64::from(fold(value)),
            odd: self.odd ^ behind.odd,
        }
    }

    /// Adds a 16-bit number as it would stand in the header. Only at an even position.
    #[inline]
    #[must_use]
    pub fn add_u16(self, n: u16) -> Sum {
        debug_assert!(!self.odd);
        Sum {
            value: self.value + u64::from(n.to_be()),
            ..self
        }
    }

    /// Adds a 32-bit number as it would stand in the header. Only at an even position.
    #[inline]
    #[must_use]
    pub fn add_u32(self, n: u32) -> Sum {
        debug_assert!(!self.odd);
        Sum {
            value: self.value + u64::from(n.to_be()),
            ..self
        }
    }

    /// The checksum: the complement of the sum, as the number to write in network order.
    #[inline]
    #[must_use]
    pub fn finish(self) -> u16 {
        !self.partial()
    }

    /// The checksum of a UDP datagram: zero is sent as all ones, since zero means that there is none (RFC 768).
    #[inline]
    #[must_use]
    pub fn finish_udp(self) -> u16 {
        match self.finish() {
            0 => 0xffff,
            n => n,
        }
    }

    /// The sum folded to 16 bits, not complemented: what stands in the field when a device completes the checksum.
    #[inline]
    #[must_use]
    pub fn partial(self) -> u16 {
        u16::from_be(fold(self.value))
    }

    /// Whether data that contains its checksum is intact.
    #[inline]
    #[must_use]
    pub fn verify(self) -> bool {
        fold(self.value) == 0xffff
    }
}

/// The sum over `bytes`.
#[inline]
#[must_use]
pub fn sum(bytes: &[u8]) -> Sum {
    Sum::ZERO.add(bytes)
}

/// The sum over the pseudo-header of IPv4 (RFC 9293 section 3.1). `len` counts the transport header and payload.
#[inline]
#[must_use]
pub fn pseudo_v4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, len: u32) -> Sum {
    Sum::ZERO
        .add_u32(u32::from_be_bytes(source.octets()))
        .add_u32(u32::from_be_bytes(destination.octets()))
        .add_u32(u32::from(protocol))
        .add_u32(len)
}

/// The sum over the pseudo-header of IPv6 (RFC 8200 section 8.1). `len` counts the transport header and payload.
#[inline]
#[must_use]
pub fn pseudo_v6(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, len: u32) -> Sum {
    let words = |a: Ipv6Addr| {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = a.octets();
        u64::from(u32::from_ne_bytes([a, b, c, d]))
            + u64::from(u32::from_ne_bytes([e, f, g, h]))
            + u64::from(u32::from_ne_bytes([i, j, k, l]))
            + u64::from(u32::from_ne_bytes([m, n, o, p]))
    };
    let addresses = Sum {
        value: words(source) + words(destination),
        odd: false,
    };
    addresses.add_u32(u32::from(protocol)).add_u32(len)
}

/// The sum over the pseudo-header of either version. Addresses of different versions do not occur in one packet; the
/// result is then the sum over both, which matches nothing.
#[inline]
#[must_use]
pub fn pseudo(source: IpAddr, destination: IpAddr, protocol: u8, len: u32) -> Sum {
    match (source, destination) {
        (IpAddr::V4(s), IpAddr::V4(d)) => pseudo_v4(s, d, protocol, len),
        (IpAddr::V6(s), IpAddr::V6(d)) => pseudo_v6(s, d, protocol, len),
        (IpAddr::V4(s), IpAddr::V6(d)) => pseudo_v6(s.to_ipv6_mapped(), d, protocol, len),
        (IpAddr::V6(s), IpAddr::V4(d)) => pseudo_v6(s, d.to_ipv6_mapped(), protocol, len),
    }
}

/// The checksum after a 16-bit field at an even offset changed from `old` to `new` (RFC 1624 equation 3).
#[inline]
#[must_use]
pub fn adjust16(checksum: u16, old: u16, new: u16) -> u16 {
    let sum = u32::from(!checksum) + u32::from(!old) + u32::from(new);
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}

/// The checksum after a 32-bit field at an even offset changed from `old` to `new` (RFC 1624 equation 3).
#[inline]
#[must_use]
pub fn adjust32(checksum: u16, old: u32, new: u32) -> u16 {
    let once = adjust16(checksum, (old >> 16) as u16, (new >> 16) as u16);
    adjust16(once, old as u16, new as u16)
}

/// Folds a sum to 16 bits with end-around carry.
#[inline]
fn fold(n: u64) -> u16 {
    let n = (n & 0xffff_ffff) + (n >> 32);
    let n = (n & 0xffff_ffff) + (n >> 32);
    let n = (n & 0xffff) + (n >> 16);
    let n = (n & 0xffff) + (n >> 16);
    ((n & 0xffff) + (n >> 16)) as u16
}

/// The sum as if each byte stood at the other place of its word (RFC 1071 section 2 (B)).
#[inline]
fn swap(n: u64) -> u64 {
    u64::from(fold(n).swap_bytes())
}

/// The sum of 32-bit words in the machine's order, below 2^33; the last word is filled up with zeros.
#[inline]
fn raw(bytes: &[u8]) -> u64 {
    let mut total = 0u64;
    let (words, rest) = bytes.as_chunks::<4>();
    for w in words {
        total += u64::from(u32::from_ne_bytes(*w));
    }
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    total += u64::from(u32::from_ne_bytes(last));
    (total & 0xffff_ffff) + (total >> 32)
}
