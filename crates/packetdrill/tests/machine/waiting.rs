//! Calls that wait, in threads, on virtual time.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};

use sockeye_packetdrill::machine::{Events, Machine, PollRow};

use crate::peer::{Peer, THEIRS, connected, listener, name, next};
use crate::{errno, machine, text};

/// Runs a call in another thread; returns when that thread sleeps in the operating system.
fn start<R: Send + 'static>(
    machine: &Arc<Machine>,
    call: impl FnOnce(&Machine) -> R + Send + 'static,
) -> JoinHandle<R> {
    let (tell, told): (_, Receiver<i32>) = channel();
    let machine = machine.clone();
    let thread = thread::spawn(move || {
        tell.send(rustix::thread::gettid().as_raw_nonzero().get())
            .unwrap();
        call(&machine)
    });
    let tid = told.recv().unwrap();
    while !thread.is_finished() && !sleeps(tid) {
        thread::yield_now();
    }
    thread
}
/// Whether a thread sleeps, as programs look at it that mark calls as blocking.
fn sleeps(tid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{tid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with('S'))
}

/// As [`start`], and the caller does nothing from then on but wait for the thread.
fn alone<R: Send + 'static>(machine: &Arc<Machine>, call: impl FnOnce(&Machine) -> R + Send + 'static) -> R {
    start(machine, call).join().unwrap()
}

/// What the clock shows, in microseconds, and what `call` gave.
fn timed<R>(machine: &Machine, call: impl FnOnce(&Machine) -> R) -> (R, u64) {
    let result = call(machine);
    (result, machine.gettimeofday().unwrap())
}

#[test]
fn accept_waits_for_the_handshake() {
    let machine = Arc::new(machine(""));
    let listener = listener(&machine);
    let thread = start(&machine, move |machine| {
        timed(machine, |m| m.accept(listener).unwrap())
    });
    let began = machine.gettimeofday().unwrap();
    machine.usleep(100_000).unwrap();
    let mut peer = Peer::new(4000, 8080);
    peer.open(&machine);
    // The clock stands until the other thread has looked at it.
    let after = machine.gettimeofday().unwrap();
    let ((_, from), at) = thread.join().unwrap();
    assert_eq!(from, name(THEIRS, 4000));
    assert_eq!((at - began, after - began), (100_001, 100_002));
}

/// Two hundred times the same: the same octets at the same time, whatever the scheduler does.
#[test]
fn two_hundred_blocking_reads_give_equal_results() {
    let run = || {
        let machine = Arc::new(machine("seed=3"));
        let (_, fd, mut peer) = connected(&machine);
        let mut seen = Vec::new();
        for round in 0..3 {
            let thread = start(&machine, move |machine| timed(machine, |m| text(m, fd)));
            machine.usleep(50_000).unwrap();
            // Two segments at one moment: the first wakes the reader, which must not see the second.
            peer.send(&machine, "P.", format!("round {round}").as_bytes());
            let asked = machine.gettimeofday().unwrap();
            peer.send(&machine, "P.", b", and more");
            let answer = machine
                .netdev_receive()
                .unwrap()
                .map(|packet| (packet.at, packet.bytes));
            seen.push((thread.join().unwrap(), asked, text(&machine, fd), answer));
        }
        seen
    };
    let first = run();
    assert_eq!(first[0].0.0, "round 0");
    assert_eq!(first[2].2, ", and more");
    for _ in 1..200 {
        assert_eq!(run(), first);
    }
}

#[test]
fn a_timeout_ends_a_wait_while_the_other_thread_sleeps_past_it() {
    let machine = Arc::new(machine(""));
    let (_, fd, _) = connected(&machine);
    let began = machine.gettimeofday().unwrap();
    let thread = start(&machine, move |machine| {
        let mut rows = [PollRow {
            fd,
            events: Events::IN,
            revents: Events::empty(),
        }];
        timed(machine, |m| m.poll(&mut rows, 300).unwrap())
    });
    machine.usleep(1_000_000).unwrap();
    let after = machine.gettimeofday().unwrap();
    let (n, at) = thread.join().unwrap();
    assert_eq!((n, at - began, after - began), (0, 300_001, 1_000_001));
}

/// Nobody else does anything: the thread that waits moves the clock itself.
#[test]
fn a_wait_that_only_time_can_end() {
    let machine = Arc::new(machine(""));
    let (_, fd, _) = connected(&machine);
    let timeout: Vec<u8> = [5i64, 0].iter().flat_map(|n| n.to_ne_bytes()).collect();
    machine
        .setsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &timeout)
        .unwrap();
    let began = machine.gettimeofday().unwrap();
    let (result, at) = alone(&machine, move |machine| {
        timed(machine, |m| m.read(fd, &mut [0; 10]))
    });
    assert_eq!(errno(result), libc::EAGAIN);
    assert_eq!(at - began, 5_000_001);
}

#[test]
fn a_connection_attempt_ends_by_itself() {
    let machine = Arc::new(machine("profile=linux,set.syn_linear_timeouts=0"));
    let fd = machine.socket(libc::AF_INET, libc::SOCK_STREAM, 0).unwrap();
    let began = machine.gettimeofday().unwrap();
    let (result, at) = alone(&machine, move |machine| {
        timed(machine, |m| m.connect(fd, &name(THEIRS, 80)))
    });
    assert_eq!(errno(result), libc::ETIMEDOUT);
    assert_eq!((at - began) / 1_000_000, 127);
    // The SYN and six more, at 0, 1, 3, 7, 15, 31 and 63 s.
    let syns = std::iter::from_fn(|| machine.netdev_receive().unwrap());
    let seconds: Vec<u64> = syns.map(|packet| packet.at.as_millis() / 1000).collect();
    assert_eq!(seconds, [0, 1, 3, 7, 15, 31, 63]);
}

