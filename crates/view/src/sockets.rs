//! The socket table, as `ss -tan` shows it, with the RFC's names for the states.
//!
//! ```text
//! State         Recv-Q  Send-Q  Local Address:Port  Peer Address:Port
//! LISTEN             1     128        0.0.0.0:8000          0.0.0.0:*
//! ESTABLISHED        0    1460       10.0.0.2:8000     10.0.0.1:49152
//! ```

use std::fmt::Write;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use sockeye_stack::Duration;
use sockeye_stack::snapshot::{Protocol, Snapshot, SocketRow};
use sockeye_stack::tcp::{State, TcpInfo};

use crate::explain::Explain;
use crate::text::{pad, pad_left, snake, width};

/// A row of the table, in a form that can be kept and sent.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Socket {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// TCP's state as the RFC writes it; `CONNECTED` or `UNCONNECTED` for UDP.
    pub state: String,
    /// Octets received and not read; for a listener, connections waiting to be accepted.
    pub recv_q: usize,
    /// Octets not sent or not acknowledged; for a listener, its backlog.
    pub send_q: usize,
    /// Our address and port, or `*:*`.
    pub local: String,
    /// The peer's.
    pub peer: String,
    /// No program holds it any more: it finishes by itself.
    pub orphan: bool,
    /// What is known of the connection.
    pub info: Option<Info>,
}

/// What is known of a connection (TCP_INFO). Times in nanoseconds, sizes in octets.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // the names are those of TcpInfo, where each is told
pub struct Info {
    pub cwnd: u32,
    /// None until the first loss.
    pub ssthresh: Option<u32>,
    pub srtt_ns: u64,
    pub rttvar_ns: u64,
    pub min_rtt_ns: u64,
    pub rto_ns: u64,
    pub mss: u32,
    pub in_flight: u32,
    pub unsent: u32,
    pub peer_window: u32,
    pub our_window: u32,
    pub bytes_acked: u64,
    pub bytes_received: u64,
    pub segments_out: u64,
    pub segments_in: u64,
    pub retransmissions: u64,
    /// Timeouts in a row that are not answered yet.
    pub timeouts: u8,
    /// Whether both ends agreed on explicit congestion notification, and the marks seen in each direction.
    pub ecn: bool,
    pub ce_received: u64,
    pub ece_received: u64,
    /// Why nothing is being sent at this moment.
    pub quiet: Quiet,
}

/// Why nothing is being sent.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Quiet {
    /// A stable name: `nothing_to_send`, `acknowledgment`, or what holds data back, `nagle` say.
    pub name: String,
    /// In a few words.
    pub words: String,
    /// In a sentence.
    pub sentence: String,
    /// The clause of the RFC, if one asks for it.
    pub clause: Option<String>,
}

impl From<&TcpInfo> for Quiet {
    fn from(info: &TcpInfo) -> Quiet {
        if let Some(held) = info.held {
            let why = held.explain();
            return Quiet {
                name: snake(&format!("{held:?}")),
                words: held.to_string(),
                sentence: why.sentence.into(),
                clause: why.clause.map(String::from),
            };
        }
        let (name, words, sentence, clause) = if info.flight > 0 {
            (
                "acknowledgment",
                "waits for an ACK",
                "All that was written has been sent; if no acknowledgment comes within the RTO, it is sent again.",
                Some("RFC 6298 section 5"),
            )
        } else {
            (
                "nothing_to_send",
                "nothing to send",
                "All that the application has written is with the peer.",
                None,
            )
        };
        Quiet {
            name: name.into(),
            words: words.into(),
            sentence: sentence.into(),
            clause: clause.map(String::from),
        }
    }
}

