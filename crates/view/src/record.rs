//! What is looked at: one stream of [`Record`]s, told by the stacks and by the links between them.
//!
//! Everything in this crate (ladder, capture, JSON lines, metrics) is fed record by record and knows nothing else.
//! Records come in the order of their time; those of one moment in the order in which they happened.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use sockeye_stack::iface::Cidr;
use sockeye_stack::snapshot::Snapshot;
use sockeye_stack::tcp::State;
use sockeye_stack::trace::{Cause, TraceEvent};
use sockeye_stack::{Instant, InterfaceId, Medium};

/// A host: its place in [`Cast::hosts`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct HostIndex(pub u16);

/// Something that happened at one host.
#[derive(Clone, Debug)]
pub struct Record {
    /// When, on the clock that all hosts share.
    pub at: Instant,
    /// Where.
    pub host: HostIndex,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum What {
    /// The host's stack tells of itself.
    Stack(TraceEvent),
    /// A frame entered a link, left it, or was lost or changed there.
    Wire(WireEvent),
    /// How full a listener's two queues are now.
    Backlog(Backlog),
    /// A scenario's own words.
    Note(String),
}

/// What a link does with a frame. `id` names the frame on that link; each hop has its own.
#[derive(Clone, Debug)]
pub enum WireEvent {
    /// The frame entered a link here.
    Sent {
        /// Its name, unique in the stream.
        id: u64,
        /// Its bytes, with the link header if the interface's medium has one.
        bytes: Bytes,
        /// Why it was sent.
        cause: Cause,
        /// The interface that it left by.
        interface: InterfaceId,
        /// The link, numbered by the network.
        link: u16,
    },
    /// The frame arrived here. One that was duplicated, or sent to many, arrives more than once with the same id.
    Arrived {
        /// Its name.
        id: u64,
        /// Its bytes as they arrived: a corrupted frame differs from what was sent.
        bytes: Bytes,
        /// When it entered the link.
        sent_at: Instant,
        /// Who sent it onto the link.
        from: HostIndex,
        /// The interface that it came in by.
        interface: InterfaceId,
    },
    /// The frame will not arrive. Told at the sender.
    Lost {
        /// Its name.
        id: u64,
        /// How it was lost.
        why: LinkLoss,
    },
    /// The link spoilt the frame; it is still on its way. Told at the sender.
    Changed {
        /// Its name.
        id: u64,
        /// What the link did.
        how: LinkChange,
    },
}

/// How a link loses a frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LinkLoss {
    /// The dice fell so.
    Random,
    /// The scenario said that this one is lost.
    Chosen,
    /// The queue before the link was full.
    QueueFull,
    /// Larger than the link's MTU.
    TooBig,
    /// The link is down.
    Down,
    /// Nobody on the link has that address.
    NoDestination,
}

/// What else a link does to a frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LinkChange {
    /// It arrives twice.
    Duplicated,
    /// Some bits are turned over.
    Corrupted,
    /// It is held back, so that later ones overtake it.
    Reordered,
    /// It is marked with CE: congestion experienced (RFC 3168).
    Marked,
}

/// How full a listener's two queues are: half-open connections, and complete ones that wait for `accept`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backlog {
    /// The listener's address.
    pub listener: SocketAddr,
    /// Half-open connections: SYN-RECEIVED, waiting for the last ACK of the handshake.
    pub half_open: u32,
    /// Complete connections that the application has not accepted.
    pub accept: u32,
    /// The backlog given to `listen`: the bound of each queue.
    pub backlog: u32,
}

impl Backlog {
    /// The queues of every listener in `snapshot`, in its order.
    pub fn of(snapshot: &Snapshot) -> Vec<Backlog> {
        let listeners = snapshot
            .sockets
            .iter()
            .filter(|row| row.state == Some(State::Listen));
        listeners
            .filter_map(|row| {
                let listener = row.local?;
                let half_open = snapshot.sockets.iter().filter(|other| {
                    other.state == Some(State::SynReceived)
                        && other.local.is_some_and(|local| reaches(local, listener))
                });
                Some(Backlog {
                    listener,
                    half_open: half_open.count() as u32,
                    accept: row.receive_queue as u32,
                    backlog: row.send_queue as u32,
                })
            })
            .collect()
    }
}

/// Whether a connection at `local` belongs to a listener bound to `listener`, which may be a wildcard.
fn reaches(local: SocketAddr, listener: SocketAddr) -> bool {
    local.port() == listener.port() && (listener.ip().is_unspecified() || listener.ip() == local.ip())
}

/// Who takes part, in the order in which diagrams show them: the client first.
#[derive(Clone, Debug, Default)]
pub struct Cast {
    /// The hosts; a [`HostIndex`] is a place in this list.
    pub hosts: Vec<HostInfo>,
}

/// One host.
#[derive(Clone, Debug, Default)]
pub struct HostInfo {
    /// For people: `client`, `server`, `浏览器`.
    pub name: String,
    /// Its interfaces; an [`InterfaceId`] is a place in this list.
    pub interfaces: Vec<InterfaceInfo>,
}

/// One interface of a host.
#[derive(Clone, Debug)]
pub struct InterfaceInfo {
    /// For people: `eth0`, `tun0`.
    pub name: String,
    /// Whether frames carry a link header.
    pub medium: Medium,
    /// Its addresses when the stream began.
    pub addresses: Vec<Cidr>,
}

impl HostInfo {
    /// A host with one interface that carries bare IP packets, `tun0`.
    pub fn ip(name: &str, addresses: &[Cidr]) -> Self {
        HostInfo {
            name: name.into(),
            interfaces: vec![InterfaceInfo {
                name: "tun0".into(),
                medium: Medium::Ip,
                addresses: addresses.to_vec(),
            }],
        }
    }
    /// All its addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.interfaces
            .iter()
            .flat_map(|i| i.addresses.iter().map(|cidr| cidr.address))
    }
}

impl Cast {
    /// The host of a record, if the cast knows it.
    pub fn host(&self, index: HostIndex) -> Option<&HostInfo> {
        self.hosts.get(usize::from(index.0))
    }
    /// The name of a host; `?` for one that the cast does not know.
    pub fn name(&self, index: HostIndex) -> &str {
        self.host(index).map_or("?", |host| &host.name)
    }
    /// An interface of a host, if the cast knows it.
    pub fn interface(&self, host: HostIndex, interface: InterfaceId) -> Option<&InterfaceInfo> {
        self.host(host)?.interfaces.get(usize::from(interface.0))
    }
    /// Whether frames on this interface carry a link header; an unknown interface carries bare IP packets.
    pub fn medium(&self, host: HostIndex, interface: InterfaceId) -> Medium {
        self.interface(host, interface).map_or(Medium::Ip, |i| i.medium)
    }
    /// Which host has this address.
    pub fn owner(&self, address: IpAddr) -> Option<HostIndex> {
        let place = self
            .hosts
            .iter()
            .position(|host| host.addresses().any(|own| own == address))?;
        Some(HostIndex(place as u16))
    }
}
