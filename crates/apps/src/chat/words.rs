//! A conversation in words.

use super::{Ending, Event, First, Place};
use crate::line::shown;
use crate::text;
use crate::words::Words;

impl Event {
    /// In words, for a person on this side; a prompt, for [`Event::Ask`]. Nothing where there is nothing to say.
    pub fn text(&self, words: &Words, side: First) -> Option<String> {
        Some(match self {
            Event::Connected(peer) => text!(words, "chat-connected", peer = peer.text(words)),
            Event::Ask => text!(words, "chat-prompt"),
            Event::Message(peer, said) => match side {
                First::Server => text!(
                    words,
                    "chat-from-client",
                    peer = peer.text(words),
                    text = shown(said)
                ),
                First::Client => text!(words, "chat-from-server", text = shown(said)),
            },
            Event::Sent(..) => return None,
            Event::Empty => text!(words, "chat-empty"),
            Event::CannotEncode(error) => error.text(words),
            Event::PeerEnded(peer) => text!(words, "chat-peer-ended", peer = peer.text(words)),
            Event::Closed(peer, ending) => {
                text!(
                    words,
                    "chat-closed",
                    peer = peer.text(words),
                    ending = ending.text(words)
                )
            }
            Event::Broken(peer, error) => {
                text!(
                    words,
                    "chat-broken",
                    peer = peer.text(words),
                    error = words.error(error)
                )
            }
        })
    }
}

impl Place {
    /// In words, safe to show.
    pub fn text(&self, words: &Words) -> String {
        match self {
            Place::Local(name) if name.is_empty() => text!(words, "chat-local-program"),
            place => shown(&place.to_string()),
        }
    }
}

impl Ending {
    /// In words.
    pub fn text(self, words: &Words) -> String {
        match self {
            Ending::Quit => text!(words, "chat-ending-quit"),
            Ending::PeerQuit => text!(words, "chat-ending-peer-quit"),
            Ending::PeerClosed => text!(words, "chat-ending-peer-closed"),
            Ending::EndOfInput => text!(words, "chat-ending-input"),
            Ending::Stopped => text!(words, "chat-ending-stopped"),
        }
    }
}
