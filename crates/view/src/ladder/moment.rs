//! One moment: what happened at the same time, put together before it is drawn.
//!
//! The links say that a frame arrived; the stack says a little later, at the same time, what that did. So rows wait until
//! the clock moves on, and changes of state find the frame that made them.

use sockeye_stack::Instant;
use sockeye_stack::tcp::{Flags, State};
use sockeye_stack::trace::{Cause, RetransmitCause, Timer, TraceEvent, TraceKind, Transition, Tuple};

use super::{Conn, Detail, Flight, Ladder, REMEMBERED, Rtt, drop_words};
use crate::explain::Explain;
use crate::packet::Packet;
use crate::record::{Backlog, HostIndex};
use crate::text::words;

/// What happened at one time.
#[derive(Default, Debug)]
pub(super) struct Moment {
    pub(super) at: Instant,
    pub(super) rows: Vec<Row>,
    pub(super) changes: Vec<Change>,
    /// Frames sent, by id.
    pub(super) sent: Vec<u64>,
    pub(super) asides: Vec<Aside>,
    /// Ends whose congestion or RTT figures moved.
    moved: Vec<(HostIndex, Tuple)>,
}

/// A frame that arrived or was lost now.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: u64,
    /// Where it arrived; `None` if it was lost.
    pub(super) to: Option<HostIndex>,
    pub(super) lost: Option<&'static str>,
    /// A copy of it has arrived before.
    pub(super) repeat: bool,
    /// Which connection, as the receiver sees it.
    tuple: Option<Tuple>,
    flags: Flags,
    /// The receiver's state before and after.
    pub(super) state: Option<(State, State)>,
    /// What the receiver says.
    pub(super) notes: Vec<String>,
}

/// A connection changed its state.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) host: HostIndex,
    tuple: Tuple,
    pub(super) from: State,
    pub(super) to: State,
    pub(super) why: Transition,
    /// Whether a row shows it.
    pub(super) told: bool,
}

/// Words of a host that may find no row.
#[derive(Debug)]
pub(super) struct Aside {
    pub(super) host: HostIndex,
    pub(super) words: String,
}

impl Moment {
    pub(super) fn arrived(&mut self, id: u64, to: HostIndex, flight: &Flight) {
        let flags = match &flight.packet {
            Packet::Tcp { segment, .. } => segment.flags,
            _ => Flags::empty(),
        };
        let tuple = flight.tuple.map(|tuple| Tuple {
            local: tuple.remote,
            remote: tuple.local,
        });
        self.rows.push(Row {
            id,
            to: Some(to),
            lost: None,
            repeat: flight.arrivals > 1,
            tuple,
            flags,
            state: None,
            notes: Vec::new(),
        });
    }

    pub(super) fn lost(&mut self, id: u64, words: &'static str) {
        self.rows.push(Row {
            id,
            to: None,
            lost: Some(words),
            repeat: false,
            tuple: None,
            flags: Flags::empty(),
            state: None,
            notes: Vec::new(),
        });
    }

    /// The queue or queues that changed.
    pub(super) fn backlog(&mut self, host: HostIndex, before: (u32, u32), now: &Backlog) {
        let mut parts = Vec::new();
        if now.half_open != before.0 {
            parts.push(format!("half-open {}", now.half_open)); // its bound is not the backlog
        }
        if now.accept != before.1 {
            parts.push(format!("accept queue {}/{}", now.accept, now.backlog));
        }
        if !parts.is_empty() {
            self.say(host, None, parts.join(", "));
        }
    }

    /// Below the last frame that reached this host (on this connection, if one is named); else on a line of its own.
    fn say(&mut self, host: HostIndex, tuple: Option<Tuple>, words: String) {
        let row = self.rows.iter_mut().rev().find(|row| {
            row.to == Some(host) && tuple.is_none_or(|tuple| row.tuple.is_none_or(|own| own == tuple))
        });
        match row {
            Some(row) => row.notes.push(words),
            None => self.asides.push(Aside { host, words }),
        }
    }

    /// The row whose frame made this change, by what it carries.
    fn row_for(&mut self, host: HostIndex, tuple: Tuple, why: Transition) -> Option<&mut Row> {
        let wanted = match why {
            Transition::Syn | Transition::SynAck | Transition::Reused => Flags::SYN,
            Transition::Fin => Flags::FIN,
            Transition::Reset => Flags::RST,
            Transition::SynAcked | Transition::FinAcked => Flags::ACK,
            _ => return None,
        };
        let fits = |row: &Row| row.to == Some(host) && row.tuple == Some(tuple);
        let exact = self
            .rows
            .iter()
            .position(|row| fits(row) && row.flags.contains(wanted));
        let place = exact.or_else(|| self.rows.iter().rposition(fits))?;
        self.rows.get_mut(place)
    }
}

