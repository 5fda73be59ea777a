//! Frames in and out: a header and a list of payload slices.
//!
//! One type serves both directions, so that an in-memory link can hand a frame on without touching a byte.
//!
//! ```text
//!    head (inline, written by the core)        body (shared slices, never copied)
//!  ┌───────────────────────────────────┐     ┌──────────┬─────────────┬─────┐
//!  │ Ethernet │ IP │ TCP and options   │ ──▶ │ Bytes    │ Bytes       │ ... │
//!  └───────────────────────────────────┘     └──────────┴─────────────┴─────┘
//! ```
//!
//! A device that reads whole frames makes a [`Frame`] from one [`Bytes`]; then the head is empty and the headers lie
//! in the first slice. [`Frame::front`] gives the contiguous bytes in which headers are looked for, whichever it is.

use alloc::vec::Vec;
use bytes::{Buf, Bytes};
use core::fmt;
use smallvec::SmallVec;

use crate::InterfaceId;
use crate::trace::Cause;

/// A list of shared byte slices with a known total length. Cloning and slicing copy no bytes.
#[derive(Clone, Default)]
pub struct Payload {
    parts: SmallVec<[Bytes; 3]>,
    len: usize,
}

impl Payload {
    /// An empty payload.
    pub const fn new() -> Self {
        Payload {
            parts: SmallVec::new_const(),
            len: 0,
        }
    }
    /// Total number of bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }
    /// Whether there is no byte.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// Whether one more slice would need an allocation.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.parts.len() >= self.parts.inline_size()
    }
    /// The slices in order; none is empty.
    #[inline]
    pub fn parts(&self) -> &[Bytes] {
        &self.parts
    }
    /// The slices themselves, in order.
    pub fn into_parts(self) -> impl Iterator<Item = Bytes> {
        self.parts.into_iter()
    }
    /// Appends a slice.
    #[inline]
    pub fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.len += bytes.len();
            self.parts.push(bytes);
        }
    }
    /// Appends all slices of `other`.
    pub fn append(&mut self, other: Payload) {
        self.len += other.len;
        self.parts.extend(other.parts);
    }
    /// Takes the slice, if there is just one.
    #[inline]
    pub(crate) fn take_only(&mut self) -> Option<Bytes> {
        if self.parts.len() != 1 {
            return None;
        }
        self.len = 0;
        self.parts.pop()
    }
    /// Removes everything, keeping no reference to any buffer.
    #[inline]
    pub fn clear(&mut self) {
        if self.len > 0 {
            self.parts.clear();
            self.len = 0;
        }
    }
    /// Drops the first `n` bytes (all of them if there are fewer).
    #[inline]
    pub fn advance(&mut self, n: usize) {
        if let Some(first) = self.parts.first_mut()
            && n < first.len()
        {
            // The common case: the cut lies within the first slice.
            self.len -= n;
            return Buf::advance(first, n);
        }
        self.advance_parts(n);
    }
    #[inline(never)]
    fn advance_parts(&mut self, n: usize) {
        if n >= self.len {
            self.clear();
            return;
        }
        self.len -= n;
        let mut left = n;
        let mut gone = 0;
        for part in &mut self.parts {
            if left < part.len() {
                // Without a second share of the buffer, which `split_to` would make and let go: two locked operations.
                Buf::advance(part, left);
                break;
            }
            left -= part.len();
            gone += 1;
        }
        if gone > 0 {
            self.parts.drain(..gone);
        }
    }
    /// Keeps only the first `n` bytes.
    pub fn truncate(&mut self, n: usize) {
        if n >= self.len {
            return;
        }
        self.len = n;
        let mut left = n;
        let mut keep = 0;
        for part in &mut self.parts {
            if left == 0 {
                break;
            }
            keep += 1;
            if left < part.len() {
                part.truncate(left);
            }
            left -= part.len().min(left);
        }
        self.parts.truncate(keep);
    }
    /// Takes the first `n` bytes off (all of them if there are fewer) and returns them.
    #[inline]
    pub fn split_to(&mut self, n: usize) -> Payload {
        if let Some(first) = self.parts.first_mut()
            && n < first.len()
        {
            // The common case: the cut lies within the first slice.
            self.len -= n;
            return Payload::from(first.split_to(n));
        }
        self.split_parts(n)
    }
    /// Moves the first `n` bytes (all of them if there are fewer) to the end of `out`: as [`Payload::split_to`], where there is a
    /// payload already. A new one is a hundred octets, written word by word and read at once in wider pieces, which waits for the
    /// words to arrive in the cache.
    #[inline]
    pub(crate) fn move_to(&mut self, n: usize, out: &mut Payload) {
        if let Some(first) = self.parts.first_mut()
            && n < first.len()
        {
            self.len -= n;
            return out.push(first.split_to(n));
        }
        out.append(self.split_parts(n));
    }
    fn split_parts(&mut self, n: usize) -> Payload {
        let mut front = Payload::new();
        let mut left = n.min(self.len);
        self.len -= left;
        let mut gone = 0;
        for part in &mut self.parts {
            if left == 0 {
                break;
            }
            if left < part.len() {
                front.push(part.split_to(left));
                left = 0;
            } else {
                left -= part.len();
                gone += 1;
                front.push(core::mem::take(part));
            }
        }
        if gone > 0 {
            self.parts.drain(..gone);
        }
        front
    }
    /// The bytes from `start` to `end`, clamped to what there is, sharing the buffers.
    pub fn slice(&self, start: usize, end: usize) -> Payload {
        let mut out = Payload::new();
        let mut at = 0;
        for part in &self.parts {
            let from = start.saturating_sub(at).min(part.len());
            let to = end.saturating_sub(at).min(part.len());
            if from < to {
                out.push(part.slice(from..to));
            }
            at += part.len();
        }
        out
    }
    /// Copies the first bytes into `out`, as many as fit; returns how many.
    pub fn copy_to(&self, out: &mut [u8]) -> usize {
        let mut at = 0;
        for part in &self.parts {
            let n = part.len().min(out.len() - at);
            out[at..at + n].copy_from_slice(&part[..n]);
            at += n;
            if at == out.len() {
                break;
            }
        }
        at
    }
    /// All bytes in one new buffer.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut v = Vec::with_capacity(self.len);
        for part in &self.parts {
            v.extend_from_slice(part);
        }
        v
    }
    /// All bytes as one slice: shared when there is one part, copied otherwise.
    pub fn to_bytes(&self) -> Bytes {
        match &self.parts[..] {
            [one] => one.clone(),
            _ => Bytes::from(self.to_vec()),
        }
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        let mut p = Payload::new();
        p.push(bytes);
        p
    }
}
impl From<Vec<u8>> for Payload {
    fn from(v: Vec<u8>) -> Self {
        Payload::from(Bytes::from(v))
    }
}
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes in {} parts)", self.len, self.parts.len())
    }
}

