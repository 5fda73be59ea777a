//! A program of frames, calls and time steps on one stack with a scripted peer, or on two stacks joined by a bad link.

use crate::frames::{frame_op, odd_options};
use crate::host::Setup;
use crate::input::Input;
use crate::pair;
use crate::world::World;

/// The entry: the first octet chooses between the two.
pub fn run(data: &[u8]) {
    let mut u = Input::new(data);
    if u.flag() {
        pair::run(&mut u);
    } else {
        one(&mut u);
    }
}

fn one(u: &mut Input<'_>) {
    let setup = Setup::read(u);
    let mut world = World::new(&setup);
    world.polite = u.flag();
    let how = u.byte();
    if how & 1 == 0 {
        world.advance(sockeye_stack::Duration::from_secs(3));
        let (o, endless) = odd_options(u);
        world.host.endless |= endless;
        world.establish(how & 2 != 0, o);
    }
    let mut steps = 0;
    while !u.is_empty() && steps < 300 {
        steps += 1;
        match u.below(20) {
            0..=6 => world.flow_op(u),
            7..=12 => {
                let places = world.places;
                world.apps.tcp_call(&mut world.host, &places, u);
            }
            13 => {
                let places = world.places;
                world.apps.udp_call(&mut world.host, &places, u);
            }
            14 => frame_op(&mut world, u),
            15 => world.polite = !world.polite,
            16 => world.window = u.pick(&[65_535, 0, 1, 100, 1460, 8000]),
            17 => world.resolves = u.below(4) != 0,
            _ => {
                let by = u.step();
                world.advance(by);
            }
        }
        if u.flag() {
            world.pump();
        }
    }
    world.end();
}
