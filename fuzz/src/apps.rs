//! Programs on a host: sockets, and calls on them with the values that nobody should use.

use crate::host::Host;
use crate::input::Input;
use bytes::Bytes;
use sockeye_stack::config::CongestionControl;
use sockeye_stack::tcp::{Keepalive, State, TcpOptions};
use sockeye_stack::udp::UdpOptions;
use sockeye_stack::{Duration, RecvError, SendError, SocketId};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Sockets that a host's programs hold at most.
const SOCKETS: usize = 20;

/// The octet at an offset of a stream that a program sends.
pub fn octet(at: u64) -> u8 {
    (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u8
}
/// A piece of that stream.
pub fn stream(from: u64, len: usize) -> Vec<u8> {
    (from..from + len as u64).map(octet).collect()
}

/// A TCP socket that a program holds.
#[derive(Clone, Debug)]
pub struct Tcp {
    pub id: SocketId,
    pub listener: bool,
    /// Octets that the stack took.
    pub sent: u64,
    /// Octets read so far.
    pub received: u64,
    /// Local and remote address, once connected.
    pub tuple: Option<(SocketAddr, SocketAddr)>,
    /// Something was done that leaves no promise about the stream: an error, out-of-band data, `shutdown_recv`.
    pub spoilt: bool,
    /// What was read since somebody looked.
    pub fresh: Vec<u8>,
    /// Our side was shut down after this many octets.
    pub closed_at: Option<u64>,
    /// A read said that the stream ends.
    pub ended: bool,
}

/// A side of a connection that has ended: it said so, after so many octets.
pub type Closed = ((SocketAddr, SocketAddr), u64);

/// All programs of a host.
#[derive(Default)]
pub struct Apps {
    pub tcp: Vec<Tcp>,
    pub udp: Vec<SocketId>,
    /// Sides that were closed.
    pub closed: Vec<Closed>,
    /// The most that was sent on each tuple.
    pub most_sent: Vec<Closed>,
    /// Options were changed on a live socket: windows may have moved back.
    pub options_changed: bool,
    /// Urgent data was sent.
    pub urgent_sent: bool,
}

/// Where the other side of the net is.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    pub ours: [IpAddr; 2],
    pub theirs: [IpAddr; 2],
}

impl Places {
    fn port(u: &mut Input<'_>) -> u16 {
        u.pick(&[80, 80, 80, 81, 7, 0, 49152, 65535])
    }
    fn local(&self, u: &mut Input<'_>) -> SocketAddr {
        let ip = match u.below(8) {
            0 | 1 => self.ours[0],
            2 | 3 => self.ours[1],
            4 => Ipv4Addr::UNSPECIFIED.into(),
            5 => Ipv6Addr::UNSPECIFIED.into(),
            6 => self.theirs[0],
            _ => Ipv4Addr::new(127, 0, 0, 1).into(),
        };
        SocketAddr::new(ip, Self::port(u))
    }
    fn remote(&self, u: &mut Input<'_>) -> SocketAddr {
        let ip = match u.below(16) {
            0..=4 => self.theirs[0],
            5..=9 => self.theirs[1],
            10 => self.ours[0],
            11 => Ipv6Addr::LOCALHOST.into(),
            12 => Ipv4Addr::BROADCAST.into(),
            13 => Ipv4Addr::new(224, 0, 0, 251).into(),
            14 => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb).into(),
            _ => Ipv4Addr::new(203, 0, 113, 9).into(),
        };
        SocketAddr::new(ip, Self::port(u))
    }
}

fn buffer(u: &mut Input<'_>) -> Option<u32> {
    u.pick(&[None, None, None, Some(0), Some(1), Some(100), Some(5000), Some(200_000), Some(u32::MAX)])
}

