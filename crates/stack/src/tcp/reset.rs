//! Resets that come in, judged as RFC 5961 section 3.2 and RFC 9293 section 3.10.7.4 ask.

use super::conn::{FinIn, FinOut, Tcb};
use super::{SeqNumber, State};
use crate::error::ConnectionError;

/// What a RST inside the window is worth.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It stands exactly at RCV.NXT: the connection is reset (U-4).
    Exact,
    /// It does not: a challenge ACK lets a real peer repeat it with the right number (U-5).
    Challenge,
}

/// Judges a RST that passed the acceptability test.
pub(crate) fn judge(tcb: &Tcb, seq: SeqNumber) -> Verdict {
    if seq == tcb.rcv_nxt {
        Verdict::Exact
    } else {
        Verdict::Challenge
    }
}

/// What the application is told. A RST in CLOSING or LAST-ACK ends a connection that was closing anyway; one in
/// CLOSE-WAIT breaks the pipe as seen by a writer.
pub(crate) fn error_for(tcb: &Tcb) -> ConnectionError {
    debug_assert!(
        !(tcb.fin_out == FinOut::Acked && tcb.fin_in != FinIn::No),
        "TIME-WAIT has no block"
    );
    match tcb.state() {
        State::CloseWait => ConnectionError::ResetAfterEnd,
        _ => ConnectionError::Reset,
    }
}
