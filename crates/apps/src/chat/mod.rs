//! Chat: one to one over TCP or AF_UNIX, or several at once in rooms.
//!
//! TCP carries octets without boundaries, so a message has to end somewhere. It ends at a newline. A peer that
//! sends none, as the programs of tutorials do, is understood as well: as long as it has never sent a newline,
//! what it sent ends when nothing more comes for [`Settings::grace`].
//!
//! `Q` (either case) or `exit` says goodbye: it is sent, then both ends close in good order.

#[cfg(target_os = "linux")]
mod local;
mod message;
mod rooms;
mod talk;
mod wire;
mod words;

#[cfg(target_os = "linux")]
pub use local::{LocalName, connect_local};
pub use message::Messages;
pub use rooms::{RoomEvent, RoomSettings, Rooms};
pub use talk::{Ending, Event, First, Input, Server, Settings, connect, connect_from, converse};
pub use wire::{Place, Stream};

/// Whether a message says goodbye: `Q` in either case, or `exit`.
pub fn is_quit(text: &str) -> bool {
    let text = text.trim();
    text.eq_ignore_ascii_case("q") || text == "exit"
}
