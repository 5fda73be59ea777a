//! Small programs of the tutorials that are no chat, no upper-casing and no TFTP, on any net:
//!
//! ```text
//! cargo run -p sockeye-apps --example tutorial -- exchange-server 127.0.0.1:8080
//! cargo run -p sockeye-apps --example tutorial -- exchange-client 127.0.0.1:8080
//! cargo run -p sockeye-apps --example tutorial -- reuse-server 127.0.0.1:8898
//! cargo run -p sockeye-apps --example tutorial -- gbk-server 0.0.0.0:7891
//! cargo run -p sockeye-apps --example tutorial -- deaf-client
//! cargo run -p sockeye-apps --example tutorial -- create
//! ```
//!
//! With `SOCKEYE_NET=tun:sock0,addr=10.77.0.2/24` (root) they run on a stack of their own instead of the operating
//! system's sockets. The tutorials' other programs are `sockeye chat`, `udp`, `upper` and `tftp`: see docs/programs.md.

mod create;
mod deaf_client;
mod exchange;
mod gbk_server;
mod listen;
mod reuse_server;

use std::io::{self, Write};
use std::time::Duration;

use sockeye_net::{Net, lookup_host};
use tokio::sync::mpsc;

const PROGRAMS: &str =
    "exchange-server, exchange-client, reuse-server, gbk-server ADDRESS, deaf-client, create";

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let program = arguments.next().unwrap_or_default();
    let address = arguments.next();
    let net = match std::env::var("SOCKEYE_NET").unwrap_or("os".into()).as_str() {
        "os" => Net::os(),
        place => {
            let device = place.strip_prefix("tun:").unwrap_or(place);
            let device = device.parse().map_err(io::Error::other)?;
            Net::tun(&device).map_err(io::Error::other)?
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(run(&net, &program, address));
    runtime.shutdown_background();
    // A stack goes with its process: what it still owes is sent first.
    net.finish_within(Duration::from_secs(5));
    result
}

async fn run(net: &Net, program: &str, address: Option<String>) -> io::Result<()> {
    let print = |line: String| println!("{line}");
    let address = match address {
        None => None,
        Some(address) => lookup_host(net, address).await?.next(),
    };
    match (program, address) {
        ("exchange-server", Some(at)) => exchange::server(listen::listen(net, at, 5, false)?, print).await,
        ("exchange-client", Some(to)) => exchange::client(net, to, print).await,
        ("reuse-server", Some(at)) => reuse_server::server(listen::listen(net, at, 128, true)?, print).await,
        ("gbk-server", Some(at)) => gbk_server::server(listen::listen(net, at, 128, false)?, print).await,
        ("deaf-client", _) => deaf_client::client(net, &mut lines(), ask, print).await.map(drop),
        ("create", _) => create::create(net),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("say which program, and its address where it has one: {PROGRAMS}"),
        )),
    }
}

fn ask(prompt: &str) {
    print!("{prompt}");
    let _ = io::stdout().flush(); // a prompt that cannot be shown is none
}

/// The lines of standard input.
fn lines() -> mpsc::Receiver<String> {
    let (to, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in io::stdin().lines() {
            let Ok(line) = line else { return };
            if to.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}
