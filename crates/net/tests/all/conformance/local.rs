//! AF_UNIX.

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use sockeye_net::socket::{Ancillary, Family, Flags, Kind, Shutdown, Socket, UnixAddress};

use super::{NONE, World, bytes, errno};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A name that nobody has.
fn abstract_name() -> UnixAddress {
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    UnixAddress::Abstract(format!("sockeye-{}-{n}", std::process::id()).into())
}
fn path() -> PathBuf {
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("sockeye-{}-{n}", std::process::id()))
}
fn socket(world: &World, kind: Kind) -> Socket {
    Socket::new(&world.server, Family::Unix, kind).unwrap()
}

pub(crate) fn streams_by_name(world: &World) {
    for name in [abstract_name(), UnixAddress::Path(path())] {
        let listener = socket(world, Kind::Stream);
        listener.bind(&name).unwrap();
        listener.listen(5).unwrap();
        assert_eq!(listener.getsockname().unwrap(), name.clone().into());
        let client = socket(world, Kind::Stream);
        client.connect(&name).unwrap();
        client.sendall(b"before accept", NONE).unwrap();
        let (server, peer) = listener.accept().unwrap();
        assert_eq!(peer, UnixAddress::Unnamed.into());
        assert_eq!(client.getpeername().unwrap(), name.clone().into());
        assert_eq!(server.recv(99, NONE).unwrap(), b"before accept");
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(server.recv(99, NONE).unwrap(), b"");
        server.sendall(b"half-closed", NONE).unwrap();
        assert_eq!(client.recv(4, NONE).unwrap(), b"half");
        assert_eq!(client.recv(99, Flags::PEEK).unwrap(), b"-closed");
        assert_eq!(client.recv(7, Flags::WAITALL).unwrap(), b"-closed");
        assert_eq!(errno(client.send(b"x", NONE)), 32);
        // A second client waits its turn; many more do not fit.
        let others: Vec<Socket> = (0..6).map(|_| socket(world, Kind::Stream)).collect();
        others.iter().for_each(|other| other.connect(&name).unwrap());
        let late = socket(world, Kind::Stream);
        late.setblocking(false).unwrap();
        assert_eq!(late.connect_ex(&name).unwrap(), 11);
        if let UnixAddress::Path(path) = &name {
            let _ = std::fs::remove_file(path);
        }
    }
}

pub(crate) fn datagrams_by_name(world: &World) {
    let (server_name, client_name) = (abstract_name(), abstract_name());
    let server = socket(world, Kind::Datagram);
    server.bind(&server_name).unwrap();
    let client = socket(world, Kind::Datagram);
    client.sendto(b"who am I", NONE, &server_name).unwrap();
    assert_eq!(server.recvfrom(99, NONE).unwrap(), (b"who am I".into(), None));
    client.bind(&client_name).unwrap();
    client.connect(&server_name).unwrap();
    client.send(b"", NONE).unwrap();
    client.send(b"abcdef", NONE).unwrap();
    assert_eq!(
        server.recvfrom(99, NONE).unwrap(),
        (Vec::new(), Some(client_name.clone().into()))
    );
    assert_eq!(server.recv(3, NONE).unwrap(), b"abc");
    assert_eq!(errno(server.recv(3, Flags::DONTWAIT)), 11);
    server.sendto(b"answer", NONE, &client_name).unwrap();
    assert_eq!(client.recv(99, NONE).unwrap(), b"answer");
    client.setblocking(false).unwrap();
    let full = loop {
        if let Err(error) = client.send(b"x", NONE) {
            break error;
        }
    };
    assert_eq!(full.raw_os_error(), Some(11));
    server.recv(9, NONE).unwrap();
    client.send(b"x", NONE).unwrap();
    server.close();
    assert_eq!(errno(client.send(b"x", NONE)), 111);
}

pub(crate) fn pairs(world: &World) {
    let (a, b) = Socket::pair(&world.server, Kind::Stream).unwrap();
    assert_eq!(a.getpeername().unwrap(), UnixAddress::Unnamed.into());
    let data = bytes(3_000_000);
    let copy = data.clone();
    let writer = thread::spawn(move || (&a).write_all(&copy).unwrap());
    let mut all = Vec::new();
    (&b).read_to_end(&mut all).unwrap();
    writer.join().unwrap();
    assert!(all == data);
    let (a, b) = Socket::pair(&world.server, Kind::Datagram).unwrap();
    a.send(b"one", NONE).unwrap();
    a.send(b"two", NONE).unwrap();
    assert_eq!(b.recv(99, NONE).unwrap(), b"one");
    assert_eq!(b.recv(99, NONE).unwrap(), b"two");
}

