//! The other end of the wire, by hand.

use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TcpOptionElement, TransportSlice};
use sockeye_packetdrill::machine::{Machine, Packet};

pub(crate) const OURS: [u8; 4] = [192, 168, 0, 1];
pub(crate) const THEIRS: [u8; 4] = [192, 0, 2, 1];

/// A `sockaddr_in`.
pub(crate) fn name(ip: [u8; 4], port: u16) -> Vec<u8> {
    let mut name = (libc::AF_INET as u16).to_ne_bytes().to_vec();
    name.extend(port.to_be_bytes());
    name.extend(ip);
    name.resize(16, 0);
    name
}

/// A segment, as the peer writes or reads it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Segment {
    pub(crate) from: u16,
    pub(crate) to: u16,
    /// `S`, `F`, `R`, `P`, `.`, in that order.
    pub(crate) flags: String,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) data: Vec<u8>,
}

impl Segment {
    pub(crate) fn to_packet(&self) -> Vec<u8> {
        let ip = PacketBuilder::ipv4(THEIRS, OURS, 64);
        let mut tcp = ip.tcp(self.from, self.to, self.seq, 65_535);
        for flag in self.flags.chars() {
            tcp = match flag {
                'S' => tcp
                    .syn()
                    .options(&[TcpOptionElement::MaximumSegmentSize(1460)])
                    .unwrap(),
                'F' => tcp.fin(),
                'R' => tcp.rst(),
                'P' => tcp.psh(),
                _ => tcp.ack(self.ack),
            };
        }
        let mut packet = Vec::new();
        tcp.write(&mut packet, &self.data).unwrap();
        packet
    }
    pub(crate) fn read(packet: &Packet) -> Segment {
        let sliced = SlicedPacket::from_ip(&packet.bytes).unwrap();
        let Some(NetSlice::Ipv4(ip)) = &sliced.net else {
            panic!("not IPv4: {packet:?}");
        };
        assert_eq!(ip.header().source(), OURS);
        assert_eq!(ip.header().destination(), THEIRS);
        let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else {
            panic!("not TCP: {packet:?}");
        };
        let flags = [
            (tcp.syn(), 'S'),
            (tcp.fin(), 'F'),
            (tcp.rst(), 'R'),
            (tcp.psh(), 'P'),
            (tcp.ack(), '.'),
        ];
        Segment {
            from: tcp.source_port(),
            to: tcp.destination_port(),
            flags: flags
                .iter()
                .filter(|(on, _)| *on)
                .map(|(_, flag)| *flag)
                .collect(),
            seq: tcp.sequence_number(),
            ack: if tcp.ack() { tcp.acknowledgment_number() } else { 0 },
            data: tcp.payload().to_vec(),
        }
    }
}

/// The next segment out of the machine.
pub(crate) fn next(machine: &Machine) -> Segment {
    Segment::read(&machine.netdev_receive().unwrap().expect("a packet"))
}

/// A connection seen from the peer: what it sends next, and what it has received.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) port: u16,
    pub(crate) ours: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
}

impl Peer {
    pub(crate) fn new(port: u16, ours: u16) -> Peer {
        Peer {
            port,
            ours,
            seq: 1000,
            ack: 0,
        }
    }
    pub(crate) fn send(&mut self, machine: &Machine, flags: &str, data: &[u8]) {
        let segment = Segment {
            from: self.port,
            to: self.ours,
            flags: flags.into(),
            seq: self.seq,
            ack: self.ack,
            data: data.into(),
        };
        machine.netdev_send(&segment.to_packet()).unwrap();
        let counted = flags.chars().filter(|flag| "SF".contains(*flag)).count();
        self.seq += (data.len() + counted) as u32;
    }
    /// Receives the next segment, which must have these flags, and counts what it holds.
    pub(crate) fn expect(&mut self, machine: &Machine, flags: &str) -> Segment {
        let segment = next(machine);
        assert_eq!(segment.flags, flags, "{segment:?}");
        let counted = flags.chars().filter(|flag| "SF".contains(*flag)).count();
        self.ack = segment.seq + (segment.data.len() + counted) as u32;
        segment
    }
    /// Connects to a listener.
    pub(crate) fn open(&mut self, machine: &Machine) {
        self.send(machine, "S", b"");
        self.expect(machine, "S.");
        self.send(machine, ".", b"");
    }
}

/// A listener on port 8080.
pub(crate) fn listener(machine: &Machine) -> i32 {
    let fd = machine.socket(libc::AF_INET, libc::SOCK_STREAM, 0).unwrap();
    machine.bind(fd, &name(OURS, 8080)).unwrap();
    machine.listen(fd, 5).unwrap();
    fd
}

/// A listener, an accepted connection, and its other end.
pub(crate) fn connected(machine: &Machine) -> (i32, i32, Peer) {
    let listener = listener(machine);
    let mut peer = Peer::new(4000, 8080);
    peer.open(machine);
    let (fd, from) = machine.accept(listener).unwrap();
    assert_eq!(from, name(THEIRS, 4000));
    (listener, fd, peer)
}
