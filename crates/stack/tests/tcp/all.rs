//! What happens to all connections at once: an abort (RFC 9293 section 3.10.5), and a network that is gone.

use sockeye_stack::tcp::State;
use sockeye_stack::trace::{Cause, ResetCause};
use sockeye_stack::udp::UdpOptions;
use sockeye_stack::{
    AcceptError, ConnectError, ConnectionError, InterfaceId, Readiness, RecvError, SendError, UdpError,
};

use crate::peer::{Peer, Setup, ack, data, fin, secs};

/// What the application has, what waits to be accepted, what it has closed, and half-open ones.
#[test]
fn aborting_all_tells_every_peer() {
    let mut p = Peer::new(Setup::default());
    p.listen();
    for port in [1, 2] {
        p.remote.set_port(port);
        p.handshake();
        p.accept();
    }
    let (held, listener) = (p.id.unwrap(), p.listener.unwrap());
    p.write(b"never acknowledged");
    p.ignore();
    p.remote.set_port(3);
    p.handshake();
    let closed = p.accept();
    p.stack.tcp(p.now, closed).unwrap().close();
    p.drain();
    p.expect("FIN,ACK 1 ack 1");
    p.remote.set_port(4);
    p.handshake();
    p.remote.set_port(5);
    p.send(p.syn());
    p.take();

    assert_eq!(p.stack.abort_all(p.now), 5);
    p.drain();
    let resets = p.take_all();
    assert_eq!(resets.len(), 5);
    let mut ports: Vec<u16> = resets.iter().map(|sent| sent.to).collect();
    ports.sort_unstable();
    assert_eq!(ports, [1, 2, 3, 4, 5]);
    for reset in &resets {
        assert!(reset.to_string().starts_with("RST,ACK"), "{reset}");
        assert_eq!(reset.cause, Cause::Reset(ResetCause::Abort));
    }
    p.id = Some(held);
    assert_eq!(p.sock().state(), State::Closed);
    let aborted = ConnectionError::Aborted;
    assert_eq!(p.sock().recv(&mut [0]), Err(RecvError::Connection(aborted)));
    assert_eq!(p.sock().send(b"x"), Err(SendError::BrokenPipe), "told once");
    let (unaccepted, _) = p.stack.tcp_accept(p.now, listener).unwrap().unwrap();
    assert_eq!(
        p.stack.tcp(p.now, unaccepted).unwrap().take_error(),
        Some(aborted)
    );
    p.wait(secs(300));
    p.quiet();
}

/// No peer is left out for there being many; those who have nothing to hear get nothing.
#[test]
fn aborting_all_leaves_nobody_out() {
    let mut p = Peer::new(Setup::default());
    p.listen_with(400);
    for port in 1..=400 {
        p.remote.set_port(port);
        p.handshake();
    }
    p.accept();
    p.remote.set_port(1);
    // The first has closed and waits for the last acknowledgment: both sides know of the end.
    p.sock().shutdown_send().unwrap();
    p.drain();
    let seq = p.take().segment.seq;
    p.iss = seq - 1;
    p.send(fin(1, 1));
    p.ignore();
    p.assert_state(State::Closing);
    p.stack.abort_all(p.now);
    p.drain();
    assert_eq!(p.take_all().len(), 399);
    p.assert_state(State::Closed);
}

/// A SYN that nobody answered is forgotten without a word.
#[test]
fn aborting_all_forgets_attempts() {
    let mut p = Peer::new(Setup::default());
    p.connect();
    p.take();
    p.stack.abort_all(p.now);
    p.drain();
    p.quiet();
    assert!(p.told().contains(Readiness::CLOSED | Readiness::WRITABLE));
    assert_eq!(p.sock().take_error(), Some(ConnectionError::Aborted));
}

/// What came before the network went can be read; then every call says so, for ever, and nothing is sent any more.
#[test]
fn a_network_that_is_down_is_told_by_every_call() {
    let mut p = Peer::established(Setup::default());
    p.send(data(1, 1, b"early"));
    p.write(b"late");
    p.ignore();
    let udp = p.stack.udp_socket(UdpOptions::default());
    p.stack.udp_bind(udp, "0.0.0.0:53".parse().unwrap()).unwrap();
    let listener = p.listener.unwrap();
    p.told();
    p.stack.interface_failed(p.now, InterfaceId(0));
    assert!(p.stack.is_down());
    p.drain();
    assert!(p.told().contains(Readiness::CLOSED | Readiness::READABLE));
    p.assert_state(State::Closed);
    assert_eq!(p.read_all(), b"early");
    let down = ConnectionError::NetworkDown;
    for _ in 0..2 {
        assert_eq!(p.sock().recv(&mut [0]), Err(RecvError::Connection(down)));
        assert_eq!(p.sock().send(b"x"), Err(SendError::Connection(down)));
        assert_eq!(p.sock().take_error(), Some(down));
        assert_eq!(p.stack.tcp_accept(p.now, listener), Err(AcceptError::NetworkDown));
        let to = p.remote;
        let mut udp = p.stack.udp(p.now, udp).unwrap();
        assert_eq!(udp.recv().unwrap_err(), UdpError::NetworkDown);
        assert_eq!(udp.send_to(b"x", to), Err(UdpError::NetworkDown));
        let fresh = p.stack.tcp_socket(Default::default());
        assert_eq!(
            p.stack.tcp_connect(p.now, fresh, to),
            Err(ConnectError::NetworkDown)
        );
    }
    p.send(ack(6, 1));
    p.ignore();
    p.close();
    p.wait(secs(300));
    p.quiet();
}

/// An attempt to connect ends with it, too.
#[test]
fn a_network_that_is_down_ends_attempts() {
    let mut p = Peer::new(Setup::default());
    p.connect();
    p.take();
    p.stack.interface_failed(p.now, InterfaceId(0));
    p.drain();
    assert!(p.told().contains(Readiness::CLOSED | Readiness::WRITABLE));
    assert_eq!(p.sock().take_error(), Some(ConnectionError::NetworkDown));
    p.wait(secs(300));
    p.quiet();
}
