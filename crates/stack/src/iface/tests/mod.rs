//! Frames in, frames out, at chosen times. One host and what it is connected to, with etherparse as outside opinion.

mod groups;
mod link;
mod packets;
mod panics;

use core::net::IpAddr;
use std::vec::Vec;

use super::{Env, Inbound, InterfaceConfig, IpFields, IpLayer, Link, Route};
use crate::InterfaceId;
use crate::config::Config;
use crate::frame::{Frame, Payload, RxMeta, TxMeta};
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use crate::trace::{Cause, DropReason, Trace};

pub(crate) const ETH: InterfaceId = InterfaceId(0);

/// A host: the layer and what an `Env` is made of.
pub(crate) struct Host {
    pub(crate) layer: IpLayer,
    pub(crate) now: Instant,
    pub(crate) config: Config,
    pub(crate) trace: Trace,
    pub(crate) rng: Rng,
}

impl Host {
    pub(crate) fn new(interface: InterfaceConfig) -> Self {
        let mut host = Host {
            layer: IpLayer::new([42; 16]),
            now: Instant::from_secs(1000),
            config: Config::default(),
            trace: Trace::default(),
            rng: Rng::new([7; 32]),
        };
        host.with(|l, env| l.add_interface(env, interface));
        host
    }
    pub(crate) fn with<R>(&mut self, f: impl FnOnce(&mut IpLayer, &mut Env<'_>) -> R) -> R {
        let mut env = Env {
            now: self.now,
            config: &self.config,
            trace: &mut self.trace,
            rng: &mut self.rng,
        };
        f(&mut self.layer, &mut env)
    }
    pub(crate) fn receive(&mut self, frame: impl Into<Frame>) -> Option<Inbound<'static>> {
        self.receive_on(ETH, frame)
    }
    pub(crate) fn receive_on(
        &mut self,
        on: InterfaceId,
        frame: impl Into<Frame>,
    ) -> Option<Inbound<'static>> {
        let frame = frame.into();
        let kept = std::boxed::Box::leak(std::boxed::Box::new(frame)); // lives as long as what came of it
        self.with(|l, env| l.receive(env, on, kept, RxMeta::default()))
    }
    /// The next frame that the layer sends.
    pub(crate) fn sent(&mut self) -> Option<(Vec<u8>, TxMeta)> {
        let mut out = Frame::new();
        let meta = self.with(|l, env| l.poll_transmit(env, &mut out))?;
        Some((out.to_vec(), meta))
    }
    /// All frames that the layer sends now.
    pub(crate) fn all_sent(&mut self) -> Vec<(Vec<u8>, Cause)> {
        core::iter::from_fn(|| self.sent())
            .map(|(f, m)| (f, m.cause))
            .collect()
    }
    pub(crate) fn expect(&mut self, cause: Cause) -> Vec<u8> {
        let (frame, meta) = self.sent().expect("a frame is due");
        assert_eq!(meta.cause, cause);
        frame
    }
    pub(crate) fn quiet(&mut self) {
        assert!(self.sent().is_none(), "nothing is due");
    }
    pub(crate) fn drops(&self, reason: DropReason) -> u64 {
        self.trace.drops().count(reason)
    }
    pub(crate) fn total_drops(&self) -> u64 {
        self.trace.drops().total()
    }
    /// Lets time pass, with every deadline in between.
    pub(crate) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some((at, _)) = self.layer.next_timeout().filter(|t| t.0 <= end) {
            self.now = self.now.max(at);
            self.with(|l, env| l.handle_timeout(env));
            let next = self.layer.next_timeout().map(|t| t.0);
            assert!(
                next.is_none_or(|n| n > at),
                "a deadline stays after it was dealt with"
            );
        }
        self.now = end;
    }
    pub(crate) fn route(&self, to: &str) -> Option<Route> {
        self.layer.route(ip(to), None, None)
    }
    /// Sends a UDP datagram with payload `len`, ports 1000 and 2000.
    pub(crate) fn send_udp(&mut self, to: &str, len: usize) {
        let route = self.route(to).expect("a route");
        let header = [3, 232, 7, 208, 0, 0, 0, 0];
        let payload = Payload::from((0..len).map(|i| i as u8).collect::<Vec<u8>>());
        let fields = fields(&route, ip(to), 17);
        self.with(|l, env| l.send_datagram(env, &route, &fields, &header, payload, Cause::Datagram))
            .expect("room");
    }
    pub(crate) fn prepare(&mut self, to: &str, len: usize) -> (Frame, Link) {
        let route = self.route(to).expect("a route");
        let fields = fields(&route, ip(to), 17);
        let mut out = Frame::new();
        let link = self.with(|l, env| l.prepare(env, &route, &fields, len, &mut out));
        (out, link)
    }
}

pub(crate) fn fields(route: &Route, destination: IpAddr, protocol: u8) -> IpFields {
    IpFields {
        source: route.source,
        destination,
        protocol,
        hop_limit: 64,
        traffic_class: 0,
        dont_fragment: false,
    }
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A plain IP host on a link without link addresses.
pub(crate) fn ip_host() -> Host {
    let config = InterfaceConfig::ip("tun0", 1500)
        .address([192, 0, 2, 1], 24)
        .address("2001:db8::1".parse::<IpAddr>().unwrap(), 64)
        .gateway([192, 0, 2, 254])
        .gateway("2001:db8::ff".parse::<IpAddr>().unwrap());
    Host::new(config)
}

pub(crate) const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(crate) const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

pub(crate) fn ethernet_config(mac: [u8; 6], v4: [u8; 4], v6: &str) -> InterfaceConfig {
    InterfaceConfig::ethernet("eth0", mac, 1500)
        .address(v4, 24)
        .address(ip(v6), 64)
}

/// A plain host on Ethernet.
pub(crate) fn ethernet_host() -> Host {
    let config = ethernet_config(MAC, [192, 0, 2, 1], "2001:db8::1")
        .gateway([192, 0, 2, 254])
        .gateway(ip("2001:db8::ff"));
    let mut host = Host::new(config);
    host.all_sent(); // Memberships of the solicited-node groups.
    host.pass(Duration::from_secs(5));
    host.all_sent();
    host
}

/// Its neighbour.
pub(crate) fn neighbor_host() -> Host {
    let mut host = Host::new(ethernet_config(PEER_MAC, [192, 0, 2, 9], "2001:db8::9"));
    host.pass(Duration::from_secs(5));
    host.all_sent();
    host
}

/// Carries frames between two hosts until both are quiet; what came for transports, first host's first.
pub(crate) fn exchange(a: &mut Host, b: &mut Host) -> [Vec<Inbound<'static>>; 2] {
    let mut got = [Vec::new(), Vec::new()];
    loop {
        let (from_a, from_b) = (a.all_sent(), b.all_sent());
        if from_a.is_empty() && from_b.is_empty() {
            return got;
        }
        got[1].extend(from_a.into_iter().filter_map(|(f, _)| b.receive(f)));
        got[0].extend(from_b.into_iter().filter_map(|(f, _)| a.receive(f)));
    }
}