/// Options as nobody should set them. Says whether they ask for waiting without end.
pub fn options(u: &mut Input<'_>) -> (TcpOptions, bool) {
    let bits = u.byte();
    let mut o = TcpOptions {
        nodelay: bits & 1 != 0,
        cork: bits & 2 != 0,
        quick_ack: bits & 4 != 0,
        reuse_address: bits & 8 != 0,
        reuse_port: bits & 16 != 0,
        ipv6_only: bits & 32 != 0,
        urgent_inline: bits & 64 != 0,
        ..TcpOptions::default()
    };
    if bits & 128 == 0 {
        return (o, false);
    }
    o.send_buffer = buffer(u);
    o.receive_buffer = buffer(u);
    o.max_segment = u.pick(&[None, None, Some(0), Some(1), Some(64), Some(536), Some(1460), Some(u16::MAX)]);
    if u.flag() {
        o.keepalive = Some(Keepalive {
            idle: u.any_duration(),
            interval: u.any_duration(),
            count: u.pick(&[0, 1, 3, 255]),
        });
    }
    if u.flag() {
        o.linger = Some(u.any_duration());
    }
    if u.flag() {
        o.user_timeout = Some(u.any_duration());
    }
    o.congestion_control = u.pick(&[None, Some(CongestionControl::NewReno), Some(CongestionControl::Cubic)]);
    o.hop_limit = u.pick(&[None, None, Some(1), Some(255), Some(0)]);
    o.traffic_class = u.pick(&[0, 0, 1, 3, 255]);
    let long = |d: Option<Duration>| d.is_some_and(|d| d > Duration::from_secs(900));
    let slow = o.keepalive.is_some_and(|k| long(Some(k.interval)) || k.count == 255);
    let endless = long(o.user_timeout) || long(o.linger) || slow;
    (o, endless)
}

impl Tcp {
    fn new(id: SocketId) -> Tcp {
        Tcp {
            id,
            listener: false,
            sent: 0,
            received: 0,
            tuple: None,
            spoilt: false,
            fresh: Vec::new(),
            closed_at: None,
            ended: false,
        }
    }
}

