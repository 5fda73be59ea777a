//! A TFTP server.
//!
//! One task listens. Each transfer is a small future of its own (about two kilobytes until data flow), and a few threads
//! carry all of them on: see [`Options::threads`]. What a peer sends is bounded everywhere: requests above the limit on
//! transfers are dropped, single-port queues hold a window, blocks beyond the window are dropped.
//!
//! ```text
//!   request ──▶ listener ──▶ a lane: epoll over its transfers' sockets
//!                              │ the client answers, much is left, a seat is free
//!                              ▼
//!                            a seat: a thread that blocks in receiving
//! ```
//!
//! On a stack, on a single port and off Linux transfers are tasks of tokio.

mod crew;
mod download;
#[cfg(target_os = "linux")]
mod in_lane;
mod options;
mod seats;
#[cfg(test)]
mod tests;
mod ticket;
mod upload;
mod workers;

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use sockeye_net::{BatchSocket, Net, Received, lookup_host};
use sockeye_stack::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

pub use options::{Options, window_that_fits};
pub use ticket::Log;

use self::crew::{Crew, Turn};
use self::download::Download;
use self::options::{Granted, grant};
use self::seats::Seats;
use self::ticket::{Shared, Standing, Table, Ticket};
use self::upload::Upload;
use super::metrics::{Drop, Metrics};
use super::packet::{self, BadOption, ErrorCode, HEADER, Kind, Mode, Packet, Request};
use super::port::{Clock, Line, Port};
use super::rate::Limiter;
use super::record::{Outcome, Record};
use super::root::{Refused, Root, Uploads};
use super::sink::Sink;
use super::source::{Shelf, Source};
use super::transfer::{Receiver, Sender};

/// A datagram on the listening port is at most this long; longer requests lose their end and are malformed.
const LONGEST: usize = HEADER + packet::BLKSIZE_MAX as usize + 1;

/// How long a finished upload is remembered at most: a client may ask for a timeout of 255 seconds.
const LONGEST_DALLY: Duration = Duration::from_secs(12);

/// A server that has its port.
pub struct Server {
    net: Net,
    socket: Arc<BatchSocket>,
    local: SocketAddr,
    shared: Arc<Shared>,
    crew: Crew,
}

impl std::ops::Drop for Server {
    fn drop(&mut self) {
        self.shared.seats.close();
    }
}

