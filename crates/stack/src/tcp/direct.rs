//! The direct way in: a TCP packet over IPv4 that needs nothing of the layer below is read where it lies.
//!
//! That is a whole packet without IP options, on a link without link addresses, between the two addresses of the packet before:
//! nearly all that come. Both headers are checked here as [`crate::iface`] and [`super::dispatch`] check them, and the
//! segment goes to its connection; the one that follows what the last connection received takes the shortest steps there
//! ([`super::predict`]). Whatever is not quite like this, or wrong in any way, is left untouched for the general path,
//! which also counts what it drops.

use super::Segment;
use crate::InterfaceId;
use crate::demux::{Entry, FourTuple, Kind};
use crate::frame::{RxMeta, Text};
use crate::stack::Stack;
use crate::time::Instant;
use crate::trace::TraceMask;
use crate::wire::plain::{self, Arrived};

// Of the whole stack, not of TCP alone, as what leaves the shortest way (`quick`).
impl Stack {
    /// Takes the frame, `whole`, if it is such a packet, and says whether it was.
    #[inline(always)]
    pub(crate) fn direct(
        &mut self,
        now: Instant,
        on: InterfaceId,
        mut whole: Text<'_>,
        meta: RxMeta,
    ) -> bool {
        #[cfg(test)]
        if self.tcp.general_only {
            return false;
        }
        let (front, _) = whole.parts();
        let Some(b) = front.first_chunk() else {
            return false;
        };
        let total = plain::total_len(b);
        if !plain::is_whole_tcp(b) || total < plain::LEAST || total > whole.len() {
            return false;
        }
        let pair = plain::pair(b);
        let Some(trusted) = self.ip.trusts_pair(on, pair) else {
            return false;
        };
        // MUST-63: the pair may have been that of a query from nowhere.
        if plain::is_from_nowhere(pair) || !trusted && !plain::ip_is_intact(b) {
            return false;
        }
        let verified = trusted || meta.checksum_verified;
        if total < whole.len() {
            whole.truncate(total); // padding of the link
        }
        let (front, behind) = whole.parts();
        let Some((b, text)) = plain::split(front) else {
            return self.direct_other(now, &mut whole, verified);
        };
        if !verified && !plain::tcp_is_intact(b, total, text, behind) {
            return false;
        }
        let seg = Arrived::read(b, (total - plain::LEN) as u32);
        let (pair, ports) = as_received(b);
        let known = self.tcp.recent.find_v4(pair, ports);
        let entry = known.or_else(|| self.tcp.find_for_segment(&FourTuple::v4(pair, ports)));
        if let Some(entry) = entry
            && entry.is_connection()
            && self.takes_short_way(now, on, entry.slot(), &seg, &mut whole)
        {
            return true;
        }
        self.not_predicted(now, entry, &seg, &mut whole);
        true
    }

    /// Takes the segment behind plain headers for the connection in this slot, if it is what was predicted.
    #[inline(always)]
    fn takes_short_way(
        &mut self,
        now: Instant,
        on: InterfaceId,
        slot: u32,
        seg: &Arrived,
        whole: &mut Text<'_>,
    ) -> bool {
        if seg.payload_len > 0 {
            self.predicted(now, on, slot, seg, whole)
        } else {
            self.predicted_bare(now, on, slot, seg)
        }
    }

    /// Takes the segment behind plain headers that is not what was predicted.
    #[inline(never)]
    fn not_predicted(&mut self, now: Instant, entry: Option<Entry>, seg: &Arrived, whole: &mut Text<'_>) {
        let Some(b) = whole.front().first_chunk() else {
            return;
        };
        let tuple = tuple_of::<{ plain::LEN }>(b);
        // Where arrivals are traced, this one is but once.
        if seg.payload_len > 0
            && !self.trace.wants(TraceMask::SEGMENTS)
            && let Some(half) = entry.filter(|entry| entry.kind() == Kind::HalfOpen)
        {
            return self.first_text(now, half.slot(), &tuple, seg, whole);
        }
        whole.advance(plain::LEN);
        self.arrives(now, entry, &tuple, &seg.segment(), whole);
    }

    /// The third segment of a handshake that brings text, as an answer to the SYN,ACK mostly does where the client speaks first:
    /// the connection that comes of it takes the text as it would the next.
    #[inline(never)]
    fn first_text(
        &mut self,
        now: Instant,
        place: u32,
        tuple: &FourTuple,
        seg: &Arrived,
        whole: &mut Text<'_>,
    ) {
        let segment = seg.segment();
        let made = self.with_tcp(now, |tcp, cx| tcp.at_half_open(cx, tuple, place, &segment));
        // By which interface does not matter: it acknowledges nothing beyond the SYN,ACK.
        if let Some(slot) = made
            && !self.predicted(now, InterfaceId::LOOPBACK, slot, seg, whole)
        {
            whole.advance(plain::LEN);
            self.with_tcp(now, |tcp, cx| tcp.rest_of(cx, slot, &segment, whole));
        }
    }

    /// As [`Stack::direct`], for a segment with other options, or without any.
    #[inline(never)]
    fn direct_other(&mut self, now: Instant, whole: &mut Text<'_>, verified: bool) -> bool {
        let Some(b) = whole.in_one_piece().and_then(plain::syn_headers) else {
            return self.direct_any(now, whole, verified);
        };
        if !verified && !plain::tcp_is_intact(b, plain::SYN_LEN, &[], &[]) {
            return false;
        }
        let (tuple, segment) = (tuple_of(b), plain::syn(b));
        let entry = self.tcp.find_for_segment(&tuple);
        self.arrives(now, entry, &tuple, &segment, &mut Text::borrowed(&[]));
        true
    }

    /// As [`Stack::direct`], for a segment with whatever options.
    #[cold]
    #[inline(never)]
    fn direct_any(&mut self, now: Instant, whole: &mut Text<'_>, verified: bool) -> bool {
        let (front, behind) = whole.parts();
        let Some(b) = front.first_chunk() else {
            return false;
        };
        let (tuple, total) = (tuple_of::<{ plain::LEAST }>(b), plain::total_len(b));
        if !verified && !plain::any_tcp_is_intact(total, front, behind) {
            return false;
        }
        let Some((seg, headers)) = plain::any_segment(front, total) else {
            return false;
        };
        whole.advance(headers);
        let entry = self.tcp.find_for_segment(&tuple);
        self.arrives(now, entry, &tuple, &seg, whole);
        true
    }

    /// Hands the segment to its entry, if it has one.
    #[inline(never)]
    fn arrives(
        &mut self,
        now: Instant,
        entry: Option<Entry>,
        tuple: &FourTuple,
        seg: &Segment,
        text: &mut Text<'_>,
    ) {
        self.with_tcp(now, |tcp, cx| tcp.arrives_at(cx, entry, tuple, seg, text));
    }
}

/// Addresses and ports of a packet, as its receiver has them: ours in the upper halves.
#[inline(always)]
fn as_received<const N: usize>(b: &[u8; N]) -> (u64, u32) {
    (plain::pair(b).rotate_left(32), plain::ports(b).rotate_left(16))
}

/// The addresses of a packet, as its receiver has them.
#[inline(always)]
fn tuple_of<const N: usize>(b: &[u8; N]) -> FourTuple {
    let (pair, ports) = as_received(b);
    FourTuple::v4(pair, ports)
}
