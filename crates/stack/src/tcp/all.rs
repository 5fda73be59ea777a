//! What happens to all connections at once: the network is gone, or the program ends.

use alloc::vec::Vec;

use super::closing::ending;
use super::conn::{Phase, Tcb};
use super::dispatch::{Around, reset_of};
use super::ingress::Fate;
use super::table::{Slot, Tcp};
use crate::error::ConnectionError;
use crate::stack::{Readiness, SocketId};
use crate::trace::{ResetCause, Transition};

impl Tcp {
    /// An interface has failed: what runs over it ends, without a word to the peer. Listeners hear of it when it was the
    /// last.
    pub(crate) fn network_down(&mut self, cx: &mut Around<'_, '_>) {
        let (error, why) = (ConnectionError::NetworkDown, Transition::NetworkDown);
        for slot in self.slots() {
            match self.tables.sockets.at_mut(slot) {
                Some(Slot::Open(tcb)) if is_live(tcb) && cx.ip.has_failed(tcb.path.interface) => {
                    self.end(cx.env, cx.events, slot, Some(error), why);
                }
                Some(Slot::SynSent(open)) if cx.ip.has_failed(open.path.interface) => {
                    self.fail_open(cx.env, cx.events, slot, error, why);
                }
                Some(Slot::Listener(listener)) if cx.ip.is_down() => {
                    listener.pending |= Readiness::CLOSED;
                    if let Some(generation) = self.tables.sockets.generation(slot) {
                        self.announce(cx.events, SocketId { slot, generation });
                    }
                }
                _ => {}
            }
        }
        if cx.ip.is_down() {
            for place in self.half_open_places() {
                self.drop_half_open(place);
            }
        }
    }

    /// ABORT (RFC 9293 section 3.10.5) for every connection. Its resets are not limited in number as other replies are: each
    /// stands for a connection that was there. Those of half-open ones are, since anybody can make these by the thousand.
    pub(crate) fn abort_all(&mut self, cx: &mut Around<'_, '_>) -> usize {
        let before = self.replies.len();
        for slot in self.slots() {
            match self.tables.sockets.at(slot) {
                Some(Slot::Open(tcb)) if is_live(tcb) => {
                    match ending(tcb, Some(ConnectionError::Aborted), ResetCause::Abort) {
                        Fate::Resets(error, cause, why) => {
                            self.replies.push_back(reset_of(tcb, cause));
                            self.end(cx.env, cx.events, slot, error, why);
                        }
                        fate => self.settle(cx, slot, fate),
                    }
                }
                Some(Slot::SynSent(open)) => {
                    let id = open.id;
                    self.abort_open(cx, id);
                }
                _ => {}
            }
        }
        for place in self.half_open_places() {
            self.reset_half_open(place, ResetCause::Abort);
        }
        self.replies.len() - before
    }

    fn slots(&self) -> Vec<u32> {
        self.tables.sockets.iter().map(|(slot, ..)| slot).collect()
    }
    fn half_open_places(&self) -> Vec<u32> {
        self.tables.half_open.iter().map(|(place, ..)| place).collect()
    }
}

fn is_live(tcb: &Tcb) -> bool {
    tcb.phase == Phase::Live
}
