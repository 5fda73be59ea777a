//! Captures that say why: pcapng files for Wireshark and tshark, with the cause of every frame as its comment.
//!
//! Written by hand: a section header, one interface description for each interface in sight, and an enhanced packet
//! block for each frame (draft-ietf-opsawg-pcapng). Times are nanoseconds on the stream's own clock.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use sockeye_stack::trace::{Cause, TraceKind};
use sockeye_stack::{Instant, InterfaceId, Medium};

use crate::explain::comment;
use crate::record::{Cast, HostIndex, Record, What, WireEvent};

/// From where frames are seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Perspective {
    /// At a host's links: what it put on them and what reached it, at its own times. Lost frames are missing where
    /// they would have come in.
    Host(HostIndex),
    /// On the links themselves: every frame once, when it was sent, also those that will be lost.
    Link,
    /// In a host's stack: its own events on whole frames (`TraceMask::FRAMES`), for hosts on real devices.
    Stack(HostIndex),
}

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const OPT_COMMENT: u16 = 1;
const EPB_FLAGS: u16 = 2;
/// Bits 0 and 1 of epb_flags.
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;
/// Causes remembered of frames on their way; the first are forgotten beyond.
const REMEMBERED: usize = 1 << 14;

/// Writes a capture into `out`, record by record. Every block is written whole, so a file cut short is still good.
#[derive(Debug)]
pub struct Capture<W> {
    out: W,
    perspective: Perspective,
    /// Numbers of the interface descriptions.
    interfaces: BTreeMap<(HostIndex, InterfaceId), u32>,
    /// Causes by frame, with the sender's name.
    causes: BTreeMap<u64, (Cause, HostIndex)>,
    names: Vec<String>,
    block: Vec<u8>,
}

impl<W: io::Write> Capture<W> {
    /// Begins a capture: writes the section header and the interfaces that can be seen.
    pub fn new(out: W, cast: &Cast, perspective: Perspective) -> io::Result<Self> {
        let mut capture = Capture {
            out,
            perspective,
            interfaces: BTreeMap::new(),
            causes: BTreeMap::new(),
            names: cast.hosts.iter().map(|host| host.name.clone()).collect(),
            block: Vec::new(),
        };
        capture.section_header()?;
        for (n, host) in cast.hosts.iter().enumerate() {
            let index = HostIndex(n as u16);
            match perspective {
                Perspective::Host(seen) | Perspective::Stack(seen) if seen != index => continue,
                _ => {}
            }
            for (i, interface) in host.interfaces.iter().enumerate() {
                let number = capture.interfaces.len() as u32;
                capture.interfaces.insert((index, InterfaceId(i as u16)), number);
                capture
                    .interface_description(&format!("{} {}", host.name, interface.name), interface.medium)?;
            }
        }
        Ok(capture)
    }

    /// Takes one record; writes its frame if it is seen from here.
    pub fn handle_record(&mut self, record: &Record) -> io::Result<()> {
        match (&record.what, self.perspective) {
            (
                What::Wire(WireEvent::Sent {
                    id,
                    bytes,
                    cause,
                    interface,
                    ..
                }),
                _,
            ) => {
                if self.causes.len() >= REMEMBERED {
                    self.causes.pop_first();
                }
                self.causes.insert(*id, (*cause, record.host));
                let seen = match self.perspective {
                    Perspective::Host(host) => host == record.host,
                    Perspective::Link => true,
                    Perspective::Stack(_) => false,
                };
                if seen {
                    self.frame(
                        record.at,
                        (record.host, *interface),
                        bytes,
                        OUTBOUND,
                        &comment(cause),
                    )?;
                }
            }
            (
                What::Wire(WireEvent::Arrived {
                    id, bytes, interface, ..
                }),
                Perspective::Host(host),
            ) if host == record.host => {
                let words = match self.causes.get(id) {
                    Some((cause, from)) => format!("{}: {}", self.name(*from), comment(cause)),
                    None => String::new(),
                };
                self.frame(record.at, (host, *interface), bytes, INBOUND, &words)?;
            }
            (What::Stack(event), Perspective::Stack(host)) if host == record.host => {
                if let TraceKind::Frame {
                    interface,
                    outgoing,
                    bytes,
                    cause,
                } = &event.kind
                {
                    let way = if *outgoing { OUTBOUND } else { INBOUND };
                    let words = cause.as_ref().map(comment).unwrap_or_default();
                    self.frame(event.at, (host, *interface), bytes, way, &words)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Ends the capture and gives the output back.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }

    fn name(&self, host: HostIndex) -> &str {
        self.names.get(usize::from(host.0)).map_or("?", String::as_str)
    }

    fn section_header(&mut self) -> io::Result<()> {
        self.begin(SECTION_HEADER);
        self.block.extend(0x1a2b_3c4d_u32.to_le_bytes());
        self.block.extend(1u16.to_le_bytes());
        self.block.extend(0u16.to_le_bytes());
        self.block.extend((-1i64).to_le_bytes()); // the section's length is not told
        self.option(
            OPT_COMMENT,
            b"Captured by Sockeye. Each frame's comment says why it was sent.",
        );
        self.option(4, concat!("Sockeye ", env!("CARGO_PKG_VERSION")).as_bytes());
        self.option(0, &[]);
        self.end()
    }

    fn interface_description(&mut self, name: &str, medium: Medium) -> io::Result<()> {
        self.begin(INTERFACE_DESCRIPTION);
        let link_type: u16 = match medium {
            Medium::Ethernet { .. } => 1,
            Medium::Ip => 101,
        };
        self.block.extend(link_type.to_le_bytes());
        self.block.extend(0u16.to_le_bytes());
        self.block.extend(0x4_0000_u32.to_le_bytes()); // no frame is cut
        self.option(2, name.as_bytes());
        self.option(9, &[9]); // times in 10^-9 seconds
        self.option(0, &[]);
        self.end()
    }

    fn frame(
        &mut self,
        at: Instant,
        on: (HostIndex, InterfaceId),
        bytes: &Bytes,
        way: u32,
        words: &str,
    ) -> io::Result<()> {
        let Some(interface) = self.interfaces.get(&on).copied() else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("no interface {on:?} in the cast"),
            ));
        };
        self.begin(ENHANCED_PACKET);
        let time = at.as_nanos();
        for word in [
            interface,
            (time >> 32) as u32,
            time as u32,
            bytes.len() as u32,
            bytes.len() as u32,
        ] {
            self.block.extend(word.to_le_bytes());
        }
        self.padded(bytes);
        if !words.is_empty() {
            self.option(OPT_COMMENT, words.as_bytes());
        }
        self.option(EPB_FLAGS, &way.to_le_bytes());
        self.option(0, &[]);
        self.end()
    }

