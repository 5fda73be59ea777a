//! The machine from Rust: sockets, time and threads. Times are virtual; where a test waits for a thread of the operating
//! system it waits until it sees what it waits for.

mod peer;
mod waiting;

use std::fs;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};

use peer::{OURS, Peer, THEIRS, connected, listener, name, next};
use sockeye_packetdrill::Settings;
use sockeye_packetdrill::machine::{Change, Events, Interest, Ioctl, Machine, PollRow, TCP_INFO_LEN};

pub(crate) fn machine(flags: &str) -> Machine {
    Machine::new(&flags.parse::<Settings>().unwrap()).unwrap()
}
pub(crate) fn errno<T: std::fmt::Debug>(result: std::io::Result<T>) -> i32 {
    result.unwrap_err().raw_os_error().unwrap()
}
pub(crate) fn text(machine: &Machine, fd: i32) -> String {
    let mut buf = [0; 100];
    let n = machine.read(fd, &mut buf).unwrap();
    String::from_utf8_lossy(&buf[..n]).into_owned()
}
fn nonblocking(machine: &Machine, fd: i32) {
    machine
        .fcntl(fd, libc::F_SETFL, libc::O_RDWR | libc::O_NONBLOCK)
        .unwrap();
}

#[test]
fn a_connection_from_syn_to_fin() {
    let machine = machine("");
    let (_, fd, mut peer) = connected(&machine);
    peer.send(&machine, "P.", b"python");
    assert_eq!(text(&machine, fd), "python");
    assert_eq!(machine.write(fd, b"PYTHON").unwrap(), 6);
    let answer = peer.expect(&machine, "P.");
    assert_eq!((answer.data, answer.ack), (b"PYTHON".to_vec(), peer.seq));
    peer.send(&machine, "F.", b"");
    assert_eq!(text(&machine, fd), "");
    peer.expect(&machine, ".");
    machine.shutdown(fd, libc::SHUT_WR).unwrap();
    peer.expect(&machine, "F.");
    peer.send(&machine, ".", b"");
    assert_eq!(errno(machine.write(fd, b"x")), libc::EPIPE);
    machine.close(fd).unwrap();
    assert_eq!(machine.netdev_receive().unwrap(), None);
    assert_eq!(machine.sockets(), "tcp 192.168.0.1:8080 * LISTEN\n");
}

#[test]
fn the_socket_table_has_a_line_a_socket() {
    let machine = machine("");
    let (listener, fd, _) = connected(&machine);
    let udp = machine.socket(libc::AF_INET, libc::SOCK_DGRAM, 0).unwrap();
    machine.bind(udp, &name([0; 4], 53)).unwrap();
    assert_eq!(
        machine.sockets(),
        "tcp 192.168.0.1:8080 * LISTEN\n\
         tcp 192.168.0.1:8080 192.0.2.1:4000 ESTABLISHED\n\
         udp 0.0.0.0:53 * -\n"
    );
    for fd in [listener, fd, udp] {
        machine.close(fd).unwrap();
        assert_eq!(errno(machine.close(fd)), libc::EBADF);
    }
}