/// Room for the largest head that the core writes: Ethernet with a VLAN tag (18), IPv4 with options (60) and TCP with
/// options (60), IPv6 with a fragment header being smaller; and for a short payload behind it (`INLINE_PAYLOAD`).
pub const HEAD_CAPACITY: usize = 140 + INLINE_PAYLOAD;

/// Payloads up to this many octets travel in the head: copying them costs less than sharing them.
pub(crate) const INLINE_PAYLOAD: usize = 96;

/// The inline head of a frame: headers, written front to back.
#[derive(Clone)]
pub struct Head {
    bytes: [u8; HEAD_CAPACITY],
    len: u8,
}

impl Head {
    /// An empty head.
    pub const fn new() -> Self {
        Head {
            bytes: [0; HEAD_CAPACITY],
            len: 0,
        }
    }
    /// Number of bytes written.
    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }
    /// Whether nothing is written.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// The bytes written.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }
    /// The bytes written, to change.
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len as usize]
    }
    /// Appends `n` bytes for the caller to write. Their content is unspecified.
    ///
    /// # Panics
    /// If the head would exceed [`HEAD_CAPACITY`]: a fault of the core, since every header has a bounded length.
    #[inline]
    pub fn extend(&mut self, n: usize) -> &mut [u8] {
        let start = self.len as usize;
        let end = start + n;
        assert!(end <= HEAD_CAPACITY, "a frame's head is bounded");
        self.len = end as u8;
        &mut self.bytes[start..end]
    }
    /// Forgets what was written.
    #[inline]
    pub fn clear(&mut self) {
        self.len = 0;
    }
    /// Drops everything from `n` on.
    #[inline]
    pub fn truncate(&mut self, n: usize) {
        self.len = self.len.min(n as u8);
    }
}
impl Default for Head {
    fn default() -> Self {
        Head::new()
    }
}
impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Head({} bytes)", self.len)
    }
}

