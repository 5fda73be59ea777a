//! What TFTP reads from a peer or from a file that somebody sends in: packets, netascii, addresses, captures.

use std::net::SocketAddr;

use sockeye_apps::tftp::client::Url;
use sockeye_apps::tftp::explain::{Datagram, datagrams, explain};
use sockeye_apps::tftp::netascii::{Decoder, Encoder};
use sockeye_apps::tftp::packet::{self, Options, Packet};

/// Reads `bytes` as everything that TFTP reads.
pub fn packets(bytes: &[u8]) {
    packet(bytes);
    netascii(bytes);
    let _ = String::from_utf8_lossy(bytes).parse::<Url>();
    if let Ok(found) = datagrams(bytes) {
        put_into_words(&found);
    }
    put_into_words(&conversation(bytes));
}

/// What parses is written, and parses to the same. The options that we know keep their values.
fn packet(bytes: &[u8]) {
    let Ok(parsed) = Packet::parse(bytes) else { return };
    let mut written = Vec::new();
    parsed.write(&mut written);
    assert_eq!(Packet::parse(&written), Ok(parsed));
    let list = match parsed {
        Packet::Request(request) => request.options,
        Packet::OptionAck(list) => list,
        _ => return,
    };
    if let Ok(options) = Options::read(list) {
        let written = packet::option_ack(&options);
        let Ok(Packet::OptionAck(again)) = Packet::parse(&written) else {
            panic!("an OACK that is none: {written:?}");
        };
        assert_eq!(Options::read(again), Ok(options));
    }
}

/// Any text comes back from the wire, in blocks of any size; any wire text is decoded the same whole and in pieces.
fn netascii(bytes: &[u8]) {
    let limit = usize::from(bytes.first().copied().unwrap_or(1)).max(1);
    let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
    let (mut used, mut text) = (0, Vec::new());
    while used < bytes.len() || encoder.is_pending() {
        let mut block = Vec::new();
        used += encoder.encode(&bytes[used..], &mut block, limit);
        assert!(!block.is_empty() && block.len() <= limit);
        decoder.decode(&block, &mut text);
    }
    decoder.finish(&mut text);
    assert_eq!(text, bytes);
    let decode = |piece: usize| {
        let (mut decoder, mut text) = (Decoder::default(), Vec::new());
        for block in bytes.chunks(piece.max(1)) {
            decoder.decode(block, &mut text);
        }
        decoder.finish(&mut text);
        text
    };
    assert_eq!(decode(limit), decode(bytes.len()));
}

/// Datagrams between two clients and a server: an octet says which way, one how long, one how often.
fn conversation(mut bytes: &[u8]) -> Vec<Datagram> {
    let at = |n: u8| SocketAddr::from(([10, 0, 0, n & 1], [69, 4000, 3000][usize::from(n >> 1) % 3]));
    let mut found = Vec::new();
    while let [way, len, often, rest @ ..] = bytes {
        let (payload, rest) = rest.split_at(rest.len().min((*len).into()));
        bytes = rest;
        let datagram = Datagram {
            way: (way & 0x80 == 0).then(|| (at(way & 7), at(way >> 3 & 7))),
            payload: payload.into(),
        };
        // More often than an octet counts.
        let often = if often & 0x40 != 0 { 300 } else { 1 };
        found.extend(std::iter::repeat_n(datagram, often));
        if found.len() > 2000 {
            break;
        }
    }
    found
}

fn put_into_words(datagrams: &[Datagram]) {
    for one in explain(datagrams) {
        assert!(!one.to_string().is_empty());
        for (octets, text) in &one.fields {
            assert!(
                octets.start <= octets.end && !text.is_empty(),
                "{octets:?} {text}"
            );
        }
    }
}