#[test]
fn numbers_of_errors_are_linuxs() {
    let machine = machine("");
    let tcp = machine
        .socket(libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_TCP)
        .unwrap();
    let udp = machine
        .socket(libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_UDP)
        .unwrap();
    assert_eq!(
        errno(machine.socket(libc::AF_UNIX, libc::SOCK_STREAM, 0)),
        libc::EAFNOSUPPORT
    );
    assert_eq!(
        errno(machine.socket(libc::AF_INET, libc::SOCK_RAW, 0)),
        libc::ESOCKTNOSUPPORT
    );
    assert_eq!(
        errno(machine.socket(libc::AF_INET, libc::SOCK_STREAM, 17)),
        libc::EPROTONOSUPPORT
    );
    assert_eq!(errno(machine.listen(udp, 5)), libc::EOPNOTSUPP);
    assert_eq!(
        errno(machine.bind(tcp, &name([10, 9, 9, 9], 1))),
        libc::EADDRNOTAVAIL
    );
    assert_eq!(errno(machine.bind(tcp, &[])), libc::EINVAL);
    assert_eq!(errno(machine.accept(tcp)), libc::EINVAL);
    assert_eq!(errno(machine.read(tcp, &mut [0])), libc::ENOTCONN);
    assert_eq!(errno(machine.shutdown(tcp, libc::SHUT_RD)), libc::ENOTCONN);
    assert_eq!(errno(machine.shutdown(tcp, 3)), libc::EINVAL);
    assert_eq!(
        errno(machine.connect(tcp, &name([10, 9, 9, 9], 80))),
        libc::ENETUNREACH
    );
    assert_eq!(errno(machine.read(9999, &mut [0])), libc::EBADF);
    assert_eq!(
        errno(machine.send(tcp, b"x", libc::MSG_FASTOPEN, None)),
        libc::EOPNOTSUPP
    );
    assert_eq!(
        errno(machine.receive(udp, &mut [0], libc::MSG_ERRQUEUE)),
        libc::EAGAIN
    );
    assert_eq!(errno(machine.send(udp, b"x", 0, None)), libc::EDESTADDRREQ);
    assert_eq!(errno(machine.netdev_send(&[0x45; 19])), libc::EINVAL);
    assert_eq!(errno(machine.netdev_send(&vec![0; 65_536])), libc::EINVAL);
    assert_eq!(errno(machine.fcntl(tcp, libc::F_DUPFD, 0)), libc::EINVAL);
    assert_eq!(errno(machine.epoll_create(0)), libc::EINVAL);
    assert_eq!(errno(machine.epoll_wait(tcp, 1, 0)), libc::EINVAL);
    assert_eq!(errno(machine.splice(tcp, udp, 1, 0)), libc::EINVAL);
}

#[test]
fn a_refused_connection() {
    let machine = machine("");
    let fd = machine
        .socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0)
        .unwrap();
    assert_eq!(errno(machine.connect(fd, &name(THEIRS, 80))), libc::EINPROGRESS);
    assert_eq!(errno(machine.connect(fd, &name(THEIRS, 80))), libc::EALREADY);
    let syn = next(&machine);
    assert_eq!((syn.flags.as_str(), syn.to), ("S", 80));
    let mut peer = Peer::new(80, syn.from);
    peer.ack = syn.seq + 1;
    peer.send(&machine, "R.", b"");
    let mut rows = [row(fd, Events::IN | Events::OUT)];
    assert_eq!(machine.poll(&mut rows, -1).unwrap(), 1);
    assert!(rows[0].revents.contains(Events::ERR | Events::OUT));
    let error = machine.getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR).unwrap();
    assert_eq!(error, libc::ECONNREFUSED.to_ne_bytes());
}

