//! A peer's end of a connection, led by the fuzzer: it knows the right numbers, and says others when told to.

use crate::apps::octet;
use crate::build;
use crate::input::Input;
use sockeye_stack::tcp::{Flags, Options, SackBlock, SackBlocks, Segment, SeqNumber, Timestamps};
use std::net::SocketAddr;

/// Initial sequence numbers and streams that are remembered.
const REMEMBERED: usize = 256;

/// One 4-tuple, as the peer sees it.
#[derive(Clone, Debug)]
pub struct Flow {
    /// The peer's address.
    pub ours: SocketAddr,
    /// The stack's.
    pub theirs: SocketAddr,
    /// Next sequence number of the peer.
    pub snd_nxt: u32,
    /// Highest number that the peer has sent, and one.
    pub snd_max: u32,
    /// What the stack has sent, up to here.
    pub rcv_nxt: u32,
    /// The last acknowledgment of the stack.
    pub snd_una: u32,
    /// The right edge of the stack's window.
    pub edge: u32,
    /// Largest segment that the stack takes.
    pub mss: u16,
    /// The stack's window shift.
    pub shift: u8,
    /// The stack's last timestamp, where it uses them.
    pub timestamp: Option<u32>,
    /// The peer's own clock.
    pub clock: u32,
    /// First octets of the streams that the stack has started.
    pub starts: Vec<u32>,
    /// Where streams of the peer may have started.
    pub bases: Vec<u32>,
    /// A SYN of the stack that waits for an answer.
    pub syn: bool,
    /// Urgent data was announced by the peer.
    pub urgent: bool,
    /// Counts SYNs and resets of either side: between two of them it is one connection.
    pub life: u32,
    /// The stack has reset it.
    pub reset: bool,
    /// The peer's data is not that of its stream: reassembly or a mutated frame may have brought other octets.
    pub spoilt: bool,
}

/// The octet that the peer sends at a sequence number, whatever the stream.
pub fn octet_at(seq: u32) -> u8 {
    octet(u64::from(seq))
}

impl Flow {
    /// A flow that has not begun.
    pub fn new(ours: SocketAddr, theirs: SocketAddr, iss: u32) -> Flow {
        Flow {
            ours,
            theirs,
            snd_nxt: iss,
            snd_max: iss,
            rcv_nxt: 0,
            snd_una: iss,
            edge: iss,
            mss: 536,
            shift: 0,
            timestamp: None,
            clock: 1000,
            starts: Vec::new(),
            bases: Vec::new(),
            syn: false,
            urgent: false,
            life: 0,
            reset: false,
            spoilt: false,
        }
    }

    /// Looks at a segment of the stack.
    pub fn observe(&mut self, segment: &Segment, payload: &[u8]) {
        let seq = segment.seq.0;
        let has = |f: Flags| segment.flags.contains(f);
        self.life += u32::from(has(Flags::RST) || has(Flags::SYN));
        if has(Flags::RST) {
            self.reset = true;
            return;
        }
        if has(Flags::SYN) {
            self.reset = false;
            remember(&mut self.starts, seq.wrapping_add(1));
            self.rcv_nxt = seq.wrapping_add(1);
            self.syn = !has(Flags::ACK);
            self.shift = segment.options.window_scale.unwrap_or(0).min(14);
            self.mss = segment.options.mss.unwrap_or(536);
        }
        if let Some(t) = segment.options.timestamps {
            self.timestamp = Some(t.value);
        } else if has(Flags::SYN) {
            self.timestamp = None;
        }
        let end = seq
            .wrapping_add(payload.len() as u32)
            .wrapping_add(u32::from(has(Flags::FIN)));
        if (end.wrapping_sub(self.rcv_nxt) as i32) > 0 {
            self.rcv_nxt = end;
        }
        if has(Flags::ACK) {
            self.snd_una = segment.ack.0;
            let shift = if has(Flags::SYN) { 0 } else { self.shift };
            self.edge = segment.ack.0.wrapping_add(u32::from(segment.window) << shift);
            if (self.snd_una.wrapping_sub(self.snd_nxt) as i32) > 0 {
                self.snd_nxt = self.snd_una;
            }
        }
        // What the stack sends is what its program gave, wherever it stands. One octet may be a probe's.
        if payload.len() > 1 {
            let fits = |start: &u32| {
                let at = seq.wrapping_sub(*start);
                (at as i32) >= 0 && (0..).zip(payload).all(|(i, &b)| b == octet(u64::from(at) + i))
            };
            assert!(
                self.starts.is_empty() || self.starts.iter().any(fits),
                "{} octets at {seq} are not the program's; the streams start at {:?}",
                payload.len(),
                self.starts
            );
        }
    }

