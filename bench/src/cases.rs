//! The table: what is compared, under which names.

use smoltcp::socket::tcp::CongestionControl as Theirs;
use sockeye_stack::config::CongestionControl as Ours;

use crate::pair::Api;
use crate::smol::{self, Smol};
use crate::sockeye::{self, Link, Sockeye};
use crate::work::{Connections, Exchange, Goodput, Limit, Work, octets_per_endpoint};

/// What a row's figure is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Metric {
    /// Gbit/s of payload, and nanoseconds a data segment.
    Goodput,
    /// Nanoseconds for a request and its response.
    Exchange,
    /// Connections a second.
    Connections,
}

/// Whose figure it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// smoltcp as tuned: what ratios are taken against.
    Reference,
    /// Sockeye: held to the reference by `--check`.
    Ours,
    /// Shown to tell what a setting does; no claim rests on it.
    Aside,
}

/// One stack with one setting in one row.
pub struct Contender {
    pub label: &'static str,
    pub role: Role,
    pub make: Box<dyn Fn() -> Box<dyn Work>>,
}

/// One workload.
pub struct Row {
    pub name: String,
    pub metric: Metric,
    /// What runs before the first measurement.
    pub warm_up: Limit,
    /// A row with fewer idle connections to compare the same contender with.
    pub empty: Option<String>,
    pub contenders: Vec<Contender>,
}

/// Microseconds of virtual time between two connections: 6,000 entries stand in a TIME-WAIT of 4 min.
pub const BETWEEN_CONNECTIONS: u64 = 40_000;

fn contender(label: &'static str, role: Role, make: impl Fn() -> Box<dyn Work> + 'static) -> Contender {
    Contender {
        label,
        role,
        make: Box::new(make),
    }
}

fn warm(millis: u64) -> Limit {
    Limit::Time(std::time::Duration::from_millis(millis))
}

/// All rows. `most_idle` bounds the number of idle connections.
pub fn rows(most_idle: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    for mtu in [1500, 9000, 65535] {
        for checksums in [true, false] {
            for api in [Api::Copy, Api::Lend] {
                rows.push(goodput(mtu, checksums, api));
            }
        }
    }
    for size in [1, 64] {
        rows.push(exchange(size, 0));
    }
    for idle in [10, 1_000, 100_000] {
        if idle <= most_idle {
            rows.push(exchange(1, idle));
        }
    }
    for size in [0, 64] {
        rows.extend([1, 16, 64].map(|width| connections(size, width)));
    }
    rows
}

fn goodput(mtu: usize, checksums: bool, api: Api) -> Row {
    let name = format!(
        "goodput/{mtu}/{}/{}",
        if checksums { "checksums" } else { "none" },
        if api == Api::Copy { "copy" } else { "lend" }
    );
    let ours = move |link, change: fn(&mut sockeye::Tuning)| {
        move || -> Box<dyn Work> {
            let mut tuning = sockeye::Tuning {
                checksums,
                ..sockeye::Tuning::new(mtu, link)
            };
            change(&mut tuning);
            Box::new(Goodput::new(Sockeye::new(tuning), api))
        }
    };
    let theirs = move |change: fn(&mut smol::Tuning)| {
        move || -> Box<dyn Work> {
            let mut tuning = smol::Tuning {
                checksums,
                ..smol::Tuning::new(mtu)
            };
            change(&mut tuning);
            Box::new(Goodput::new(Smol::new(tuning), api))
        }
    };
    let mut contenders = vec![
        contender("smoltcp", Role::Reference, theirs(|_| {})),
        contender("sockeye flat", Role::Ours, ours(Link::Flat, |_| {})),
        contender("sockeye moved", Role::Ours, ours(Link::Moved, |_| {})),
    ];
    if mtu == 1500 && api == Api::Copy && checksums {
        contenders.extend([
            contender(
                "smoltcp, CUBIC",
                Role::Aside,
                theirs(|t| t.congestion = Theirs::Cubic),
            ),
            contender(
                "smoltcp, CUBIC and timestamps",
                Role::Aside,
                theirs(|t| (t.congestion, t.timestamps) = (Theirs::Cubic, true)),
            ),
            contender(
                "smoltcp, Reno",
                Role::Aside,
                theirs(|t| t.congestion = Theirs::Reno),
            ),
            contender(
                "smoltcp, ACKs not delayed",
                Role::Aside,
                theirs(|t| t.delayed_ack = false),
            ),
            contender(
                "smoltcp, 256 KiB buffers",
                Role::Aside,
                theirs(|t| t.buffer = 256 * 1024),
            ),
            contender(
                "sockeye flat, NewReno",
                Role::Aside,
                ours(Link::Flat, |t| t.congestion = Ours::NewReno),
            ),
            contender(
                "sockeye flat, no timestamps",
                Role::Aside,
                ours(Link::Flat, |t| t.timestamps = false),
            ),
            contender(
                "sockeye flat, automatic buffers",
                Role::Aside,
                ours(Link::Flat, |t| t.buffer = None),
            ),
        ]);
    }
    Row {
        name,
        metric: Metric::Goodput,
        warm_up: warm(50),
        empty: None,
        contenders,
    }
}

