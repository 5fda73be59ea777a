//! Sockeye's core.
//!
//! Settings are the defaults of `Config::new(Profile::Rfc)`: CUBIC, timestamps, SACK, window scaling, delayed ACKs, 2 MSL of
//! 4 min. Buffers of active connections are limited to 256 KiB, its best of the sizes tried for smoltcp. The contract of `Stack` is kept in full: after each
//! batch `poll_transmit`, `poll_event` and `next_timeout` are drained, and `handle_timeout` is called when it is due.
//!
//! The link has two modes:
//! - `moved`: a frame goes from `poll_transmit` to `handle_frame` as it is, header and shared payload. No octet of the payload
//!   is touched: what a link between two stacks of one process costs;
//! - `flat`: each frame is written into one contiguous buffer, as into a device's ring, and handed in as that. This is what
//!   smoltcp's device does too, so these rows compare like with like. Up to an MTU of 2,048 the link has slots of that length: the
//!   stack writes into one (`poll_transmit_into`) and takes from it what it keeps (`handle_octets`). Larger frames are shared with
//!   the stack that gets them (`handle_frame_in`).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::{Bytes, BytesMut};
use sockeye_stack::config::CongestionControl;
use sockeye_stack::tcp::{State, TcpOptions};
use sockeye_stack::{
    Capabilities, Config, Duration, Frame, Instant, InterfaceConfig, InterfaceId, Profile, RecvError, RxMeta,
    SendError, SocketId, Stack, TxFrame,
};

use crate::pair::{BATCH, End, PORT, Pair};
use crate::pattern::Pattern;

/// How frames cross the link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Link {
    Moved,
    Flat,
}

/// What is chosen for a pair.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    pub mtu: usize,
    pub checksums: bool,
    /// Octets of the active connections' receive and send buffers, each; `None`: the stack's own choice.
    pub buffer: Option<usize>,
    pub congestion: CongestionControl,
    pub timestamps: bool,
    pub link: Link,
}

/// Frames up to this many octets are copied out of the link's buffers, longer ones shared with them, as drivers do it
/// ("copybreak"): up to about here a copy costs less than to pass ownership.
const COPY_BREAK: usize = 2048;

impl Tuning {
    /// Whether frames are written into contiguous slots and read where they lie.
    fn in_slots(&self) -> bool {
        self.link == Link::Flat && self.mtu <= COPY_BREAK
    }
    pub fn new(mtu: usize, link: Link) -> Self {
        Tuning {
            mtu,
            checksums: true,
            buffer: Some(256 * 1024),
            congestion: CongestionControl::Cubic,
            timestamps: true,
            link,
        }
    }
}

/// One direction of the link: a ring of frames.
#[derive(Debug)]
struct Ring {
    frames: Vec<Frame>,
    /// Buffers of the link's MTU, where frames are written into those.
    slots: Option<Box<[Slot; BATCH]>>,
    first: usize,
    count: usize,
}

/// A contiguous buffer, and the length of the frame in it.
#[derive(Debug)]
struct Slot {
    octets: Box<[u8]>,
    len: usize,
}

impl Ring {
    fn new(tuning: &Tuning) -> Self {
        let slot = |_| Slot {
            octets: vec![0; tuning.mtu].into(),
            len: 0,
        };
        Ring {
            frames: (0..BATCH).map(|_| Frame::new()).collect(),
            slots: tuning.in_slots().then(|| Box::new(std::array::from_fn(slot))),
            first: 0,
            count: 0,
        }
    }
    /// Takes the place of the frame that came first out of the count.
    fn pop(&mut self) -> usize {
        let at = self.first;
        self.first = (at + 1) % BATCH;
        self.count -= 1;
        at % BATCH
    }
}

impl Ring {
    /// The stack writes what it has to send into slots.
    #[inline]
    fn fill_slots(&mut self, stack: &mut Stack, now: Instant) {
        let Some(slots) = &mut self.slots else { return };
        while self.count < BATCH {
            let slot = &mut slots[(self.first + self.count) % BATCH];
            let Some((_, len)) = stack.poll_transmit_into(now, &mut slot.octets) else {
                break;
            };
            slot.len = len;
            self.count += 1;
        }
    }
    /// The stack's frames are taken as they are, or in one piece.
    #[inline]
    fn fill_frames(&mut self, stack: &mut Stack, now: Instant, mut flat: Option<&mut Buffers>) {
        while self.count < BATCH {
            let frame: &mut TxFrame = &mut self.frames[(self.first + self.count) % BATCH];
            if stack.poll_transmit(now, frame).is_none() {
                break;
            }
            if let Some(buffers) = &mut flat {
                buffers.flatten_in_place(frame);
            }
            self.count += 1;
        }
    }
}

/// Receive buffers of a device, used again once the stack has given all parts of them back.
#[derive(Debug)]
struct Buffers {
    size: usize,
    free: Vec<BytesMut>,
    next: usize,
}