    /// Whether octets that a program has read could be the peer's, with so many read before them.
    pub fn explains(&self, read_before: u64, data: &[u8]) -> bool {
        self.spoilt
            || self.urgent
            || self.bases.len() >= REMEMBERED
            || self.bases.iter().any(|base| {
                let from = base.wrapping_add(read_before as u32);
                (0..).zip(data).all(|(i, &b)| b == octet_at(from.wrapping_add(i)))
            })
    }

    /// The SYN or SYN,ACK that opens, with good options.
    pub fn open(&mut self, ack: bool, window: u16, plain: bool) -> Vec<u8> {
        let mut options = Options::default();
        if !plain {
            options = Options {
                mss: Some(1460),
                window_scale: Some(7),
                sack_permitted: true,
                timestamps: Some(self.stamp()),
                sack: SackBlocks::NONE,
            };
        }
        let flags = if ack { Flags::SYN | Flags::ACK } else { Flags::SYN };
        let segment = Segment {
            seq: SeqNumber(self.snd_nxt),
            ack: SeqNumber(if ack { self.rcv_nxt } else { 0 }),
            flags,
            window,
            options,
            ..Segment::default()
        };
        self.syn = false;
        let out = self.emit(&segment, 0);
        self.snd_nxt = self.snd_nxt.wrapping_add(1);
        self.snd_max = self.snd_nxt;
        out
    }
    fn stamp(&mut self) -> Timestamps {
        self.clock = self.clock.wrapping_add(1);
        Timestamps {
            value: self.clock,
            echo: self.timestamp.unwrap_or(0),
        }
    }
    /// An acknowledgment of everything, with as many octets of the stream as asked.
    pub fn answer(&mut self, len: usize, window: u16) -> Vec<u8> {
        let mut options = Options::default();
        if self.timestamp.is_some() {
            options.timestamps = Some(self.stamp());
        }
        let segment = Segment {
            seq: SeqNumber(self.snd_nxt),
            ack: SeqNumber(self.rcv_nxt),
            flags: Flags::ACK,
            window,
            options,
            ..Segment::default()
        };
        let out = self.emit(&segment, len);
        self.snd_nxt = self.snd_nxt.wrapping_add(len as u32);
        self.snd_max = self.snd_nxt;
        out
    }
    /// Writes a segment with octets of the peer's stream.
    fn emit(&mut self, segment: &Segment, len: usize) -> Vec<u8> {
        let mut seq = segment.seq.0;
        self.life += u32::from(segment.flags.intersects(Flags::SYN | Flags::RST));
        let mut base = seq;
        if segment.flags.contains(Flags::SYN) {
            seq = seq.wrapping_add(1);
            base = seq;
        }
        if !segment.flags.contains(Flags::RST) {
            remember(&mut self.bases, base);
        }
        let data: Vec<u8> = (0..len as u32).map(|i| octet_at(seq.wrapping_add(i))).collect();
        self.urgent |= segment.flags.contains(Flags::URG);
        let end = seq
            .wrapping_add(len as u32)
            .wrapping_add(u32::from(segment.flags.contains(Flags::FIN)));
        if (end.wrapping_sub(self.snd_max) as i32) > 0 {
            self.snd_max = end;
        }
        build::tcp(self.ours, self.theirs, segment, &data)
    }