/// One frame, in either direction.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// Headers written inline; empty in a frame that a device read as one piece.
    pub head: Head,
    /// What follows the head.
    pub body: Payload,
}

/// A frame to send, filled by `Stack::poll_transmit`.
pub type TxFrame = Frame;

impl Frame {
    /// An empty frame.
    pub const fn new() -> Self {
        Frame {
            head: Head::new(),
            body: Payload::new(),
        }
    }
    /// Total length in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }
    /// Whether there is no byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Forgets the content, keeping the frame for reuse.
    #[inline]
    pub fn clear(&mut self) {
        self.head.clear();
        self.body.clear();
    }
    /// The first contiguous bytes: the head, or the first slice where the head is empty. Headers are parsed from here.
    #[inline]
    pub fn front(&self) -> &[u8] {
        if !self.head.is_empty() {
            return self.head.as_slice();
        }
        self.body.parts().first().map_or(&[], |b| &b[..])
    }
    /// Makes the first `n` bytes contiguous (all, if there are fewer), copying only when they are not.
    #[inline]
    pub fn pull_up(&mut self, n: usize) {
        if self.front().len() < n {
            self.pull_up_copying(n);
        }
    }
    #[cold]
    fn pull_up_copying(&mut self, n: usize) {
        if self.front().len() >= n.min(self.len()) {
            return;
        }
        let all = self.to_vec();
        self.head.clear();
        self.body = Payload::from(all);
    }
    /// What follows the first `n` bytes, sharing the buffers. Bytes of the head that lie beyond `n` are copied (small
    /// frames built by tests; the core's own frames have exactly their headers in the head).
    #[inline]
    pub fn into_payload(mut self, n: usize) -> Payload {
        self.take_payload(n)
    }
    /// As [`Frame::into_payload`], leaving the body empty.
    #[inline]
    pub fn take_payload(&mut self, n: usize) -> Payload {
        let head = self.head.len();
        let mut body = core::mem::take(&mut self.body);
        if n >= head {
            if n > head {
                body.advance(n - head);
            }
            return body;
        }
        let mut out = Payload::from(Bytes::copy_from_slice(&self.head.as_slice()[n..]));
        out.append(body);
        out
    }
    /// As [`Frame::take_payload`], moving and copying nothing. What comes before in the body is dropped.
    #[inline(always)]
    pub(crate) fn text(&mut self, n: usize) -> Text<'_> {
        let head = self.head.len();
        if n > head {
            self.body.advance(n - head);
        }
        Text {
            inline: self.head.as_slice().get(n..).unwrap_or(&[]),
            shared: Some(&mut self.body),
        }
    }
    /// Keeps only the first `n` bytes: link padding goes.
    #[inline]
    pub fn truncate(&mut self, n: usize) {
        let head = self.head.len();
        if n < head {
            self.head.truncate(n);
            self.body.clear();
        } else {
            self.body.truncate(n - head);
        }
    }
    /// All bytes in one new buffer.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut v = Vec::with_capacity(self.len());
        v.extend_from_slice(self.head.as_slice());
        for part in self.body.parts() {
            v.extend_from_slice(part);
        }
        v
    }
}

