//! Frames in and out.

use bytes::Bytes;
use core::hint::cold_path;

use super::{InterfaceId, Stack};
use crate::frame::{Frame, HEAD_CAPACITY, RxMeta, Text, TxFrame, TxMeta};
use crate::iface::{Env, Inbound};
use crate::tcp::dispatch::Around;
use crate::time::Instant;
use crate::trace::{Cause, TraceKind, TraceMask};
use crate::wire;

impl Stack {
    /// A frame has come.
    pub fn handle_frame(&mut self, now: Instant, on: InterfaceId, mut frame: Frame, meta: RxMeta) {
        self.handle_frame_in(now, on, &mut frame, meta);
    }
    /// As [`Stack::handle_frame`], for a driver that keeps its frames: this one comes back empty, ready for the next.
    #[inline(never)]
    pub fn handle_frame_in(&mut self, now: Instant, on: InterfaceId, frame: &mut Frame, meta: RxMeta) {
        self.take_frame(now, on, frame, meta);
        frame.clear();
    }
    /// As [`Stack::handle_frame`], for a frame that stays in a buffer of the driver: what the stack keeps of it is copied. Costs
    /// less than sharing as long as frames are short, up to about 2 KiB.
    #[inline(never)]
    pub fn handle_octets(&mut self, now: Instant, on: InterfaceId, octets: &[u8], meta: RxMeta) {
        if !self.trace.wants(TraceMask::FRAMES) {
            let whole = Text::borrowed(octets);
            if self.direct(now, on, whole, meta) {
                return;
            }
        }
        self.handle_octets_in_frame(now, on, octets, meta);
    }
    #[inline(never)]
    fn handle_octets_in_frame(&mut self, now: Instant, on: InterfaceId, octets: &[u8], meta: RxMeta) {
        let mut frame = self.spare.take().unwrap_or_default();
        if octets.len() <= HEAD_CAPACITY {
            frame.head.extend(octets.len()).copy_from_slice(octets);
        } else {
            frame.body.push(self.tcp.pool.copy(octets));
        }
        self.handle_frame_in(now, on, &mut frame, meta);
        self.spare = Some(frame);
    }
    fn take_frame(&mut self, now: Instant, on: InterfaceId, frame: &mut Frame, meta: RxMeta) {
        if self.trace.wants(TraceMask::FRAMES) && on != InterfaceId::LOOPBACK {
            self.trace_frame(now, on, frame, None);
        }
        // Short frames mostly lie in their heads, and need no look at what is shared.
        let taken = match frame.body.is_empty() {
            true => self.direct(now, on, Text::borrowed(frame.head.as_slice()), meta),
            false => self.direct(now, on, frame.text(0), meta),
        };
        if !taken {
            self.take_other(now, on, frame, meta);
        }
    }
    /// Takes a frame by way of the IP layer.
    #[inline(never)]
    fn take_other(&mut self, now: Instant, on: InterfaceId, frame: &mut Frame, meta: RxMeta) {
        let Stack {
            config,
            rng,
            trace,
            ip,
            tcp,
            udp,
            events,
            ..
        } = self;
        let mut env = Env {
            now,
            config,
            trace,
            rng,
        };
        match ip.receive(&mut env, on, frame, meta) {
            None => {}
            Some(Inbound::Tcp(packet)) => tcp.handle_packet(
                &mut Around {
                    env: &mut env,
                    ip,
                    events,
                },
                packet,
            ),
            Some(Inbound::Udp(packet)) => udp.handle_packet(&mut env, ip, events, packet),
            Some(Inbound::Error(notice)) if notice.protocol == wire::protocol::TCP => {
                tcp.handle_icmp(
                    &mut Around {
                        env: &mut env,
                        ip,
                        events,
                    },
                    &notice,
                );
            }
            Some(Inbound::Error(notice)) => udp.handle_icmp(&mut env, ip, events, &notice),
        }
    }

    /// Whether what is sent next is a connection's or nobody's, and nobody looks at frames.
    #[inline(always)]
    fn quick_is_next(&self) -> bool {
        // One comparison, not four.
        self.tcp.takes_turns() & self.ip.is_quiet() & !self.trace.wants(TraceMask::FRAMES)
    }

