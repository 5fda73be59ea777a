//! TCP's rows of the socket table.

use alloc::vec::Vec;

use super::conn::{Fact, Phase};
use super::table::{Slot, Tcp};
use super::{State, TcpInfo};
use crate::config::Config;
use crate::demux::FourTuple;
use crate::snapshot::{Protocol, SocketRow};
use crate::stack::SocketId;
use crate::trace::Tuple;

impl Tcp {
    /// All sockets, half-open and TIME-WAIT entries.
    pub(crate) fn rows(&self) -> Vec<SocketRow> {
        let sockets = self.tables.sockets.iter();
        sockets
            .filter_map(|(slot, generation, socket)| row_of(SocketId { slot, generation }, socket))
            .chain(self.compact_rows())
            .collect()
    }
    /// As [`Tcp::rows`], with TCP_INFO where there is one: for connections that the application has closed, too.
    pub(crate) fn rows_with_info(&self, config: &Config) -> Vec<(SocketRow, Option<TcpInfo>)> {
        let sockets = self.tables.sockets.iter();
        sockets
            .filter_map(|(slot, generation, socket)| {
                let info = match socket {
                    Slot::Open(tcb) => Some(tcb.info(config)),
                    Slot::Fresh(_) | Slot::Listener(_) | Slot::SynSent(_) => None,
                };
                Some((row_of(SocketId { slot, generation }, socket)?, info))
            })
            .chain(self.compact_rows().map(|row| (row, None)))
            .collect()
    }
    /// Half-open and TIME-WAIT entries.
    fn compact_rows(&self) -> impl Iterator<Item = SocketRow> {
        let entries = self
            .tables
            .half_open
            .iter()
            .map(|(_, _, h)| (h.tuple, State::SynReceived));
        let waiting = self
            .tables
            .time_wait
            .iter()
            .map(|(_, _, t)| (t.tuple, State::TimeWait));
        entries
            .chain(waiting)
            .map(|(tuple, state)| connection(None, state, &tuple, 0, 0))
    }
}

fn row_of(id: SocketId, socket: &Slot) -> Option<SocketRow> {
    Some(match socket {
        Slot::Fresh(fresh) => SocketRow {
            id: Some(id),
            protocol: Protocol::Tcp,
            state: Some(State::Closed),
            local: fresh.local,
            remote: None,
            receive_queue: 0,
            send_queue: 0,
        },
        Slot::Listener(listener) => SocketRow {
            id: Some(id),
            protocol: Protocol::Tcp,
            state: Some(State::Listen),
            local: Some(listener.local),
            remote: None,
            receive_queue: listener.accept.len(),
            send_queue: listener.backlog as usize,
        },
        Slot::SynSent(opening) => connection(
            (!opening.closing).then_some(id),
            opening.state(),
            &opening.tuple,
            0,
            0,
        ),
        // The TIME-WAIT entry has a row of its own.
        Slot::Open(tcb) if tcb.phase == Phase::TimeWait => return None,
        Slot::Open(tcb) => {
            let held = !tcb.facts.contains(Fact::ORPHAN);
            let sent = tcb.send_len() as usize;
            connection(held.then_some(id), tcb.state(), &tcb.tuple, tcb.readable(), sent)
        }
    })
}

fn connection(
    id: Option<SocketId>,
    state: State,
    tuple: &FourTuple,
    receive_queue: usize,
    send_queue: usize,
) -> SocketRow {
    let Tuple { local, remote } = Tuple::from(*tuple);
    SocketRow {
        id,
        protocol: Protocol::Tcp,
        state: Some(state),
        local: Some(local),
        remote: Some(remote),
        receive_queue,
        send_queue,
    }
}
