//! Rows of the diagram: a frame with the states beside it and the notes below, and what happened without a frame.

use std::io;
use std::net::IpAddr;

use sockeye_stack::Instant;
use sockeye_stack::tcp::{Flags, State};
use sockeye_stack::trace::Cause;

use super::draw::{Arrow, Kind, ascii, bold, dim};
use super::{Detail, Flight, Ladder, label, moment};
use crate::explain::Explain;
use crate::packet::Packet;
use crate::record::{HostIndex, HostInfo};
use crate::text::{Line, width, wrap};

impl<W: io::Write> Ladder<W> {
    /// Draws a frame that arrived or was lost, with what is said below it.
    pub(super) fn draw_row(&mut self, row: &moment::Row) -> io::Result<()> {
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

    pub(super) fn draw_flight(
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
    pub(super) fn draw_aside(
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
    pub(super) fn begin(&mut self) -> io::Result<()> {
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

    fn address(&self, host: &HostInfo) -> String {
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

    pub(super) fn write(&mut self, line: &Line) -> io::Result<()> {
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