impl From<&TcpInfo> for Info {
    fn from(info: &TcpInfo) -> Info {
        Info {
            cwnd: info.cwnd,
            ssthresh: (info.ssthresh != u32::MAX).then_some(info.ssthresh),
            srtt_ns: info.srtt.as_nanos(),
            rttvar_ns: info.rttvar.as_nanos(),
            min_rtt_ns: info.min_rtt.as_nanos(),
            rto_ns: info.rto.as_nanos(),
            mss: info.snd_mss,
            in_flight: info.flight,
            unsent: info.unsent,
            peer_window: info.snd_wnd,
            our_window: info.rcv_wnd,
            bytes_acked: info.bytes_acked,
            bytes_received: info.bytes_received,
            segments_out: info.segments_out,
            segments_in: info.segments_in,
            retransmissions: info.retransmits,
            timeouts: info.timeouts,
            ecn: info.ecn,
            ce_received: info.ce_received,
            ece_received: info.ece_received,
            quiet: info.into(),
        }
    }
}

impl Socket {
    /// The row, with what is known of its connection.
    pub fn new(row: &SocketRow, info: Option<&TcpInfo>) -> Socket {
        let state = match (row.state, row.remote) {
            (Some(state), _) => state.to_string(),
            (None, Some(_)) => "CONNECTED".into(),
            (None, None) => "UNCONNECTED".into(),
        };
        Socket {
            protocol: match row.protocol {
                Protocol::Tcp => "tcp".into(),
                Protocol::Udp => "udp".into(),
            },
            state,
            recv_q: row.receive_queue,
            send_q: row.send_queue,
            local: address(row.local, row.local),
            peer: address(row.remote, row.local),
            orphan: row.id.is_none(),
            info: info.map(Info::from),
        }
    }
    /// Whether it waits for connections.
    pub fn is_listener(&self) -> bool {
        self.state == State::Listen.to_string()
    }
}

/// Which rows are shown, and how much of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Choice {
    /// TCP sockets, half-open and TIME-WAIT entries.
    pub tcp: bool,
    /// UDP sockets.
    pub udp: bool,
    /// Listeners too; without it only connections.
    pub listeners: bool,
    /// Below each connection what is known of it, and why nothing is being sent.
    pub info: bool,
}

impl Default for Choice {
    fn default() -> Self {
        Choice {
            tcp: true,
            udp: true,
            listeners: true,
            info: false,
        }
    }
}

impl Choice {
    /// Whether this row is shown.
    pub fn wants(&self, socket: &Socket) -> bool {
        let protocol = match socket.protocol.as_str() {
            "udp" => self.udp,
            _ => self.tcp,
        };
        protocol && (self.listeners || !socket.is_listener())
    }
}

/// The table of a picture, as [`table_of`] writes it.
pub fn table(snapshot: &Snapshot, choice: Choice) -> String {
    let rows = snapshot.sockets.iter();
    table_of(
        &rows.map(|row| Socket::new(row, None)).collect::<Vec<_>>(),
        choice,
    )
}

/// The table, with a header and one line for each socket, aligned. A listener's queues are its accept queue and its
/// backlog. A column tells the protocol when both are chosen.
pub fn table_of(sockets: &[Socket], choice: Choice) -> String {
    let shown: Vec<&Socket> = sockets.iter().filter(|socket| choice.wants(socket)).collect();
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
    rows.extend(shown.iter().map(|socket| cells(socket)));
    let widths: Vec<usize> = (0..6)
        .map(|column| rows.iter().map(|row| width(&row[column])).max().unwrap_or(0))
        .collect();
    let mut out = String::new();
    for (place, row) in rows.iter().enumerate() {
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
        let info = place.checked_sub(1).and_then(|place| shown[place].info.as_ref());
        if let Some(info) = info.filter(|_| choice.info) {
            details(&mut out, info);
        }
    }
    out
}

