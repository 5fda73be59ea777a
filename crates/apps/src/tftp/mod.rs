//! TFTP: RFC 1350 with the options of RFC 2347 (negotiation), 2348 (block size), 2349 (timeout, size) and 7440 (window).

pub mod client;
pub mod explain;
pub mod metrics;
pub mod netascii;
pub mod packet;
mod port;
mod rate;
pub mod record;
pub mod root;
pub mod scrape;
pub mod server;
mod sink;
mod source;
#[cfg(test)]
mod testing;
pub mod transfer;
#[cfg(target_os = "linux")]
mod watch;
mod words;
