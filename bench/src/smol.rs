//! smoltcp 0.14.
//!
//! Tuned as its documentation and source allow:
//! - the leanest build (see `Cargo.toml`), `Medium::Ip`;
//! - a device whose buffers are reused: a frame is written once, by smoltcp, and read where it lies;
//! - `poll_ingress_single` and `poll_egress` instead of `poll`, so that nothing is looked at twice: all frames of a batch
//!   are taken first, then the application acts, then frames are made until the batch is full or nothing is left;
//! - `poll_at` is never asked, since it looks at every socket and the loop never sleeps;
//! - a TIME-WAIT socket is opened again at once where the row says so, which its API allows and RFC 9293 does not.

use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU32, Ordering};

use smoltcp::iface::{
    Config, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet, SocketStorage,
};
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{CongestionControl, RecvError, Socket, SocketBuffer, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};

use crate::pair::{BATCH, End, PORT, Pair};
use crate::pattern::Pattern;

/// What is chosen for a pair.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    pub mtu: usize,
    pub checksums: bool,
    /// Octets of the active connections' receive and send buffers, each. The default is what was fastest of 64, 91, 128, 256
    /// and 512 KiB, and of multiples of the MSS.
    pub buffer: usize,
    /// The same for idle connections.
    pub idle_buffer: usize,
    pub congestion: CongestionControl,
    pub delayed_ack: bool,
    /// The timestamps option (RFC 7323).
    pub timestamps: bool,
    /// Sockets stay in TIME-WAIT for smoltcp's 10 s; else they are opened again at once.
    pub time_wait: bool,
}

impl Tuning {
    pub fn new(mtu: usize) -> Self {
        Tuning {
            mtu,
            checksums: true,
            buffer: if mtu > 1500 { 128 * 1024 } else { 64 * 1024 },
            idle_buffer: 256,
            congestion: CongestionControl::None,
            delayed_ack: true,
            timestamps: false,
            time_wait: false,
        }
    }
}

/// One direction of the link: a ring of buffers, each as long as the MTU.
#[derive(Debug)]
struct Pipe {
    buffers: Vec<Box<[u8]>>,
    lengths: [usize; BATCH],
    first: usize,
    count: usize,
}

impl Pipe {
    fn new(mtu: usize) -> Self {
        let buffers = (0..BATCH).map(|_| vec![0; mtu].into_boxed_slice()).collect();
        Pipe {
            buffers,
            lengths: [0; BATCH],
            first: 0,
            count: 0,
        }
    }
}

struct Port<'a> {
    rx: &'a mut Pipe,
    tx: &'a mut Pipe,
    capabilities: &'a DeviceCapabilities,
}
struct Rx<'a>(&'a mut Pipe);
struct Tx<'a>(&'a mut Pipe);

impl RxToken for Rx<'_> {
    #[inline]
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let at = self.0.first;
        let result = f(&self.0.buffers[at][..self.0.lengths[at]]);
        self.0.first = (at + 1) % BATCH;
        self.0.count -= 1;
        result
    }
}
impl TxToken for Tx<'_> {
    #[inline]
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let at = (self.0.first + self.0.count) % BATCH;
        self.0.lengths[at] = len;
        self.0.count += 1;
        f(&mut self.0.buffers[at][..len])
    }
}
impl Device for Port<'_> {
    type RxToken<'b>
        = Rx<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Tx<'b>
    where
        Self: 'b;

    #[inline]
    fn receive(&mut self, _: Instant) -> Option<(Rx<'_>, Tx<'_>)> {
        (self.rx.count > 0 && self.tx.count < BATCH).then_some((Rx(self.rx), Tx(self.tx)))
    }
    #[inline]
    fn transmit(&mut self, _: Instant) -> Option<Tx<'_>> {
        (self.tx.count < BATCH).then_some(Tx(self.tx))
    }
    #[inline]
    fn capabilities(&self) -> DeviceCapabilities {
        self.capabilities.clone()
    }
}

struct Host {
    iface: Interface,
    sockets: SocketSet<'static>,
    /// Frames from the other host.
    incoming: Pipe,
}

/// Two hosts.
pub struct Smol {
    tuning: Tuning,
    capabilities: DeviceCapabilities,
    client: Host,
    server: Host,
    now: Instant,
    next_port: u16,
    /// Sockets without a connection, and at the end of the queue those in TIME-WAIT, oldest first.
    free: VecDeque<SocketHandle>,
    /// The sockets that listen, one for each connection that is opened at a time, and those that are closed.
    listening: Vec<(u16, SocketHandle)>,
    spare: Vec<SocketHandle>,
}

const CLIENT: IpAddress = IpAddress::v4(10, 0, 0, 1);
const SERVER: IpAddress = IpAddress::v4(10, 0, 0, 2);

/// Milliseconds of virtual time, which smoltcp asks a function without arguments for.
static MILLIS: AtomicU32 = AtomicU32::new(1);

