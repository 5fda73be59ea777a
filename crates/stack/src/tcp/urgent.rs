//! Urgent data (RFC 9293 section 3.8.5, RFC 6093): a pointer into the stream, in both its readings.

use super::SeqNumber;
use super::conn::Tcb;
use crate::config::UrgentPointer;
use crate::pool::Pool;

/// What is urgent on a connection. Boxed: almost none has any.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Urgent {
    /// SND.UP: the octet after the urgent data we send; `None` once it is acknowledged.
    pub(crate) snd_up: Option<SeqNumber>,
    /// RCV.UP: the octet after the peer's urgent data; `None` until announced and after the mark was read over.
    pub(crate) rcv_up: Option<SeqNumber>,
    /// Whether the octet at the mark has been handed out on its own (MSG_OOB).
    pub(crate) taken: bool,
}

/// Whether the pointer of an incoming segment told something new.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Announced {
    /// The urgent mark appeared or advanced (MUST-32).
    Yes,
    /// Nothing new.
    No,
}

/// The pointer field of a segment at `seq`, if urgent data lies ahead of it (MUST-62). Urgent data may have any length
/// (MUST-31): the pointer is repeated in each segment, cut at 65,535 while its end is farther off.
pub(crate) fn outgoing(tcb: &Tcb, reading: UrgentPointer, seq: SeqNumber) -> Option<u16> {
    pointer(tcb.urgent.as_ref()?.snd_up?, reading, seq)
}

/// The pointer field of a segment at `seq` for urgent data that ends before `end`.
pub(crate) fn pointer(end: SeqNumber, reading: UrgentPointer, seq: SeqNumber) -> Option<u16> {
    if !end.after(seq) {
        return None;
    }
    let distance = match reading {
        UrgentPointer::Following => end.since(seq),
        UrgentPointer::Last => end.since(seq) - 1,
    };
    Some(distance.min(u32::from(u16::MAX)) as u16)
}

/// Marks everything queued so far as urgent.
pub(crate) fn mark_queued(tcb: &mut Tcb) {
    let end = tcb.data_end();
    tcb.urgent.get_or_insert_default().snd_up = Some(end);
}

/// Forgets our mark once everything before it is acknowledged.
pub(crate) fn acknowledged(tcb: &mut Tcb) {
    let una = tcb.snd_una;
    if let Some(urgent) = &mut tcb.urgent
        && urgent.snd_up.is_some_and(|up| up.at_or_before(una))
    {
        urgent.snd_up = None;
    }
}

/// RFC 9293 section 3.10.7.4, sixth: RCV.UP <- max(RCV.UP, SEG.UP).
pub(crate) fn incoming(tcb: &mut Tcb, reading: UrgentPointer, seq: SeqNumber, pointer: u16) -> Announced {
    let end = match reading {
        UrgentPointer::Following => seq + u32::from(pointer),
        UrgentPointer::Last => seq + u32::from(pointer) + 1,
    };
    if !end.after(tcb.read_nxt()) {
        return Announced::No; // all of it was read already
    }
    let urgent = tcb.urgent.get_or_insert_default();
    if urgent.rcv_up.is_some_and(|up| end.at_or_before(up)) {
        return Announced::No;
    }
    urgent.rcv_up = Some(end);
    urgent.taken = false;
    Announced::Yes
}

/// How many octets lie between what the application reads next and the last urgent octet. MUST-33: tells how much urgent
/// data remains (one more than this).
pub(crate) fn before_mark(tcb: &Tcb) -> Option<u32> {
    let end = tcb.urgent.as_ref()?.rcv_up?;
    let next = tcb.read_nxt();
    // Nothing remains where the application gave its reading side up.
    end.after(next).then(|| (end - 1).since(next))
}

/// The urgent octet, once, when it has arrived: BSD's out-of-band read. It is looked up ahead of what the application
/// has not read yet, and skipped when reading comes to it.
pub(crate) fn take(tcb: &mut Tcb) -> Option<u8> {
    if tcb.switches.urgent_inline || tcb.urgent.as_ref()?.taken {
        return None;
    }
    let at = before_mark(tcb)? as usize;
    let octet = tcb.receive.as_ref()?.octet_at(at)?;
    if let Some(urgent) = &mut tcb.urgent {
        urgent.taken = true;
    }
    Some(octet)
}

/// How many octets a read may return before it has to stop at the mark. At the mark, the urgent octet is skipped unless
/// the application wants it in the stream (SO_OOBINLINE).
#[inline]
pub(crate) fn clear_to_read(tcb: &mut Tcb, pool: &mut Pool) -> usize {
    match tcb.urgent {
        None => usize::MAX,
        Some(_) => clear_to_mark(tcb, pool),
    }
}

#[cold]
#[inline(never)]
fn clear_to_mark(tcb: &mut Tcb, pool: &mut Pool) -> usize {
    match before_mark(tcb) {
        None => usize::MAX,
        Some(0) if tcb.readable() > 0 => {
            if !tcb.switches.urgent_inline
                && let Some(queue) = &mut tcb.receive
            {
                queue.discard(pool, 1);
            }
            if let Some(urgent) = &mut tcb.urgent {
                urgent.rcv_up = None;
            }
            usize::MAX
        }
        Some(0) => usize::MAX,
        Some(n) => n as usize,
    }
}
