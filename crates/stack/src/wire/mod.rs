//! Headers: one file a protocol, each with parse, check and emit.
//!
//! Plain functions over slices and small `Copy` structs. *Parse* takes the front of what was received (the first
//! contiguous bytes, which must hold the whole header) and the true length where the header has a length of its own;
//! it never panics, never allocates and reads nothing outside the slice. *Emit* writes into room that the caller made,
//! of at least the length that the function names, and returns how many bytes it wrote; too little room is a fault of
//! the core and panics.
//!
//! Transport checksums cover payload that may lie elsewhere, so parse leaves them to the caller, who has
//! [`checksum::Sum`]; emit leaves the field zero.

pub mod arp;
pub mod checksum;
pub mod ethernet;
pub mod icmpv4;
pub mod icmpv6;
pub mod igmp;
pub mod ipv4;
pub mod ipv6;
pub mod ipv6_extension;
pub mod mld;
pub mod ndp;
pub(crate) mod plain;
pub mod protocol;
pub mod tcp;
pub mod udp;

mod error;
mod multicast_code;

pub use error::{Check, ParseError};
pub use multicast_code::RecordKind;

/// The first `N` bytes of received data, or that it is too short.
#[inline]
pub(crate) fn front<const N: usize>(bytes: &[u8]) -> Result<&[u8; N], ParseError> {
    bytes.first_chunk::<N>().ok_or(ParseError::Truncated)
}

/// The first `N` bytes of room to write to.
///
/// # Panics
/// If there is less room: the lengths of headers are ours, not a peer's.
#[inline]
pub(crate) fn room<const N: usize>(out: &mut [u8]) -> &mut [u8; N] {
    out.first_chunk_mut::<N>()
        .expect("the core gives each header the room that it says it needs")
}

/// The octets from `at` on, copied as one: octet by octet, numbers that overlap would be put together again.
#[inline(always)]
pub(crate) fn octets_at<const N: usize, const LEN: usize>(b: &[u8; N], at: usize) -> [u8; LEN] {
    let mut octets = [0; LEN];
    octets.copy_from_slice(&b[at..at + LEN]);
    octets
}

/// The big-endian number at `at`.
#[inline]
pub(crate) fn u16_at<const N: usize>(b: &[u8; N], at: usize) -> u16 {
    u16::from_be_bytes(octets_at(b, at))
}

/// The big-endian number at `at`.
#[inline]
pub(crate) fn u32_at<const N: usize>(b: &[u8; N], at: usize) -> u32 {
    u32::from_be_bytes(octets_at(b, at))
}

/// The big-endian number at `at`.
#[inline]
pub(crate) fn u64_at<const N: usize>(b: &[u8; N], at: usize) -> u64 {
    u64::from_be_bytes(octets_at(b, at))
}
