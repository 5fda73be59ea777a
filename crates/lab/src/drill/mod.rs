//! Packet scripts: the packetdrill language on virtual time.
//!
//! A script says at which time an application calls what, which packets the peer sends, and which packets the stack is to
//! send and when. [`Script::parse`] reads one, [`run()`] runs it against a stack in this process, in some [`Mode`] (profile
//! and family). Nothing of the machine is touched: no device, no privilege, no waiting.
//!
//! Times on virtual time are exact; a script's tolerance is heeded all the same, so that scripts that were written for
//! kernels run unchanged. A call that waits is tried again after everything that happens. Every packet that leaves has to
//! be expected, up to the last event and the tolerance behind it.
//!
//! `docs/drill.md` has the language, the settings and the exit codes.

mod build;
mod call;
mod check;
mod code;
mod conn;
mod constant;
mod engine;
mod eval;
mod fault;
mod icmp;
mod info;
mod lex;
mod parse;
mod run;
mod seen;
mod setting;
mod setup;
mod syntax;
mod value;
mod words;
mod world;

pub use fault::{Difference, Fault, Kind, Span, line_of};
pub use run::{Run, Told, run};
pub use setting::{SETTINGS, Setting};
pub use setup::{Family, Mode, Setup};
pub use syntax::{Notes, Script};

impl Script {
    /// Reads a script. `name` is for people.
    ///
    /// # Errors
    /// The first thing that is not understood, with its place.
    pub fn parse(name: &str, text: &str) -> Result<Script, Fault> {
        parse::parse(name, text)
    }
    /// How many events it has.
    pub fn events(&self) -> usize {
        self.events.len()
    }
}
