//! One established connection and segments with any fields near its windows.

use crate::apps::Tcp;
use crate::flow::Flow;
use crate::frames::odd_options;
use crate::host::Setup;
use crate::input::Input;
use crate::world::World;
use sockeye_stack::Duration;

/// The entry.
pub fn run(data: &[u8]) {
    let mut u = Input::new(data);
    let mut setup = Setup::read(&mut u);
    setup.ethernet = false;
    let mut world = World::new(&setup);
    world.polite = u.flag();
    world.window = u.pick(&[65_535, 0, 1, 100, 1460, 8000]);
    let (o, endless) = odd_options(&mut u);
    world.host.endless |= endless;
    if world.establish(u.flag(), o).is_none() {
        return;
    }
    let mut edge = None;
    let mut steps = 0;
    while !u.is_empty() && steps < 300 {
        steps += 1;
        match u.below(16) {
            0..=8 => {
                let packet = if u.below(8) == 0 {
                    let len = u.pick(&[0, 1, 100, 1460]);
                    let window = world.window;
                    world.flows[0].answer(len, window)
                } else {
                    world.flows[0].segment(&mut u)
                };
                world.give(packet);
            }
            9..=12 => {
                let places = world.places;
                world.apps.tcp_call(&mut world.host, &places, &mut u);
            }
            13 => world.polite = u.flag(),
            14 => world.pump(),
            _ => {
                let by = u.step();
                world.advance(by.min(Duration::from_secs(7200)));
            }
        }
        if u.flag() {
            world.pump();
        }
        check_edge(&world, &mut edge);
    }
    world.end();
}

/// The right edge of the window that we offer never moves back while the application leaves its buffer alone (SHLD-14),
/// beyond what scaling rounds off.
fn check_edge(world: &World, last: &mut Option<(u32, u32)>) {
    let flow: &Flow = &world.flows[0];
    let alone = world.apps.tcp.iter().filter(|s: &&Tcp| !s.listener).count() == 1;
    if !alone || world.apps.options_changed || flow.reset || flow.starts.len() != 1 {
        *last = None;
        return;
    }
    let unit = 1 << flow.shift;
    if let Some((edge, life)) = *last
        && life == flow.life
    {
        let back = edge.wrapping_sub(flow.edge) as i32;
        assert!(back < unit.max(1), "the window's edge moves back by {back} octets");
    }
    *last = Some((flow.edge, flow.life));
}
