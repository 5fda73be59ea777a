//! What servers need of UDP sockets beyond tokio's methods: several datagrams in one call, where a datagram was sent to,
//! errors that the network reported, and room for bursts.

mod batch;
#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod os;
#[cfg(not(target_os = "linux"))]
#[path = "other.rs"]
mod os;
mod wait;

use std::io;
use std::net::{IpAddr, SocketAddr};
#[cfg(target_os = "linux")]
use std::task::Poll;

use crate::net::{Net, Place};
use crate::udp::{Inner, UdpSocket, receive};

pub use batch::Batch;

/// A datagram's receipt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received {
    /// Octets, as copied.
    pub len: usize,
    /// Who sent it.
    pub from: SocketAddr,
    /// The address of ours that it was sent to, if [`BatchSocket::set_receive_destination`] asked for it.
    pub to: Option<IpAddr>,
}

/// A UDP socket for servers. On the operating system it waits for reading only: to be told of room for writing after each
/// datagram, as [`UdpSocket`] is, wakes a server that answers each datagram with one twice as often as it needs.
#[derive(Debug)]
pub struct BatchSocket(Kind);

#[derive(Debug)]
enum Kind {
    /// A tokio runtime waits for it.
    Os(wait::Socket),
    /// A lane waits for it, or a thread.
    #[cfg(target_os = "linux")]
    Bare(std::net::UdpSocket),
    Net(UdpSocket),
}

