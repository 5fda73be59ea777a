//! Every order in which threads can run, at the places where one sleeps and another wakes it: no wake is slept through.
//! A thread that sleeps for ever is a deadlock to the model, and fails the test.
//!
//! Run with `RUSTFLAGS='--cfg sockeye_loom' cargo test -p sockeye-net --test loom`; without the flag there is nothing here.
#![cfg(sockeye_loom)]

/// What the crate's own `sync` is there.
mod sync {
    pub(crate) use loom::sync::atomic::{AtomicBool, Ordering};
    pub(crate) use loom::sync::{Condvar, Mutex};
    pub(crate) use std::sync::PoisonError;
}
#[path = "../src/sleep.rs"]
mod sleep;

use loom::sync::{Arc, Mutex};
use loom::thread;
use sleep::{Doze, Parker};

/// A driver that sleeps on something to be rung, as `driver::Kick` does on its eventfd, and two applications.
#[test]
fn a_driver_does_not_sleep_through_a_kick() {
    // Three threads with all their steps would take hours: a thread is interrupted three times at most.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        struct Shared {
            work: Mutex<u32>,
            doze: Doze,
            /// The eventfd: rung until it is read.
            bell: Parker,
        }
        let shared = Arc::new(Shared {
            work: Mutex::new(0),
            doze: Doze::new(),
            bell: Parker::new(),
        });
        let applications: Vec<_> = (0..2)
            .map(|_| {
                let shared = shared.clone();
                thread::spawn(move || {
                    *shared.work.lock().unwrap() += 1;
                    if shared.doze.kick() {
                        shared.bell.unpark();
                    }
                })
            })
            .collect();
        let mut done = 0;
        loop {
            done += std::mem::take(&mut *shared.work.lock().unwrap());
            if done == 2 {
                break;
            }
            if shared.doze.may_sleep() {
                assert!(shared.bell.park(|| None));
            }
            shared.doze.awake();
        }
        for application in applications {
            application.join().unwrap();
        }
    });
}

/// A thread in a call that waits: it looks and registers under one lock, as `Host::poll` does, and then parks.
#[test]
fn a_call_does_not_sleep_through_its_event() {
    loom::model(|| {
        #[derive(Default)]
        struct Socket {
            octets: u32,
            waiters: Vec<Arc<Parker>>,
        }
        let socket = Arc::new(Mutex::new(Socket::default()));
        let reader = {
            let socket = socket.clone();
            thread::spawn(move || {
                let parker = Arc::new(Parker::new());
                let mut read = 0;
                while read < 2 {
                    let mut locked = socket.lock().unwrap();
                    if locked.octets > 0 {
                        read += std::mem::take(&mut locked.octets);
                        continue;
                    }
                    if locked.waiters.is_empty() {
                        locked.waiters.push(parker.clone());
                    }
                    drop(locked);
                    assert!(parker.park(|| None));
                }
            })
        };
        for _ in 0..2 {
            let mut locked = socket.lock().unwrap();
            locked.octets += 1;
            let waiters = std::mem::take(&mut locked.waiters);
            drop(locked);
            // After the lock, as the driver wakes.
            waiters.iter().for_each(|waiter| waiter.unpark());
        }
        reader.join().unwrap();
    });
}
