//! What happens in a conversation, as it is told to a person or to a program.

use std::time::Instant;

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};
use sockeye_apps::chat::{Event, First, Place, RoomEvent};
use sockeye_apps::line::shown;

use super::args::TalkArgs;
use crate::console::{Prompt, note, say, say_json};
use crate::{t, words};

/// A peer's words.
const THEIRS: Style = AnsiColor::Cyan.on_default();
/// What goes with them.
const ASIDE: Style = Style::new().dimmed();

/// Who tells.
pub(super) struct Teller {
    prompt: Prompt,
    side: First,
    json: bool,
    color: bool,
    timestamps: bool,
    verbose: bool,
    since: Instant,
    heard: u64,
    said: u64,
}

impl Teller {
    pub(super) fn new(args: &TalkArgs, side: First, prompt: Prompt) -> Teller {
        Teller {
            prompt,
            side,
            json: args.json,
            color: args.color.wanted(),
            timestamps: args.timestamps,
            verbose: args.verbose,
            since: Instant::now(),
            heard: 0,
            said: 0,
        }
    }
    /// A line of a peer: on a terminal with a mark, if it is bare, so that it can be told from what is typed.
    fn hear(&self, text: &str, bare: bool) {
        let (theirs, aside) = match self.color {
            true => (THEIRS, ASIDE),
            false => (Style::new(), Style::new()),
        };
        let time = match self.timestamps {
            true => format!("{aside}{}{aside:#} ", clock()),
            false => String::new(),
        };
        let mark = if bare && self.prompt.is_shown() { "< " } else { "" };
        say(&format!("{time}{theirs}{mark}{text}{theirs:#}"));
    }
    fn remark(&self, text: &str) {
        match self.timestamps {
            true => note(&format!("{} {text}", clock())),
            false => note(text),
        }
    }
    fn json(&self, mut value: Value) {
        if self.timestamps
            && let Some(fields) = value.as_object_mut()
        {
            fields.insert("time".into(), jiff::Timestamp::now().to_string().into());
        }
        say_json(&value);
    }
    /// What happens one to one.
    pub(super) fn tell(&mut self, event: &Event) {
        match event {
            Event::Connected(_) => (self.since, self.heard, self.said) = (Instant::now(), 0, 0),
            Event::Message(..) => self.heard += 1,
            Event::Sent(..) => self.said += 1,
            _ => {}
        }
        if self.json {
            return match as_value(event) {
                Some(value) => self.json(value),
                None => self.prompt.asked(),
            };
        }
        let Some(text) = event.text(words::current(), self.side) else {
            return;
        };
        match event {
            Event::Ask => return self.prompt.ask_with(&text),
            _ => self.prompt.leave(),
        }
        match event {
            // Words of their own, as the tutorials have them, need no mark.
            Event::Message(_, said) => self.hear(&text, text == shown(said)),
            Event::Closed(..) | Event::Broken(..) => {
                self.remark(&text);
                self.tell_sum();
            }
            _ => self.remark(&text),
        }
    }
    fn tell_sum(&self) {
        if self.verbose {
            let time = format!("{:.1?}", self.since.elapsed());
            self.remark(&t!("chat-sum", heard = self.heard, said = self.said, time = time));
        }
    }
    /// The two ends of a connection, and how long it took to have it.
    pub(super) fn tell_ends(&self, from: &Place, to: &Place, since: Instant) {
        if self.verbose && !self.json {
            let time = format!("{:.1?}", since.elapsed());
            self.remark(&t!("chat-ends", from = who(from), to = who(to), time = time));
        }
    }
    /// What happens in the rooms.
    pub(super) fn tell_room(&self, event: &RoomEvent) {
        if self.json {
            return self.json(room_value(event));
        }
        self.prompt.leave();
        match event {
            RoomEvent::Line(line) => self.hear(line, false),
            RoomEvent::Joined(peer, name) => self.remark(&t!("chat-joined", name = name, peer = who(peer))),
            RoomEvent::Left(peer, name) => self.remark(&t!("chat-left", name = name, peer = who(peer))),
            RoomEvent::LetGo(peer, name) => self.remark(&t!("chat-let-go", name = name, peer = who(peer))),
            RoomEvent::Broken(peer, name, error) => {
                let error = words::current().error(error);
                self.remark(&t!(
                    "chat-room-broke-off",
                    name = name,
                    peer = who(peer),
                    error = error
                ));
            }
        }
        self.prompt.ask();
    }
}

/// Our time of day.
fn clock() -> String {
    jiff::Zoned::now().strftime("%H:%M:%S").to_string()
}

fn who(place: &Place) -> String {
    place.text(words::current())
}

fn as_value(event: &Event) -> Option<Value> {
    Some(match event {
        Event::Ask => return None,
        Event::Connected(peer) => json!({"event": "connected", "peer": peer.to_string()}),
        Event::Message(peer, text) => json!({"event": "message", "peer": peer.to_string(), "text": text}),
        Event::Sent(peer, text) => json!({"event": "sent", "peer": peer.to_string(), "text": text}),
        Event::Empty => json!({"event": "refused", "reason": "empty"}),
        Event::CannotEncode(error) => json!({"event": "refused", "reason": error.to_string()}),
        Event::PeerEnded(peer) => json!({"event": "peer-ended", "peer": peer.to_string()}),
        Event::Closed(peer, ending) => {
            json!({"event": "closed", "peer": peer.to_string(), "reason": ending.to_string()})
        }
        Event::Broken(peer, error) => {
            json!({"event": "broken", "peer": peer.to_string(), "error": error.to_string()})
        }
    })
}

fn room_value(event: &RoomEvent) -> Value {
    let (what, peer, name, error) = match event {
        RoomEvent::Line(line) => return json!({"event": "line", "text": line}),
        RoomEvent::Joined(peer, name) => ("joined", peer, name, None),
        RoomEvent::Left(peer, name) => ("left", peer, name, None),
        RoomEvent::Broken(peer, name, error) => ("broke off", peer, name, Some(error.to_string())),
        RoomEvent::LetGo(peer, name) => ("was let go", peer, name, None),
    };
    json!({"event": what, "peer": peer.to_string(), "name": name, "error": error})
}
