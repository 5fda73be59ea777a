//! Buffers go round without allocation: what the pool, the send buffer and the receive queue promise.
//!
//! The library forbids `unsafe`, which a counting allocator needs, so its modules are compiled into this test.
#![allow(dead_code, missing_docs, unreachable_pub)]

extern crate alloc;

#[path = "../src/pool.rs"]
mod pool;
#[path = "../src/tcp/recv/queue.rs"]
mod queue;
#[path = "../src/rope.rs"]
mod rope;
#[path = "../src/tcp/send/buffer.rs"]
mod send_buffer;
mod frame {
    pub(crate) use sockeye_stack::Payload;
}

use bytes::Bytes;
use frame::Payload;
use pool::{LARGE, Pool, SMALL};
use queue::ReceiveQueue;
use send_buffer::SendBuffer;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: hands everything to the system's allocator unchanged; counting touches no memory of others.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of `rounds` rounds after a few to warm up.
fn allocations(rounds: usize, mut round: impl FnMut()) -> usize {
    (0..4).for_each(|_| round());
    let before = ALLOCATIONS.get();
    (0..rounds).for_each(|_| round());
    ALLOCATIONS.get() - before
}

#[test]
fn the_pool_takes_and_gives_without_allocating() {
    let mut pool = Pool::new();
    for size in [SMALL, LARGE] {
        let count = allocations(100, || {
            let mut buffer = pool.take(size);
            let mut shares: [Bytes; 4] = core::array::from_fn(|i| {
                buffer.extend_from_slice(&[i as u8; 500]);
                buffer.split().freeze()
            });
            drop(buffer);
            for share in &mut shares {
                pool.give(core::mem::take(share));
            }
        });
        assert_eq!(count, 0, "{size}");
    }
}

#[test]
fn requests_and_answers_allocate_nothing() {
    let mut pool = Pool::new();
    let mut buffer = SendBuffer::new();
    let mut frame = Payload::new();
    let count = allocations(100, || {
        buffer.append(&mut pool, &[1; 700]);
        buffer.slice(0, 700, &mut frame);
        frame.clear();
        buffer.ack(&mut pool, 700);
    });
    assert_eq!((count, buffer.is_empty()), (0, true));
}

#[test]
fn a_bulk_sender_allocates_nothing() {
    let mut pool = Pool::new();
    let mut buffer = SendBuffer::new();
    let data = [7; 16 * 1024];
    let mut sent = 0;
    // 256 KiB in flight, 64 KiB a frame, an ACK for each.
    let count = allocations(1000, || {
        while buffer.len() < 384 * 1024 {
            buffer.append(&mut pool, &data);
        }
        while sent < 256 * 1024 {
            let mut frame = Payload::new();
            buffer.slice(sent, 65_536, &mut frame);
            assert!(frame.parts().len() <= 2, "a frame is one buffer, or two");
            sent += 65_536;
        }
        buffer.ack(&mut pool, 65_536);
        sent -= 65_536;
    });
    assert_eq!(count, 0);
}

#[test]
fn a_receiver_that_keeps_up_allocates_nothing() {
    let mut pool = Pool::new();
    let mut queue = ReceiveQueue::new();
    let frame = Bytes::from(vec![1; 1500]);
    let mut out = [0; 4096];
    let count = allocations(100, || {
        queue.push(&mut pool, Payload::from(frame.slice(52..)), false);
        assert_eq!(queue.read(&mut pool, &mut out), 1448);
        for _ in 0..30 {
            queue.push(&mut pool, Payload::from(frame.slice(..100)), false);
        }
        queue.discard(&mut pool, 3000);
    });
    // Thirty small segments take two buffers: the first of them becomes a part, for which there is inline room.
    assert_eq!((count, queue.is_empty()), (0, true));
}
