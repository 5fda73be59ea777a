//! The smallest TFTP server: `cargo run --release --example tftpd -- DIR 127.0.0.1:6969`.

use std::sync::Arc;

use sockeye_apps::tftp::root::Uploads;
use sockeye_apps::tftp::server::{Options, Server};
use sockeye_net::Net;

fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let mut options = Options::new(args.next().unwrap_or(".".into()));
    options.listen = args.next().unwrap_or("127.0.0.1:6969".into());
    for flag in args {
        match &flag[..] {
            "upload" => options.uploads = Uploads::Overwrite,
            "single" => options.single_port = true,
            _ => {}
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .build()?;
    runtime.block_on(async {
        let log = Arc::new(|record: &_| println!("{record}"));
        let server = Server::bind(&Net::os(), options, log).await?;
        println!("listening on {}", server.local_addr());
        server.run(std::future::pending()).await
    })
}