impl Server {
    /// Opens the directory and the port. `log` is given the record of each transfer when it is over.
    ///
    /// # Errors
    /// The directory cannot be opened, or the port is taken or not allowed. The error's text says which.
    pub async fn bind(net: &Net, options: Options, log: Log) -> io::Result<Server> {
        let said = |what: String| move |e: io::Error| io::Error::new(e.kind(), format!("{what}: {e}"));
        let root = Root::open(&options.root).map_err(said(options.root.display().to_string()))?;
        let socket = listen(net, &options.listen)
            .await
            .map_err(said(options.listen.clone()))?;
        let local = socket.local_addr()?;
        socket.set_receive_destination(true)?;
        // For the requests of a room full of machines that are switched on together.
        socket.set_recv_buffer_size(1 << 20)?;
        let shared = Shared {
            limiter: Limiter::new(options.rate, options.rate_per_client),
            root,
            clock: Clock::new(),
            metrics: Arc::default(),
            log,
            table: Mutex::new(Table::default()),
            over: Notify::new(),
            superseded: AtomicU64::new(0),
            seats: Seats::new(options.threads),
            shelf: Shelf::default(),
            options,
        };
        Ok(Server {
            crew: Crew::new(net, &shared.options)?,
            net: net.clone(),
            socket: Arc::new(socket),
            local,
            shared: Arc::new(shared),
        })
    }
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }
    /// What it counts.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.shared.metrics)
    }

    /// Serves until `stop` is there; then no request is taken any more, and it returns when the running transfers are
    /// over: of an upload, when the file is there and acknowledged. To stop at once drop the future: what was half written is removed.
    ///
    /// # Errors
    /// The listening socket fails.
    pub async fn run(self, stop: impl Future<Output = ()>) -> io::Result<()> {
        let mut stop = std::pin::pin!(stop);
        let mut tasks = JoinSet::new();
        let mut buf = vec![0; LONGEST];
        let mut stopping = false;
        loop {
            tokio::select! {
                () = &mut stop, if !stopping => stopping = true,
                _ = tasks.join_next(), if !tasks.is_empty() => {}
                () = self.shared.over.notified(), if stopping => {}
                received = self.socket.recv_msg(&mut buf) => match received {
                    Ok(received) => self.handle(&buf[..received.len], &received, &mut tasks, stopping),
                    Err(error) if error.kind() == io::ErrorKind::NetworkDown => return Err(error),
                    // An ICMP message about something sent before.
                    Err(_) => {}
                }
            }
            // An upload that waits in case its last ACK was lost is not waited for.
            if stopping && self.shared.metrics.active() == 0 {
                return Ok(());
            }
        }
    }

    /// Takes a datagram that has come to the listening port.
    fn handle(&self, datagram: &[u8], received: &Received, tasks: &mut JoinSet<()>, stopping: bool) {
        let asked = received.to.filter(|ip| !ip.is_multicast());
        let stranger = || {
            self.send_error(
                received.from,
                asked,
                ErrorCode::UNKNOWN_TID,
                "unknown transfer ID",
            )
        };
        let result = match Packet::parse(datagram) {
            Ok(Packet::Request(_)) if stopping => Err(Drop::Busy),
            Ok(Packet::Request(request)) => {
                self.handle_request(&request, datagram, received.from, asked, tasks)
            }
            Ok(other) => {
                let result = match self.shared.options.single_port {
                    true => self.shared.table().deliver(received.from, datagram),
                    // W-51: an ACK belongs to the port that the DATA came from.
                    false => Err(Drop::Stray),
                };
                if result == Err(Drop::Stray) && !matches!(other, Packet::Error { .. }) {
                    stranger();
                }
                result
            }
            Err(_) => Err(Drop::Malformed),
        };
        if let Err(why) = result {
            self.shared.metrics.dropped(why);
        }
    }

    /// Sends an ERROR from the listening port. If it is lost the client asks again.
    fn send_error(&self, to: SocketAddr, from: Option<IpAddr>, code: ErrorCode, text: &str) {
        let error = packet::error(code, text);
        let _ = sockeye_net::Batch::default().try_send(&self.socket, &error, error.len(), to, from);
    }

    /// Begins a transfer, or answers why not.
    fn handle_request(
        &self,
        request: &Request<'_>,
        datagram: &[u8],
        peer: SocketAddr,
        asked: Option<IpAddr>,
        tasks: &mut JoinSet<()>,
    ) -> Result<(), Drop> {
        let options = &self.shared.options;
        {
            let mut table = self.shared.table();
            if table.standing(peer, datagram, &self.shared.superseded) == Standing::Duplicate {
                return Err(Drop::DuplicateRequest);
            }
            let most = options.max_transfers_per_client.unwrap_or(usize::MAX);
            if table.len() >= options.max_transfers || table.of_client(peer.ip()) >= most {
                return Err(Drop::Busy);
            }
        }
        let mode = Mode::parse(request.mode);
        let mut record = Record::new(peer, request.kind, request.name, mode.unwrap_or_default());
        let mut refuse = |code: ErrorCode, text: String| {
            self.send_error(peer, asked, code, &text);
            record.outcome = Outcome::Refused(code, text);
            self.shared.metrics.ended(&record);
            (self.shared.log)(&record);
        };
        let Some(mode) = mode else {
            refuse(ErrorCode::ILLEGAL, "mode is neither octet nor netascii".into());
            return Ok(());
        };
        let wanted = match packet::Options::read(request.options) {
            Ok(wanted) => wanted,
            Err(bad @ BadOption(_)) => {
                refuse(ErrorCode::OPTION, bad.to_string());
                return Ok(());
            }
        };
        let opened = match request.kind {
            Kind::Read => self.begin_read(request, wanted, mode, datagram, peer, asked, tasks),
            Kind::Write => self.begin_write(request, wanted, mode, datagram, peer, asked, tasks),
        };
        match opened {
            Ok(()) => Ok(()),
            // Out of descriptors or ports: the client asks again, and some transfer has ended by then.
            Err(Refused::Io(error)) if is_exhausted(&error) => Err(Drop::Busy),
            Err(refused) => {
                refuse(refused.code(), refused.to_string());
                Ok(())
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what a request consists of")]
    fn begin_read(
        &self,
        request: &Request<'_>,
        wanted: packet::Options,
        mode: Mode,
        datagram: &[u8],
        peer: SocketAddr,
        asked: Option<IpAddr>,
        tasks: &mut JoinSet<()>,
    ) -> Result<(), Refused> {
        let shared = &self.shared;
        let options = &shared.options;
        let (file, size) = shared.root.read(request.name)?;
        let granted = grant(&wanted, Kind::Read, mode, size, options.peer_buffer, options);
        let book = match mode {
            Mode::Octet => shared.shelf.book(&file, granted.blksize, options.rollover),
            Mode::Netascii => None,
        };
        let mut source = Source::file(file, size, mode, granted.blksize);
        source.share(book);
        if source
            .last()
            .is_some_and(|last| last > options.rollover.max_blocks())
        {
            let text = "more than 65535 blocks: ask for a larger blksize";
            return Err(Refused::Io(io::Error::new(io::ErrorKind::FileTooLarge, text)));
        }
        let turn = self.crew.next();
        let (port, inbox) = self.line(&turn, peer, asked, 16, None)?;
        let mut record = Record::new(peer, Kind::Read, request.name, mode);
        record.options = granted.answer;
        let handshake = (!granted.answer.is_empty()).then(|| packet::option_ack(&granted.answer));
        let now = shared.clock.now();
        let Granted {
            timing,
            window,
            blksize,
            ..
        } = granted;
        let download = Download::new(
            Ticket::new(shared, record, peer, datagram, inbox),
            port,
            source,
            Sender::new(now, timing, options.rollover, window, handshake.is_some()),
            shared.limiter.join(peer.ip(), now),
            handshake,
            blksize,
        );
        let number = download.ticket.number;
        let stop = turn.download(download, tasks);
        shared.table().set_stop(peer, number, stop);
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "what a request consists of")]
    fn begin_write(
        &self,
        request: &Request<'_>,
        wanted: packet::Options,
        mode: Mode,
        datagram: &[u8],
        peer: SocketAddr,
        asked: Option<IpAddr>,
        tasks: &mut JoinSet<()>,
    ) -> Result<(), Refused> {
        let shared = &self.shared;
        let options = &shared.options;
        if options.uploads == Uploads::Off {
            return Err(Refused::Access("uploads are not allowed"));
        }
        if wanted.tsize.is_some_and(|size| size > options.max_upload) {
            return Err(Refused::DiskFull);
        }
        // Linux doubles what is asked for and counts with that.
        let room = wanted.windowsize.map(|_| options.receive_buffer / 2);
        let inbox_of = wanted.windowsize.map_or(16, |w| usize::from(w).min(256) + 16);
        let turn = self.crew.next();
        let (port, inbox) = self.line(&turn, peer, asked, inbox_of, room)?;
        let buffer = match &options.single_port {
            // All share the listening port's buffer and the inbox.
            true => options.peer_buffer,
            false => port.socket().set_recv_buffer_size(0).map_err(Refused::Io)?,
        };
        let granted = grant(&wanted, Kind::Write, mode, 0, buffer, options);
        let upload = shared.root.create(request.name, options.uploads)?;
        let mut record = Record::new(peer, Kind::Write, request.name, mode);
        record.options = granted.answer;
        let now = shared.clock.now();
        // The peer repeats its last block if our ACK was lost: that long the transfer is remembered, but not for minutes.
        let dally = (granted.timing.ceiling.max(Duration::from_secs(1)) * 2).min(LONGEST_DALLY);
        let numbers = match options.rollover {
            super::transfer::Rollover::None => Some(options.rollover),
            _ => None,
        };
        let mut receiver = Receiver::new(now, granted.timing, numbers, true, Some(dally));
        receiver.configure(granted.blksize, granted.window, granted.timing);
        let handshake = match granted.answer.is_empty() {
            true => packet::ack(0).to_vec(),
            false => packet::option_ack(&granted.answer),
        };
        let upload = Upload {
            ticket: Ticket::new(shared, record, peer, datagram, inbox),
            port,
            sink: Some(Sink::file(upload, mode, options.max_upload)),
            receiver,
            allowance: shared.limiter.join(peer.ip(), now),
            handshake,
            blksize: granted.blksize,
        };
        let number = upload.ticket.number;
        let stop = turn.upload(upload, tasks);
        shared.table().set_stop(peer, number, stop);
        Ok(())
    }

    /// The port of a new transfer, and the inbox for the table if it shares the listening one.
    #[expect(clippy::type_complexity, reason = "two halves of one thing")]
    fn line(
        &self,
        turn: &Turn<'_>,
        peer: SocketAddr,
        asked: Option<IpAddr>,
        queue: usize,
        room: Option<usize>,
    ) -> Result<(Port, Option<mpsc::Sender<Box<[u8]>>>), Refused> {
        let options = &self.shared.options;
        if options.single_port {
            let (sender, inbox) = mpsc::channel(queue);
            let socket = Arc::clone(&self.socket);
            let line = Line::Shared {
                socket,
                inbox,
                from: asked,
            };
            return Ok((Port::new(line, peer, options.duplicates), Some(sender)));
        }
        // An IPv4 client of a dual-stack socket gets an IPv4 socket.
        let ip = asked.unwrap_or(self.local.ip()).to_canonical();
        let peer = match peer.ip().to_canonical() {
            IpAddr::V4(v4) => SocketAddr::new(v4.into(), peer.port()),
            IpAddr::V6(_) => peer,
        };
        let ip = match (ip, peer) {
            (IpAddr::V6(ip), SocketAddr::V4(_)) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            _ => ip,
        };
        let bind = |port: u16| {
            let address = match (ip, peer) {
                // A link-local address needs its interface.
                (IpAddr::V6(ip), SocketAddr::V6(peer)) => {
                    SocketAddrV6::new(ip, port, 0, peer.scope_id()).into()
                }
                _ => SocketAddr::new(ip, port),
            };
            turn.bind(&self.net, address)
        };
        let line = match options.ports {
            None => bind(0),
            Some((low, high)) => {
                let count = u32::from(high.saturating_sub(low)) + 1;
                // Begin anywhere, so that ports are not used again at once.
                let start = self.shared.clock.now().as_nanos() as u32 % count;
                let ports = (0..count).map(|n| low + ((start + n) % count) as u16);
                let mut result = Err(io::ErrorKind::AddrInUse.into());
                for port in ports {
                    result = bind(port);
                    if result.is_ok() {
                        break;
                    }
                }
                result
            }
        };
        let port = Port::new(line.map_err(Refused::Io)?, peer, options.duplicates);
        if let Some(room) = room {
            port.socket().set_recv_buffer_size(room).map_err(Refused::Io)?;
        }
        Ok((port, None))
    }
}

/// Binds to the first address of a name that can be had.
async fn listen(net: &Net, address: &str) -> io::Result<BatchSocket> {
    let mut result = Err(io::ErrorKind::AddrNotAvailable.into());
    for address in lookup_host(net, address).await? {
        result = BatchSocket::bind(net, address);
        if result.is_ok() {
            break;
        }
    }
    result
}

/// No more descriptors (EMFILE, ENFILE), memory or ports.
fn is_exhausted(error: &io::Error) -> bool {
    let exhausted = [
        rustix::io::Errno::MFILE,
        rustix::io::Errno::NFILE,
        rustix::io::Errno::NOBUFS,
    ];
    error.kind() == io::ErrorKind::AddrInUse
        || error.kind() == io::ErrorKind::OutOfMemory
        || rustix::io::Errno::from_io_error(error).is_some_and(|e| exhausted.contains(&e))
}
