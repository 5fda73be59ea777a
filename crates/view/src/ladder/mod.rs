//! The ladder diagram: hosts as lifelines, frames as arrows between them, drawn as it happens.
//!
//! ```text
//!       time                    client │                                             │ server
//!                       10.0.0.1:49152 │                                             │ 10.0.0.2:8000
//!   0.000000         CLOSED → SYN-SENT ├── SYN seq=0 mss=1460 ws=7 win=64240 sack ──▶│ LISTEN → SYN-RECEIVED
//!   0.020000               ESTABLISHED ├── ACK ack=1 · completes handshake ─────────▶│ SYN-RECEIVED → ESTABLISHED
//!   0.031000               ESTABLISHED ├── PSH,ACK 1:1461 ack=1 len=1460 ──✗         │ lost on the link
//!   0.091000               ESTABLISHED ├── PSH,ACK 1:1461 ack=1 len=1460 ───────────▶│ ESTABLISHED
//!                                      │ retransmission: RTO 60 ms (srtt 20 ms, ...  │
//! ```
//!
//! A row is a frame. It is drawn when the frame arrives or is lost, and bears the time at which it was *sent*. Beside
//! the outer lifelines stand the states of both ends, `A → B` where this frame changed them; below, on the side that
//! speaks, what goes with it: why it was sent and the numbers behind that, drops, windows, queues. Numbers count from
//! the initial sequence number of their direction: the SYN is 0, the first octet of data 1.
//!
//! Feed records in order; [`Ladder::flush`] draws what waits for its moment to end, [`Ladder::finish`] also what is
//! still on its way.

mod draw;
mod label;
mod moment;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;

use sockeye_stack::tcp::State;
use sockeye_stack::trace::{Cause, Held, Tuple};
use sockeye_stack::{Duration, Instant, SocketId};

use crate::packet::Packet;
use crate::record::{Cast, HostIndex, LinkChange, LinkLoss, Record, What, WireEvent};
use crate::text::words;
use draw::Layout;
use label::Numbers;
use moment::Moment;

/// How much is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Detail {
    /// Arrows and states.
    Brief,
    /// And causes with their numbers, drops, congestion, queues, why data is held.
    #[default]
    Usual,
    /// And timers, and a sentence with the RFC's clause when a cause or a drop comes for the first time.
    Full,
}

/// How numbers are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Notation {
    /// `SYN,ACK seq=0 ack=1`, `PSH,ACK 1:1461 ack=1`: as analysers do.
    #[default]
    Relative,
    /// `SYN=1, ACK=1, seq=y, ack=x+1`: as textbooks do. x is the initial number of the end that opened.
    Classroom,
}

/// How it is drawn.
#[derive(Clone, Copy, Debug)]
pub struct LadderStyle {
    /// Coloured with ANSI sequences. The caller knows whether this is a terminal.
    pub color: bool,
    /// Only ASCII characters in the drawing.
    pub ascii: bool,
    /// How much is told.
    pub detail: Detail,
    /// How numbers are written.
    pub notation: Notation,
    /// Columns to use; more are taken where the lanes of many hosts could not be read otherwise.
    pub width: usize,
}

impl Default for LadderStyle {
    fn default() -> Self {
        LadderStyle {
            color: false,
            ascii: false,
            detail: Detail::Usual,
            notation: Notation::Relative,
            width: 110,
        }
    }
}

/// Frames remembered while on their way; the first are forgotten beyond. Connections likewise.
const REMEMBERED: usize = 1 << 14;

/// A frame on its way.
#[derive(Clone, Debug)]
struct Flight {
    at: Instant,
    from: HostIndex,
    packet: Packet,
    label: label::Label,
    cause: Cause,
    /// Which connection, as the sender sees it.
    tuple: Option<Tuple>,
    /// The sender's state, `A → B` if it changed with this frame.
    state: Option<(State, State)>,
    /// What the sender says of it.
    notes: Vec<String>,
    arrivals: u32,
    lost: bool,
}

/// What is known of one end of a connection.
#[derive(Clone, Default, Debug)]
struct Conn {
    state: Option<State>,
    rtt: Option<Rtt>,
    cwnd: Option<u32>,
    ssthresh: u32,
    flight: u32,
    /// The last cut of the congestion window: when, before, after.
    cut: Option<(Instant, u32, u32)>,
    held: Option<Held>,
    /// cwnd and smoothed RTT as last drawn.
    drawn: (Option<u32>, Option<Duration>),
}

#[derive(Clone, Copy, Debug)]
struct Rtt {
    srtt: Duration,
    rttvar: Duration,
    rto: Duration,
}

type ConnKey = (HostIndex, SocketAddr, SocketAddr);

/// Draws a ladder diagram into `out`, record by record.
#[derive(Debug)]
pub struct Ladder<W> {
    out: W,
    cast: Cast,
    style: LadderStyle,
    layout: Layout,
    begun: bool,
    numbers: Numbers,
    flights: BTreeMap<u64, Flight>,
    conns: BTreeMap<ConnKey, Conn>,
    sockets: BTreeMap<(HostIndex, SocketId), Tuple>,
    /// The connection that each host spoke of last.
    latest: BTreeMap<HostIndex, Tuple>,
    backlogs: BTreeMap<(HostIndex, SocketAddr), (u32, u32)>,
    moment: Moment,
    /// Sentences that were told; each is told once.
    told: BTreeSet<String>,
}