fn socket(tuning: &Tuning, buffer: usize) -> Socket<'static> {
    let mut socket = Socket::new(
        SocketBuffer::new(vec![0; buffer]),
        SocketBuffer::new(vec![0; buffer]),
    );
    socket.set_congestion_control(tuning.congestion);
    if !tuning.delayed_ack {
        socket.set_ack_delay(None);
    }
    if tuning.timestamps {
        socket.set_tsval_generator(Some(|| MILLIS.load(Ordering::Relaxed)));
    }
    socket
}

impl Smol {
    pub fn new(tuning: Tuning) -> Self {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = tuning.mtu;
        // No `max_burst_size`: it would limit the window to a burst.
        if !tuning.checksums {
            capabilities.checksum = ChecksumCapabilities::ignored();
        }
        let host = |address: IpAddress, seed: u64| {
            let (mut rx, mut tx) = (Pipe::new(0), Pipe::new(0));
            let mut port = Port {
                rx: &mut rx,
                tx: &mut tx,
                capabilities: &capabilities,
            };
            let mut config = Config::new(HardwareAddress::Ip);
            config.random_seed = seed;
            let mut iface = Interface::new(config, &mut port, Instant::ZERO);
            iface.update_ip_addrs(|list| {
                list.push(IpCidr::new(address, 24))
                    .expect("there is room for one")
            });
            Host {
                iface,
                sockets: SocketSet::new(Vec::new()),
                incoming: Pipe::new(tuning.mtu),
            }
        };
        let (client, server) = (host(CLIENT, 0x1234_5678_9abc), host(SERVER, 0xdef0_1234_5678));
        Smol {
            tuning,
            capabilities,
            client,
            server,
            now: Instant::from_secs(1),
            next_port: 0,
            free: VecDeque::new(),
            listening: Vec::new(),
            spare: Vec::new(),
        }
    }

    fn host(&mut self, end: End) -> &mut Host {
        match end {
            End::Client => &mut self.client,
            End::Server => &mut self.server,
        }
    }
    fn socket(&mut self, end: End, handle: SocketHandle) -> &mut Socket<'static> {
        self.host(end).sockets.get_mut(handle)
    }
    fn parts(&mut self, end: End) -> (&mut Interface, &mut SocketSet<'static>, Port<'_>) {
        let (here, there) = match end {
            End::Client => (&mut self.client, &mut self.server),
            End::Server => (&mut self.server, &mut self.client),
        };
        let port = Port {
            rx: &mut here.incoming,
            tx: &mut there.incoming,
            capabilities: &self.capabilities,
        };
        (&mut here.iface, &mut here.sockets, port)
    }
    /// A closed socket of the client: the oldest, if its TIME-WAIT is over, else a new one.
    fn unused(&mut self) -> SocketHandle {
        if let Some(&oldest) = self.free.front() {
            let state = self.client.sockets.get_mut::<Socket<'_>>(oldest).state();
            if state == State::Closed || state == State::TimeWait && !self.tuning.time_wait {
                self.free.pop_front();
                return oldest;
            }
        }
        self.client.sockets.add(socket(&self.tuning, self.tuning.buffer))
    }
    /// One more socket listens at this port.
    fn listen(&mut self, port: u16) {
        let tuning = self.tuning;
        let handle = self
            .spare
            .pop()
            .unwrap_or_else(|| self.server.sockets.add(socket(&tuning, tuning.buffer)));
        self.socket(End::Server, handle)
            .listen(PORT + port)
            .expect("the socket is closed");
        self.listening.push((port, handle));
    }
    fn next_port(&mut self) -> u16 {
        self.next_port = (self.next_port + 1) % 60_000;
        1024 + self.next_port
    }
}

impl Pair for Smol {
    type Conn = SocketHandle;

    fn advance(&mut self, micros: u64) {
        self.now += Duration::from_micros(micros);
        if self.tuning.timestamps {
            MILLIS.store(self.now.total_millis() as u32, Ordering::Relaxed);
        }
    }

    #[inline]
    fn egress(&mut self, from: End) -> usize {
        let now = self.now;
        let (iface, sockets, mut port) = self.parts(from);
        while port.tx.count < BATCH
            && iface.poll_egress(now, &mut port, sockets) == PollResult::SocketStateChanged
        {}
        port.tx.count
    }
    #[inline]
    fn ingress(&mut self, to: End) {
        let now = self.now;
        let (iface, sockets, mut port) = self.parts(to);
        while iface.poll_ingress_single(now, &mut port, sockets) != PollIngressSingleResult::None {}
    }

    fn connect(&mut self, n: u16) -> SocketHandle {
        self.listen(n);
        let handle = self.unused();
        let port = self.next_port();
        let host = &mut self.client;
        let socket = host.sockets.get_mut::<Socket<'_>>(handle);
        socket
            .connect(host.iface.context(), (SERVER, PORT + n), port)
            .expect("the socket is free to connect");
        handle
    }
    fn accept(&mut self, n: u16) -> Option<SocketHandle> {
        let sockets = &mut self.server.sockets;
        let opened = |&(port, handle): &(u16, SocketHandle)| {
            port == n && sockets.get_mut::<Socket<'_>>(handle).state() != State::Listen
        };
        let at = self.listening.iter().position(opened)?;
        Some(self.listening.remove(at).1)
    }
    fn is_open(&mut self, end: End, conn: SocketHandle) -> bool {
        self.socket(end, conn).state() == State::Established
    }
    fn close(&mut self, end: End, conn: SocketHandle) {
        self.socket(end, conn).close();
    }
    fn finish(&mut self, client: SocketHandle, server: SocketHandle) {
        let states = (
            self.socket(End::Client, client).state(),
            self.socket(End::Server, server).state(),
        );
        assert_eq!(states, (State::TimeWait, State::Closed), "both ends are done");
        self.free.push_back(client);
        self.spare.push(server);
    }

