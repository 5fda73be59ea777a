//! The stack under a script: one host on virtual time, its frames taken and given by hand.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use sockeye_net::{Clock, Host, Names, Net};
use sockeye_stack::trace::{Cause, TraceEvent, TraceMask};
use sockeye_stack::{
    Config, Frame, Instant, InterfaceConfig, InterfaceId, RxMeta, SocketId, Stack, TxFrame, snapshot,
};

use super::seen::Seen;

/// The interface of the stack.
const IF: InterfaceId = InterfaceId(0);
/// Where the clock stands when a script begins.
const START: Instant = Instant::from_secs(1000);
/// How often a timer may come due without time passing, before that counts as a fault of the stack.
const SPINS: u32 = 10_000;

/// A packet that left.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) at: i64,
    pub(super) seen: Seen,
    pub(super) cause: Cause,
}

/// How the host stands in its network.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) local: IpAddr,
    pub(super) prefix: u8,
    pub(super) gateway: IpAddr,
    pub(super) mtu: u32,
}

pub(super) struct Engine {
    host: Host,
    clock: Arc<Clock>,
    now: Instant,
    left: VecDeque<Left>,
    /// The core's own account, where somebody wants it.
    trace: Option<Vec<TraceEvent>>,
}

impl Engine {
    /// A host with one interface that carries IP packets. `seed` decides its initial sequence numbers and the like.
    pub(super) fn new(config: Config, place: Place, seed: u64, traced: bool) -> Engine {
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&seed.to_le_bytes());
        let clock = Arc::new(Clock::new());
        clock.set(START);
        let stack = Stack::new(config, secret);
        let host = Host::new("host", stack, clock.clone(), Names::new(), || {});
        host.add_interface(
            InterfaceConfig::ip("tun0", place.mtu)
                .address(place.local, place.prefix)
                .gateway(place.gateway),
        );
        if traced {
            host.lock().trace_mut().set_mask(TraceMask::FRAMES);
        }
        let mut engine = Engine {
            host,
            clock,
            now: START,
            left: VecDeque::new(),
            trace: traced.then(Vec::new),
        };
        engine.drain();
        engine
    }
    pub(super) fn net(&self) -> Net {
        self.host.net()
    }
    /// Microseconds since the script began.
    pub(super) fn now(&self) -> i64 {
        micros(self.now)
    }
    /// When something comes due, as [`Engine::now`] counts; never earlier than now.
    pub(super) fn due(&self) -> Option<i64> {
        let (at, _) = self.host.lock().next_timeout()?;
        // Rounded up: a timer may not be called early.
        let nanos = at.since(START).as_nanos();
        Some((nanos.div_ceil(1000) as i64).max(self.now()))
    }
    /// Lets the time become `to`, at which the timers run.
    ///
    /// # Errors
    /// The stack asks to be called again and again without time passing.
    pub(super) fn step(&mut self, to: i64) -> Result<(), String> {
        let to = START + sockeye_stack::Duration::from_micros(to.max(0) as u64);
        self.now = self.now.max(to);
        self.clock.set(self.now);
        for _ in 0..SPINS {
            let next = self.host.lock().next_timeout();
            if next.is_none_or(|(at, _)| at > self.now) {
                self.drain();
                return Ok(());
            }
            self.host.lock().handle_timeout(self.now);
            self.drain();
        }
        let why = self.host.lock().next_timeout();
        Err(format!("the stack's timers do not come to rest: {why:?}"))
    }
    /// Takes what the stack has to send.
    pub(super) fn drain(&mut self) {
        let mut guard = self.host.lock();
        let mut frame = TxFrame::default();
        while let Some(meta) = guard.poll_transmit(self.now, &mut frame) {
            let octets = std::mem::take(&mut frame).to_vec();
            let Some(seen) = Seen::read(&octets) else { continue };
            // The link's own: nothing that a script could speak of.
            if matches!(meta.cause, Cause::Membership | Cause::RouterSolicitation) {
                continue;
            }
            self.left.push_back(Left {
                at: micros(self.now),
                seen,
                cause: meta.cause,
            });
        }
        let mut wakers = Vec::new();
        guard.all_left(&mut wakers);
        guard.dispatch(&mut wakers);
        if let Some(trace) = &mut self.trace {
            trace.extend(guard.trace_mut().drain());
        }
    }
    /// Hands a packet in; nothing leaves before [`Engine::drain`].
    pub(super) fn hand_in(&mut self, packet: Vec<u8>) {
        let frame = Frame::from(Bytes::from(packet));
        self.host
            .lock()
            .handle_frame(self.now, IF, frame, RxMeta::default());
    }
    /// The packet that left first and was not taken yet.
    pub(super) fn take(&mut self) -> Option<Left> {
        self.left.pop_front()
    }
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Left> {
        self.left.iter()
    }
    /// The core's own account so far.
    pub(super) fn into_trace(self) -> Vec<TraceEvent> {
        self.trace.unwrap_or_default()
    }
    /// The socket table.
    pub(super) fn table(&self) -> Vec<snapshot::SocketRow> {
        self.host.lock().snapshot().sockets
    }
    /// Whether reading has come to the urgent mark.
    pub(super) fn at_mark(&self, id: SocketId) -> Option<bool> {
        let mut guard = self.host.lock();
        Some(guard.tcp(self.now, id).ok()?.at_urgent_mark())
    }
    /// What is known of a connection.
    pub(super) fn info(&self, id: SocketId) -> Option<(sockeye_stack::tcp::TcpInfo, Instant)> {
        Some((self.host.lock().tcp(self.now, id).ok()?.info()?, self.now))
    }
}

fn micros(at: Instant) -> i64 {
    (at.since(START).as_nanos() / 1000) as i64
}
