//! How far a transfer is.

use std::io::{self, IsTerminal, Write};

use sockeye_apps::tftp::client::Progress;
use tokio::time::Instant;

use crate::t;

/// A bar on a terminal, ten times a second.
pub(super) struct Bar {
    began: Instant,
    shown: Option<Instant>,
    on: bool,
}
impl Bar {
    pub(super) fn new(wanted: bool) -> Bar {
        Bar {
            // In a lab it is the network's time.
            began: Instant::now(),
            shown: None,
            on: wanted && io::stderr().is_terminal(),
        }
    }
    pub(super) fn show(&mut self, progress: Progress) {
        let due = self.shown.is_none_or(|at| at.elapsed().as_millis() >= 100);
        if !self.on || !due {
            return;
        }
        self.shown = Some(Instant::now());
        let octets = progress.octets;
        let text = match progress.total.filter(|&t| t > 0) {
            Some(total) => {
                let share = (octets as f64 / total as f64).min(1.0);
                let full = (share * 40.0) as usize;
                format!(
                    "[{}{}] {:3.0} %",
                    "=".repeat(full),
                    " ".repeat(40 - full),
                    share * 100.0
                )
            }
            None => t!("tftp-octets", octets = octets),
        };
        let _ = write!(io::stderr(), "\r{text}");
    }
    /// Takes the bar away; how many seconds it took.
    pub(super) fn end(&self) -> f64 {
        if self.shown.is_some() {
            let _ = write!(io::stderr(), "\r{:60}\r", "");
        }
        self.began.elapsed().as_secs_f64()
    }
}
