//! Copies of a few octets, written out: a call of `memcpy` takes longer than to copy as many (15 instructions each, of which an
//! exchange of short messages had eight).

use bytes::BytesMut;

/// From here on a call is faster.
const LONG: usize = 16;

/// Copies `from` to `to`, which is as long.
#[inline(always)]
pub(crate) fn copy(from: &[u8], to: &mut [u8]) {
    if from.len() >= LONG {
        return to.copy_from_slice(from);
    }
    let (from, to) = copy_piece::<8>(from, to);
    let (from, to) = copy_piece::<4>(from, to);
    let (from, to) = copy_piece::<2>(from, to);
    copy_piece::<1>(from, to);
}

#[inline(always)]
fn copy_piece<'a, 'b, const N: usize>(from: &'a [u8], to: &'b mut [u8]) -> (&'a [u8], &'b mut [u8]) {
    match from.split_first_chunk::<N>() {
        Some((piece, from)) => {
            let (place, to) = to.split_at_mut(N);
            place.copy_from_slice(piece);
            (from, to)
        }
        None => (from, to),
    }
}

/// Appends `octets` to a buffer that has room for them.
#[inline(always)]
pub(crate) fn append(buffer: &mut BytesMut, octets: &[u8]) {
    if octets.len() >= LONG {
        return buffer.extend_from_slice(octets);
    }
    let rest = append_piece::<8>(buffer, octets);
    let rest = append_piece::<4>(buffer, rest);
    let rest = append_piece::<2>(buffer, rest);
    append_piece::<1>(buffer, rest);
}

#[inline(always)]
fn append_piece<'a, const N: usize>(buffer: &mut BytesMut, octets: &'a [u8]) -> &'a [u8] {
    match octets.split_first_chunk::<N>() {
        Some((piece, rest)) => {
            buffer.extend_from_slice(piece);
            rest
        }
        None => octets,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn every_length_is_copied_whole() {
        for len in 0..2 * LONG {
            let from: Vec<u8> = (1..=len as u8).collect();
            let mut to = std::vec![0; len];
            copy(&from, &mut to);
            assert_eq!(to, from);
            let mut buffer = BytesMut::from(&b"before"[..]);
            append(&mut buffer, &from);
            assert_eq!(buffer[..], [&b"before"[..], &from].concat());
        }
    }
}
