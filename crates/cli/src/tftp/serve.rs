//! `sockeye tftp serve`.

use std::io::{self, Write};
use std::sync::Arc;

use sockeye_apps::tftp::record::Record;
use sockeye_apps::tftp::root::Uploads;
use sockeye_apps::tftp::scrape;
use sockeye_apps::tftp::server::{Options, Server};
use sockeye_net::Net;
use sockeye_stack::time::Duration;

use super::{Failure, ServeArgs, UploadPolicy, said};
use crate::console::note;
use crate::signals::stop_saying;
use crate::{t, words};

pub(super) async fn serve(args: &ServeArgs, net: &Net) -> Result<(), Failure> {
    let mut options = Options::new(&args.dir);
    options.listen = args.listen.clone();
    options.uploads = match args.upload {
        None => Uploads::Off,
        Some(UploadPolicy::Create) => Uploads::Create,
        Some(UploadPolicy::Overwrite) => Uploads::Overwrite,
    };
    options.max_upload = args.max_upload;
    options.single_port = args.single_port;
    options.ports = args.ports;
    options.max_transfers = args.max_transfers;
    options.max_transfers_per_client = args.max_transfers_per_client;
    options.rate = args.rate;
    options.rate_per_client = args.rate_per_client;
    options.max_blksize = args.max_blksize;
    options.max_window = args.max_windowsize;
    options.rollover = args.rollover;
    options.threads = match args.threads {
        Some(threads) => threads.into(),
        None => std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4)),
    };
    options.watch = std::time::Duration::from_micros(args.watch_us);
    options.timing.floor = Duration::from_millis(args.min_timeout_ms);
    options.timing.give_up = Duration::from_secs(args.give_up);
    options.duplicates = args.duplicates;
    let mut stop = stop_saying(t!("tftp-stopping"));
    more_descriptors();
    let json = args.json;
    let log = Arc::new(move |record: &Record| {
        let line = if json { record.json() } else { record.to_string() };
        // A log that nobody reads does not stop the server.
        let _ = writeln!(io::stdout(), "{line}");
    });
    let server = Server::bind(net, options, log).await.map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::PermissionDenied => t!("tftp-hint-root"),
            io::ErrorKind::AddrInUse => t!("tftp-hint-in-use"),
            _ => String::new(),
        };
        let code = if error.kind() == io::ErrorKind::NotFound {
            3
        } else {
            7
        };
        Failure(
            code,
            t!(
                "tftp-cannot-serve",
                error = words::current().error(&error),
                hint = hint
            ),
        )
    })?;
    note(&t!(
        "tftp-listening",
        at = server.local_addr(),
        dir = args.dir.display()
    ));
    let metrics = server.metrics();
    let scrape = async {
        match &args.metrics {
            Some(address) => scrape::serve(net, address, metrics)
                .await
                .map_err(said(7, address)),
            None => std::future::pending().await,
        }
    };
    let serving = server.run(stop.stopped());
    tokio::select! {
        result = serving => result.map_err(said(7, &args.listen)),
        result = scrape => result,
    }
}

/// Each transfer has two descriptors: as many as the system allows.
fn more_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit); // else it stays as it is
}