/// The lines below a connection.
fn details(out: &mut String, info: &Info) {
    let time = |nanos| Duration::from_nanos(nanos).to_string();
    let threshold = match info.ssthresh {
        Some(octets) => format!(", ssthresh {octets}"),
        None => String::new(),
    };
    let in_a_row = match info.timeouts {
        0 => String::new(),
        n => format!(" (timeouts in a row: {n})"),
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "    cwnd {}{threshold}, rtt {} ± {} (least {}), rto {}, mss {}",
        info.cwnd,
        time(info.srtt_ns),
        time(info.rttvar_ns),
        time(info.min_rtt_ns),
        time(info.rto_ns),
        info.mss,
    );
    let _ = writeln!(
        out,
        "    in flight {}, unsent {}, windows: peer's {}, ours {}; acknowledged {}, received {}",
        info.in_flight, info.unsent, info.peer_window, info.our_window, info.bytes_acked, info.bytes_received,
    );
    let marks = match info.ecn {
        true => format!(
            "; ECN marks: received {}, echoed to us {}",
            info.ce_received, info.ece_received
        ),
        false => String::new(),
    };
    let _ = writeln!(
        out,
        "    segments: sent {}, received {}, retransmitted {}{in_a_row}{marks}",
        info.segments_out, info.segments_in, info.retransmissions,
    );
    let clause = match &info.quiet.clause {
        Some(clause) => format!(" ({clause})"),
        None => String::new(),
    };
    let _ = writeln!(out, "    {}. {}{clause}", info.quiet.words, info.quiet.sentence);
}

fn cells(socket: &Socket) -> [String; 6] {
    [
        socket.protocol.clone(),
        socket.state.clone(),
        socket.recv_q.to_string(),
        socket.send_q.to_string(),
        socket.local.clone(),
        socket.peer.clone(),
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
    use sockeye_stack::Instant;
    use sockeye_stack::tcp::Repair;
    use sockeye_stack::trace::Held;

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

    fn info() -> TcpInfo {
        let ms = Duration::from_millis;
        TcpInfo {
            state: State::Established,
            srtt: ms(20),
            rttvar: ms(5),
            min_rtt: ms(19),
            rto: ms(1000),
            snd_mss: 1448,
            rcv_mss: 536,
            cwnd: 14480,
            ssthresh: u32::MAX,
            flight: 1448,
            snd_wnd: 65535,
            rcv_wnd: 65000,
            bytes_acked: 7,
            bytes_received: 8,
            segments_out: 9,
            segments_in: 10,
            retransmits: 2,
            backoff: 1,
            timeouts: 1,
            ecn: true,
            ce_received: 3,
            ece_received: 4,
            unsent: 12,
            held: Some(Held::Nagle),
            outstanding: 1,
            sacked: 0,
            repair: Repair::None,
            probes: 0,
            timestamps: true,
            sack: true,
            window_scale: Some((7, 7)),
            path_mtu: 1500,
            last_sent: Instant::ZERO,
            last_heard: Instant::ZERO,
        }
    }

    /// Why nothing is sent: what holds data back, or that an ACK is waited for, or that there is nothing.
    #[test]
    fn each_connection_says_why_it_is_quiet() {
        let held = info();
        let flying = TcpInfo {
            unsent: 0,
            held: None,
            ssthresh: 2896,
            ..info()
        };
        let idle = TcpInfo {
            flight: 0,
            backoff: 0,
            timeouts: 0,
            ..flying
        };
        let names = [&held, &flying, &idle].map(|info| Quiet::from(info).name);
        assert_eq!(names, ["nagle", "acknowledgment", "nothing_to_send"]);
        let row = row(
            Some(State::Established),
            "10.0.0.2:8000",
            Some("10.0.0.1:49152"),
            (0, 1460),
        );
        let sockets = [&held, &idle].map(|info| Socket::new(&row, Some(info)));
        let choice = Choice {
            udp: false,
            info: true,
            ..Choice::default()
        };
        insta::assert_snapshot!(table_of(&sockets, choice));
        // It can be sent and read again.
        let text = serde_json::to_string(&sockets).unwrap();
        assert_eq!(serde_json::from_str::<[Socket; 2]>(&text).unwrap(), sockets);
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
