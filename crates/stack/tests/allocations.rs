//! In steady state nothing is allocated per segment, and an idle connection costs little: two stacks, a counting
//! allocator, the public face.
#![allow(missing_docs)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::VecDeque;
use std::net::SocketAddr;

use sockeye_stack::tcp::TcpOptions;
use sockeye_stack::{
    Config, Duration, Frame, Instant, InterfaceConfig, InterfaceId, Profile, RecvError, RxMeta, SendError,
    SocketId, Stack,
};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    /// Octets asked for and not given back.
    static HELD: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: hands everything to the system's allocator unchanged; counting touches no memory of others.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        HELD.set(HELD.get() + layout.size() as isize);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.set(HELD.get() - layout.size() as isize);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const IF: InterfaceId = InterfaceId(0);

struct Pair {
    stacks: [Stack; 2],
    now: Instant,
    wire: [VecDeque<Frame>; 2],
    ends: [SocketId; 2],
    listener: SocketId,
}

const SERVER: ([u8; 4], u16) = ([10, 0, 0, 2], 80);

impl Pair {
    fn connected() -> Self {
        Self::connected_with(TcpOptions {
            receive_buffer: Some(256 * 1024),
            ..TcpOptions::default()
        })
    }
    fn connected_with(options: TcpOptions) -> Self {
        let now = Instant::from_secs(1);
        let host = |last: u8| {
            let mut stack = Stack::new(Config::new(Profile::Rfc), [last; 32]);
            stack.add_interface(
                now,
                InterfaceConfig::ip("link", 1500).address([10, 0, 0, last], 24),
            );
            stack
        };
        let mut stacks = [host(1), host(2)];
        let listener = stacks[1].tcp_socket(options);
        stacks[1].tcp_bind(listener, SocketAddr::from(SERVER)).unwrap();
        stacks[1].tcp_listen(listener, 1).unwrap();
        let wire = [VecDeque::with_capacity(1024), VecDeque::with_capacity(1024)];
        let mut pair = Pair {
            stacks,
            now,
            wire,
            ends: [listener; 2],
            listener,
        };
        pair.connect(options);
        pair
    }
    /// One more connection, which takes the place of the last.
    fn connect(&mut self, options: TcpOptions) {
        let client = self.stacks[0].tcp_socket(options);
        self.stacks[0]
            .tcp_connect(self.now, client, SocketAddr::from(SERVER))
            .unwrap();
        (0..4).for_each(|_| self.turn());
        let (server, _) = self.stacks[1]
            .tcp_accept(self.now, self.listener)
            .unwrap()
            .unwrap();
        self.ends = [client, server];
    }
    /// Both ends close, the client's first, and the server's with the acknowledgment of its FIN.
    fn close(&mut self) {
        for host in [0, 1] {
            self.stacks[host].tcp(self.now, self.ends[host]).unwrap().close();
            self.turn();
        }
        (0..2).for_each(|_| self.turn());
    }
    fn turn(&mut self) {
        self.now += Duration::from_micros(50);
        for host in [0, 1] {
            let mut frame = Frame::new();
            while self.stacks[host].poll_transmit(self.now, &mut frame).is_some() {
                self.wire[1 - host].push_back(std::mem::take(&mut frame));
            }
            while self.stacks[host].poll_event().is_some() {}
            while let Some(frame) = self.wire[host].pop_front() {
                self.stacks[host].handle_frame(self.now, IF, frame, RxMeta::default());
            }
            self.stacks[host].handle_timeout(self.now);
        }
    }
    fn send(&mut self, from: usize, data: &[u8]) -> usize {
        match self.stacks[from]
            .tcp(self.now, self.ends[from])
            .unwrap()
            .send(data)
        {
            Ok(n) => n,
            Err(SendError::WouldBlock) => 0,
            Err(error) => panic!("{error}"),
        }
    }
    fn read(&mut self, at: usize, out: &mut [u8]) -> usize {
        let mut all = 0;
        loop {
            match self.stacks[at].tcp(self.now, self.ends[at]).unwrap().recv(out) {
                Ok(n) => all += n,
                Err(RecvError::WouldBlock) => return all,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn a_question_and_its_answer_allocate_nothing() {
    for len in [1, 64, 96, 97, 700] {
        let mut pair = Pair::connected();
        let (data, mut out) = (vec![7; len], vec![0; 4096]);
        let mut exchange = |pair: &mut Pair| {
            for from in [0, 1] {
                assert_eq!(pair.send(from, &data), len);
                pair.turn();
                pair.turn();
                assert_eq!(pair.read(1 - from, &mut out), len);
            }
        };
        (0..2000).for_each(|_| exchange(&mut pair));
        let before = ALLOCATIONS.get();
        (0..2000).for_each(|_| exchange(&mut pair));
        assert_eq!(ALLOCATIONS.get() - before, 0, "messages of {len} octets");
    }
}

#[test]
fn a_long_transfer_allocates_nothing_per_segment() {
    let mut pair = Pair::connected();
    let (data, mut out) = (vec![7; 64 * 1024], vec![0; 256 * 1024]);
    let mut moved = 0;
    let mut work = |pair: &mut Pair, octets: usize| {
        let end = moved + octets;
        while moved < end {
            pair.send(0, &data);
            pair.turn();
            moved += pair.read(1, &mut out);
        }
    };
    work(&mut pair, 64 << 20);
    let before = ALLOCATIONS.get();
    work(&mut pair, 64 << 20);
    let allocations = ALLOCATIONS.get() - before;
    let segments = (64 << 20) / 1448;
    assert_eq!(allocations, 0, "allocations in {segments} segments");
}

/// At most 512 octets for an established connection that is idle, whatever its window, everything counted: the control
/// block, its slot, the tables, the wheel.
#[test]
fn an_idle_connection_costs_at_most_512_octets() {
    let mut pair = Pair::connected_with(TcpOptions::default());
    let (data, mut out) = ([7; 1000], [0; 4096]);
    let before = HELD.get();
    let connections = 1000;
    for _ in 0..connections {
        pair.connect(TcpOptions::default());
        for from in [0, 1] {
            assert_eq!(pair.send(from, &data), data.len());
            (0..2).for_each(|_| pair.turn());
            assert_eq!(pair.read(1 - from, &mut out), data.len());
        }
        // The last delayed ACK leaves.
        pair.now += Duration::from_millis(500);
        (0..2).for_each(|_| pair.turn());
    }
    let each = (HELD.get() - before) / (2 * connections);
    println!("{each} octets for each idle endpoint");
    assert!(each <= 512, "{each} octets for each idle endpoint");
}

/// Sockets and connections take the boxes of those before them, and the tables have grown to what stands in TIME-WAIT.
#[test]
fn a_connection_after_another_allocates_nothing() {
    for len in [0, 64] {
        let mut pair = Pair::connected();
        let (data, mut out) = (vec![7; len], vec![0; 4096]);
        let mut connections = |pair: &mut Pair, count: usize| {
            for _ in 0..count {
                pair.close();
                pair.now += Duration::from_secs(1);
                pair.connect(TcpOptions {
                    receive_buffer: Some(256 * 1024),
                    ..TcpOptions::default()
                });
                for from in [0, 1] {
                    assert_eq!(pair.send(from, &data), len);
                    (0..2).for_each(|_| pair.turn());
                    assert_eq!(pair.read(1 - from, &mut out), len);
                }
            }
        };
        connections(&mut pair, 1000);
        let [client, server] = [0, 1].map(|host| pair.stacks[host].snapshot().sockets.len());
        assert!(
            (200..300).contains(&client),
            "{client}: a TIME-WAIT of 4 min each second"
        );
        assert_eq!(server, 2, "the listener and a connection");
        let before = ALLOCATIONS.get();
        connections(&mut pair, 1000);
        assert_eq!(ALLOCATIONS.get() - before, 0, "with {len} octets each way");
    }
}