#[test]
fn options_have_the_form_that_c_gives_them() {
    let machine = machine("profile=linux");
    let (listener, fd, _) = connected(&machine);
    let on = 1i32.to_ne_bytes();
    machine
        .setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, &on)
        .unwrap();
    assert_eq!(
        machine
            .getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY)
            .unwrap(),
        on
    );
    assert_eq!(
        errno(machine.setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, &[1])),
        libc::EINVAL
    );
    assert_eq!(
        errno(machine.getsockopt(fd, libc::SOL_SOCKET, 9999)),
        libc::ENOPROTOOPT
    );
    machine
        .setsockopt(fd, libc::IPPROTO_IP, libc::IP_TTL, &[9])
        .unwrap();
    assert_eq!(
        machine.getsockopt(fd, libc::IPPROTO_IP, libc::IP_TTL).unwrap(),
        9i32.to_ne_bytes()
    );
    let linger: Vec<u8> = [1i32, 7].iter().flat_map(|n| n.to_ne_bytes()).collect();
    machine
        .setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, &linger)
        .unwrap();
    assert_eq!(
        machine.getsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER).unwrap(),
        linger
    );
    let time: Vec<u8> = [3i64, 250_000].iter().flat_map(|n| n.to_ne_bytes()).collect();
    machine
        .setsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &time)
        .unwrap();
    assert_eq!(
        machine
            .getsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVTIMEO)
            .unwrap(),
        time
    );
    machine
        .setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_CONGESTION, b"reno\0")
        .unwrap();
    let control = machine
        .getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_CONGESTION)
        .unwrap();
    assert_eq!((control.len(), &control[..5]), (16, &b"reno\0"[..]));
    let info = machine.getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO).unwrap();
    assert_eq!((info.len(), info[0]), (TCP_INFO_LEN, 1));
    let word = |at: usize| u32::from_ne_bytes(info[at..at + 4].try_into().unwrap());
    assert_eq!((word(16), word(80), word(60)), (1460, 10, 1500)); // snd_mss, snd_cwnd, pmtu
    let info = machine
        .getsockopt(listener, libc::IPPROTO_TCP, libc::TCP_INFO)
        .unwrap();
    assert_eq!(info[0], 10);
    assert_eq!(machine.getsockopt(fd, libc::IPPROTO_TCP, 26).unwrap(), [0; 20]);
    assert_eq!(machine.getsockopt(fd, libc::SOL_SOCKET, 55).unwrap().len(), 36);
}

#[test]
fn how_much_can_be_read_and_is_not_acknowledged() {
    let machine = machine("");
    let (_, fd, mut peer) = connected(&machine);
    peer.send(&machine, "P.", b"four");
    machine.write(fd, b"seven77").unwrap();
    assert_eq!(machine.ioctl(fd, Ioctl::Readable, 0).unwrap(), 4);
    assert_eq!(machine.ioctl(fd, Ioctl::Unacknowledged, 0).unwrap(), 7);
    assert_eq!(machine.ioctl(fd, Ioctl::Unsent, 0).unwrap(), 0);
    let memory = machine.getsockopt(fd, libc::SOL_SOCKET, 55).unwrap();
    assert_eq!((memory[0], memory[20]), (4, 7));
    assert_eq!(machine.ioctl(fd, Ioctl::NonBlocking, 1).unwrap(), 0);
    assert_eq!(
        machine.fcntl(fd, libc::F_GETFL, 0).unwrap(),
        libc::O_RDWR | libc::O_NONBLOCK
    );
    assert_eq!(text(&machine, fd), "four");
    assert_eq!(errno(machine.read(fd, &mut [0])), libc::EAGAIN);
}

#[test]
fn more_is_waited_for() {
    let machine = machine("");
    let (_, fd, mut peer) = connected(&machine);
    assert_eq!(machine.send(fd, b"one ", libc::MSG_MORE, None).unwrap(), 4);
    assert_eq!(machine.send(fd, b"two ", libc::MSG_MORE, None).unwrap(), 4);
    assert_eq!(machine.send(fd, b"three", 0, None).unwrap(), 5);
    assert_eq!(peer.expect(&machine, "P.").data, b"one two three");
}

