//! What came against what the script expects.

use sockeye_stack::tcp::Flags;

use super::conn::{Conn, octets};
use super::fault::Difference;
use super::icmp;
use super::seen::{self, Body, Seen};
use super::syntax::{self, Ecn, Icmp, IpPart, Packet, Quoted, Tcp, TcpOption};
use super::words;

/// How timestamps of ours are compared, where they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticks {
    /// Microseconds that one step of the timestamp clock takes in the script; 0: they are not compared.
    pub(super) usecs: i64,
    /// How far a time may be off.
    pub(super) tolerance_usecs: i64,
}

/// All that is not as expected. Where the segment is good, the connection learns from it.
pub(super) fn packet(conn: &mut Conn, expected: &Packet, seen: &Seen, ticks: Ticks) -> Vec<Difference> {
    let mut found = Vec::new();
    if let Some(broken) = &seen.broken {
        found.push(Difference::new("packet", "a good one", broken));
    }
    ip(&expected.ip, seen, &mut found);
    match (&expected.body, &seen.body) {
        (syntax::Body::Tcp(tcp), Body::Tcp { .. }) => segment(conn, tcp, seen, ticks, &mut found),
        (syntax::Body::Udp { len }, Body::Udp { data, .. }) => {
            if usize::from(*len) != data.len() {
                found.push(Difference::new("length", len, data.len()));
            } else if conn.datagrams.pop_front().is_some_and(|sent| sent != *data) {
                found.push(Difference::new("payload", "what was written", "other octets"));
            }
        }
        (syntax::Body::Icmp(expected), Body::Icmp { .. }) => message(conn, expected, seen, &mut found),
        _ => found.push(Difference::new(
            "packet",
            kind_of(&expected.body),
            seen.words(Some(conn)),
        )),
    }
    found
}

fn kind_of(body: &syntax::Body) -> &'static str {
    match body {
        syntax::Body::Tcp(_) => "a segment",
        syntax::Body::Udp { .. } => "a datagram",
        syntax::Body::Icmp(_) => "an ICMP message",
    }
}

fn ip(expected: &IpPart, seen: &Seen, found: &mut Vec<Difference>) {
    match expected.ecn {
        Some(Ecn::Bits(bits)) if seen.traffic_class & 3 != bits => {
            found.push(Difference::new(
                "ecn",
                words::ecn(bits),
                words::ecn(seen.traffic_class),
            ));
        }
        Some(Ecn::Ect01) if !matches!(seen.traffic_class & 3, 1 | 2) => {
            found.push(Difference::new("ecn", "ect01", words::ecn(seen.traffic_class)));
        }
        _ => {}
    }
    if let Some(tos) = expected.tos
        && tos != seen.traffic_class
    {
        let hex = |n: u8| format!("{n:#x}");
        found.push(Difference::new("tos", hex(tos), hex(seen.traffic_class)));
    }
    if let Some(ttl) = expected.ttl
        && ttl != seen.ttl
    {
        found.push(Difference::new("ttl", ttl, seen.ttl));
    }
    if let Some(label) = expected.flow_label
        && label != seen.flow_label
    {
        found.push(Difference::new("flowlabel", label, seen.flow_label));
    }
    if let Some(source) = expected.source
        && source != seen.source
    {
        found.push(Difference::new("src", source, seen.source));
    }
    if let Some(destination) = expected.destination
        && destination != seen.destination
    {
        found.push(Difference::new("dst", destination, seen.destination));
    }
    if !expected.options.is_empty() && expected.options != seen.ip_options {
        let shown = |octets: &[u8]| format!("{octets:02x?}");
        found.push(Difference::new(
            "ipopt",
            shown(&expected.options),
            shown(&seen.ip_options),
        ));
    }
}

fn segment(conn: &mut Conn, expected: &Tcp, seen: &Seen, ticks: Ticks, found: &mut Vec<Difference>) {
    let Body::Tcp {
        flags,
        sequence,
        ack,
        window,
        urgent,
        options,
        data,
        ..
    } = &seen.body
    else {
        return;
    };
    let came = Flags::from_bits_retain(*flags);
    let wanted = Flags::from_bits_retain(expected.flags);
    if came != wanted {
        found.push(Difference::new(
            "flags",
            words::flags(expected.flags),
            words::flags(*flags),
        ));
    }
    if came.contains(Flags::SYN) && wanted.contains(Flags::SYN) {
        conn.we_open(expected.start, *sequence);
    }
    let number = |conn: &Conn, found: &mut Vec<Difference>| {
        let start = conn.ours_to_script(*sequence);
        if start != expected.start || data.len() != usize::from(expected.len) {
            let shown = |start: u32, len: usize| format!("{start}:{}({len})", start.wrapping_add(len as u32));
            found.push(Difference::new(
                "sequence",
                shown(expected.start, expected.len.into()),
                shown(start, data.len()),
            ));
        }
    };
    number(conn, found);
    if came.contains(Flags::ACK) && wanted.contains(Flags::ACK) {
        let came = conn.peer_to_script(*ack);
        let expected = expected.ack.unwrap_or(0);
        if came != expected {
            found.push(Difference::new("ack", expected, came));
        }
    }
    if let Some(expected) = expected.window
        && expected != *window
    {
        found.push(Difference::new("win", expected, window));
    }
    let expected_urgent = expected.urgent.unwrap_or(0);
    if expected_urgent != *urgent {
        found.push(Difference::new("urg", expected_urgent, urgent));
    }
    if let Some(expected) = &expected.options {
        compare_options(conn, expected, options, ticks, found);
    }
    payload(conn, *sequence, *flags, data, found);
}