impl<W> Ladder<W> {
    fn conn(&mut self, host: HostIndex, tuple: Tuple) -> &mut Conn {
        let key = (host, tuple.local, tuple.remote);
        if self.conns.len() >= REMEMBERED && !self.conns.contains_key(&key) {
            self.conns.pop_first();
        }
        self.conns.entry(key).or_default()
    }

    /// The connection of an event: its own tuple, or that of its socket.
    fn tuple_of(&mut self, host: HostIndex, event: &TraceEvent) -> Option<Tuple> {
        let named = match &event.kind {
            TraceKind::SegmentOut { tuple, .. }
            | TraceKind::SegmentIn { tuple, .. }
            | TraceKind::State { tuple, .. } => Some(*tuple),
            TraceKind::Dropped { tuple, .. } => *tuple,
            _ => None,
        };
        if let (Some(tuple), Some(socket)) = (named, event.socket) {
            if self.sockets.len() >= REMEMBERED {
                self.sockets.pop_first();
            }
            self.sockets.insert((host, socket), tuple);
        }
        if let Some(tuple) = named {
            self.latest.insert(host, tuple);
        }
        // An event that names neither connection nor socket follows one that does.
        named.or_else(|| match event.socket {
            Some(socket) => self.sockets.get(&(host, socket)).copied(),
            None => self.latest.get(&host).copied(),
        })
    }

    pub(super) fn handle_event(&mut self, host: HostIndex, event: &TraceEvent) {
        let tuple = self.tuple_of(host, event);
        let at = event.at;
        let detail = self.style.detail;
        match &event.kind {
            TraceKind::State { tuple, from, to, why } => {
                self.conn(host, *tuple).state = Some(*to);
                let (tuple, from, to, why) = (*tuple, *from, *to, *why);
                self.moment.changes.push(Change {
                    host,
                    tuple,
                    from,
                    to,
                    why,
                    told: false,
                });
            }
            TraceKind::Rtt {
                srtt, rttvar, rto, ..
            } => {
                let Some(tuple) = tuple else { return };
                self.conn(host, tuple).rtt = Some(Rtt {
                    srtt: *srtt,
                    rttvar: *rttvar,
                    rto: *rto,
                });
                self.moment.moved.push((host, tuple));
            }
            TraceKind::Congestion {
                cwnd,
                ssthresh,
                flight,
                ..
            } => {
                let Some(tuple) = tuple else { return };
                let conn = self.conn(host, tuple);
                if let Some(before) = conn.cwnd
                    && *cwnd < before
                {
                    conn.cut = Some((at, before, *cwnd));
                }
                (conn.cwnd, conn.ssthresh, conn.flight) = (Some(*cwnd), *ssthresh, *flight);
                self.moment.moved.push((host, tuple));
            }
            TraceKind::SegmentOut {
                tuple,
                cause: Cause::Data,
                ..
            } => self.conn(host, *tuple).held = None,
            TraceKind::Held { waiting, why } if detail > Detail::Brief => {
                let Some(tuple) = tuple else { return };
                if self.conn(host, tuple).held.replace(*why) != Some(*why) {
                    let octets = if *waiting == 1 {
                        "octet waits"
                    } else {
                        "octets wait"
                    };
                    self.moment
                        .say(host, Some(tuple), format!("{waiting} {octets} ({why})"));
                }
            }
            TraceKind::Dropped { reason, .. } if detail > Detail::Brief => {
                self.moment.say(host, tuple, drop_words(*reason));
                let sentence = reason.explain().to_string();
                if detail == Detail::Full && self.told.insert(sentence.clone()) {
                    self.moment.say(host, tuple, sentence);
                }
            }
            TraceKind::TimerFired { timer } if detail == Detail::Full => {
                self.moment.asides.push(Aside {
                    host,
                    words: format!("timer: {}", timer_words(*timer)),
                });
            }
            _ => {}
        }
    }

    /// Brings the parts of the moment together: changes to the frames that made them or went with them, figures below.
    pub(super) fn settle(&mut self) {
        let mut changes = std::mem::take(&mut self.moment.changes);
        for change in &mut changes {
            if let Some(row) = self.moment.row_for(change.host, change.tuple, change.why) {
                // Two changes by one frame read as one: FIN-WAIT-1 → TIME-WAIT.
                let from = row.state.map_or(change.from, |(first, _)| first);
                row.state = Some((from, change.to));
                change.told = true;
            }
        }
        let sent = std::mem::take(&mut self.moment.sent);
        for change in changes.iter_mut().filter(|change| !change.told) {
            if let Some(flight) = self.flight_for(&sent, change) {
                let from = flight.state.map_or(change.from, |(first, _)| first);
                flight.state = Some((from, change.to));
                change.told = true;
            }
        }
        self.moment.changes = changes;
        for id in &sent {
            self.complete(*id);
        }
        for n in 0..self.moment.rows.len() {
            let row = &self.moment.rows[n];
            if let (None, Some(host), Some(tuple)) = (row.state, row.to, row.tuple) {
                let state = self
                    .conns
                    .get(&(host, tuple.local, tuple.remote))
                    .and_then(|conn| conn.state);
                self.moment.rows[n].state = state.map(|state| (state, state));
            }
        }
        let mut moved = std::mem::take(&mut self.moment.moved);
        moved.dedup();
        for (host, tuple) in moved {
            self.figures(host, tuple);
        }
    }