    /// Writes the next frame to send into `out`, replacing what was there, or says that there is none.
    #[inline]
    pub fn poll_transmit(&mut self, now: Instant, out: &mut TxFrame) -> Option<TxMeta> {
        out.clear();
        let mut short = true;
        // Into the driver's loop, as of `poll_transmit_into`.
        if self.quick_is_next() {
            match self.tcp.ready.front() {
                None if self.udp.is_quiet() => return None,
                None => {}
                Some(entry) => {
                    if let Some(meta) = self.quick_frame(now, entry, out) {
                        if meta.interface == InterfaceId::LOOPBACK {
                            cold_path();
                            return self.next_frame_after_loopback(now, out);
                        }
                        return Some(meta);
                    }
                    short = false;
                }
            }
        }
        self.next_frame(now, out, short)
    }
    /// Hands this host what it has sent to itself; then the next frame.
    #[inline(never)]
    fn next_frame_after_loopback(&mut self, now: Instant, out: &mut TxFrame) -> Option<TxMeta> {
        self.handle_frame_in(now, InterfaceId::LOOPBACK, out, RxMeta::INTACT);
        self.next_frame(now, out, true)
    }
    /// The next frame, of whatever kind; `short`: the short way was not tried yet.
    #[inline(never)]
    fn next_frame(&mut self, now: Instant, out: &mut TxFrame, mut short: bool) -> Option<TxMeta> {
        while !self.is_quiet() {
            // A run of segments under way goes first: it is what most frames are. Else IP does, if it has anything.
            let (sending, ip_quiet) = (self.tcp.sending, self.ip.is_quiet());
            let sent = if sending || ip_quiet {
                let quick = match self.tcp.ready.front() {
                    Some(entry) if short && self.tcp.takes_turns() => self.quick_frame(now, entry, out),
                    _ => None,
                };
                short = true;
                match quick {
                    None => self.with_tcp(now, |tcp, around| tcp.poll_transmit(around, out)),
                    sent => sent,
                }
            } else {
                None
            };
            let meta = match sent {
                Some(meta) => meta,
                None => self.next_of_others(now, out, ip_quiet && !sending)?,
            };
            if meta.interface == InterfaceId::LOOPBACK {
                self.handle_frame_in(now, InterfaceId::LOOPBACK, out, RxMeta::INTACT);
                continue;
            }
            if self.trace.wants(TraceMask::FRAMES) {
                self.trace_frame(now, meta.interface, out, Some(meta.cause));
            }
            return Some(meta);
        }
        None
    }
    /// The next frame of IP, TCP or UDP, in this order; only of UDP, if the others have nothing.
    #[inline(never)]
    fn next_of_others(&mut self, now: Instant, out: &mut TxFrame, udp_alone: bool) -> Option<TxMeta> {
        let Stack {
            config,
            rng,
            trace,
            ip,
            tcp,
            udp,
            events,
            ..
        } = self;
        let mut env = Env {
            now,
            config,
            trace,
            rng,
        };
        if !udp_alone {
            if !ip.is_quiet()
                && let Some(meta) = ip.poll_transmit(&mut env, out)
            {
                return Some(meta);
            }
            let mut around = Around {
                env: &mut env,
                ip,
                events,
            };
            if let Some(meta) = tcp.poll_transmit(&mut around, out) {
                return Some(meta);
            }
        }
        udp.poll_transmit(&mut env, ip, events, out)
    }
    /// As [`Stack::poll_transmit`], written into one contiguous buffer, such as a slot of a device's ring, and returned with its
    /// length.
    ///
    /// # Panics
    /// If `out` has no room for the frame: it takes the link header and the MTU of the interface, or what
    /// [`gso_max`](crate::Capabilities::gso_max) says if that is more.
    #[inline]
    pub fn poll_transmit_into(&mut self, now: Instant, out: &mut [u8]) -> Option<(TxMeta, usize)> {
        // Into the driver's loop, since it is little as long as nothing is next or a short segment.
        if self.quick_is_next() {
            match self.tcp.ready.front() {
                None if self.udp.is_quiet() => return None,
                None => {}
                Some(entry) => {
                    if let Some(room) = out.first_chunk_mut()
                        && let Some(sent) = self.quick(now, entry, room)
                    {
                        if sent.0.interface == InterfaceId::LOOPBACK {
                            cold_path();
                            return self.next_after_loopback(now, sent.1, out);
                        }
                        return Some(sent);
                    }
                }
            }
        }
        self.next_of_any(now, out)
    }
    /// The next frame, of whatever kind.
    #[inline(never)]
    fn next_of_any(&mut self, now: Instant, out: &mut [u8]) -> Option<(TxMeta, usize)> {
        if self.tcp.sending && self.ip.is_quiet() && !self.trace.wants(TraceMask::FRAMES) {
            let sent = self.with_tcp(now, |tcp, around| tcp.next_of_burst(around, out));
            match sent {
                Some((meta, len)) if meta.interface == InterfaceId::LOOPBACK => {
                    return self.next_after_loopback(now, len, out);
                }
                Some(sent) => return Some(sent),
                None => {}
            }
        }
        self.poll_transmit_flat(now, out)
    }
    /// Hands this host what it has sent to itself; then the next frame.
    #[inline(never)]
    fn next_after_loopback(&mut self, now: Instant, len: usize, out: &mut [u8]) -> Option<(TxMeta, usize)> {
        self.handle_octets(now, InterfaceId::LOOPBACK, &out[..len], RxMeta::INTACT);
        self.poll_transmit_flat(now, out)
    }
    /// The next frame by way of one that is written piece by piece.
    #[inline(never)]
    fn poll_transmit_flat(&mut self, now: Instant, out: &mut [u8]) -> Option<(TxMeta, usize)> {
        let mut frame = self.spare.take().unwrap_or_default();
        let sent = self.poll_transmit(now, &mut frame).map(|meta| {
            let (head, body) = out[..frame.len()].split_at_mut(frame.head.len());
            head.copy_from_slice(frame.head.as_slice());
            frame.body.copy_to(body);
            (meta, frame.len())
        });
        frame.clear();
        self.spare = Some(frame);
        sent
    }
    /// Whether nobody has anything to send.
    #[inline]
    fn is_quiet(&self) -> bool {
        self.tcp.is_quiet() && self.ip.is_quiet() && self.udp.is_quiet()
    }
    fn trace_frame(&mut self, now: Instant, interface: InterfaceId, frame: &Frame, cause: Option<Cause>) {
        let bytes = Bytes::from(frame.to_vec());
        let outgoing = cause.is_some();
        self.trace
            .record(TraceMask::FRAMES, now, None, || TraceKind::Frame {
                interface,
                outgoing,
                bytes,
                cause,
            });
    }
}
