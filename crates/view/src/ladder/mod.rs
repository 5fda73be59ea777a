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

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};

use sockeye_stack::tcp::{Flags, State};
use sockeye_stack::trace::{Cause, Held, Tuple};
use sockeye_stack::{Duration, Instant, SocketId};

use crate::explain::Explain;
use crate::packet::Packet;
use crate::record::{Cast, HostIndex, LinkChange, LinkLoss, Record, What, WireEvent};
use crate::text::{Line, width, words, wrap};
use draw::{Arrow, Kind, Layout, ascii, bold, dim};
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

    /// Draws a frame that arrived or was lost, with what is said below it.
    fn draw_row(&mut self, row: &moment::Row) -> io::Result<()> {
        let Some(mut flight) = self.flights.get(&row.id).cloned() else {
            return Ok(());
        };
        if row.repeat {
            flight.label.main.push_str(" (again)");
            flight.notes.clear();
        }
        let to = row.to.map(|to| (to, row.state));
        self.draw_flight(&flight, to, row.lost, &row.notes)
    }

    fn draw_flight(
        &mut self,
        flight: &Flight,
        to: Option<(HostIndex, Option<(State, State)>)>,
        lost: Option<&str>,
        receiver_notes: &[String],
    ) -> io::Result<()> {
        self.begin()?;
        let from = usize::from(flight.from.0);
        let target = match to {
            Some((host, _)) => usize::from(host.0),
            None => self.towards(flight),
        };
        let mut line = self.layout.time(Some(flight.at));
        self.draw_state(&mut line, from, flight.state);
        if let Some((_, state)) = to {
            self.draw_state(&mut line, target, state);
        }
        let room = self.layout.label_room(from, target);
        let (mut words, left_out) = flight.label.fit(room);
        let cause = self.cause_words(flight);
        let behind = width(&words) + 3 + width(&cause) <= room && lost.is_none();
        let mut sender_notes = Vec::new();
        if !left_out.is_empty() {
            sender_notes.push(left_out);
        }
        if !behind && !cause.is_empty() {
            sender_notes.push(flight.cause.to_string());
        }
        sender_notes.extend(
            lost.filter(|lost| !self.layout.holds(target, lost))
                .map(String::from),
        );
        sender_notes.extend(flight.notes.iter().cloned());
        if words.is_empty() {
            words = flight.cause.to_string();
        }
        let arrow = Arrow {
            from,
            to: target,
            words: &words,
            cause: if behind { &cause } else { "" },
            kind: kind(flight),
            lost,
        };
        self.layout.arrow(&mut line, &arrow);
        self.write(&line)?;
        self.middle_state(from, flight.state)?;
        self.draw_notes(from, &sender_notes, kind(flight) == Kind::Again)?;
        if self.style.detail == Detail::Full {
            let sentence = flight.cause.explain().to_string();
            if self.told.insert(sentence.clone()) {
                self.draw_notes(from, &[sentence], false)?;
            }
        }
        if let Some((host, state)) = to {
            self.middle_state(usize::from(host.0), state)?;
        }
        self.draw_notes(target, receiver_notes, false)
    }

    /// The cause as it stands on the arrow or below; nothing where flags and states say it already.
    fn cause_words(&self, flight: &Flight) -> String {
        match flight.cause {
            _ if self.style.detail == Detail::Brief => String::new(),
            Cause::Data | Cause::Datagram | Cause::Forwarded | Cause::Raw => String::new(),
            Cause::Open | Cause::OpenReply | Cause::Fin => String::new(),
            Cause::EchoReply | Cause::EchoRequest | Cause::IcmpError => String::new(),
            Cause::NeighborRequest | Cause::NeighborReply | Cause::Membership => String::new(),
            // What follows is in the notes already, with its numbers.
            Cause::Retransmit(_) => String::new(),
            Cause::Ack(why) => why.to_string(),
            Cause::Reset(why) => why.to_string(),
            other => other.to_string(),
        }
    }

    fn draw_state(&self, line: &mut Line, host: usize, state: Option<(State, State)>) {
        let (Some((from, to)), Some(room)) = (state, self.layout.state_room(host)) else {
            return;
        };
        let text = if from == to {
            to.to_string()
        } else {
            self.plain(&format!("{from} → {to}"))
        };
        let short = self.plain(&format!("→ {to}"));
        let text = if width(&text) <= room { text } else { short };
        self.layout
            .state(line, host, &text, if from == to { dim() } else { bold() });
    }

    /// A host between two lanes has no column for its state: a change is told below the row.
    fn middle_state(&mut self, host: usize, state: Option<(State, State)>) -> io::Result<()> {
        match state {
            Some((from, to)) if from != to && self.layout.state_room(host).is_none() => {
                self.draw_notes(host, &[format!("{from} → {to}")], false)
            }
            _ => Ok(()),
        }
    }

    /// Something that happened without a frame.
    fn draw_aside(
        &mut self,
        at: Instant,
        host: HostIndex,
        states: Option<(State, State)>,
        words: &str,
    ) -> io::Result<()> {
        self.begin()?;
        let host = usize::from(host.0);
        let lines = wrap(&self.plain(words), self.layout.note_room());
        let mut line = self.layout.time(Some(at));
        self.draw_state(&mut line, host, states);
        self.layout
            .note(&mut line, host, lines.first().map_or("", String::as_str), dim());
        self.write(&line)?;
        self.middle_state(host, states)?;
        for text in lines.iter().skip(1) {
            self.draw_notes(host, std::slice::from_ref(text), false)?;
        }
        Ok(())
    }

    fn draw_notes(&mut self, host: usize, notes: &[String], again: bool) -> io::Result<()> {
        for (n, note) in notes.iter().enumerate() {
            for text in wrap(&self.plain(note), self.layout.note_room()) {
                let mut line = self.layout.time(None);
                let style = if again && n == 0 {
                    Kind::Again.style()
                } else {
                    dim()
                };
                self.layout.note(&mut line, host, &text, style);
                self.write(&line)?;
            }
        }
        Ok(())
    }

    /// Which lifeline a frame that never arrived was aimed at.
    fn towards(&self, flight: &Flight) -> usize {
        let from = usize::from(flight.from.0);
        let last = self.cast.hosts.len().max(2) - 1;
        match flight.packet.destination().and_then(|to| self.cast.owner(to)) {
            Some(to) if usize::from(to.0) > from => from + 1,
            Some(to) if usize::from(to.0) < from => from - 1,
            _ if from == last => from - 1,
            _ => from + 1,
        }
    }

    /// Names and addresses, once, with the ports of the first connection if it begins the diagram.
    fn begin(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        let names: Vec<String> = self.cast.hosts.iter().map(|host| host.name.clone()).collect();
        let header = self.layout.header("time", &names, bold());
        self.write(&header)?;
        let addresses: Vec<String> = self.cast.hosts.iter().map(|host| self.address(host)).collect();
        let header = self.layout.header("", &addresses, dim());
        self.write(&header)
    }

    fn address(&self, host: &crate::record::HostInfo) -> String {
        let own: Vec<IpAddr> = host.addresses().collect();
        let first = self.flights.values().find_map(|flight| flight.tuple);
        let port = first.and_then(|tuple| {
            [tuple.local, tuple.remote]
                .into_iter()
                .find(|end| own.contains(&end.ip()))
        });
        match (port, own.first()) {
            (Some(end), _) => end.to_string(),
            (None, Some(address)) => address.to_string(),
            (None, None) => String::new(),
        }
    }

    fn plain(&self, text: &str) -> String {
        if self.style.ascii {
            text.replace('→', "->").replace('∞', "none")
        } else {
            text.to_string()
        }
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let text = line.render(self.style.color);
        let text = if self.style.ascii { ascii(&text) } else { text };
        writeln!(self.out, "{text}")
    }
}