#[test]
fn datagrams_with_what_is_told_of_them() {
    let machine = machine("");
    let fd = machine
        .socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_NONBLOCK, 0)
        .unwrap();
    machine.bind(fd, &name([0; 4], 53)).unwrap();
    machine
        .setsockopt(fd, libc::IPPROTO_IP, libc::IP_RECVTTL, &1i32.to_ne_bytes())
        .unwrap();
    machine
        .setsockopt(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, &1i32.to_ne_bytes())
        .unwrap();
    let mut packet = Vec::new();
    let builder = etherparse::PacketBuilder::ipv4(THEIRS, OURS, 61).udp(5000, 53);
    builder.write(&mut packet, b"question").unwrap();
    machine.netdev_send(&packet).unwrap();
    let mut buf = [0; 4];
    let received = machine.receive(fd, &mut buf, libc::MSG_TRUNC).unwrap();
    assert_eq!(
        (&buf, received.len, received.flags),
        (b"ques", 8, libc::MSG_TRUNC)
    );
    assert_eq!(received.name, name(THEIRS, 5000));
    let mut info = 1i32.to_ne_bytes().to_vec();
    info.extend(OURS);
    info.extend(OURS);
    assert_eq!(
        received.control,
        [
            (libc::IPPROTO_IP, libc::IP_PKTINFO, info),
            (libc::IPPROTO_IP, libc::IP_TTL, 61i32.to_ne_bytes().to_vec()),
        ]
    );
    assert_eq!(
        machine.send(fd, b"answer", 0, Some(&name(THEIRS, 5000))).unwrap(),
        6
    );
    let answer = machine.netdev_receive().unwrap().unwrap();
    assert_eq!(&answer.bytes[28..], b"answer");
}

#[test]
fn ipv6_and_mapped_addresses() {
    let machine = machine("ip=ipv4-mapped-ipv6");
    let fd = machine
        .socket(libc::AF_INET6, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0)
        .unwrap();
    let mut mapped = (libc::AF_INET6 as u16).to_ne_bytes().to_vec();
    mapped.extend(80u16.to_be_bytes());
    mapped.extend([0; 4]);
    mapped.extend(Ipv4Addr::from(THEIRS).to_ipv6_mapped().octets());
    mapped.resize(28, 0);
    assert_eq!(errno(machine.connect(fd, &mapped)), libc::EINPROGRESS);
    assert_eq!(next(&machine).to, 80);

    let machine = self::machine("ip=ipv6");
    let fd = machine.socket(libc::AF_INET6, libc::SOCK_DGRAM, 0).unwrap();
    let mut v6 = mapped.clone();
    v6[8..24].copy_from_slice(
        &"fd3d:fa7b:d17d::1"
            .parse::<std::net::Ipv6Addr>()
            .unwrap()
            .octets(),
    );
    assert_eq!(machine.send(fd, b"hello", 0, Some(&v6)).unwrap(), 5);
    let packet = machine.netdev_receive().unwrap().unwrap();
    assert_eq!((packet.bytes[0] >> 4, &packet.bytes[48..]), (6, &b"hello"[..]));
}

fn row(fd: i32, events: Events) -> PollRow {
    PollRow {
        fd,
        events,
        revents: Events::empty(),
    }
}

#[test]
fn poll_says_what_linux_says() {
    let machine = machine("");
    let listener = listener(&machine);
    let wanted = Events::IN | Events::OUT | Events::RDHUP;
    let revents = |fd| {
        let mut rows = [row(fd, wanted)];
        let n = machine.poll(&mut rows, 0).unwrap();
        assert_eq!(n, usize::from(!rows[0].revents.is_empty()));
        rows[0].revents
    };
    assert_eq!(revents(listener), Events::empty());
    assert_eq!(revents(-1), Events::empty());
    assert_eq!(revents(9999), Events::NVAL);
    let fresh = machine.socket(libc::AF_INET, libc::SOCK_STREAM, 0).unwrap();
    assert_eq!(revents(fresh), Events::OUT | Events::HUP);
    let mut peer = Peer::new(4000, 8080);
    peer.open(&machine);
    assert_eq!(revents(listener), Events::IN);
    let (fd, _) = machine.accept(listener).unwrap();
    assert_eq!((revents(listener), revents(fd)), (Events::empty(), Events::OUT));
    peer.send(&machine, "P.", b"x");
    assert_eq!(revents(fd), Events::IN | Events::OUT);
    peer.send(&machine, "F.", b"");
    assert_eq!(revents(fd), Events::IN | Events::OUT | Events::RDHUP);
    machine.shutdown(fd, libc::SHUT_WR).unwrap();
    assert_eq!(
        revents(fd),
        Events::IN | Events::OUT | Events::RDHUP | Events::HUP
    );
}

