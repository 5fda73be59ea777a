//! `sockeye tftp get` and `put`.

use std::io::{self, Read, Write};

use sockeye_apps::tftp::client::{self, Content, Done, Target, Url};
use sockeye_apps::tftp::packet::Mode;
use sockeye_net::Net;
use sockeye_stack::time::Duration;

use super::bar::Bar;
use super::{AskArgs, Failure, GetArgs, PutArgs, said};
use crate::t;

fn asking(args: &AskArgs) -> client::Options {
    let mut options = client::Options {
        blksize: Some(args.blksize),
        windowsize: Some(args.windowsize),
        timeout: args.timeout,
        rollover: args.rollover,
        ..client::Options::default()
    };
    if args.no_options {
        options.blksize = None;
        options.windowsize = None;
        options.tsize = false;
    }
    options.timing.give_up = Duration::from_secs(args.give_up);
    options
}
fn with_mode(url: &Url, args: &AskArgs) -> Url {
    let mut url = url.clone();
    if args.netascii {
        url.mode = Mode::Netascii;
    }
    url
}

pub(super) async fn get(args: &GetArgs, net: &Net) -> Result<(), Failure> {
    let url = with_mode(&args.url, &args.ask);
    let path = args.file.clone().unwrap_or_else(|| url.file_name().into());
    let to_stdout = path.as_os_str() == "-";
    let target = if to_stdout {
        Target::Memory
    } else {
        Target::File(path.clone())
    };
    let mut bar = Bar::new(!args.ask.quiet);
    let result = client::get(net, &url, &target, &asking(&args.ask), &mut |p| bar.show(p)).await;
    let seconds = bar.end();
    let done = result?;
    if to_stdout {
        io::stdout()
            .write_all(&done.content)
            .map_err(said(3, t!("tftp-stdout")))?;
    }
    report(&done, seconds, &args.ask, &path.display().to_string());
    Ok(())
}

pub(super) async fn put(args: &PutArgs, net: &Net) -> Result<(), Failure> {
    let content = if args.file.as_os_str() == "-" {
        let mut octets = Vec::new();
        io::stdin()
            .read_to_end(&mut octets)
            .map_err(said(3, t!("tftp-stdin")))?;
        Content::Memory(octets)
    } else {
        Content::File(args.file.clone())
    };
    let url = with_mode(&args.url, &args.ask);
    let mut bar = Bar::new(!args.ask.quiet);
    let result = client::put(net, &content, &url, &asking(&args.ask), &mut |p| bar.show(p)).await;
    let seconds = bar.end();
    report(&result?, seconds, &args.ask, &args.file.display().to_string());
    Ok(())
}

/// What was done, on standard error, so that a file may go to standard output.
fn report(done: &Done, seconds: f64, args: &AskArgs, file: &str) {
    if args.json {
        let object = serde_json::json!({
            "file": file, "octets": done.octets, "blocks": done.counts.blocks, "seconds": seconds,
            "retransmissions": done.counts.retransmissions, "options": done.options.to_string(),
        });
        eprintln!("{object}");
    } else if !args.quiet {
        let rate = done.octets as f64 / 1e6 / seconds.max(1e-6);
        let (seconds, rate) = (format!("{seconds:.3}"), format!("{rate:.1}"));
        let text = t!(
            "tftp-done",
            file = file,
            octets = done.octets,
            seconds = seconds,
            rate = rate
        );
        eprintln!("{text}");
    }
}
