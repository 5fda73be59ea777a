//! Ctrl-C and SIGTERM: the first asks the program to close in good order, the second aborts it.
//!
//! A thread of its own waits for them, so that the second is heard whatever the program does at that moment: while its
//! closing handshakes run, or while it waits for a terminal.

use std::io;
use std::sync::mpsc;

use sockeye_apps::line::{Stop, Stopper};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::console::note;
use crate::exit::{self, Code};
use crate::lab::desk;
use crate::{t, terminal};

/// The first Ctrl-C or SIGTERM stops in good order, the second aborts with exit code 130.
pub fn stop_on_interrupt() -> Stop {
    stop_saying(t!("console-closing"))
}

/// As [`stop_on_interrupt`], with other words.
pub fn stop_saying(words: String) -> Stop {
    if desk::is_here() {
        // Nobody is to be told goodbye: a signal ends the program as the system does.
        return Stop::never();
    }
    let (stopper, stop) = Stopper::new();
    let (installed, wait) = mpsc::channel();
    let thread = std::thread::Builder::new().name("signals".into());
    let spawned = thread.spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            let Ok(mut signals) = Signals::new() else { return };
            // From here on a signal is ours; who waits for this has gone on only if it wanted to.
            let _ = installed.send(());
            signals.next().await;
            note(&words);
            stopper.stop();
            signals.next().await;
            exit::at_once(Code::Interrupted);
        });
    });
    if spawned.is_ok() {
        // An error: signals cannot be had, and end the program at once as the system does.
        let _ = wait.recv();
    }
    stop
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }
    async fn next(&mut self) {
        tokio::select! {
            _ = interrupt(&mut self.interrupt) => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// A SIGINT that somebody wanted.
async fn interrupt(signal: &mut Signal) {
    while signal.recv().await.is_some() && terminal::take_our_interrupt() {}
}