#[test]
fn a_full_buffer_cannot_be_written_until_the_peer_makes_room() {
    let machine = machine("");
    let (_, fd, mut peer) = connected(&machine);
    nonblocking(&machine, fd);
    machine
        .setsockopt(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, &8192i32.to_ne_bytes())
        .unwrap();
    assert_eq!(machine.write(fd, &[7; 10_000]).unwrap(), 8192);
    assert_eq!(errno(machine.write(fd, &[7; 10_000])), libc::EAGAIN);
    let mut rows = [row(fd, Events::OUT)];
    let before = machine.gettimeofday().unwrap();
    assert_eq!(machine.poll(&mut rows, 50).unwrap(), 0);
    assert_eq!(machine.gettimeofday().unwrap() - before, 50_001);
    for _ in 0..6 {
        peer.ack = next(&machine).seq + 1460;
        if peer.ack % 2 == 0 {}
    }
    peer.send(&machine, ".", b"");
    assert_eq!(machine.poll(&mut rows, 50).unwrap(), 1);
    assert_eq!(rows[0].revents, Events::OUT);
}

#[test]
fn epoll_by_level_by_edge_and_once() {
    let machine = machine("");
    let (_, fd, mut peer) = connected(&machine);
    let set = machine.epoll_create(1).unwrap();
    let interest = |events: i32| {
        Some(Interest {
            events: events as u32,
            data: 77,
        })
    };
    let told = || machine.epoll_wait(set, 10, 0).unwrap();
    let input = [Interest {
        events: libc::EPOLLIN as u32,
        data: 77,
    }];
    machine
        .epoll_ctl(set, Change::Add, fd, interest(libc::EPOLLIN))
        .unwrap();
    assert_eq!(
        errno(machine.epoll_ctl(set, Change::Add, fd, interest(0))),
        libc::EEXIST
    );
    assert_eq!(told(), []);
    peer.send(&machine, "P.", b"one");
    assert_eq!((told(), told()), (input.to_vec(), input.to_vec()));
    // By edge: told once for each arrival, though nothing was read.
    machine
        .epoll_ctl(set, Change::Modify, fd, interest(libc::EPOLLIN | libc::EPOLLET))
        .unwrap();
    assert_eq!((told(), told()), (input.to_vec(), vec![]));
    peer.send(&machine, "P.", b"two");
    assert_eq!((told(), told()), (input.to_vec(), vec![]));
    // Once, until asked again.
    let once = libc::EPOLLIN | libc::EPOLLONESHOT;
    machine
        .epoll_ctl(set, Change::Modify, fd, interest(once))
        .unwrap();
    assert_eq!((told(), told()), (input.to_vec(), vec![]));
    machine
        .epoll_ctl(set, Change::Modify, fd, interest(once))
        .unwrap();
    assert_eq!(told(), input);
    // A set is ready when something in it is.
    machine
        .epoll_ctl(set, Change::Modify, fd, interest(libc::EPOLLIN))
        .unwrap();
    let mut rows = [row(set, Events::IN)];
    assert_eq!(machine.poll(&mut rows, 0).unwrap(), 1);
    machine.epoll_ctl(set, Change::Remove, fd, None).unwrap();
    assert_eq!(
        errno(machine.epoll_ctl(set, Change::Remove, fd, None)),
        libc::ENOENT
    );
    assert_eq!(errno(machine.epoll_ctl(set, Change::Add, fd, None)), libc::EFAULT);
    assert_eq!(
        errno(machine.epoll_ctl(set, Change::Add, set, interest(0))),
        libc::EINVAL
    );
    // What is closed is told no more.
    machine
        .epoll_ctl(set, Change::Add, fd, interest(libc::EPOLLIN))
        .unwrap();
    machine.close(fd).unwrap();
    assert_eq!(told(), []);
}