    #[inline]
    fn send(&mut self, end: End, conn: SocketHandle, data: &[u8]) -> usize {
        let socket = self.socket(end, conn);
        if !socket.can_send() {
            return 0;
        }
        socket.send_slice(data).expect("the connection is open")
    }
    #[inline]
    fn recv(&mut self, end: End, conn: SocketHandle, out: &mut [u8]) -> Option<usize> {
        match self.socket(end, conn).recv_slice(out) {
            Ok(n) => Some(n),
            Err(RecvError::Finished) => None,
            Err(error) => panic!("{error}"),
        }
    }
    #[inline]
    fn send_lent(
        &mut self,
        end: End,
        conn: SocketHandle,
        pattern: &Pattern,
        position: u64,
        write: bool,
    ) -> usize {
        let socket = self.socket(end, conn);
        if !socket.can_send() {
            return 0;
        }
        let fill = |buffer: &mut [u8]| {
            let n = buffer.len().min(crate::pattern::CHUNK);
            if write {
                buffer[..n].copy_from_slice(&pattern.at(position)[..n]);
            }
            (n, n)
        };
        socket.send(fill).expect("the connection is open")
    }
    #[inline]
    fn recv_lent(&mut self, end: End, conn: SocketHandle, check: Option<(&Pattern, u64)>) -> usize {
        let take = |buffer: &mut [u8]| {
            if let Some((pattern, position)) = check {
                pattern.check(position, buffer);
            }
            (buffer.len(), buffer.len())
        };
        self.socket(end, conn).recv(take).expect("the connection is open")
    }

    /// Handshakes in a set of `n` sockets look at all of them for each frame, and so does adding one: `n` times `n` steps. So
    /// each pair is opened in sets of its own, and its two sockets are put into places of the big sets afterwards.
    fn add_idle(&mut self, n: usize) {
        assert!(
            self.client.sockets.iter().next().is_none(),
            "idle connections come first"
        );
        let slots = || {
            let mut slots = ManuallyDrop::new(Vec::with_capacity(n + 1));
            slots.resize_with(n, || SocketStorage::EMPTY);
            slots.as_mut_ptr()
        };
        let (client_at, server_at): (*mut SocketStorage<'static>, *mut SocketStorage<'static>) =
            (slots(), slots());
        // SAFETY: both point at `n` initialised slots that nothing else refers to, and that live until they are taken back
        // below, after the last set that borrows them is gone.
        let (clients, servers): (&'static mut [_], &'static mut [_]) = unsafe {
            (
                std::slice::from_raw_parts_mut(client_at, n),
                std::slice::from_raw_parts_mut(server_at, n),
            )
        };
        let places = clients.chunks_mut(1).zip(servers.chunks_mut(1));
        let idle = Tuning {
            buffer: self.tuning.idle_buffer,
            ..self.tuning
        };
        let mut data = vec![7; 100];
        for (opened, (client_place, server_place)) in places.enumerate() {
            self.client.sockets = SocketSet::new(client_place);
            self.server.sockets = SocketSet::new(server_place);
            let client = self.client.sockets.add(socket(&idle, idle.buffer));
            let server = self.server.sockets.add(socket(&idle, idle.buffer));
            self.free.push_back(client);
            self.spare.push(server);
            self.listening.clear();
            // The client's ports repeat after 60,000 connections, so the server's changes before.
            let (client, server) = crate::pair::open(self, 1 + (opened / 50_000) as u16);
            for _ in 0..10 {
                self.send(End::Client, client, &data);
                crate::pair::turn(self, End::Client);
                assert_eq!(self.recv(End::Server, server, &mut data), Some(100));
                self.send(End::Server, server, &data);
                crate::pair::turn(self, End::Server);
                assert_eq!(self.recv(End::Client, client, &mut data), Some(100));
            }
            self.advance(20_000);
            crate::pair::turn(self, End::Client);
        }
        self.free.clear();
        self.spare.clear();
        self.client.sockets = SocketSet::new(Vec::new());
        self.server.sockets = SocketSet::new(Vec::new());
        // SAFETY: made above by two vectors of this length and capacity that were not dropped; the sets that borrowed their
        // parts are gone.
        let (clients, servers) = unsafe {
            (
                Vec::from_raw_parts(client_at, n, n + 1),
                Vec::from_raw_parts(server_at, n, n + 1),
            )
        };
        self.client.sockets = SocketSet::new(clients);
        self.server.sockets = SocketSet::new(servers);
    }
}
