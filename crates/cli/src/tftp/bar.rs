//! How far a transfer is.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use sockeye_apps::tftp::client::Progress;
use tokio::time::Instant;

use crate::t;

/// A bar on standard error while a transfer runs, if that is a terminal.
pub(super) struct Bar {
    /// In a lab it is the network's time.
    began: Instant,
    bar: ProgressBar,
}

impl Bar {
    pub(super) fn new(wanted: bool) -> Bar {
        let target = if wanted {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        };
        // Gone also if the transfer is given up half-way.
        let bar = ProgressBar::with_draw_target(None, target).with_finish(ProgressFinish::AndClear);
        bar.set_style(style("{msg}"));
        Bar {
            began: Instant::now(),
            bar,
        }
    }
    pub(super) fn show(&mut self, progress: Progress) {
        if self.bar.is_hidden() {
            return;
        }
        match progress.total.filter(|&total| total > 0) {
            Some(total) => {
                if self.bar.length() != Some(total) {
                    self.bar.set_style(style("[{bar:40}] {percent:>3} % {msg}"));
                    self.bar.set_length(total);
                }
                let rate = progress.octets as f64 / 1e6 / self.began.elapsed().as_secs_f64().max(1e-3);
                self.bar.set_message(format!("{rate:.1} MB/s"));
                self.bar.set_position(progress.octets.min(total));
            }
            // The server did not say how many there are.
            None => self.bar.set_message(t!("tftp-octets", octets = progress.octets)),
        }
    }
    /// Takes the bar away; how many seconds it took.
    pub(super) fn end(&self) -> f64 {
        self.bar.finish_and_clear();
        self.began.elapsed().as_secs_f64()
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the template is one of ours")
        .progress_chars("=> ")
}
