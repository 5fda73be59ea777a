//! Programs in a world: tokio tasks on virtual time.
//!
//! The runtime is a current-thread one with tokio's clock paused. One task, the driver, owns the passing of time:
//!
//! - A *kick* (an application called its stack) lets it send what is owed, at the present time.
//! - *Idle* (the runtime is about to park: no task can run) lets it go to the next deadline of the world.
//!
//! Tokio's timers have whole milliseconds, the world has nanoseconds. So the driver never lets a timer decide: on its way
//! to a deadline it moves tokio's clock exactly there with `advance` while that is within the present millisecond, and
//! stops at each whole one that tokio's timers may stand on. Where the next deadline is milliseconds away it sleeps
//! until the last whole one before, and tokio jumps to that, or to an application's timer that comes first. Hence both
//! clocks always agree to the nanosecond when a task runs, an application's timer goes off at the first whole
//! millisecond not before its time (as with tokio on real time), and no real time passes.

use std::future::Future;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sockeye_net::{Host, Net};
use sockeye_stack::Instant;
use tokio::time::{Instant as TokioInstant, advance, sleep_until};

use crate::world::{Kicks, NodeId, World};

/// How long a program may run, on the world's clock. Longer than any that ends.
const LIMIT: Duration = Duration::from_secs(365 * 86_400);
const MILLI: u64 = 1_000_000;

/// A world under programs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lab(Arc<Mutex<World>>);

impl Lab {
    /// Where the programs of the host with this name have their sockets.
    ///
    /// # Panics
    /// If there is none.
    pub fn net(&self, name: &str) -> Net {
        self.host(name).net()
    }
    /// The host with this name.
    ///
    /// # Panics
    /// If there is none.
    pub fn host(&self, name: &str) -> Host {
        let world = self.lock();
        let id = world
            .find(name)
            .unwrap_or_else(|| panic!("there is no host {name}"));
        world.host_handle(id).clone()
    }
    /// Where the programs of a host have their sockets.
    pub fn net_of(&self, host: NodeId) -> Net {
        self.lock().net(host)
    }
    /// The time.
    pub fn now(&self) -> Instant {
        self.lock().clock.now()
    }
    /// The world, to look at or to change: a link goes down, a cable is cut. Not to let time pass: that is the driver's.
    pub fn with<R>(&self, f: impl FnOnce(&mut World) -> R) -> R {
        let mut world = self.lock();
        world.catch_up();
        let result = f(&mut world);
        world.kicks.notify.notify_one();
        result
    }
    fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs `program` and all that it spawns in `world` until it returns, on virtual time. Gives back its result and the
/// world, in which time can be let pass further by hand.
///
/// The same seed and program give the same records to the byte, as long as the program itself is deterministic: it uses
/// tokio's time, no threads, no I/O of the operating system, and `biased;` in `select!` (whose dice tokio seeds anew in
/// each process).
///
/// # Panics
/// If the program panics, if it waits for what will never come, or if a year has passed.
pub fn run<F, T>(world: World, program: impl FnOnce(Lab) -> F) -> (T, World)
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let (clock, kicks) = (world.clock.clone(), world.kicks.clone());
    let idle = Arc::new(Idle::default());
    let lab = Lab(Arc::new(Mutex::new(world)));
    let (at_park, on_park) = (idle.clone(), kicks.clone());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .on_thread_park(move || at_park.tell(&on_park))
        .build()
        .expect("a runtime without I/O needs nothing that could be missing");
    let program = program(lab.clone());
    let result = runtime.block_on(async {
        clock.start();
        let driver = tokio::spawn(drive(lab.clone(), kicks, idle));
        let program = tokio::spawn(program);
        let result = tokio::select! {
            biased;
            done = program => done.map_err(|error| error.into_panic()),
            died = driver => Err(match died {
                Err(error) => error.into_panic(),
                Ok(never) => match never {},
            }),
        };
        if result.is_ok() {
            lab.lock().catch_up();
        }
        clock.stop(); // while tokio's clock is still there to be read
        result
    });
    drop(runtime);
    let world = std::mem::replace(&mut *lab.lock(), World::new(0));
    match result {
        Ok(value) => (value, world),
        Err(panic) => resume_unwind(panic),
    }
}

/// Between the runtime's hook and the driver.
#[derive(Default)]
struct Idle {
    /// No task could run.
    idle: AtomicBool,
    /// The driver sleeps until a timer: the runtime may park and jump.
    sleeping: AtomicBool,
}

impl Idle {
    /// The runtime is about to park.
    fn tell(&self, kicks: &Kicks) {
        if !self.sleeping.load(Ordering::Relaxed) {
            self.idle.store(true, Ordering::Relaxed);
            kicks.notify.notify_one();
        }
    }
}

enum Never {}

