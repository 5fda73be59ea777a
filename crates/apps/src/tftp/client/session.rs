//! A client's socket, what it has asked for, and who has answered.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;

use sockeye_net::{BatchSocket, Net};
use sockeye_stack::time::Instant;
use tokio::time::Sleep;

use super::super::packet::{self, BLKSIZE_DEFAULT, ErrorCode, Kind, Mode, OptionList};
use super::super::port::{Clock, Line, Port, Woken};
use super::super::transfer::Timing;
use super::{Error, Options, Url, window_that_fits};

/// What a wait brought.
pub(super) enum Heard {
    /// A datagram of the server, so long.
    Datagram(usize),
    /// The deadline, perhaps a little early.
    Time,
    /// Something that is no concern of the transfer.
    Nothing,
}

/// The state of a conversation. Dropped before its end, it tells the server.
pub(super) struct Session {
    pub(super) clock: Clock,
    /// What the request asks for.
    pub(super) asked: packet::Options,
    port: Port,
    /// Where requests go.
    server: SocketAddr,
    request: Vec<u8>,
    timing: Timing,
    /// Whether the peer's port, its TID, is known.
    bound: bool,
    over: bool,
}

impl Session {
    pub(super) fn new(
        net: &Net,
        server: SocketAddr,
        kind: Kind,
        url: &Url,
        options: &Options,
        size: Option<u64>,
    ) -> Result<Session, Error> {
        let any: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = BatchSocket::bind(net, SocketAddr::new(any, 0)).map_err(Error::Network)?;
        socket.set_report_errors(true).map_err(Error::Network)?;
        let buffer = socket
            .set_recv_buffer_size(options.receive_buffer / 2)
            .map_err(Error::Network)?;
        let blksize = options
            .blksize
            .map(|n| n.clamp(packet::BLKSIZE_MIN, packet::BLKSIZE_MAX));
        // A download must fit into our buffer, an upload into the server's, which is likely the system's default.
        let buffer = if kind == Kind::Read { buffer } else { 212_992 };
        let fits = window_that_fits(buffer, blksize.unwrap_or(BLKSIZE_DEFAULT)).min(32_767);
        let asked = packet::Options {
            blksize,
            timeout: options.timeout.filter(|&n| n > 0),
            // How many octets text has on the wire nobody knows beforehand, and tftpd-hpa refuses who asks.
            tsize: (options.tsize && url.mode == Mode::Octet).then(|| size.unwrap_or(0)),
            windowsize: options.windowsize.map(|n| n.clamp(1, fits)).filter(|&n| n > 1),
        };
        Ok(Session {
            clock: Clock::new(),
            request: packet::request(kind, &url.name, url.mode, &asked),
            asked,
            port: Port::new(Line::Own(socket), server, 0),
            server,
            timing: options.timing,
            bound: false,
            over: false,
        })
    }
    /// Whether the server has answered.
    pub(super) fn is_bound(&self) -> bool {
        self.bound
    }
    /// The server's answer is good: its port is the transfer's from now on.
    pub(super) fn bind(&mut self) {
        if !self.bound {
            self.bound = true;
            // From now on an ICMP error may be about what we tell a stranger.
            let _ = self.port.socket().set_report_errors(false);
        }
    }
    /// What came was no answer: go on waiting for one, from any port.
    pub(super) fn forget(&mut self) {
        if !self.bound {
            self.port.set_peer(self.server);
        }
    }
    /// The server's next datagram will be the answer to what is sent now.
    pub(super) fn expect_an_answer(&mut self) {
        self.port.expect_an_answer();
    }
    /// It is over: nothing more is to be told.
    pub(super) fn end(&mut self) {
        self.over = true;
    }
    /// The timer's bounds under these options.
    pub(super) fn timing(&self, held: &packet::Options) -> Timing {
        match held.timeout {
            Some(seconds) => self.timing.with_timeout(seconds),
            None => self.timing,
        }
    }

    pub(super) async fn send(&mut self, datagram: &[u8]) -> Result<(), Error> {
        self.port.send_one(datagram).await.map_err(Error::Network)
    }
    pub(super) async fn send_request(&mut self) -> Result<(), Error> {
        self.port.set_peer(self.server);
        self.port.send_one(&self.request).await.map_err(Error::Network)
    }
    /// Sends several datagrams, `length` octets each and the last one what is left.
    pub(super) async fn send_all(&mut self, datagrams: &[u8], length: usize) -> Result<(), Error> {
        self.port.send(datagrams, length).await.map_err(Error::Network)
    }
    /// Ends the transfer and tells the server why.
    pub(super) async fn abort(&mut self, code: ErrorCode, text: &str) {
        self.over = true;
        // What cannot be told the server will find out.
        let _ = self.port.send_one(&packet::error(code, text)).await;
    }
    /// Takes over the options of an OACK.
    pub(super) async fn accept(&mut self, list: OptionList<'_>) -> Result<packet::Options, Error> {
        self.bind();
        let problem = match packet::Options::read(list) {
            Err(bad) => Some(bad.to_string()),
            Ok(held) => {
                let more = |got: Option<u64>, asked: Option<u64>| {
                    got.is_some_and(|got| asked.is_none_or(|a| got > a))
                };
                let (asked, wide) = (&self.asked, |n: Option<u16>| n.map(u64::from));
                if more(wide(held.blksize), wide(asked.blksize)) {
                    Some("blksize that was not asked for".into())
                } else if more(wide(held.windowsize), wide(asked.windowsize)) {
                    Some("windowsize that was not asked for".into())
                } else if held.timeout.is_some() && held.timeout != asked.timeout {
                    Some("timeout that was not asked for".into())
                } else if held.tsize.is_some() && asked.tsize.is_none() {
                    Some("tsize that was not asked for".into())
                } else {
                    return Ok(held);
                }
            }
        };
        let text = problem.unwrap_or_default();
        self.abort(ErrorCode::OPTION, &text).await;
        Err(Error::Protocol(text))
    }

    /// Waits for the server. Strangers are told off.
    pub(super) async fn wait(
        &mut self,
        buf: &mut [u8],
        sleeper: Pin<&mut Sleep>,
        deadline: Option<Instant>,
    ) -> Result<Heard, Error> {
        let clock = self.clock;
        match self.port.wait(buf, &clock, sleeper, deadline).await {
            Ok(Woken::Time) => Ok(Heard::Time),
            Ok(Woken::Datagram(n, from)) if self.bound && from == self.port.peer() => Ok(Heard::Datagram(n)),
            Ok(Woken::Datagram(n, from)) if !self.bound && from.ip() == self.server.ip() => {
                // RFC 1350 section 4: the port that answers is the transfer's.
                self.port.set_peer(from);
                Ok(Heard::Datagram(n))
            }
            Ok(Woken::Datagram(_, stranger)) => {
                if self.bound {
                    self.port.refuse(stranger);
                }
                Ok(Heard::Nothing)
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && !self.bound => {
                self.over = true;
                Err(Error::Refused)
            }
            Err(error) if self.bound && error.kind() == io::ErrorKind::ConnectionRefused => {
                Ok(Heard::Nothing)
            }
            Err(error) => Err(Error::Network(error)),
        }
    }
}
impl Drop for Session {
    fn drop(&mut self) {
        if self.bound && !self.over {
            let error = packet::error(ErrorCode::UNDEFINED, "aborted");
            let _ = self.port.socket().try_send_to(&error, self.port.peer());
        }
    }
}