impl From<Bytes> for Frame {
    fn from(bytes: Bytes) -> Self {
        Frame {
            head: Head::new(),
            body: Payload::from(bytes),
        }
    }
}
impl From<Vec<u8>> for Frame {
    fn from(v: Vec<u8>) -> Self {
        Frame::from(Bytes::from(v))
    }
}

/// The payload of a received segment, or all of a received frame: octets that stay where they are (in the frame's head, or in
/// the driver's buffer), and shared ones behind them.
#[derive(Debug)]
pub(crate) struct Text<'f> {
    inline: &'f [u8],
    /// `None` where nothing is shared, which whoever has the frame in one piece knows from the start.
    shared: Option<&'f mut Payload>,
}

impl<'f> Text<'f> {
    /// All octets of a frame that stays where it is.
    #[inline(always)]
    pub(crate) fn borrowed(octets: &'f [u8]) -> Text<'f> {
        Text {
            inline: octets,
            shared: None,
        }
    }
    /// The same octets, lent.
    #[inline(always)]
    pub(crate) fn reborrow(&mut self) -> Text<'_> {
        Text {
            inline: self.inline,
            shared: self.shared.as_deref_mut(),
        }
    }
    #[inline(always)]
    fn shared_parts(&self) -> &[Bytes] {
        self.shared.as_ref().map_or(&[], |shared| shared.parts())
    }
    #[inline(always)]
    fn shared_len(&self) -> usize {
        self.shared.as_ref().map_or(0, |shared| shared.len())
    }
    /// As [`Frame::front`].
    #[inline]
    pub(crate) fn front(&self) -> &[u8] {
        if !self.inline.is_empty() {
            return self.inline;
        }
        self.first_shared()
    }
    #[inline(never)]
    fn first_shared(&self) -> &[u8] {
        self.shared_parts().first().map_or(&[], |b| &b[..])
    }
    /// What follows [`Text::front`].
    #[inline]
    pub(crate) fn behind_front(&self) -> &[Bytes] {
        let first = usize::from(self.inline.is_empty());
        self.shared_parts().get(first..).unwrap_or_default()
    }
    /// [`Text::front`] and [`Text::behind_front`].
    #[inline(always)]
    pub(crate) fn parts(&self) -> (&[u8], &[Bytes]) {
        if self.shared_len() == 0 {
            (self.inline, &[])
        } else {
            (self.front(), self.behind_front())
        }
    }
    /// Number of octets.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.inline.len() + self.shared_len()
    }
    /// Whether there is none.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Drops the first `n` octets.
    #[inline(always)]
    pub(crate) fn advance(&mut self, n: usize) {
        let from_inline = n.min(self.inline.len());
        self.inline = &self.inline[from_inline..];
        if n > from_inline {
            self.advance_shared(n - from_inline);
        }
    }
    #[inline(never)]
    fn advance_shared(&mut self, n: usize) {
        if let Some(shared) = &mut self.shared {
            shared.advance(n);
        }
    }
    /// Keeps the first `n` octets.
    pub(crate) fn truncate(&mut self, n: usize) {
        self.inline = &self.inline[..n.min(self.inline.len())];
        if let Some(shared) = &mut self.shared {
            shared.truncate(n - self.inline.len());
        }
    }
    /// All octets, if none of them are shared.
    #[inline]
    pub(crate) fn in_one_piece(&self) -> Option<&[u8]> {
        (self.shared_len() == 0).then_some(self.inline)
    }
    /// The pieces in order.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let inline = (!self.inline.is_empty()).then_some(self.inline);
        inline
            .into_iter()
            .chain(self.shared_parts().iter().map(|part| &part[..]))
    }
    /// The shared octets, if there are no others and they lie in one slice, which is taken.
    #[inline]
    pub(crate) fn take_only(&mut self) -> Option<Bytes> {
        match &mut self.shared {
            Some(shared) if self.inline.is_empty() => shared.take_only(),
            _ => None,
        }
    }
    /// The octets as a payload; those in the head are copied.
    pub(crate) fn into_payload(self) -> Payload {
        let shared = self.shared.map(core::mem::take).unwrap_or_default();
        if self.inline.is_empty() {
            return shared;
        }
        let mut out = Payload::from(Bytes::copy_from_slice(self.inline));
        out.append(shared);
        out
    }
}