/// The driver: see the module's documentation.
async fn drive(lab: Lab, kicks: Arc<Kicks>, idle: Arc<Idle>) -> Never {
    let start = TokioInstant::now();
    let clock = lab.lock().clock.clone();
    // The world may have a history; tokio's whole milliseconds are counted from here.
    let epoch = clock.now();
    loop {
        let (woken, next) = {
            let mut world = lab.lock();
            (world.catch_up(), world.next_deadline())
        };
        if woken > 0 || !idle.idle.swap(false, Ordering::Relaxed) {
            idle.idle.store(false, Ordering::Relaxed);
            kicks.notify.notified().await;
            continue;
        }
        // All tasks wait. Where to go from here, in nanoseconds since the start?
        let now = start.elapsed().as_nanos() as u64;
        assert!(
            u128::from(now) < LIMIT.as_nanos(),
            "the program has run for a year of virtual time"
        );
        let whole = now.next_multiple_of(MILLI);
        let goal = next.map_or(u64::MAX, |at| at.since(epoch).as_nanos());
        if whole > now || goal < now + MILLI {
            // To the deadline, or to the next whole millisecond: applications may have timers there.
            let step = goal.min(if whole > now { whole } else { now + MILLI }) - now;
            advance(Duration::from_nanos(step)).await;
            continue;
        }
        let until = start + Duration::from_nanos(goal / MILLI * MILLI).min(LIMIT);
        idle.sleeping.store(true, Ordering::Relaxed);
        tokio::select! {
            biased;
            () = kicks.notify.notified() => {}
            () = sleep_until(until) => {
                assert!(next.is_some(), "the program waits for what will never come: nothing is left to happen");
            }
        }
        idle.sleeping.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::udp_packet;
    use crate::{ms, us};
    use tokio::time::sleep;

    #[test]
    fn programs_sleep_at_the_right_virtual_time() {
        let real = std::time::Instant::now();
        let (times, world) = run(World::new(1), |lab| async move {
            let mut times = vec![lab.now()];
            sleep(Duration::from_secs(3600)).await;
            times.push(lab.now());
            tokio::join!(sleep(Duration::from_millis(5)), sleep(Duration::from_millis(3)));
            times.push(lab.now());
            times
        });
        assert_eq!(times[0], Instant::ZERO);
        assert_eq!(times[1], Instant::from_secs(3600));
        assert_eq!(times[2], Instant::from_secs(3600) + ms(5));
        assert_eq!(world.now(), times[2]);
        assert!(
            real.elapsed().as_secs() < 60,
            "an hour of virtual time takes no real one"
        );
    }

    /// Frames that bounce over a link with an odd delay, and a program whose timers are in whole milliseconds.
    #[test]
    fn the_world_keeps_its_nanoseconds_between_tokios_milliseconds() {
        let mut world = World::new(1);
        let (a, b) = (world.raw("a"), world.raw("b"));
        world
            .link(a, b)
            .delay(sockeye_stack::Duration::from_nanos(1_300_007));
        let frame = |n: u8| udp_packet(([10, 0, 0, 1].into(), 1), ([10, 0, 0, 2].into(), 2), &[n]);
        let (slept, mut world) = run(world, move |lab| async move {
            let mut slept = Vec::new();
            for n in 0..10 {
                lab.with(|world| world.inject(a, 0, frame(n)));
                let before = lab.now();
                sleep(Duration::from_millis(1)).await;
                slept.push(lab.now() - before);
            }
            slept
        });
        assert!(slept.iter().all(|&d| d == ms(1)), "{slept:?}");
        world.run_for(ms(10));
        let arrivals: Vec<Instant> = world.received(b).into_iter().map(|(at, ..)| at).collect();
        let expected: Vec<Instant> = (0..10)
            .map(|n| Instant::from_nanos(n * 1_000_000 + 1_300_007))
            .collect();
        assert_eq!(arrivals, expected);
    }

    #[test]
    fn time_goes_on_by_hand_afterwards() {
        let ((), mut world) = run(World::new(1), |_| async { sleep(Duration::from_millis(7)).await });
        world.run_for(us(10));
        assert_eq!(world.now(), Instant::from_micros(7_010));
        let (now, _) = run(world, |lab| async move {
            sleep(Duration::from_millis(1)).await;
            lab.now()
        });
        assert_eq!(now, Instant::from_micros(8_010));
    }

    #[test]
    #[should_panic(expected = "waits for what will never come")]
    fn waiting_for_nothing_is_told() {
        run(World::new(1), |_| std::future::pending::<()>());
    }

    #[test]
    #[should_panic(expected = "its own words")]
    fn a_program_s_panic_is_the_runner_s() {
        run(World::new(1), |lab| async move {
            assert!(lab.now() > Instant::ZERO, "its own words")
        });
    }
}