/// SCM_RIGHTS.
pub(crate) fn descriptors_travel(world: &World) {
    for kind in [Kind::Stream, Kind::Datagram] {
        let (a, b) = Socket::pair(&world.server, kind).unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        let rights = vec![Ancillary::Rights(vec![OwnedFd::from(writer)])];
        assert_eq!(
            a.sendmsg(&[IoSlice::new(b"here")], rights, NONE, None).unwrap(),
            4
        );
        let mut buf = [0; 9];
        let message = b.recvmsg(&mut [IoSliceMut::new(&mut buf)], NONE).unwrap();
        assert_eq!(message.len, 4);
        let mut ancillary = message.ancillary.into_iter();
        let Some(Ancillary::Rights(mut rights)) = ancillary.next() else {
            panic!("no descriptor came")
        };
        let mut file = std::fs::File::from(rights.remove(0));
        file.write_all(b"through it").unwrap();
        drop(file);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through it");
    }
}

pub(crate) fn refusals_of_names(world: &World) {
    let name = abstract_name();
    let client = socket(world, Kind::Stream);
    assert_eq!(client.connect_ex(&name).unwrap(), 111);
    assert_eq!(client.connect_ex(path()).unwrap(), 2);
    let first = socket(world, Kind::Stream);
    first.bind(&name).unwrap();
    assert_eq!(client.connect_ex(&name).unwrap(), 111, "nobody listens");
    assert_eq!(errno(socket(world, Kind::Stream).bind(&name)), 98);
    assert_eq!(errno(first.bind(abstract_name())), 22);
    // Streams and datagrams have abstract names of their own, and share those of the file system.
    assert_eq!(socket(world, Kind::Datagram).connect_ex(&name).unwrap(), 111);
    socket(world, Kind::Datagram).bind(&name).unwrap();
    let file = path();
    let stream = socket(world, Kind::Stream);
    stream.bind(&file).unwrap();
    assert_eq!(socket(world, Kind::Datagram).connect_ex(&file).unwrap(), 91);
    assert_eq!(errno(socket(world, Kind::Datagram).bind(&file)), 98);
    let _ = std::fs::remove_file(&file);
    assert_eq!(errno(first.accept()), 22);
    assert_eq!(errno(client.send(b"x", NONE)), 107);
    assert_eq!(errno(client.recv(1, NONE)), 22);
    assert_eq!(errno(client.getpeername()), 107);
    assert_eq!(errno(socket(world, Kind::Datagram).send(b"x", NONE)), 107);
    assert_eq!(errno(socket(world, Kind::Datagram).listen(1)), 95);
    // A name is free again when its socket is gone.
    drop(first);
    socket(world, Kind::Stream).bind(&name).unwrap();
}

pub(crate) fn streams_wait_for_room(world: &World) {
    let (a, b) = Socket::pair(&world.server, Kind::Stream).unwrap();
    a.setblocking(false).unwrap();
    let data = bytes(4 << 20);
    let mut taken = 0;
    while let Ok(n) = a.send(&data[taken..], NONE) {
        taken += n;
    }
    assert!(taken > 0 && taken < data.len());
    a.setblocking(true).unwrap();
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        (&b).read_to_end(&mut all).unwrap();
        all
    });
    a.sendall(&data[taken..], NONE).unwrap();
    a.close();
    assert!(reader.join().unwrap() == data);
}

pub(crate) fn an_end_that_is_gone(world: &World) {
    let (a, b) = Socket::pair(&world.server, Kind::Stream).unwrap();
    a.sendall(b"last words", NONE).unwrap();
    a.close();
    assert_eq!(b.recv(99, NONE).unwrap(), b"last words");
    assert_eq!(b.recv(99, NONE).unwrap(), b"");
    assert_eq!(errno(b.send(b"x", NONE)), 32);
    // With data unread the other end is reset.
    let (a, b) = Socket::pair(&world.server, Kind::Stream).unwrap();
    b.sendall(b"never read", NONE).unwrap();
    a.close();
    assert_eq!(errno(b.recv(99, NONE)), 104);
    assert_eq!(b.recv(99, NONE).unwrap(), b"");
}