impl<W: io::Write> Ladder<W> {
    /// A diagram of `cast`: the first host at the left, the last at the right, the others between.
    pub fn new(out: W, cast: Cast, style: LadderStyle) -> Self {
        Ladder {
            out,
            layout: Layout::new(cast.hosts.len(), style.width),
            cast,
            style,
            begun: false,
            numbers: Numbers::default(),
            flights: BTreeMap::new(),
            conns: BTreeMap::new(),
            sockets: BTreeMap::new(),
            latest: BTreeMap::new(),
            backlogs: BTreeMap::new(),
            moment: Moment::default(),
            told: BTreeSet::new(),
        }
    }

    /// Takes one record and draws what has become certain.
    pub fn handle_record(&mut self, record: &Record) -> io::Result<()> {
        if record.at != self.moment.at {
            self.flush()?;
            self.moment.at = record.at;
        }
        match &record.what {
            What::Stack(event) => self.handle_event(record.host, event),
            What::Wire(event) => self.handle_wire(record, event),
            What::Backlog(backlog) => {
                let now = (backlog.half_open, backlog.accept);
                let before = self
                    .backlogs
                    .insert((record.host, backlog.listener), now)
                    .unwrap_or((0, 0));
                if self.style.detail > Detail::Brief {
                    self.moment.backlog(record.host, before, backlog);
                }
            }
            What::Note(text) => {
                self.flush()?;
                self.begin()?;
                let mut line = self.layout.time(Some(record.at));
                self.layout.banner(&mut line, text);
                self.write(&line)?;
            }
        }
        Ok(())
    }

    /// Draws what waits for the end of its moment. For live diagrams, when nothing more comes for a while.
    pub fn flush(&mut self) -> io::Result<()> {
        self.settle();
        let moment = std::mem::take(&mut self.moment);
        self.moment.at = moment.at;
        for row in &moment.rows {
            self.draw_row(row)?;
        }
        for change in moment.changes.iter().filter(|change| !change.told) {
            let states = (change.from, change.to);
            self.draw_aside(moment.at, change.host, Some(states), &moment::why(change.why))?;
        }
        for aside in &moment.asides {
            self.draw_aside(moment.at, aside.host, None, &aside.words)?;
        }
        self.out.flush()
    }

    /// Draws all that is left, also what never arrived, and gives the output back.
    pub fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        let flights = std::mem::take(&mut self.flights);
        for (_, flight) in flights
            .iter()
            .filter(|(_, flight)| flight.arrivals == 0 && !flight.lost)
        {
            self.draw_flight(flight, None, Some("still on its way"), &[])?;
        }
        Ok(self.out)
    }

    fn handle_wire(&mut self, record: &Record, event: &WireEvent) {
        match event {
            WireEvent::Sent {
                id,
                bytes,
                cause,
                interface,
                ..
            } => {
                let packet = Packet::read(bytes, self.cast.medium(record.host, *interface));
                let (label, tuple) = match &packet {
                    Packet::Tcp {
                        source,
                        destination,
                        segment,
                    } => (
                        self.numbers
                            .label(*source, *destination, segment, cause, self.style.notation),
                        Some(Tuple {
                            local: *source,
                            remote: *destination,
                        }),
                    ),
                    other => (brief_label(other), None),
                };
                if self.flights.len() >= REMEMBERED {
                    self.flights.pop_first();
                }
                self.moment.sent.push(*id);
                let flight = Flight {
                    at: record.at,
                    from: record.host,
                    packet,
                    label,
                    cause: *cause,
                    tuple,
                    state: None,
                    notes: Vec::new(),
                    arrivals: 0,
                    lost: false,
                };
                self.flights.insert(*id, flight);
            }
            WireEvent::Arrived { id, .. } => {
                if let Some(flight) = self.flights.get_mut(id) {
                    flight.arrivals += 1;
                    self.moment.arrived(*id, record.host, flight);
                }
            }
            WireEvent::Lost { id, why } => {
                if let Some(flight) = self.flights.get_mut(id) {
                    flight.lost = true;
                    self.moment.lost(*id, lost_words(*why));
                }
            }
            WireEvent::Changed { id, how } => {
                if let Some(flight) = self.flights.get_mut(id) {
                    flight.notes.push(
                        match how {
                            LinkChange::Duplicated => "the link makes two of it",
                            LinkChange::Corrupted => "the link turns bits over",
                            LinkChange::Reordered => "the link holds it back",
                            LinkChange::Marked => "the link marks it: congested",
                        }
                        .into(),
                    );
                }
            }
        }
    }
}

fn brief_label(packet: &Packet) -> label::Label {
    let main = match packet {
        Packet::Udp {
            source,
            destination,
            len,
        } => {
            format!("UDP {} to {} len={len}", source.port(), destination.port())
        }
        Packet::Other { words, .. } => words.clone(),
        Packet::Tcp { .. } => String::new(),
    };
    label::Label {
        main,
        extras: Vec::new(),
    }
}

fn lost_words(why: LinkLoss) -> &'static str {
    match why {
        LinkLoss::Random => "lost on the link",
        LinkLoss::Chosen => "lost on the link",
        LinkLoss::QueueFull => "lost: queue full",
        LinkLoss::TooBig => "lost: above the MTU",
        LinkLoss::Down => "lost: link down",
        LinkLoss::NoDestination => "lost: nobody there",
    }
}

/// Few words for a drop.
fn drop_words(reason: sockeye_stack::trace::DropReason) -> String {
    format!("dropped: {}", words(&format!("{reason:?}")))
}

#[cfg(test)]
mod tests;