/// A socket without who waits for it.
enum Face<'a> {
    Os(&'a std::net::UdpSocket),
    Net(&'a UdpSocket),
}

/// How long to wait for room to send, where the system does not tell.
const ROOM: std::time::Duration = std::time::Duration::from_millis(1);

impl BatchSocket {
    /// Binds to `addr`. Port 0 chooses one.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`.
    pub fn bind(net: &Net, addr: SocketAddr) -> io::Result<BatchSocket> {
        Ok(BatchSocket(match &net.0 {
            Place::Os => Kind::Os(wait::bind(addr)?),
            Place::Stack(host) => Kind::Net(UdpSocket::bind_stack(
                host,
                addr,
                sockeye_stack::udp::UdpOptions::default(),
            )?),
        }))
    }
    /// Binds to `addr`, for a [`Lane`](crate::lane::Lane) or a thread: of what waits, only [`BatchSocket::recv_until`] and
    /// [`BatchSocket::recv_within`] can be called.
    ///
    /// # Errors
    /// `Unsupported` on a stack; as [`BatchSocket::bind`].
    #[cfg(target_os = "linux")]
    pub fn bind_for_lane(net: &Net, addr: SocketAddr) -> io::Result<BatchSocket> {
        let Place::Os = net.0 else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let socket = std::net::UdpSocket::bind(addr)?;
        socket.set_nonblocking(true)?;
        Ok(BatchSocket(Kind::Bare(socket)))
    }
    /// Where it is, for what does not wait.
    fn face(&self) -> Face<'_> {
        match &self.0 {
            Kind::Os(os) => Face::Os(os.get_ref()),
            #[cfg(target_os = "linux")]
            Kind::Bare(socket) => Face::Os(socket),
            Kind::Net(socket) => Face::Net(socket),
        }
    }
    /// Whether it was bound [for a lane](BatchSocket::bind_for_lane).
    #[cfg(target_os = "linux")]
    pub fn is_for_lane(&self) -> bool {
        matches!(self.0, Kind::Bare(_))
    }
    /// What a lane watches.
    #[cfg(target_os = "linux")]
    pub(crate) fn descriptor(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        match self.face() {
            Face::Os(os) => Some(std::os::fd::AsFd::as_fd(os)),
            Face::Net(_) => None,
        }
    }
    /// The local address.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self.face() {
            Face::Os(os) => os.local_addr(),
            Face::Net(socket) => socket.local_addr(),
        }
    }
    /// Asks for room for at least `octets` of received datagrams (SO_RCVBUF); returns what it now is, in the system's own
    /// count (Linux doubles it, and counts its own structures too).
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn set_recv_buffer_size(&self, octets: usize) -> io::Result<usize> {
        match self.face() {
            Face::Os(os) => {
                let socket = socket2::SockRef::from(os);
                if socket.recv_buffer_size()? < octets {
                    socket.set_recv_buffer_size(octets)?;
                }
                socket.recv_buffer_size()
            }
            Face::Net(socket) => match &socket.0 {
                Inner::Stack(sock) => sock.make_room(octets),
                Inner::Os(_) => Ok(octets),
            },
        }
    }
    /// Reports ICMP errors also to a socket without a peer (Linux: IP_RECVERR): receiving then fails with
    /// `ConnectionRefused` when the port that something was sent to is closed. So on a stack; on other operating systems
    /// nothing changes.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn set_report_errors(&self, on: bool) -> io::Result<()> {
        match self.face() {
            Face::Os(os) => os::set_report_errors(os, on),
            Face::Net(socket) => match &socket.0 {
                Inner::Stack(sock) => sock.set(|o| o.report_errors = on),
                Inner::Os(_) => Ok(()),
            },
        }
    }
    /// Tells with each datagram where it was sent to (Linux: IP_PKTINFO): see [`BatchSocket::try_recv_msg`].
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn set_receive_destination(&self, on: bool) -> io::Result<()> {
        match self.face() {
            Face::Os(os) => os::set_receive_destination(os, on),
            Face::Net(_) => Ok(()),
        }
    }
    /// Receives a datagram, without waiting, and says where it was sent to.
    ///
    /// # Errors
    /// `WouldBlock` if none is there.
    pub fn try_recv_msg(&self, buf: &mut [u8]) -> io::Result<Received> {
        match self.face() {
            Face::Os(os) => os::try_recv_msg(os, buf),
            Face::Net(socket) => match &socket.0 {
                Inner::Stack(sock) => sock.call(|socket| receive(socket, buf)),
                Inner::Os(_) => socket
                    .try_recv_from(buf)
                    .map(|(len, from)| Received { len, from, to: None }),
            },
        }
    }
    /// As [`UdpSocket::try_recv_from`].
    ///
    /// # Errors
    /// `WouldBlock` if none is there.
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match self.face() {
            Face::Os(os) => os.recv_from(buf),
            Face::Net(socket) => socket.try_recv_from(buf),
        }
    }
    /// As [`UdpSocket::recv_from`].
    ///
    /// # Errors
    /// As there.
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match &self.0 {
            Kind::Os(os) => wait::async_read(os, |socket| socket.recv_from(buf)).await,
            #[cfg(target_os = "linux")]
            Kind::Bare(_) => Err(io::ErrorKind::Unsupported.into()),
            Kind::Net(socket) => socket.recv_from(buf).await,
        }
    }
    /// As [`BatchSocket::recv_from`], but the datagram is taken to be the only one that is there, which saves a call that
    /// finds nothing. If another one came with it, the next wait does not see it until one more comes: look for it with
    /// [`BatchSocket::try_recv_from`] first. For protocols in lockstep, where each side waits for the other.
    ///
    /// # Errors
    /// As there.
    pub async fn recv_one_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match &self.0 {
            Kind::Os(os) => loop {
                let mut guard = os.ready(wait::READ).await?;
                match guard.try_io(|socket| socket.get_ref().recv_from(buf)) {
                    Ok(Ok(came)) => {
                        guard.clear_ready();
                        return Ok(came);
                    }
                    Ok(error) => return error,
                    Err(_) => {} // nothing there after all: it waits again
                }
            },
            #[cfg(target_os = "linux")]
            Kind::Bare(_) => Err(io::ErrorKind::Unsupported.into()),
            Kind::Net(socket) => socket.recv_from(buf).await,
        }
    }
    /// In a conversation of a [`Lane`](crate::lane::Lane): receives a datagram, or nothing when `deadline` has come or
    /// the conversation was woken by its waker. With `look` false none is expected to be there yet, which saves a call
    /// that finds nothing; one that is there after all is found when another one comes, or at the deadline.
    ///
    /// # Errors
    /// Those of the operating system; `Unsupported` if it is not [for a lane](BatchSocket::bind_for_lane).
    #[cfg(target_os = "linux")]
    pub async fn recv_until(
        &self,
        buf: &mut [u8],
        mut look: bool,
        deadline: Option<std::time::Instant>,
    ) -> io::Result<Option<(usize, SocketAddr)>> {
        let Kind::Bare(socket) = &self.0 else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let mut waited = false;
        std::future::poll_fn(|_| {
            if look {
                match os::recv(socket, buf, false) {
                    Err(error) if is_early(&error) => {}
                    result => return Poll::Ready(result.map(Some)),
                }
                if waited {
                    return Poll::Ready(Ok(None));
                }
            }
            (look, waited) = (true, true);
            if let Some(at) = deadline {
                crate::lane::wake_at(at);
            }
            Poll::Pending
        })
        .await
    }
    /// Takes a socket that was bound [for a lane](BatchSocket::bind_for_lane) to a thread of its own: from now on sending
    /// blocks, and [`BatchSocket::recv_within`] does for about so long (at least a millisecond). May be called again for
    /// another time.
    ///
    /// # Errors
    /// Those of the operating system; `Unsupported` if it was not bound so.
    #[cfg(target_os = "linux")]
    pub fn set_blocking(&self, within: std::time::Duration) -> io::Result<()> {
        let Kind::Bare(socket) = &self.0 else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(within.max(std::time::Duration::from_millis(1))))
    }
    /// On a socket [for a lane](BatchSocket::bind_for_lane) or a thread: receives a datagram, or nothing if none came in the time
    /// that [`BatchSocket::set_blocking`] set; without that, if none is there.
    ///
    /// # Errors
    /// Those of the operating system.
    #[cfg(target_os = "linux")]
    pub fn recv_within(&self, buf: &mut [u8]) -> io::Result<Option<(usize, SocketAddr)>> {
        let Face::Os(socket) = self.face() else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        match os::recv(socket, buf, false) {
            Err(error) if is_early(&error) => Ok(None),
            result => result.map(Some),
        }
    }
    /// After [`BatchSocket::set_blocking`]: looks for a datagram again and again for about so long, without sleeping. Other
    /// threads may run in between. To be woken costs more than an answer takes that comes from the same machine or the
    /// next one.
    ///
    /// # Errors
    /// Those of the operating system.
    #[cfg(target_os = "linux")]
    pub fn recv_watching(
        &self,
        buf: &mut [u8],
        most: std::time::Duration,
    ) -> io::Result<Option<(usize, SocketAddr)>> {
        let Face::Os(socket) = self.face() else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let began = std::time::Instant::now();
        loop {
            match os::recv(socket, buf, true) {
                Err(error) if is_early(&error) => {}
                result => return result.map(Some),
            }
            if began.elapsed() >= most {
                return Ok(None);
            }
            std::thread::yield_now();
        }
    }
    /// As [`BatchSocket::try_recv_msg`], waiting until one is there.
    ///
    /// # Errors
    /// Those of the operating system.
    pub async fn recv_msg(&self, buf: &mut [u8]) -> io::Result<Received> {
        match &self.0 {
            Kind::Os(os) => wait::async_read(os, |socket| os::try_recv_msg(socket, buf)).await,
            #[cfg(target_os = "linux")]
            Kind::Bare(_) => Err(io::ErrorKind::Unsupported.into()),
            Kind::Net(socket) => loop {
                match self.try_recv_msg(buf) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.readable().await?,
                    result => return result,
                }
            },
        }
    }
    /// As [`UdpSocket::try_send_to`].
    ///
    /// # Errors
    /// `WouldBlock` if there is no room.
    pub fn try_send_to(&self, buf: &[u8], to: SocketAddr) -> io::Result<usize> {
        match self.face() {
            Face::Os(os) => os.send_to(buf, to),
            Face::Net(socket) => socket.try_send_to(buf, to),
        }
    }
    /// As [`UdpSocket::send_to`], from the local address `from` if that is given and the operating system's socket is bound
    /// to none.
    ///
    /// # Errors
    /// As there.
    pub async fn send_to(&self, buf: &[u8], to: SocketAddr, from: Option<IpAddr>) -> io::Result<usize> {
        match self.face() {
            Face::Os(os) => loop {
                match send_one(os, buf, to, from) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(ROOM).await,
                    result => return result,
                }
            },
            Face::Net(socket) => socket.send_to(buf, to).await,
        }
    }
    fn try_send_one(&self, datagram: &[u8], to: SocketAddr, from: Option<IpAddr>) -> io::Result<usize> {
        match self.face() {
            Face::Os(os) => send_one(os, datagram, to, from),
            Face::Net(socket) => socket.try_send_to(datagram, to),
        }
    }
    fn try_send_segments(
        &self,
        octets: &[u8],
        length: usize,
        to: SocketAddr,
        from: Option<IpAddr>,
    ) -> io::Result<()> {
        match (self.face(), u16::try_from(length)) {
            (Face::Os(os), Ok(length)) => os::try_send(os, octets, Some(length), to, from),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

fn send_one(
    os: &std::net::UdpSocket,
    datagram: &[u8],
    to: SocketAddr,
    from: Option<IpAddr>,
) -> io::Result<usize> {
    match from {
        Some(_) => os::try_send(os, datagram, None, to, from).map(|()| datagram.len()),
        None => os::send(os, datagram, to),
    }
}

/// Nothing is there yet, or not in the time that was given.
#[cfg(target_os = "linux")]
fn is_early(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_batch_arrives_as_single_datagrams() {
        let net = Net::os();
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let to = BatchSocket::bind(&net, address.parse().unwrap()).unwrap();
            to.set_receive_destination(true).unwrap();
            assert!(to.set_recv_buffer_size(100_000).unwrap() >= 100_000);
            let from = BatchSocket::bind(&net, address.parse().unwrap()).unwrap();
            let target = to.local_addr().unwrap();
            let datagrams: Vec<Vec<u8>> = (0..100u8)
                .map(|n| vec![n; if n == 99 { 3 } else { 1400 }])
                .collect();
            let octets = datagrams.concat();
            let (mut batch, mut sent, mut buf) = (Batch::default(), 0, [0; 2000]);
            let mut read = 0;
            while read < datagrams.len() {
                if sent < octets.len() {
                    let source = (sent > 0).then_some(target.ip()); // to itself: the same address
                    sent += batch
                        .try_send(&from, &octets[sent..], 1400, target, source)
                        .unwrap();
                }
                while read < sent.div_ceil(1400) {
                    let got = to.recv_msg(&mut buf).await.unwrap();
                    assert_eq!(&buf[..got.len], datagrams[read]);
                    assert_eq!(got.from, from.local_addr().unwrap());
                    assert_eq!(got.to, Some(target.ip()));
                    read += 1;
                }
            }
        }
    }

    #[tokio::test]
    async fn what_came_with_another_is_found_by_looking() {
        let net = Net::os();
        let to = BatchSocket::bind(&net, "127.0.0.1:0".parse().unwrap()).unwrap();
        let from = BatchSocket::bind(&net, "127.0.0.1:0".parse().unwrap()).unwrap();
        let target = to.local_addr().unwrap();
        let mut buf = [0; 16];
        for _ in 0..3 {
            from.send_to(b"one", target, None).await.unwrap();
            from.send_to(b"three", target, None).await.unwrap();
            assert_eq!(to.recv_one_from(&mut buf).await.unwrap().0, 3);
            assert_eq!(to.try_recv_from(&mut buf).unwrap().0, 5);
            // What comes later is announced.
            let later = async {
                tokio::task::yield_now().await;
                from.send_to(b"later", target, None).await.unwrap();
            };
            let (came, ()) = tokio::join!(to.recv_one_from(&mut buf), later);
            assert_eq!(came.unwrap().0, 5);
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_datagram_has_the_address_that_it_is_sent_from() {
        let net = Net::os();
        let to = BatchSocket::bind(&net, "127.0.0.1:0".parse().unwrap()).unwrap();
        let everywhere = BatchSocket::bind(&net, "0.0.0.0:0".parse().unwrap()).unwrap();
        let (target, ip) = (to.local_addr().unwrap(), "127.0.0.3".parse().unwrap());
        everywhere.send_to(b"one", target, Some(ip)).await.unwrap();
        let (n, from) = to.recv_from(&mut [0; 16]).await.unwrap();
        assert_eq!((n, from.ip()), (3, ip));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_closed_port_is_reported_without_a_peer() {
        let net = Net::os();
        let gone = BatchSocket::bind(&net, "127.0.0.1:0".parse().unwrap()).unwrap();
        let target = gone.local_addr().unwrap();
        drop(gone);
        let socket = BatchSocket::bind(&net, "127.0.0.1:0".parse().unwrap()).unwrap();
        socket.set_report_errors(true).unwrap();
        socket.send_to(b"anybody?", target, None).await.unwrap();
        let error = socket.recv_from(&mut [0; 16]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
