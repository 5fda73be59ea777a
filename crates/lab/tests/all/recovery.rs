//! Loss recovery where many segments arrive in one moment, as they do behind a device that hands over batches.

use sockeye_lab::{Packet, World, ms, secs};
use sockeye_stack::trace::{Cause, RetransmitCause, TraceEvent, TraceKind};
use sockeye_view::What;

/// The second of ten segments is lost, and all ten are one batch: a single ACK advances to the gap and reports eight
/// segments behind it. RFC 6675 section 2 counts an ACK with new SACK data as a duplicate even if it advances, and by
/// section 4 (IsLost) the gap is lost: recovery begins at once, not after the RTO.
#[test]
fn one_ack_that_advances_and_reports_a_gap_begins_recovery() {
    let mut world = World::new(1);
    let client = world.host("client").ip("10.0.0.1/24").id();
    let server = world.host("server").ip("10.0.0.2/24").id();
    let link = world.link(client, server).delay(ms(10)).id();
    let records = world.collect();
    let remote = "10.0.0.2:80".parse().unwrap();
    {
        let mut stack = world.stack(server);
        let listener = stack.tcp_socket(Default::default());
        stack.tcp_bind(listener, remote).unwrap();
        stack.tcp_listen(listener, 5).unwrap();
    }
    let now = world.now();
    let id = world.stack(client).tcp_socket(Default::default());
    world.stack(client).tcp_connect(now, id, remote).unwrap();
    world.run_for(secs(1));
    world.edit(link).forward().drop_nth(2, Packet::is_data);
    let now = world.now();
    assert_eq!(
        world.stack(client).tcp(now, id).unwrap().send(&[7; 10 * 1448]),
        Ok(14_480)
    );
    world.run_for(ms(500));

    let records = records.lock().unwrap();
    let again = records
        .iter()
        .filter(|record| record.host == client.index())
        .find_map(|record| match &record.what {
            What::Stack(TraceEvent {
                kind:
                    TraceKind::SegmentOut {
                        cause: Cause::Retransmit(why),
                        ..
                    },
                ..
            }) => Some(*why),
            _ => None,
        });
    assert_eq!(again, Some(RetransmitCause::Fast));
}