impl Apps {
    /// Notes where a connection stands in the world, as soon as it has both addresses.
    fn learn(&mut self, host: &mut Host, i: usize) {
        let socket = &mut self.tcp[i];
        if socket.tuple.is_none()
            && let Ok(s) = host.stack.tcp(host.now, socket.id)
            && let (Some(local), Some(remote)) = (s.local_addr(), s.peer_addr())
        {
            socket.tuple = Some((local, remote));
        }
    }
    fn note_sent(&mut self, i: usize) {
        let Some(tuple) = self.tcp[i].tuple else { return };
        let sent = self.tcp[i].sent;
        match self.most_sent.iter_mut().find(|(t, _)| *t == tuple) {
            Some((_, most)) => *most = sent.max(*most),
            None => self.most_sent.push((tuple, sent)),
        }
    }
    /// Opens a TCP socket.
    pub fn open(&mut self, host: &mut Host, o: TcpOptions) -> Option<usize> {
        if self.tcp.len() >= SOCKETS {
            return None;
        }
        let id = host.stack.tcp_socket(o);
        self.tcp.push(Tcp::new(id));
        Some(self.tcp.len() - 1)
    }
    /// Opens a listener on a port of all addresses.
    pub fn listen(&mut self, host: &mut Host, o: TcpOptions, local: SocketAddr, backlog: u32) {
        let Some(i) = self.open(host, o) else { return };
        let id = self.tcp[i].id;
        let bound = host.stack.tcp_bind(id, local).is_ok();
        if bound && host.stack.tcp_listen(id, backlog).is_ok() {
            self.tcp[i].listener = true;
        }
    }
    /// Connects; says at which place the socket stands.
    pub fn connect(&mut self, host: &mut Host, o: TcpOptions, to: SocketAddr) -> Option<usize> {
        let i = self.open(host, o)?;
        let _ = host.stack.tcp_connect(host.now, self.tcp[i].id, to);
        self.learn(host, i);
        Some(i)
    }
    /// Takes what a listener has.
    pub fn accept(&mut self, host: &mut Host, i: usize) {
        if self.tcp.len() >= SOCKETS {
            return;
        }
        if let Ok(Some((id, peer))) = host.stack.tcp_accept(host.now, self.tcp[i].id) {
            let state = host.stack.tcp(host.now, id).map(|s| (s.peer_addr(), s.local_addr()));
            let (remote, local) = state.expect("an accepted socket exists");
            assert_eq!(remote, Some(peer));
            let mut socket = Tcp::new(id);
            socket.tuple = local.zip(remote);
            self.tcp.push(socket);
        }
    }
    /// Sends the next octets of the socket's stream.
    pub fn send(&mut self, host: &mut Host, i: usize, len: usize, how: u8) {
        self.learn(host, i);
        let at = self.tcp[i].sent;
        let data = stream(at, len);
        let id = self.tcp[i].id;
        let Ok(mut s) = host.stack.tcp(host.now, id) else { return };
        let writable = s.writable();
        let done = match how % 8 {
            0 => s.send_bytes(Bytes::from(data)),
            1 => s.send_urgent(&data),
            _ => s.send(&data),
        };
        match done {
            Ok(n) => {
                assert!(n <= len && n <= writable.max(len.min(n)), "took {n} of {len}");
                assert!(n > 0 || len == 0, "zero octets taken without an error");
                // Out of band, an octet may leave the stream at the other side.
                self.urgent_sent |= how % 8 == 1;
                self.tcp[i].sent += n as u64;
            }
            Err(SendError::Connection(_)) => self.tcp[i].spoilt = true,
            Err(_) => {}
        }
        self.note_sent(i);
    }
    /// Reads.
    pub fn recv(&mut self, host: &mut Host, i: usize, max: usize, how: u8) -> usize {
        self.learn(host, i);
        let socket = &mut self.tcp[i];
        let Ok(mut s) = host.stack.tcp(host.now, socket.id) else { return 0 };
        let before = s.readable();
        let mut out = vec![0; max];
        let done = match how % 4 {
            0 => s.recv_bytes(max).map(|p| {
                let n = p.len();
                out[..n].copy_from_slice(&p.to_vec());
                n
            }),
            1 => {
                let peeked = s.peek(&mut out);
                let mut again = vec![0; max];
                let read = s.recv(&mut again);
                if let (Ok(a), Ok(b)) = (peeked, read) {
                    assert_eq!(out[..a], again[..b], "peek and read disagree");
                }
                if peeked.is_err() {
                    socket.spoilt |= matches!(peeked, Err(RecvError::Connection(_)));
                }
                out = again;
                read
            }
            _ => s.recv(&mut out),
        };
        match done {
            Ok(n) => {
                assert!(n <= before && n <= max, "read {n} of {before}");
                if n == 0 && max > 0 && !socket.spoilt {
                    socket.ended = true;
                }
                assert!(n == 0 || !socket.ended, "octets after the end of the stream");
                socket.received += n as u64;
                socket.fresh.extend_from_slice(&out[..n]);
                n
            }
            Err(RecvError::Connection(_)) => {
                socket.spoilt = true;
                0
            }
            Err(_) => 0,
        }
    }
    /// Shuts the sending side down.
    pub fn shutdown(&mut self, host: &mut Host, i: usize) {
        self.learn(host, i);
        let socket = &mut self.tcp[i];
        let Ok(mut s) = host.stack.tcp(host.now, socket.id) else { return };
        if s.shutdown_send().is_ok() {
            socket.closed_at.get_or_insert(socket.sent);
            let (tuple, sent) = (socket.tuple, socket.sent);
            self.closed.extend(tuple.map(|t| (t, sent)));
        }
    }
    /// Closes or aborts; the socket is forgotten.
    pub fn close(&mut self, host: &mut Host, i: usize, abort: bool) {
        self.learn(host, i);
        let socket = self.tcp.swap_remove(i);
        self.closed.extend(socket.tuple.map(|t| (t, socket.sent)));
        let Ok(s) = host.stack.tcp(host.now, socket.id) else {
            panic!("{:?} is held and gone", socket.id);
        };
        if abort { s.abort() } else { s.close() }
        assert!(host.stack.tcp(host.now, socket.id).is_err(), "a closed id is stale");
    }
    /// Closes all.
    pub fn close_all(&mut self, host: &mut Host) {
        while !self.tcp.is_empty() {
            self.close(host, 0, false);
        }
        for id in self.udp.drain(..) {
            if let Ok(s) = host.stack.udp(host.now, id) {
                s.close();
            }
        }
    }
    /// One call on one TCP socket.
    pub fn tcp_call(&mut self, host: &mut Host, places: &Places, u: &mut Input<'_>) {
        let what = u.below(20);
        if what < 3 || self.tcp.is_empty() {
            let (o, endless) = if u.flag() { options(u) } else { Default::default() };
            host.endless |= endless;
            match what % 3 {
                0 => {
                    let local = places.local(u);
                    let backlog = u.pick(&[0, 1, 5, u32::MAX]);
                    self.listen(host, o, local, backlog);
                }
                1 => {
                    let remote = places.remote(u);
                    self.connect(host, o, remote);
                }
                _ => {
                    self.open(host, o);
                }
            }
            return;
        }
        let i = u.below(self.tcp.len());
        let id = self.tcp[i].id;
        match what {
            3 => {
                let _ = host.stack.tcp_bind(id, places.local(u));
            }
            4 => {
                if host.stack.tcp_listen(id, u32::from(u.byte())).is_ok() {
                    self.tcp[i].listener = true;
                }
            }
            5 => {
                if host.stack.tcp_connect(host.now, id, places.remote(u)).is_ok() {
                    // After an attempt that failed, a socket may connect again: from a port of its own.
                    self.tcp[i] = Tcp::new(id);
                }
                self.learn(host, i);
            }
            6 | 7 => self.accept(host, i),
            8..=10 => {
                let len = u.pick(&[0, 1, 10, 100, 536, 1460, 1461, 5000, 20_000, 65_536]);
                let how = u.byte();
                self.send(host, i, len, how);
            }
            11..=13 => {
                let max = u.pick(&[0, 1, 7, 1000, 5000, 100_000]);
                let how = u.byte();
                self.recv(host, i, max, how);
            }
            14 => self.shutdown(host, i),
            15 => self.close(host, i, false),
            16 => self.close(host, i, true),
            17 => {
                let (o, endless) = options(u);
                host.endless |= endless;
                self.options_changed = true;
                if let Ok(mut s) = host.stack.tcp(host.now, id) {
                    s.set_options(o);
                }
            }
            18 => self.look(host, i),
            _ => {
                self.tcp[i].spoilt = true;
                if let Ok(mut s) = host.stack.tcp(host.now, id) {
                    match u.below(3) {
                        0 => s.shutdown_recv(),
                        1 => { let _ = s.take_error(); }
                        _ => { let _ = s.recv_urgent(); }
                    }
                }
            }
        }
    }
    /// Calls every getter.
    fn look(&mut self, host: &mut Host, i: usize) {
        let Ok(s) = host.stack.tcp(host.now, self.tcp[i].id) else { return };
        let _ = (s.state(), s.local_addr(), s.peer_addr(), s.at_urgent_mark(), s.urgent_ahead());
        let _ = (s.readable(), s.peer_closed(), s.writable(), s.options());
        if let Some(info) = s.info()
            && info.state != State::Closed
        {
            assert!(info.flight as usize <= s.unacked() + 1, "more in flight than unacknowledged");
            assert!(info.cwnd > 0 && info.snd_mss > 0, "{info:?}");
        }
    }
    /// One call on one UDP socket.
    pub fn udp_call(&mut self, host: &mut Host, places: &Places, u: &mut Input<'_>) {
        let what = u.below(12);
        if what < 2 || self.udp.is_empty() {
            if self.udp.len() < SOCKETS {
                let bits = u.byte();
                let o = UdpOptions {
                    ipv6_only: bits & 1 != 0,
                    reuse_address: bits & 2 != 0,
                    reuse_port: bits & 4 != 0,
                    broadcast: bits & 8 != 0,
                    multicast_loop: bits & 16 == 0,
                    hop_limit: if bits & 32 != 0 { Some(0) } else { None },
                    receive_buffer: if bits & 64 != 0 { Some(1) } else { None },
                    ..UdpOptions::default()
                };
                let id = host.stack.udp_socket(o);
                let _ = host.stack.udp_bind(id, places.local(u));
                self.udp.push(id);
            }
            return;
        }
        let i = u.below(self.udp.len());
        let id = self.udp[i];
        let Ok(mut s) = host.stack.udp(host.now, id) else {
            panic!("{id:?} is held and gone");
        };
        let group: IpAddr = u.pick(&[
            Ipv4Addr::new(224, 0, 0, 251).into(),
            Ipv4Addr::new(239, 1, 2, 3).into(),
            Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb).into(),
            Ipv4Addr::new(10, 0, 0, 2).into(),
        ]);
        match what {
            2 => { let _ = s.connect(places.remote(u)); }
            3..=5 => {
                let len = u.pick(&[0, 1, 100, 1472, 1473, 4000, 65_507, 65_527, 65_528]);
                let _ = s.send_to(&stream(0, len), places.remote(u));
            }
            6 => { let _ = s.send(&stream(0, 100)); }
            7 => { let _ = s.recv(); }
            8 => { let _ = s.join(group, None); }
            9 => { let _ = s.leave(group, None); }
            10 => {
                let _ = (s.local_addr(), s.peer_addr(), s.options(), s.take_error());
                s.disconnect();
            }
            _ => {
                s.close();
                self.udp.swap_remove(i);
            }
        }
    }
}