/// What a device knows of a received frame beside its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct RxMeta {
    /// The device has checked the transport checksum (or the path needs none): the core does not check it again.
    pub checksum_verified: bool,
    /// The frame is a run of segments that the device joined (GRO), each with this much payload; 0 if it is one segment.
    pub gro_size: u16,
}

impl RxMeta {
    /// Of a frame that has never left the host.
    pub(crate) const INTACT: RxMeta = RxMeta {
        checksum_verified: true,
        gro_size: 0,
    };
}

/// What the core says of a frame to send beside its bytes.
#[derive(Clone, Copy, Debug)]
pub struct TxMeta {
    /// The interface it leaves by.
    pub interface: InterfaceId,
    /// Payload bytes a segment when the frame is a super-segment that the device is to split (GSO); 0 if it is one
    /// segment. Only set where the interface's capabilities say that the device segments.
    pub gso_size: u16,
    /// Where the transport header starts, and the checksum's offset in it, when the device is to complete a partial
    /// checksum. `None` where the checksum stands already.
    pub checksum: Option<ChecksumOffload>,
    /// Why it is sent.
    pub cause: Cause,
}

/// A checksum left to the device: it holds the pseudo-header's sum, and the device adds the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChecksumOffload {
    /// Offset of the transport header in the frame.
    pub start: u16,
    /// Offset of the checksum field in the transport header.
    pub offset: u16,
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::vec;

    fn payload(parts: &[&[u8]]) -> Payload {
        let mut p = Payload::new();
        for part in parts {
            p.push(Bytes::copy_from_slice(part));
        }
        p
    }

    #[test]
    fn slicing_agrees_with_a_flat_buffer() {
        let p = payload(&[b"abc", b"defg", b"h", b"ijkl"]);
        let flat = p.to_vec();
        for start in 0..=flat.len() {
            for end in start..=flat.len() {
                assert_eq!(p.slice(start, end).to_vec(), &flat[start..end]);
            }
            let mut rest = p.clone();
            let front = rest.split_to(start);
            assert_eq!(
                (front.to_vec(), rest.to_vec()),
                (flat[..start].to_vec(), flat[start..].to_vec())
            );
            assert_eq!((front.len(), rest.len()), (start, flat.len() - start));
            let mut cut = p.clone();
            cut.truncate(start);
            assert_eq!(cut.to_vec(), &flat[..start]);
            let mut gone = p.clone();
            gone.advance(start);
            assert_eq!(gone.to_vec(), &flat[start..]);
            assert!(gone.parts().iter().chain(cut.parts()).all(|b| !b.is_empty()));
        }
    }

    #[test]
    fn payload_of_a_frame_whatever_its_shape() {
        let whole = Frame::from(vec![1, 2, 3, 4, 5, 6]);
        assert_eq!(whole.clone().into_payload(2).to_vec(), [3, 4, 5, 6]);
        let mut split = Frame::new();
        split.head.extend(3).copy_from_slice(&[1, 2, 3]);
        split.body = payload(&[&[4, 5], &[6]]);
        for n in 0..=6 {
            assert_eq!(split.clone().into_payload(n).to_vec(), &whole.to_vec()[n..]);
            let mut cut = split.clone();
            cut.truncate(n);
            assert_eq!(cut.to_vec(), &whole.to_vec()[..n]);
        }
        split.pull_up(4);
        assert_eq!(split.front(), [1, 2, 3, 4, 5, 6]);
    }
}
