//! The boxes of sockets that are gone, for those that come: a connection after another allocates nothing.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hint::cold_path;

use super::conn::Tcb;
use super::open::SynSent;
use super::table::{Fresh, Slot};

/// Most boxes kept, of each kind. Sockets that come and go a few at a time find theirs here; a thousand that go at once give
/// their memory back.
const KEEP: usize = 64;

/// Boxes to be filled anew.
#[derive(Debug, Default)]
#[expect(
    clippy::vec_box,
    reason = "a slot takes the box as it is; unboxed, each take would allocate"
)]
pub(crate) struct Spares {
    fresh: Vec<Box<Fresh>>,
    openings: Vec<Box<SynSent>>,
    blocks: Vec<Box<Tcb>>,
}

impl Spares {
    /// The socket in a box.
    #[inline]
    pub(crate) fn fresh(&mut self, socket: Fresh) -> Box<Fresh> {
        boxed(&mut self.fresh, socket)
    }
    /// A box for an active open, to be filled: [`SynSent::blank`], or what another left but for its text.
    #[inline]
    pub(crate) fn opening(&mut self) -> Box<SynSent> {
        match self.openings.pop() {
            Some(place) => place,
            None => new_opening(),
        }
    }
    /// A box for a connection: [`Tcb::BLANK`], or [wiped](Tcb::wipe).
    #[inline(always)]
    pub(crate) fn block(&mut self) -> Box<Tcb> {
        match self.blocks.pop() {
            Some(mut place) => {
                place.wipe();
                place
            }
            None => new_block(),
        }
    }
    /// Keeps the box of a socket that connects now.
    #[inline]
    pub(crate) fn keep_fresh(&mut self, fresh: Box<Fresh>) {
        keep(&mut self.fresh, fresh);
    }
    /// Keeps the box of a socket that is gone, and nothing that this held.
    #[inline(never)]
    pub(crate) fn keep(&mut self, gone: Slot) {
        // One after the other, the usual ones first: shorter than a table of jumps, and nothing rare lies between.
        if let Slot::Open(mut tcb) = gone {
            tcb.release();
            keep(&mut self.blocks, tcb);
        } else if let Slot::SynSent(mut opening) = gone {
            if opening.text.is_some() {
                cold_path();
                opening.text = None;
            }
            keep(&mut self.openings, opening);
        } else if let Slot::Fresh(fresh) = gone {
            self.keep_fresh(fresh);
        }
    }
}

#[cold]
#[inline(never)]
fn new_block() -> Box<Tcb> {
    Box::new(Tcb::BLANK)
}

#[inline(always)]
fn boxed<T>(spares: &mut Vec<Box<T>>, value: T) -> Box<T> {
    match spares.pop() {
        Some(mut place) => {
            *place = value;
            place
        }
        None => Box::new(value),
    }
}

#[cold]
#[inline(never)]
fn new_opening() -> Box<SynSent> {
    Box::new(SynSent::blank())
}

#[inline]
fn keep<T>(spares: &mut Vec<Box<T>>, gone: Box<T>) {
    if spares.len() < KEEP {
        spares.push(gone);
    } else {
        cold_path();
        drop(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Profile};
    use crate::demux::FourTuple;
    use crate::error::ConnectionError;
    use crate::iface::InterfaceConfig;
    use crate::stack::{Readiness, Stack};
    use crate::tcp::conn::AckOwed;
    use crate::tcp::{SeqNumber, TcpOptions};
    use crate::time::{Duration, Instant};
    use crate::trace::Cause;
    use core::net::Ipv4Addr;
    use std::string::String;

    /// An active open with this spare box, as text.
    fn opened(spare: Option<SynSent>) -> String {
        let now = Instant::from_secs(1);
        let mut stack = Stack::new(Config::new(Profile::Rfc), [1; 32]);
        let link = InterfaceConfig::ip("link", 1500).address(Ipv4Addr::new(10, 0, 0, 1), 24);
        stack.add_interface(now, link);
        stack.tcp.spares.openings.extend(spare.map(Box::new));
        let id = stack.tcp_socket(TcpOptions::default());
        let to = "10.0.0.2:80".parse().unwrap();
        stack.tcp_connect(now, id, to).unwrap();
        assert!(stack.tcp.spares.openings.is_empty());
        match stack.tcp.tables.sockets.at(id.slot) {
            Some(Slot::SynSent(opening)) => std::format!("{opening:?}"),
            other => panic!("{other:?}"),
        }
    }

    /// Nothing of another active open is left in the box that it had.
    #[test]
    fn an_opening_is_filled_whole() {
        let used = SynSent {
            tuple: FourTuple::v4(1, 2),
            rto: Duration::from_secs(9),
            sent_at: Instant::from_secs(9),
            started: Instant::from_secs(9),
            retry_at: Instant::from_secs(9),
            iss: SeqNumber(9),
            ts_offset: 9,
            mss: 9,
            pending: Readiness::SOFT_ERROR,
            tries: 9,
            ecn: true,
            plain_syn: true,
            closing: true,
            soft_error: Some(ConnectionError::TimedOut),
            ack_owed: AckOwed::Delayed,
            owed: Some(Cause::OpenReply),
            peer: Some(Default::default()),
            options: TcpOptions {
                nodelay: true,
                ..TcpOptions::default()
            },
            ..SynSent::blank()
        };
        assert_eq!(opened(Some(used)), opened(None));
    }

    /// No block that is kept holds memory, since none is dropped when it is used again.
    #[test]
    fn a_kept_block_holds_nothing() {
        let mut used = Box::new(Tcb::BLANK);
        used.congestion.on_enter_recovery(Instant::ZERO, 10_000, 1000);
        used.reassembly = Some(Box::default());
        assert!(used.congestion.holds_memory());
        let mut spares = Spares::default();
        spares.keep(Slot::Open(used));
        let kept = &spares.blocks[0];
        assert!(!kept.congestion.holds_memory() && kept.reassembly.is_none());
        assert_eq!(
            std::format!("{:?}", spares.block()),
            std::format!("{:?}", Tcb::BLANK)
        );
    }
}