fn exchange(size: usize, idle: usize) -> Row {
    let name = if idle == 0 {
        format!("exchange/{size}")
    } else {
        format!("exchange/{size}/idle-{idle}")
    };
    let ours = move |link| {
        move || -> Box<dyn Work> {
            let pair = Sockeye::new(sockeye::Tuning::new(1500, link));
            Box::new(Exchange::new(pair, size, idle))
        }
    };
    let theirs = move |alike: bool| {
        move || -> Box<dyn Work> {
            let mut tuning = smol::Tuning {
                buffer: 64 * 1024,
                timestamps: alike,
                ..smol::Tuning::new(1500)
            };
            if alike {
                tuning.congestion = Theirs::Cubic;
            }
            Box::new(Exchange::new(Smol::new(tuning), size, idle))
        }
    };
    let mut contenders = vec![
        contender("smoltcp", Role::Reference, theirs(false)),
        contender("sockeye flat", Role::Ours, ours(Link::Flat)),
        contender("sockeye moved", Role::Ours, ours(Link::Moved)),
    ];
    if idle == 0 {
        let alike = "smoltcp, CUBIC and timestamps";
        contenders.push(contender(alike, Role::Aside, theirs(true)));
    }
    let empty = (idle > 0).then(|| format!("exchange/{size}"));
    Row {
        name,
        metric: Metric::Exchange,
        warm_up: warm(20),
        empty,
        contenders,
    }
}

fn connections(size: usize, width: usize) -> Row {
    let ours = move |link| {
        move || -> Box<dyn Work> {
            let pair = Sockeye::new(sockeye::Tuning::new(1500, link));
            Box::new(Connections::new(pair, size, width, BETWEEN_CONNECTIONS))
        }
    };
    let theirs = move |time_wait| {
        move || -> Box<dyn Work> {
            let pair = Smol::new(smol::Tuning {
                buffer: 4096,
                time_wait,
                ..smol::Tuning::new(1500)
            });
            Box::new(Connections::new(pair, size, width, BETWEEN_CONNECTIONS))
        }
    };
    let contenders = vec![
        contender("smoltcp, no TIME-WAIT", Role::Reference, theirs(false)),
        contender("smoltcp, 10 s TIME-WAIT", Role::Aside, theirs(true)),
        contender("sockeye flat", Role::Ours, ours(Link::Flat)),
        contender("sockeye moved", Role::Ours, ours(Link::Moved)),
    ];
    // Enough that the first entries of TIME-WAIT have gone: from here on one goes for each that comes.
    let name = match width {
        1 => format!("connections/{size}"),
        _ => format!("connections-{width}/{size}"),
    };
    Row {
        name,
        metric: Metric::Connections,
        warm_up: Limit::Units(8_000),
        empty: None,
        contenders,
    }
}

/// Memory of idle endpoints: label, connections, octets for each endpoint.
pub fn memory(most_idle: usize) -> Vec<(String, Role, usize, f64)> {
    let mut list = Vec::new();
    for n in [1_000, 10_000, 100_000] {
        if n > most_idle.max(1_000) {
            continue;
        }
        let mut pair = Sockeye::new(sockeye::Tuning {
            buffer: None,
            ..sockeye::Tuning::new(1500, Link::Flat)
        });
        list.push(("sockeye".into(), Role::Ours, n, octets_per_endpoint(&mut pair, n)));
    }
    for (buffer, n) in [(256, 1_000), (256, 10_000), (64 * 1024, 1_000)] {
        if n > most_idle.max(1_000) {
            continue;
        }
        let mut pair = Smol::new(smol::Tuning {
            idle_buffer: buffer,
            ..smol::Tuning::new(1500)
        });
        let label = format!("smoltcp, two buffers of {buffer} octets");
        list.push((label, Role::Aside, n, octets_per_endpoint(&mut pair, n)));
    }
    list
}