impl label::Label {
    /// As much as fits in `room`, and the rest.
    fn fit(&self, room: usize) -> (String, String) {
        let (mut words, mut rest) = (self.main.clone(), Vec::new());
        for extra in &self.extras {
            if rest.is_empty() && words.chars().count() + 1 + extra.len() <= room {
                words.push(' ');
                words.push_str(extra);
            } else {
                rest.push(extra.as_str());
            }
        }
        (words, rest.join(" "))
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

fn kind(flight: &Flight) -> Kind {
    let Packet::Tcp { segment, .. } = &flight.packet else {
        return Kind::Other;
    };
    match segment.flags {
        f if f.contains(Flags::RST) => Kind::Reset,
        _ if matches!(flight.cause, Cause::Retransmit(_)) => Kind::Again,
        f if f.contains(Flags::SYN) => Kind::Open,
        f if f.contains(Flags::FIN) => Kind::Close,
        _ if segment.payload_len > 0 => Kind::Data,
        _ => Kind::Ack,
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
mod tests {
    use super::*;
    use crate::record::HostInfo;
    use crate::scene::{self, CLIENT, SERVER, Scene};

    fn drawn(cast: Cast, records: &[Record], style: LadderStyle) -> String {
        let mut ladder = Ladder::new(Vec::new(), cast, style);
        for record in records {
            ladder.handle_record(record).expect("writing to memory");
        }
        String::from_utf8(ladder.finish().expect("writing to memory")).expect("text")
    }

    #[test]
    fn a_connection_from_syn_to_time_wait() {
        let text = drawn(scene::cast(), &scene::connection(), LadderStyle::default());
        assert!(text.lines().all(|line| width(line) <= 110), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn in_the_notation_of_textbooks() {
        let style = LadderStyle {
            notation: Notation::Classroom,
            detail: Detail::Brief,
            ..LadderStyle::default()
        };
        insta::assert_snapshot!(drawn(scene::cast(), &scene::connection(), style));
    }

    #[test]
    fn in_full_with_ascii() {
        let style = LadderStyle {
            ascii: true,
            detail: Detail::Full,
            ..LadderStyle::default()
        };
        let mut cast = scene::cast();
        cast.hosts[0].name = "client".into();
        cast.hosts[1].name = "server".into();
        let records = scene::connection();
        let records: Vec<_> = records
            .into_iter()
            .filter(|record| !matches!(record.what, What::Note(_)))
            .collect();
        let text = drawn(cast, &records, style);
        assert!(text.is_ascii(), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn through_a_router_and_back_with_a_loss() {
        let mut cast = scene::cast();
        cast.hosts.insert(1, HostInfo::ip("路由器", &[]));
        let far = HostIndex(2);
        let mut s = Scene::default();
        let syn = scene::Seg {
            flags: "S",
            seq: 0,
            ack: 0,
            len: 0,
        };
        let reply = scene::Seg {
            flags: "SA",
            seq: 0,
            ack: 1,
            len: 0,
        };
        let first = s.sent(0, CLIENT, scene::frame(CLIENT, &syn), Cause::Open);
        s.arrived(5, HostIndex(1), first);
        let hop = s.sent(5, HostIndex(1), scene::frame(CLIENT, &syn), Cause::Forwarded);
        s.arrived(10, far, hop);
        let back = s.sent(10, far, scene::frame(SERVER, &reply), Cause::OpenReply);
        s.arrived(15, HostIndex(1), back);
        let hop = s.sent(15, HostIndex(1), scene::frame(SERVER, &reply), Cause::Forwarded);
        s.put(
            15,
            HostIndex(1),
            What::Wire(WireEvent::Lost {
                id: hop,
                why: LinkLoss::QueueFull,
            }),
        );
        insta::assert_snapshot!(drawn(cast, &s.records, LadderStyle::default()));
    }

    #[test]
    fn other_protocols_copies_and_waiting_data() {
        use sockeye_stack::trace::TraceKind;
        let mut s = Scene::default();
        let mut udp = Vec::new();
        let build = etherparse::PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).udp(5000, 69);
        build.write(&mut udp, b"hello").expect("writing to memory");
        let id = s.sent(0, CLIENT, udp.into(), Cause::Datagram);
        s.put(
            0,
            CLIENT,
            What::Wire(WireEvent::Changed {
                id,
                how: LinkChange::Duplicated,
            }),
        );
        s.arrived(10, SERVER, id);
        s.arrived(12, SERVER, id);
        let mut ping = Vec::new();
        let build =
            etherparse::PacketBuilder::ipv4([10, 0, 0, 2], [10, 0, 0, 1], 64).icmpv4_echo_request(1, 1);
        build.write(&mut ping, &[]).expect("writing to memory");
        let id = s.sent(20, SERVER, ping.into(), Cause::EchoRequest);
        s.arrived(30, CLIENT, id);
        let closed = scene::Seg {
            flags: "PA",
            seq: 1,
            ack: 1,
            len: 100,
        };
        let bytes = scene::frame(CLIENT, &closed);
        let Packet::Tcp {
            source,
            destination,
            segment,
        } = Packet::read(&bytes, sockeye_stack::Medium::Ip)
        else {
            panic!("not TCP");
        };
        let tuple = Tuple {
            local: source,
            remote: destination,
        };
        let id = s.sent(40, CLIENT, bytes, Cause::Data);
        s.stack(
            40,
            CLIENT,
            TraceKind::SegmentOut {
                tuple,
                segment,
                cause: Cause::Data,
            },
        );
        s.stack(
            40,
            CLIENT,
            TraceKind::Held {
                waiting: 60,
                why: Held::Nagle,
            },
        );
        s.arrived(50, SERVER, id);
        let reset = scene::Seg {
            flags: "RA",
            seq: 1,
            ack: 101,
            len: 0,
        };
        let why = sockeye_stack::trace::ResetCause::NoConnection;
        let id = s.sent(50, SERVER, scene::frame(SERVER, &reset), Cause::Reset(why));
        s.arrived(60, CLIENT, id);
        s.sent(70, CLIENT, vec![0x45; 3].into(), Cause::Raw);
        insta::assert_snapshot!(drawn(scene::cast(), &s.records, LadderStyle::default()));
    }

    #[test]
    fn colour_only_adds_escapes() {
        let plain = drawn(scene::cast(), &scene::connection(), LadderStyle::default());
        let style = LadderStyle {
            color: true,
            ..LadderStyle::default()
        };
        let colored = drawn(scene::cast(), &scene::connection(), style);
        let mut stripped = String::new();
        let mut rest = colored.as_str();
        while let Some((before, after)) = rest.split_once('\u{1b}') {
            stripped.push_str(before);
            rest = after.split_once('m').map_or("", |(_, rest)| rest);
        }
        stripped.push_str(rest);
        assert_eq!(plain, stripped);
    }
}
