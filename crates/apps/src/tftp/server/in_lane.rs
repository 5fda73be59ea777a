//! A download in a lane: one of hundreds.
//!
//! By the time that it is its turn again, others' turns have driven out of the processor's caches what it left there, and
//! each line of memory that it looks at costs as much as a hundred instructions. So a turn is one function with its variables on the
//! stack, and what it looks at lies together at the head of [`Download`]. Only what waits for the disk or for room in the
//! socket, which is rare, becomes a future of its own.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use sockeye_net::lane::Talk;

use super::super::port::Woken;
use super::super::record::Outcome;
use super::download::{Download, Hold, LONGEST_ANSWER};

/// What waits for the disk or the socket: it gives the download back, and the outcome, if that ended it.
type Errand = Pin<Box<dyn Future<Output = (Download, Option<Outcome>)> + Send>>;

/// A download whose socket a lane waits for.
#[expect(clippy::large_enum_variant, reason = "nearly always the large one")]
pub(super) enum InLane {
    Here {
        download: Download,
        /// Whether it waits for its client.
        waits: bool,
    },
    /// It waits for something else.
    Away(Errand),
    /// It is over, or goes on elsewhere.
    Gone,
}
impl InLane {
    pub(super) fn new(download: Download) -> InLane {
        InLane::Here {
            download,
            waits: false,
        }
    }
}

impl Talk for InLane {
    fn look_over(&self) -> u64 {
        match self {
            InLane::Here { download, .. } => download.look_over(),
            InLane::Away(_) | InLane::Gone => 0,
        }
    }
}

impl Future for InLane {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let hold = match &mut *self {
                InLane::Here { download, waits } => match turn(download, *waits) {
                    Hold::Answer(deadline) => {
                        download.port.wake_at(&download.clock(), deadline);
                        *waits = true;
                        return Poll::Pending;
                    }
                    hold => hold,
                },
                InLane::Away(errand) => {
                    let (mut download, outcome) = ready!(errand.as_mut().poll(context));
                    let hold = match outcome {
                        Some(outcome) => Hold::Over(outcome),
                        None => download.proceed(download.clock().now()),
                    };
                    let waits = matches!(hold, Hold::Answer(_));
                    *self = InLane::Here { download, waits };
                    if waits {
                        continue; // something may have come meanwhile, and was not looked for
                    }
                    hold
                }
                InLane::Gone => return Poll::Ready(()),
            };
            let InLane::Here { mut download, .. } = mem::replace(&mut *self, InLane::Gone) else {
                return Poll::Ready(());
            };
            match hold {
                Hold::Over(outcome) => download.end(outcome),
                Hold::Sit(seat) => download.sit_down(seat),
                hold => {
                    *self = InLane::Away(Box::pin(async move {
                        let outcome = download.wait_for(hold).await;
                        (download, outcome)
                    }));
                    continue;
                }
            }
            return Poll::Ready(());
        }
    }
}

/// One turn, up to where it waits for something. With `look` a datagram may have come, or the time.
fn turn(download: &mut Download, mut look: bool) -> Hold {
    let mut buf = [0; LONGEST_ANSWER];
    loop {
        let mut came = false;
        let now = if look {
            let woken = match download.port.recv_now(&mut buf) {
                Ok(woken) => woken,
                Err(error) => return Hold::Over(Outcome::Network(error.to_string())),
            };
            came = woken != Woken::Time;
            let now = download.clock().now();
            if let Some(outcome) = download.heard(now, woken, &buf) {
                return Hold::Over(outcome);
            }
            now
        } else {
            download.clock().now()
        };
        match download.proceed(now) {
            // Not where the answer to what was just sent is all that can come.
            Hold::Answer(_) if came && download.port.may_have_more() => look = true,
            hold => return hold,
        }
    }
}
