//! A connection as a script sees it: its numbers against those on the wire.
//!
//! A script counts sequence numbers from wherever it likes, and so does the stack. What the script expects in our SYN and
//! what came in it gives the difference for all that follows; the peer's numbers are moved by a constant that lets them
//! cross the wrap early.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

/// What the peer's numbers are moved by.
const PEER_OFFSET: u32 = 0xffff_f000;

/// One connection, or the two ends of some datagrams.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    /// The peer's port and ours as the script names them.
    pub(super) ports: Option<(u16, u16)>,
    /// Ours: on the wire, less the script's.
    ours: Option<u32>,
    /// The peer may have begun anew: our next SYN has another number.
    anew: bool,
    /// The sequence number of the peer's SYN, in the script.
    pub(super) peer_syn: Option<u32>,
    /// The sequence number of our SYN, in the script.
    pub(super) our_syn: Option<u32>,
    /// Timestamps of ours: the script's, and what came.
    timestamps: BTreeMap<u32, u32>,
    /// The first of them: the script's, what came.
    pub(super) first_timestamp: Option<(u32, u32)>,
    /// Octets that the application has written, from the first on.
    pub(super) written: Vec<u8>,
    /// Datagrams that the application has sent and that have not come yet.
    pub(super) datagrams: VecDeque<Vec<u8>>,
    /// Octets that the application has read; `None` once that cannot be told any more.
    pub(super) read: Option<u64>,
}

impl Conn {
    pub(super) fn new(local: SocketAddr, remote: SocketAddr) -> Conn {
        Conn {
            local,
            remote,
            ports: None,
            ours: None,
            anew: false,
            peer_syn: None,
            our_syn: None,
            timestamps: BTreeMap::new(),
            first_timestamp: None,
            written: Vec::new(),
            datagrams: VecDeque::new(),
            read: Some(0),
        }
    }
    pub(super) fn joins(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        self.remote == remote && self.local == local
    }

    /// A SYN of the peer goes in.
    pub(super) fn peer_opens(&mut self, script: u32) {
        if self.peer_syn.is_some_and(|before| before != script) {
            self.anew = true;
            self.written.clear();
            self.read = Some(0);
        }
        self.peer_syn = Some(script);
    }
    /// A SYN of ours has come, where the script expects it to have the number `script`.
    pub(super) fn we_open(&mut self, script: u32, wire: u32) {
        if self.ours.is_none() || self.anew {
            self.ours = Some(wire.wrapping_sub(script));
            self.our_syn = Some(script);
            self.anew = false;
        }
    }
    /// The peer's number on the wire.
    pub(super) fn peer_to_wire(&self, script: u32) -> u32 {
        script.wrapping_add(PEER_OFFSET)
    }
    /// The peer's number in the script.
    pub(super) fn peer_to_script(&self, wire: u32) -> u32 {
        wire.wrapping_sub(PEER_OFFSET)
    }
    /// Our number on the wire.
    pub(super) fn ours_to_wire(&self, script: u32) -> u32 {
        script.wrapping_add(self.ours.unwrap_or(0))
    }
    /// Our number in the script.
    pub(super) fn ours_to_script(&self, wire: u32) -> u32 {
        wire.wrapping_sub(self.ours.unwrap_or(0))
    }
    /// A timestamp of ours has come.
    pub(super) fn saw_timestamp(&mut self, script: u32, wire: u32) {
        self.timestamps.insert(script, wire);
        self.first_timestamp.get_or_insert((script, wire));
    }
    /// What the peer echoes: the timestamp that came where the script expected this one. One that never came is moved
    /// as the first was.
    pub(super) fn timestamp_to_wire(&self, script: u32) -> u32 {
        if script == 0 && !self.timestamps.contains_key(&0) {
            return 0;
        }
        match (self.timestamps.get(&script), self.first_timestamp) {
            (Some(wire), _) => *wire,
            (None, Some((first, came))) => script.wrapping_sub(first).wrapping_add(came),
            (None, None) => script,
        }
    }
    /// Which octet of our stream stands at a sequence number of the script: 0 for the first.
    pub(super) fn our_octet(&self, script: u32) -> Option<u32> {
        Some(script.wrapping_sub(self.our_syn?).wrapping_sub(1))
    }
    /// Which octet of the peer's stream stands there.
    pub(super) fn peer_octet(&self, script: u32) -> u32 {
        script.wrapping_sub(self.peer_syn.unwrap_or(0)).wrapping_sub(1)
    }
}

/// The octet that stands at a place in a stream, wherever a script does not say: each tells its place.
pub(super) fn pattern(at: u64) -> u8 {
    ((at.wrapping_mul(31)) >> 2) as u8
}
/// The octets from a place on.
pub(super) fn octets(from: u64, len: usize) -> Vec<u8> {
    (from..).take(len).map(pattern).collect()
}