#[test]
fn splicing_through_a_pipe() {
    let machine = machine("");
    let (_, fd, mut peer) = connected(&machine);
    let (read, write) = machine.pipe().unwrap();
    peer.send(&machine, "P.", b"through the pipe");
    assert_eq!(machine.splice(fd, write, 7, 0).unwrap(), 7);
    assert_eq!(machine.ioctl(read, Ioctl::Readable, 0).unwrap(), 7);
    assert_eq!(machine.splice(fd, write, 100, 0).unwrap(), 9);
    assert_eq!(machine.splice(read, fd, 100, 0).unwrap(), 16);
    assert_eq!(peer.expect(&machine, "P.").data, b"through the pipe");
    assert_eq!(
        errno(machine.splice(read, fd, 100, libc::SPLICE_F_NONBLOCK)),
        libc::EAGAIN
    );
    assert_eq!(
        errno(machine.splice(fd, write, 100, libc::SPLICE_F_NONBLOCK)),
        libc::EAGAIN
    );
    assert_eq!(errno(machine.splice(fd, read, 100, 0)), libc::EINVAL);
    // The pipe is the operating system's.
    assert_eq!(machine.write(write, b"as it is").unwrap(), 8);
    assert_eq!(text(&machine, read), "as it is");
    let mut rows = [row(read, Events::IN), row(write, Events::OUT)];
    assert_eq!(machine.poll(&mut rows, 0).unwrap(), 1);
    assert_eq!(rows[1].revents, Events::OUT);
}

/// A descriptor that the program has closed through the operating system, and its number used for something else.
#[test]
fn descriptors_closed_behind_our_back() {
    let machine = machine("");
    let fd = machine.socket(libc::AF_INET, libc::SOCK_STREAM, 0).unwrap();
    // As close(2) would.
    drop(take(fd));
    let file = fs::File::open("/dev/null").unwrap();
    let mut others = vec![file];
    while others.last().unwrap().as_raw_fd() != fd {
        others.push(fs::File::open("/dev/null").unwrap());
        assert!(others.len() < 1000, "another test took the number");
    }
    assert_eq!(errno(machine.listen(fd, 1)), libc::EBADF);
    machine.close_all();
    // It is still what it became.
    assert!(others.last().unwrap().metadata().is_ok());
    let mine = others.pop().unwrap().into_raw_fd();
    drop(take(mine));
}
/// Takes a number for a descriptor of our own.
#[allow(unsafe_code)]
fn take(fd: i32) -> OwnedFd {
    // SAFETY: the test stands for a program that closes it; nobody else uses it after.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

#[test]
fn a_capture_of_both_ways() {
    let dir = std::env::temp_dir().join(format!("sockeye-plugin-{}.pcapng", std::process::id()));
    let machine = machine(&format!("trace={}", dir.display()));
    connected(&machine);
    // Whole at any time, also before the end: three segments and their comments.
    let capture = fs::read(&dir).unwrap();
    fs::remove_file(&dir).unwrap();
    let starts = (0..capture.len() / 4).filter(|n| capture[n * 4..].starts_with(&6u32.to_le_bytes()));
    assert!(starts.count() >= 3);
    assert!(String::from_utf8_lossy(&capture).contains("Captured by Sockeye"));
    let nowhere: Settings = "trace=/nowhere/at/all.pcapng".parse().unwrap();
    assert_eq!(errno(Machine::new(&nowhere)), libc::ENOENT);
}

#[test]
fn the_same_seed_gives_the_same_packets() {
    let run = |flags: &str| {
        let machine = machine(flags);
        let (_, fd, mut peer) = connected(&machine);
        machine.write(fd, b"hello").unwrap();
        let segment = peer.expect(&machine, "P.");
        (segment, machine.gettimeofday().unwrap())
    };
    assert_eq!(run("seed=7"), run("seed=7"));
    assert_ne!(run("seed=7"), run("seed=8"));
}
