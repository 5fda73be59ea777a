//! TFTP: RFC 1350 with the options of RFC 2347 (negotiation), 2348 (block size), 2349 (timeout, size) and 7440 (window).

pub mod netascii;
pub mod packet;
pub mod root;
mod sink;
mod source;
#[cfg(test)]
mod testing;
pub mod transfer;