#[test]
fn a_single_thread_may_wait_too() {
    let machine = machine("");
    let fd = machine.socket(libc::AF_INET, libc::SOCK_STREAM, 0).unwrap();
    let began = machine.gettimeofday().unwrap();
    assert_eq!(errno(machine.connect(fd, &name(THEIRS, 80))), libc::ETIMEDOUT);
    assert!(machine.gettimeofday().unwrap() - began >= 180_000_000); // MUST-23
}

#[test]
fn connect_and_write_wait_for_the_peer() {
    let machine = Arc::new(machine(""));
    let fd = machine.socket(libc::AF_INET, libc::SOCK_STREAM, 0).unwrap();
    machine
        .setsockopt(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, &8192i32.to_ne_bytes())
        .unwrap();
    let thread = start(&machine, move |machine| machine.connect(fd, &name(THEIRS, 80)));
    let syn = next(&machine);
    let mut peer = Peer::new(80, syn.from);
    peer.ack = syn.seq + 1;
    machine.usleep(10_000).unwrap();
    peer.send(&machine, "S.", b"");
    thread.join().unwrap().unwrap();
    peer.expect(&machine, ".");
    // All of it is taken, though the buffer holds less.
    let thread = start(&machine, move |machine| machine.write(fd, &[7; 50_000]).unwrap());
    let mut received = 0;
    while received < 50_000 {
        let segment = next(&machine);
        received = segment.seq.wrapping_sub(syn.seq + 1) as usize + segment.data.len();
        peer.ack = segment.seq + segment.data.len() as u32;
        peer.send(&machine, ".", b"");
    }
    assert_eq!(thread.join().unwrap(), 50_000);
}

#[test]
fn an_epoll_set_waits() {
    let machine = Arc::new(machine(""));
    let (_, fd, mut peer) = connected(&machine);
    let set = machine.epoll_create(1).unwrap();
    let interest = sockeye_packetdrill::machine::Interest {
        events: libc::EPOLLIN as u32 | libc::EPOLLET as u32,
        data: 5,
    };
    let add = sockeye_packetdrill::machine::Change::Add;
    machine.epoll_ctl(set, add, fd, Some(interest)).unwrap();
    let thread = start(&machine, move |machine| {
        timed(machine, |m| m.epoll_wait(set, 5, -1).unwrap())
    });
    let began = machine.gettimeofday().unwrap();
    machine.usleep(20_000).unwrap();
    peer.send(&machine, "P.", b"x");
    machine.usleep(20_000).unwrap();
    let (told, at) = thread.join().unwrap();
    assert_eq!((told[0].data, at - began), (5, 20_001));
    assert_eq!(machine.epoll_wait(set, 5, 30).unwrap(), []);
    // More, though the first has not been read.
    let thread = start(&machine, move |machine| {
        timed(machine, |m| m.epoll_wait(set, 5, -1).unwrap())
    });
    let began = machine.gettimeofday().unwrap();
    peer.send(&machine, "P.", b"y");
    assert_eq!(machine.gettimeofday().unwrap() - began, 2);
    let (told, at) = thread.join().unwrap();
    assert_eq!((told[0].data, at - began), (5, 1));
}

#[test]
fn an_hour_with_a_connection_that_is_kept_alive() {
    let machine = machine("set.keepalive_idle=1min");
    let (_, fd, mut peer) = connected(&machine);
    machine
        .setsockopt(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, &1i32.to_ne_bytes())
        .unwrap();
    let wall = std::time::Instant::now();
    let began = machine.gettimeofday().unwrap();
    let mut probes = 0;
    while machine.gettimeofday().unwrap() - began < 3_600_000_000 {
        peer.expect(&machine, ".");
        peer.ack += 1; // a probe lies one before what comes next
        peer.send(&machine, ".", b"");
        probes += 1;
    }
    assert_eq!(probes, 60);
    assert!(machine.sockets().contains("ESTABLISHED"));
    // Not a measurement: it took an hour, or it did not.
    let wall = wall.elapsed();
    println!("an hour of keepalive in {wall:?}");
    assert!(wall.as_secs() < 10);
    // Nobody answers any more: it ends, within one call.
    machine.usleep(3_600_000_000).unwrap();
    assert_eq!(errno(machine.read(fd, &mut [0])), libc::ETIMEDOUT);
}

#[test]
fn the_end_of_a_machine_ends_all_waiting() {
    let machine = Arc::new(machine(""));
    let listener = listener(&machine);
    let thread = start(&machine, move |machine| machine.accept(listener));
    machine.close_all();
    assert_eq!(errno(thread.join().unwrap()), libc::EBADF);
    assert_eq!(errno(machine.gettimeofday()), libc::EBADF);
    assert_eq!(
        errno(machine.socket(libc::AF_INET, libc::SOCK_STREAM, 0)),
        libc::EBADF
    );
    assert_eq!(machine.sockets(), "");
}

/// A thread that was woken and never asks what time it is does not stop time for ever: it may wait for us.
#[test]
fn a_thread_that_does_not_ask_the_time_holds_nobody_up() {
    let machine = Arc::new(machine(""));
    let (_, fd, mut peer) = connected(&machine);
    let (go, gone) = channel::<()>();
    let thread = start(&machine, move |machine| {
        let text = text(machine, fd);
        gone.recv().unwrap();
        text
    });
    peer.send(&machine, "P.", b"x");
    let began = machine.gettimeofday().unwrap();
    machine.usleep(1_000_000).unwrap();
    assert_eq!(machine.gettimeofday().unwrap() - began, 1_000_001);
    go.send(()).unwrap();
    assert_eq!(thread.join().unwrap(), "x");
}