/// The octets are those that the application wrote (where it wrote them by a call of the script).
fn payload(conn: &Conn, sequence: u32, flags: u8, data: &[u8], found: &mut Vec<Difference>) {
    let syn = u32::from(flags & Flags::SYN.bits() != 0);
    let start = conn.ours_to_script(sequence).wrapping_add(syn);
    let Some(at) = conn.our_octet(start) else { return };
    let at = at as usize;
    let Some(written) = conn.written.get(at..at.saturating_add(data.len())) else {
        return;
    };
    if let Some(place) = (0..data.len()).find(|&n| written[n] != data[n]) {
        found.push(Difference::new(
            &format!("payload at {}", start.wrapping_add(place as u32)),
            format!("{:#04x}, as written", written[place]),
            format!("{:#04x}", data[place]),
        ));
    }
}

fn compare_options(
    conn: &mut Conn,
    expected: &[TcpOption],
    came: &[TcpOption],
    ticks: Ticks,
    found: &mut Vec<Difference>,
) {
    let came: Vec<_> = came
        .iter()
        .map(|option| seen::relative(option, Some(conn)))
        .collect();
    let mut matched = expected.len() == came.len();
    let mut shown = came.clone();
    for (at, expected) in expected.iter().enumerate() {
        let Some(came) = came.get(at) else { break };
        let (
            TcpOption::Timestamps { value, echo },
            TcpOption::Timestamps {
                value: wire,
                echo: came_echo,
            },
        ) = (expected, came)
        else {
            matched &= expected == came;
            continue;
        };
        // Ours are shown as the script counts them.
        let counted = match conn.first_timestamp {
            Some((first, first_wire)) => wire.wrapping_sub(first_wire).wrapping_add(first),
            None => *value,
        };
        shown[at] = TcpOption::Timestamps {
            value: counted,
            echo: *came_echo,
        };
        let off = i64::from(counted.wrapping_sub(*value) as i32).abs();
        // One step for rounding.
        matched &= ticks.usecs == 0 || (off - 1) * ticks.usecs <= ticks.tolerance_usecs;
        matched &= echo == came_echo;
        conn.saw_timestamp(*value, *wire);
    }
    if !matched {
        found.push(Difference::new(
            "options",
            words::option_words(expected),
            words::option_words(&shown),
        ));
    }
}

fn message(conn: &Conn, expected: &Icmp, seen: &Seen, found: &mut Vec<Difference>) {
    let Body::Icmp {
        kind,
        code,
        rest,
        quoted,
    } = &seen.body
    else {
        return;
    };
    let v4 = seen.source.is_ipv4();
    let Ok(numbers) = icmp::numbers(v4, &expected.kind, expected.code.as_deref(), expected.mtu) else {
        return;
    };
    let same_rest = expected.mtu.is_none_or(|mtu| mtu == *rest);
    if (numbers.kind, numbers.code) != (*kind, *code) || !same_rest {
        let shown = |n: icmp::Numbers| icmp::words(v4, n.kind, n.code, n.rest);
        let came = icmp::Numbers {
            kind: *kind,
            code: *code,
            rest: *rest,
        };
        found.push(Difference::new("message", shown(numbers), shown(came)));
        return;
    }
    if expected.quoted == Quoted::Unsaid {
        return;
    }
    let came = seen::quoted(v4, quoted);
    let shown = match came {
        Some((from, to, what)) => {
            // It is the peer's packet that comes back.
            let ends = from == conn.remote && to == conn.local;
            let what = match what {
                Quoted::Tcp { start, len } => Quoted::Tcp {
                    start: conn.peer_to_script(start),
                    len,
                },
                other => other,
            };
            if ends && what == expected.quoted {
                return;
            }
            format!("{} from {from} to {to}", quoted_words(what))
        }
        None => "nothing that can be read".into(),
    };
    let wanted = format!(
        "{} from {} to {}",
        quoted_words(expected.quoted),
        conn.remote,
        conn.local
    );
    found.push(Difference::new("quoted", wanted, shown));
}

fn quoted_words(quoted: Quoted) -> String {
    match quoted {
        Quoted::Unsaid => "another protocol".into(),
        Quoted::Tcp { start, len } => format!("[{start}:{}({len})]", start.wrapping_add(len.into())),
        Quoted::Udp { len } => format!("[udp ({len})]"),
    }
}

/// What was read against what the peer's segments carried; `None` if it cannot be told.
pub(super) fn read(conn: &mut Conn, data: &[u8]) -> Option<Difference> {
    let from = conn.read?;
    conn.read = Some(from + data.len() as u64);
    let expected = octets(from, data.len());
    let place = (0..data.len()).find(|&n| expected[n] != data[n])?;
    Some(Difference::new(
        &format!("octet {} of the stream", from + place as u64),
        format!("{:#04x}, as it came in", expected[place]),
        format!("{:#04x}", data[place]),
    ))
}
