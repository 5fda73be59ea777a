//! The machine's device: what the stack sends waits here to be received, with its time; and the capture of both ways.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::task::Waker;

use sockeye_net::{Host, WeakHost};
use sockeye_stack::trace::TraceMask;
use sockeye_stack::{Frame, Instant, InterfaceConfig, InterfaceId, RxMeta, TxFrame};
use sockeye_view::{Capture, Cast, HostIndex, HostInfo, InterfaceInfo, Perspective, Record, What};

/// A packet that the stack has sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    /// The IP packet.
    pub bytes: Vec<u8>,
    /// When it was sent.
    pub at: Instant,
}

/// The one driver of the machine's stack. It has no thread: each call drives.
#[derive(Debug, Default)]
pub(super) struct Wire {
    host: OnceLock<(WeakHost, InterfaceId)>,
    sent: Mutex<VecDeque<Packet>>,
    capture: Mutex<Option<Capture<File>>>,
}

impl Wire {
    /// Gives `host` its interface, and is its driver from now on.
    pub(super) fn attach(
        &self,
        host: &Host,
        interface: InterfaceConfig,
        trace: Option<&Path>,
    ) -> io::Result<()> {
        let cast = Cast {
            hosts: vec![HostInfo {
                name: host.name().into(),
                interfaces: vec![InterfaceInfo {
                    name: interface.name.clone(),
                    medium: interface.medium,
                    addresses: interface.addresses.clone(),
                }],
            }],
        };
        if let Some(path) = trace {
            let capture = Capture::new(File::create(path)?, &cast, Perspective::Stack(HostIndex(0)))?;
            *self.capture.lock().unwrap_or_else(PoisonError::into_inner) = Some(capture);
            host.lock().trace_mut().set_mask(TraceMask::FRAMES);
        }
        let id = host.add_interface(interface);
        let _ = self.host.set((host.downgrade(), id));
        Ok(())
    }
    fn host(&self) -> Option<(Host, InterfaceId)> {
        let (host, id) = self.host.get()?;
        Some((host.upgrade()?, *id))
    }
    /// A packet comes in.
    pub(super) fn inject(&self, packet: &[u8]) {
        if let Some((host, id)) = self.host() {
            let mut stack = host.lock();
            stack.handle_frame(host.now(), id, Frame::from(packet.to_vec()), RxMeta::default());
            drop(stack);
            self.pump();
        }
    }
    /// The oldest packet that was sent and not received.
    pub(super) fn take(&self) -> Option<Packet> {
        self.sent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    }
    /// When the stack next has something to do.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let (host, _) = self.host()?;
        let next = host.lock().next_timeout();
        next.map(|(at, _)| at)
    }
    /// Lets the stack do what is due, takes what it sends, and wakes whom it concerns.
    pub(super) fn pump(&self) {
        let Some((host, _)) = self.host() else { return };
        let mut wakers: Vec<Waker> = Vec::new();
        let mut stack = host.lock();
        let now = host.now();
        if stack.next_timeout().is_some_and(|(at, _)| at <= now) {
            stack.handle_timeout(now);
        }
        // Under the stack's lock, so that packets stand here in the order in which they were sent.
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let mut frame = TxFrame::new();
        while stack.poll_transmit(now, &mut frame).is_some() {
            sent.push_back(Packet {
                bytes: frame.to_vec(),
                at: now,
            });
        }
        drop(sent);
        stack.all_left(&mut wakers);
        stack.dispatch(&mut wakers);
        let mut capture = self.capture.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = &mut *capture {
            let record = |event: sockeye_stack::trace::TraceEvent| Record {
                at: event.at,
                host: HostIndex(0),
                what: What::Stack(event),
            };
            // Each block goes to the file at once, since nobody may be left to end it. A full disk ends it.
            let events: Vec<Record> = stack.trace_mut().drain().map(record).collect();
            if events.iter().any(|event| open.handle_record(event).is_err()) {
                *capture = None;
            }
        }
        drop(capture);
        drop(stack);
        wakers.into_iter().for_each(Waker::wake);
    }
}