    /// The frame that left together with a change of state.
    fn flight_for(&mut self, sent: &[u64], change: &Change) -> Option<&mut Flight> {
        let wanted = match change.why {
            Transition::Open => Flags::SYN,
            Transition::Close => Flags::FIN,
            Transition::Abort | Transition::Timeout => Flags::RST,
            _ => return None,
        };
        let id = sent.iter().find(|id| {
            self.flights.get(id).is_some_and(|flight| {
                let carries =
                    matches!(&flight.packet, Packet::Tcp { segment, .. } if segment.flags.contains(wanted));
                flight.from == change.host && flight.tuple == Some(change.tuple) && carries
            })
        })?;
        self.flights.get_mut(id)
    }

    /// What the sender says of a frame, as things stood when it left.
    fn complete(&mut self, id: u64) {
        let detail = self.style.detail;
        let Some(flight) = self.flights.get_mut(&id) else {
            return;
        };
        let Some(tuple) = flight.tuple else { return };
        let Some(conn) = self.conns.get_mut(&(flight.from, tuple.local, tuple.remote)) else {
            if matches!(flight.cause, Cause::Retransmit(_)) && detail > Detail::Brief {
                flight.notes.push(flight.cause.to_string());
            }
            return;
        };
        if flight.state.is_none() {
            flight.state = conn.state.map(|state| (state, state));
        }
        if let Cause::Retransmit(why) = flight.cause
            && detail > Detail::Brief
        {
            let mut words = flight.cause.to_string();
            if let (RetransmitCause::Timeout { .. }, Some(rtt)) = (why, conn.rtt) {
                words.push_str(&format!(" (srtt {}, rttvar {})", rtt.srtt, rtt.rttvar));
            }
            if let Some((at, before, after)) = conn.cut
                && at == flight.at
            {
                words.push_str(&format!(", cwnd {before} → {after}, ssthresh {}", conn.ssthresh));
                conn.drawn.0 = Some(after);
            }
            flight.notes.push(words);
        }
    }

    /// cwnd, data in flight and RTT of one end, if they are not what was last drawn.
    fn figures(&mut self, host: HostIndex, tuple: Tuple) {
        if self.style.detail == Detail::Brief {
            return;
        }
        let conn = self.conn(host, tuple);
        let mut parts = Vec::new();
        if let Some(cwnd) = conn.cwnd
            && conn.drawn.0 != Some(cwnd)
        {
            parts.push(match conn.drawn.0 {
                Some(before) => format!("cwnd {before} → {cwnd}"),
                None => format!("cwnd {cwnd}"),
            });
            if conn.ssthresh != u32::MAX {
                parts.push(format!("ssthresh {}", conn.ssthresh));
            }
            if conn.flight > 0 {
                parts.push(format!("in flight {}", conn.flight));
            }
        }
        if let Some(rtt) = conn.rtt
            && conn.drawn.1 != Some(rtt.srtt)
        {
            parts.push(format!("srtt {}", rtt.srtt));
            parts.push(format!("RTO {}", rtt.rto));
        }
        conn.drawn = (conn.cwnd, conn.rtt.map(|rtt| rtt.srtt));
        if !parts.is_empty() {
            self.moment.say(host, Some(tuple), parts.join(", "));
        }
    }
}

/// Why a state changed without a frame.
pub(super) fn why(why: Transition) -> String {
    match why {
        Transition::Open => "opened".into(),
        Transition::Close => "closed by the application".into(),
        Transition::Abort => "aborted".into(),
        Transition::Timeout => "gave up waiting".into(),
        Transition::TimeWaitOver => "2 MSL are over".into(),
        Transition::FinWait2Timeout => "waited long enough for the peer's FIN".into(),
        Transition::Icmp => "an ICMP error ended it".into(),
        Transition::NetworkDown => "the network is down".into(),
        other => words(&format!("{other:?}")),
    }
}

fn timer_words(timer: Timer) -> String {
    match timer {
        Timer::Retransmit => "RTO is over".into(),
        Timer::TimeWait => "2 MSL are over".into(),
        Timer::DelayedAck => "the ACK has waited long enough".into(),
        other => format!("{} goes off", words(&format!("{other:?}"))),
    }
}