    /// A segment near the windows, or far from them.
    pub fn segment(&mut self, u: &mut Input<'_>) -> Vec<u8> {
        let flags = match u.byte() {
            0..=159 => Flags::ACK,
            160..=175 => Flags::ACK | Flags::FIN,
            176..=187 => Flags::ACK | Flags::PSH,
            188..=195 => Flags::RST,
            196..=203 => Flags::RST | Flags::ACK,
            204..=211 => Flags::SYN,
            212..=219 => Flags::SYN | Flags::ACK,
            220..=227 => Flags::ACK | Flags::URG,
            _ => Flags::from_bits_retain(u.byte()),
        };
        let len = match u.below(12) {
            0..=4 => 0,
            5 => 1,
            6 => usize::from(u.byte()),
            7 => usize::from(self.mss.min(9000)),
            8 => usize::from(self.mss.min(9000)) + 1,
            9 => usize::from(u.u16() & 0x3fff),
            _ => 100,
        };
        let seq = near(u, &[self.snd_nxt, self.snd_una, self.edge, self.snd_max]);
        let ack = near(
            u,
            &[
                self.rcv_nxt,
                self.rcv_nxt,
                self.starts.last().copied().unwrap_or(0),
                0,
            ],
        );
        let window = u.pick(&[65_535, 65_535, 0, 1, 100, 1460, 5000, 0x8000]);
        let mut options = Options::default();
        let kind = u.byte();
        match kind & 7 {
            0..=3 if self.timestamp.is_some() => options.timestamps = Some(self.stamp()),
            4 => {
                options.timestamps = Some(Timestamps {
                    value: near(u, &[self.clock, self.clock]),
                    echo: near(u, &[self.timestamp.unwrap_or(0), 0]),
                });
            }
            _ => {}
        }
        if kind & 8 != 0 {
            options.mss = Some(u.pick(&[0, 1, 48, 536, 1460, 65_535]));
            options.window_scale = u.pick(&[None, Some(0), Some(7), Some(14), Some(255)]);
            options.sack_permitted = true;
        }
        if kind & 48 == 48 {
            for _ in 0..=u.below(4) {
                let start = near(u, &[self.rcv_nxt, self.rcv_nxt.wrapping_sub(3000)]);
                let end = start.wrapping_add(u.pick(&[1, 100, 1460, 3000, 0, u32::MAX]));
                options.sack.push(SackBlock {
                    start: SeqNumber(start),
                    end: SeqNumber(end),
                });
            }
        }
        let segment = Segment {
            seq: SeqNumber(seq),
            ack: SeqNumber(ack),
            flags,
            window,
            urgent: if flags.contains(Flags::URG) { u.u16() } else { 0 },
            payload_len: len as u32,
            options,
            ..Segment::default()
        };
        let advance = seq == self.snd_nxt;
        let out = self.emit(&segment, len);
        if advance {
            let syn_fin = u32::from(flags.contains(Flags::SYN)) + u32::from(flags.contains(Flags::FIN));
            self.snd_nxt = seq.wrapping_add(len as u32 + syn_fin);
        }
        out
    }
}

/// One of some numbers, or something before or behind it.
fn near(u: &mut Input<'_>, of: &[u32]) -> u32 {
    let how = u.byte();
    let of = of[usize::from(how >> 5) % of.len()];
    match how & 31 {
        0..=13 => of,
        14 => of.wrapping_add(1),
        15 => of.wrapping_sub(1),
        16..=19 => of.wrapping_add(u32::from(u.byte())),
        20..=23 => of.wrapping_sub(u32::from(u.byte())),
        24 => of.wrapping_add(1460),
        25 => of.wrapping_add(u32::from(u.u16())),
        26 => of.wrapping_sub(u32::from(u.u16())),
        27 => of.wrapping_add(0x7fff_ffff),
        28 => of.wrapping_add(0x8000_0000),
        29 => of.wrapping_add(1460 * u32::from(u.byte() & 15)),
        _ => u.u32(),
    }
}

fn remember(list: &mut Vec<u32>, value: u32) {
    if !list.contains(&value) && list.len() < REMEMBERED {
        list.push(value);
    }
}