impl Buffers {
    fn new(size: usize) -> Self {
        Buffers {
            size,
            free: Vec::new(),
            next: 0,
        }
    }
    /// Brings the frame into one piece.
    #[inline(never)]
    fn flatten_in_place(&mut self, frame: &mut Frame) {
        let flat = self.flatten(frame);
        frame.clear();
        frame.body.push(flat);
    }
    /// The frame in one piece.
    fn flatten(&mut self, frame: &Frame) -> Bytes {
        let buffer = self.take();
        buffer.extend_from_slice(frame.head.as_slice());
        for part in frame.body.parts() {
            buffer.extend_from_slice(part);
        }
        buffer.split().freeze()
    }
    /// An empty buffer that nobody shares. `try_reclaim` gets back the whole of an unshared one and never allocates.
    fn take(&mut self) -> &mut BytesMut {
        for _ in 0..self.free.len().min(8) {
            self.next = (self.next + 1) % self.free.len();
            if self.free[self.next].try_reclaim(self.size) {
                return &mut self.free[self.next];
            }
        }
        self.free.push(BytesMut::with_capacity(self.size));
        self.next = self.free.len() - 1;
        &mut self.free[self.next]
    }
}

struct Host {
    stack: Stack,
    interface: InterfaceId,
    /// Frames from the other host.
    incoming: Ring,
}

/// Two hosts.
pub struct Sockeye {
    tuning: Tuning,
    client: Host,
    server: Host,
    buffers: Buffers,
    now: Instant,
    /// By the number of their port.
    listeners: Vec<Option<SocketId>>,
}

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

impl Sockeye {
    pub fn new(tuning: Tuning) -> Self {
        let now = Instant::from_secs(1);
        let host = |address: Ipv4Addr, seed: u8| {
            let mut config = Config::new(Profile::Rfc);
            config.congestion_control = tuning.congestion;
            config.timestamps = tuning.timestamps;
            let mut stack = Stack::new(config, [seed; 32]);
            let mut interface = InterfaceConfig::ip("link", tuning.mtu as u32).address(address, 24);
            interface.capabilities = Capabilities {
                no_checksums: !tuning.checksums,
                ..Capabilities::default()
            };
            let interface = stack.add_interface(now, interface);
            Host {
                stack,
                interface,
                incoming: Ring::new(&tuning),
            }
        };
        Sockeye {
            tuning,
            client: host(CLIENT, 1),
            server: host(SERVER, 2),
            buffers: Buffers::new(tuning.mtu),
            now,
            listeners: Vec::new(),
        }
    }
    fn options(&self) -> TcpOptions {
        let buffer = self.tuning.buffer.map(|n| n as u32);
        TcpOptions {
            send_buffer: buffer,
            receive_buffer: buffer,
            ..TcpOptions::default()
        }
    }
    /// A socket to connect.
    #[inline(never)]
    fn client_socket(&mut self) -> SocketId {
        let options = self.options();
        self.client.stack.tcp_socket(options)
    }
    fn stack(&mut self, end: End) -> &mut Stack {
        match end {
            End::Client => &mut self.client.stack,
            End::Server => &mut self.server.stack,
        }
    }
    /// The listener of this port, made on the first call.
    #[inline]
    fn listener(&mut self, n: u16) -> SocketId {
        match self.listeners.get(usize::from(n)) {
            Some(Some(id)) => *id,
            _ => self.listen(n),
        }
    }
    #[cold]
    fn listen(&mut self, n: u16) -> SocketId {
        let options = self.options();
        let stack = &mut self.server.stack;
        let id = stack.tcp_socket(options);
        let local = SocketAddr::new(IpAddr::V4(SERVER), PORT + n);
        stack.tcp_bind(id, local).expect("the port is free");
        stack.tcp_listen(id, 1024).expect("the socket is bound");
        let place = usize::from(n);
        self.listeners.resize(self.listeners.len().max(place + 1), None);
        self.listeners[place] = Some(id);
        id
    }
}

impl Pair for Sockeye {
    type Conn = SocketId;

    fn advance(&mut self, micros: u64) {
        self.now += Duration::from_micros(micros);
    }

