//! The socket table, as `ss -tan` shows it, with the RFC's names for the states.
//!
//! ```text
//! State         Recv-Q  Send-Q  Local Address:Port  Peer Address:Port
//! LISTEN             1     128        0.0.0.0:8000          0.0.0.0:*
//! ESTABLISHED        0    1460       10.0.0.2:8000     10.0.0.1:49152
//! ```

use std::net::SocketAddr;

use sockeye_stack::snapshot::{Protocol, Snapshot, SocketRow};
use sockeye_stack::tcp::State;

use crate::text::{pad, pad_left, width};

/// Which rows are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Choice {
    /// TCP sockets, half-open and TIME-WAIT entries.
    pub tcp: bool,
    /// UDP sockets.
    pub udp: bool,
    /// Listeners too; without it only connections.
    pub listeners: bool,
}

impl Default for Choice {
    fn default() -> Self {
        Choice {
            tcp: true,
            udp: true,
            listeners: true,
        }
    }
}

/// The table, with a header and one line for each socket, aligned. A listener's queues are its accept queue and its
/// backlog. A column tells the protocol when both are chosen.
pub fn table(snapshot: &Snapshot, choice: Choice) -> String {
    let mut rows = vec![
        [
            "Netid",
            "State",
            "Recv-Q",
            "Send-Q",
            "Local Address:Port",
            "Peer Address:Port",
        ]
        .map(String::from),
    ];
    rows.extend(
        snapshot
            .sockets
            .iter()
            .filter(|row| wanted(row, choice))
            .map(cells),
    );
    let widths: Vec<usize> = (0..6)
        .map(|column| rows.iter().map(|row| width(&row[column])).max().unwrap_or(0))
        .collect();
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            match column {
                0 if !(choice.tcp && choice.udp) => continue,
                0 | 1 => line.push_str(&pad(cell, widths[column])),
                _ => line.push_str(&pad_left(cell, widths[column])),
            }
            line.push_str("  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn wanted(row: &SocketRow, choice: Choice) -> bool {
    let protocol = match row.protocol {
        Protocol::Tcp => choice.tcp,
        Protocol::Udp => choice.udp,
    };
    protocol && (choice.listeners || row.state != Some(State::Listen))
}

fn cells(row: &SocketRow) -> [String; 6] {
    let netid = match row.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    let state = match (row.state, row.remote) {
        (Some(state), _) => state.to_string(),
        (None, Some(_)) => "CONNECTED".into(),
        (None, None) => "UNCONNECTED".into(),
    };
    let (receive, send) = (row.receive_queue.to_string(), row.send_queue.to_string());
    [
        netid.into(),
        state,
        receive,
        send,
        address(row.local, row.local),
        address(row.remote, row.local),
    ]
}

/// The address, or any address of the same family and any port.
fn address(address: Option<SocketAddr>, like: Option<SocketAddr>) -> String {
    match (address, like) {
        (Some(address), _) => address.to_string(),
        (None, Some(SocketAddr::V6(_))) => "[::]:*".into(),
        (None, Some(SocketAddr::V4(_))) => "0.0.0.0:*".into(),
        (None, None) => "*:*".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(state: Option<State>, local: &str, remote: Option<&str>, queues: (usize, usize)) -> SocketRow {
        let read = |text: &str| text.parse().expect("an address");
        SocketRow {
            id: None,
            protocol: if state.is_some() {
                Protocol::Tcp
            } else {
                Protocol::Udp
            },
            state,
            local: Some(read(local)),
            remote: remote.map(read),
            receive_queue: queues.0,
            send_queue: queues.1,
        }
    }

    #[test]
    fn rows_are_aligned() {
        let sockets = vec![
            row(Some(State::Listen), "0.0.0.0:8000", None, (1, 128)),
            row(None, "[::]:69", None, (0, 0)),
            row(
                Some(State::Established),
                "10.0.0.2:8000",
                Some("10.0.0.1:49152"),
                (0, 1460),
            ),
            row(
                Some(State::SynReceived),
                "10.0.0.2:8000",
                Some("10.0.0.1:49153"),
                (0, 0),
            ),
            row(
                Some(State::TimeWait),
                "[2001:db8::2]:8000",
                Some("[2001:db8::1]:50000"),
                (0, 0),
            ),
        ];
        let snapshot = Snapshot { sockets };
        insta::assert_snapshot!(table(&snapshot, Choice::default()));
        let tcp = table(
            &snapshot,
            Choice {
                udp: false,
                listeners: false,
                ..Choice::default()
            },
        );
        assert!(!tcp.contains("udp") && !tcp.contains("LISTEN"), "{tcp}");
        let backlog = crate::record::Backlog::of(&snapshot);
        assert_eq!(
            (
                backlog.len(),
                backlog[0].half_open,
                backlog[0].accept,
                backlog[0].backlog
            ),
            (1, 1, 1, 128)
        );
    }
}
