//! Names of ICMP messages and their numbers.

/// What stands in the header of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Numbers {
    pub(super) kind: u8,
    pub(super) code: u8,
    /// The second word: the MTU, where there is one.
    pub(super) rest: u32,
}

/// Kinds of ICMP (RFC 792) with their codes.
const V4: &[(&str, u8, &[&str])] = &[
    ("echo_reply", 0, &[]),
    (
        "unreachable",
        3,
        &[
            "net_unreachable",
            "host_unreachable",
            "protocol_unreachable",
            "port_unreachable",
            "frag_needed",
            "source_route_failed",
            "net_unknown",
            "host_unknown",
            "source_host_isolated",
            "net_prohibited",
            "host_prohibited",
            "net_unreachable_for_tos",
            "host_unreachable_for_tos",
            "packet_filtered",
            "precedence_violation",
            "precedence_cutoff",
        ],
    ),
    ("source_quench", 4, &[]),
    ("redirect", 5, &["net", "host", "net_for_tos", "host_for_tos"]),
    ("echo_request", 8, &[]),
    (
        "time_exceeded",
        11,
        &["exceeded_in_transit", "fragment_reassembly_time"],
    ),
    (
        "parameter_problem",
        12,
        &["pointer", "missing_option", "bad_length"],
    ),
];

/// Kinds of ICMPv6 (RFC 4443) with their codes.
const V6: &[(&str, u8, &[&str])] = &[
    (
        "unreachable",
        1,
        &[
            "no_route",
            "admin_prohibited",
            "not_neighbour",
            "address_unreachable",
            "port_unreachable",
            "policy_failed",
            "reject_route",
        ],
    ),
    ("packet_too_big", 2, &[]),
    (
        "time_exceeded",
        3,
        &["exceeded_in_transit", "fragment_reassembly_time"],
    ),
    (
        "parameter_problem",
        4,
        &["header_field", "next_header", "unknown_option"],
    ),
    ("echo_request", 128, &[]),
    ("echo_reply", 129, &[]),
];

fn table(v4: bool) -> &'static [(&'static str, u8, &'static [&'static str])] {
    if v4 { V4 } else { V6 }
}

/// The numbers of a message by its names, or what is wrong with them.
pub(super) fn numbers(v4: bool, kind: &str, code: Option<&str>, mtu: Option<u32>) -> Result<Numbers, String> {
    let family = if v4 { "ICMP" } else { "ICMPv6" };
    let Some((_, number, codes)) = table(v4).iter().find(|row| row.0 == kind) else {
        let names: Vec<_> = table(v4).iter().map(|row| row.0).collect();
        return Err(format!(
            "{family} has no message called {kind}; it has {}",
            names.join(", ")
        ));
    };
    let code = match code {
        None => 0,
        Some(code) => match codes.iter().position(|name| *name == code) {
            Some(place) => place as u8,
            None => {
                let names = codes.join(", ");
                return Err(format!(
                    "{family}'s {kind} has no code called {code}; it has {names}"
                ));
            }
        },
    };
    Ok(Numbers {
        kind: *number,
        code,
        rest: mtu.unwrap_or(0),
    })
}

/// How a script writes a message.
pub(super) fn words(v4: bool, kind: u8, code: u8, rest: u32) -> String {
    let Some((name, _, codes)) = table(v4).iter().find(|row| row.1 == kind) else {
        return format!("icmp {kind} {code}");
    };
    let mut words = format!("icmp {name}");
    match codes.get(usize::from(code)) {
        Some(code) => words += &format!(" {code}"),
        None if code == 0 => {}
        None => words += &format!(" {code}"),
    }
    if (v4 && (kind, code) == (3, 4)) || (!v4 && kind == 2) {
        words += &format!(" mtu {rest}");
    }
    words
}

/// Whether a message is an error, which quotes a packet.
pub(super) fn quotes(v4: bool, kind: u8) -> bool {
    if v4 {
        matches!(kind, 3 | 4 | 5 | 11 | 12)
    } else {
        kind < 128
    }
}