    fn begin(&mut self, kind: u32) {
        self.block.clear();
        self.block.extend(kind.to_le_bytes());
        self.block.extend([0; 4]); // the length, known at the end
    }

    fn padded(&mut self, bytes: &[u8]) {
        self.block.extend_from_slice(bytes);
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        let value = &value[..value.len().min(usize::from(u16::MAX))];
        self.block.extend(code.to_le_bytes());
        self.block.extend((value.len() as u16).to_le_bytes());
        self.padded(value);
    }

    /// Sets the length at both ends of the block and writes it.
    fn end(&mut self) -> io::Result<()> {
        let length = (self.block.len() as u32 + 4).to_le_bytes();
        self.block[4..8].copy_from_slice(&length);
        self.block.extend(length);
        self.out.write_all(&self.block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::{self, CLIENT, SERVER};
    use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
    use pcap_file::pcapng::{Block, PcapNgReader};

    fn captured(perspective: Perspective) -> Vec<u8> {
        let mut capture = Capture::new(Vec::new(), &scene::cast(), perspective).expect("writing to memory");
        for record in scene::connection() {
            capture.handle_record(&record).expect("writing to memory");
        }
        capture.finish().expect("writing to memory")
    }

    /// Time, direction, comment and bytes of each frame, read by somebody else's reader.
    type Read = (u64, u32, String, Vec<u8>);
    fn read(file: &[u8]) -> (usize, Vec<Read>) {
        let mut reader = PcapNgReader::new(file).expect("a section header");
        let (mut interfaces, mut frames) = (0, Vec::new());
        while let Some(block) = reader.next_block() {
            match block.expect("a good block") {
                Block::InterfaceDescription(_) => interfaces += 1,
                Block::EnhancedPacket(packet) => {
                    let (mut way, mut words) = (0, String::new());
                    for option in &packet.options {
                        match option {
                            EnhancedPacketOption::Comment(text) => words = text.to_string(),
                            EnhancedPacketOption::Flags(flags) => way = *flags,
                            _ => {}
                        }
                    }
                    let nanos = packet.timestamp.as_nanos() as u64;
                    frames.push((nanos, way, words, packet.data.to_vec()));
                }
                _ => {}
            }
        }
        (interfaces, frames)
    }

    #[test]
    fn another_reader_reads_frames_times_and_causes() {
        let (interfaces, frames) = read(&captured(Perspective::Host(CLIENT)));
        assert_eq!(interfaces, 1);
        let ways: Vec<u32> = frames.iter().map(|frame| frame.1).collect();
        assert_eq!(
            &ways[..6],
            [OUTBOUND, INBOUND, OUTBOUND, OUTBOUND, OUTBOUND, INBOUND]
        );
        assert!(
            frames[4].2.starts_with("retransmission: RTO 60 ms. "),
            "{}",
            frames[4].2
        );
        assert!(
            frames[1].2.starts_with("聊天服务器: answers SYN. "),
            "{}",
            frames[1].2
        );
        assert_eq!(frames[4].0, 91_000_000);
        assert_eq!(frames[3].3.len(), 1500);
    }

    #[test]
    fn from_the_link_every_frame_is_there_once() {
        let (interfaces, frames) = read(&captured(Perspective::Link));
        assert_eq!((interfaces, frames.len()), (2, 12));
        assert_eq!(
            read(&captured(Perspective::Host(SERVER))).1.len(),
            11,
            "the lost one never came"
        );
    }

    /// `SOCKEYE_CAPTURE=file.pcapng cargo test -p sockeye-view` leaves a capture to look at.
    #[test]
    fn leaves_a_capture_where_asked() {
        if let Some(path) = std::env::var_os("SOCKEYE_CAPTURE") {
            std::fs::write(path, captured(Perspective::Host(CLIENT))).expect("the file can be written");
        }
    }
}