    #[inline]
    fn egress(&mut self, from: End) -> usize {
        let (here, there) = match from {
            End::Client => (&mut self.client, &mut self.server),
            End::Server => (&mut self.server, &mut self.client),
        };
        let (stack, ring) = (&mut here.stack, &mut there.incoming);
        if stack.next_timeout().is_some_and(|(at, _)| at <= self.now) {
            stack.handle_timeout(self.now);
        }
        if ring.slots.is_some() {
            ring.fill_slots(stack, self.now);
        } else {
            let flat = (self.tuning.link == Link::Flat).then_some(&mut self.buffers);
            ring.fill_frames(stack, self.now, flat);
        }
        while stack.poll_event().is_some() {}
        ring.count
    }
    #[inline]
    fn ingress(&mut self, to: End) {
        let host = match to {
            End::Client => &mut self.client,
            End::Server => &mut self.server,
        };
        let ring = &mut host.incoming;
        while ring.count > 0 {
            let at = ring.pop();
            let (stack, meta) = (&mut host.stack, RxMeta::default());
            match &ring.slots {
                Some(slots) => {
                    let slot = &slots[at];
                    stack.handle_octets(self.now, host.interface, &slot.octets[..slot.len], meta);
                }
                None => stack.handle_frame_in(self.now, host.interface, &mut ring.frames[at], meta),
            }
        }
    }

    fn connect(&mut self, n: u16) -> SocketId {
        self.listener(n);
        let id = self.client_socket();
        let now = self.now;
        let stack = self.stack(End::Client);
        let remote = SocketAddr::new(IpAddr::V4(SERVER), PORT + n);
        stack.tcp_connect(now, id, remote).expect("a port is free");
        id
    }
    fn accept(&mut self, n: u16) -> Option<SocketId> {
        let (now, listener) = (self.now, self.listener(n));
        self.server
            .stack
            .tcp_accept(now, listener)
            .expect("the listener lives")
            .map(|(id, _)| id)
    }
    fn is_open(&mut self, end: End, conn: SocketId) -> bool {
        let now = self.now;
        self.stack(end)
            .tcp(now, conn)
            .is_ok_and(|socket| socket.state() == State::Established)
    }
    #[inline(never)]
    fn close(&mut self, end: End, conn: SocketId) {
        let now = self.now;
        self.stack(end).tcp(now, conn).expect("the socket lives").close();
    }
    #[inline(never)]
    fn finish(&mut self, client: SocketId, server: SocketId) {
        let now = self.now;
        assert!(
            self.stack(End::Client).tcp(now, client).is_err(),
            "released by close"
        );
        assert!(
            self.stack(End::Server).tcp(now, server).is_err(),
            "released by close"
        );
    }

    #[inline]
    fn send(&mut self, end: End, conn: SocketId, data: &[u8]) -> usize {
        let now = self.now;
        match self
            .stack(end)
            .tcp(now, conn)
            .expect("the socket lives")
            .send(data)
        {
            Ok(n) => n,
            Err(SendError::WouldBlock) => 0,
            Err(error) => panic!("{error}"),
        }
    }
    #[inline]
    fn recv(&mut self, end: End, conn: SocketId, out: &mut [u8]) -> Option<usize> {
        let now = self.now;
        match self
            .stack(end)
            .tcp(now, conn)
            .expect("the socket lives")
            .recv(out)
        {
            Ok(0) => None,
            Ok(n) => Some(n),
            Err(RecvError::WouldBlock) => Some(0),
            Err(error) => panic!("{error}"),
        }
    }
    #[inline]
    fn send_lent(&mut self, end: End, conn: SocketId, pattern: &Pattern, position: u64, _: bool) -> usize {
        let now = self.now;
        let mut socket = self.stack(end).tcp(now, conn).expect("the socket lives");
        match socket.send_bytes(pattern.shared(position)) {
            Ok(n) => n,
            Err(SendError::WouldBlock) => 0,
            Err(error) => panic!("{error}"),
        }
    }
    #[inline]
    fn recv_lent(&mut self, end: End, conn: SocketId, check: Option<(&Pattern, u64)>) -> usize {
        let now = self.now;
        match self
            .stack(end)
            .tcp(now, conn)
            .expect("the socket lives")
            .recv_bytes(usize::MAX)
        {
            Ok(payload) => {
                if let Some((pattern, mut position)) = check {
                    for part in payload.parts() {
                        pattern.check(position, part);
                        position += part.len() as u64;
                    }
                }
                payload.len()
            }
            Err(RecvError::WouldBlock) => 0,
            Err(error) => panic!("{error}"),
        }
    }

    fn add_idle(&mut self, n: usize) {
        let mut data = vec![7; 100];
        for opened in 0..n {
            // The client has 16,384 ports towards each of the server's.
            let (client, server) = crate::pair::open(self, 1 + (opened / 10_000) as u16);
            for _ in 0..10 {
                self.send(End::Client, client, &data);
                crate::pair::turn(self, End::Client);
                assert_eq!(self.recv(End::Server, server, &mut data), Some(100));
                self.send(End::Server, server, &data);
                crate::pair::turn(self, End::Server);
                assert_eq!(self.recv(End::Client, client, &mut data), Some(100));
            }
            // The last delayed ACK leaves: nothing is in flight or owed.
            self.advance(500_000);
            crate::pair::turn(self, End::Client);
            crate::pair::turn(self, End::Server);
        }
    }
}
