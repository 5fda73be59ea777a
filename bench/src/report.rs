//! Tables for people, JSON lines for programs, and the verdict.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use serde_json::{Value, json};

use crate::cases::{BETWEEN_CONNECTIONS, Metric, Role, Row};
use crate::measure::{Run, Summary, figure};
use crate::pair::BATCH;

/// Octets that an idle endpoint may cost.
const MOST_PER_ENDPOINT: f64 = 512.0;

/// Memory of idle endpoints: label, role, connections, octets for each endpoint.
pub type Memory = Vec<(String, Role, usize, f64)>;

/// What ran where.
pub fn machine() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo")
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split(": ").nth(1).map(str::to_owned));
    let cache = read("/sys/devices/system/cpu/cpu0/cache/index2/size");
    json!({
        "kind": "machine",
        "cpu": cpu,
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "l2": cache.trim(),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "arch": std::env::consts::ARCH,
        "smoltcp": "0.14.0",
        "sockeye_stack": "0.1.0",
    })
}

/// What the figures mean.
pub fn print_terms() {
    let machine = machine();
    let text = |key: &str| machine[key].as_str().unwrap_or("unknown").to_owned();
    println!(
        "machine   {}, {} cores, L2 {}, Linux {}",
        text("cpu"),
        machine["cores"],
        text("l2"),
        text("kernel")
    );
    println!(
        "stacks    sockeye-stack {}, smoltcp {}; one thread, IPv4, one link in memory",
        text("sockeye_stack"),
        text("smoltcp")
    );
    println!("batch     {BATCH} frames a turn and direction for both; time is virtual for both");
    println!(
        "smoltcp   leanest build (TCP over IPv4 only), Medium::Ip, release with fat LTO as for sockeye; buffers 2 x 64 KiB"
    );
    println!(
        "          (goodput at 1500; 128 KiB above, the best of those tried), 4 KiB (connections); no congestion control (its"
    );
    println!(
        "          default), no timestamps (its default), delayed ACKs; poll_ingress_single, application, poll_egress"
    );
    println!(
        "sockeye   Profile::Rfc: CUBIC, timestamps, SACK, delayed ACKs; buffers 2 x 256 KiB as limits, allocated on use"
    );
    println!(
        "          flat:  every frame is written into one contiguous buffer of the link, as smoltcp's device makes it"
    );
    println!(
        "          moved: frames go from stack to stack as header and shared payload (same process, no copy on the link)"
    );
    println!(
        "lend      sockeye: send_bytes and recv_bytes; smoltcp: closures of send and recv. No application touches an octet"
    );
    println!(
        "connections  one after another (connections-16: sixteen at a time); the client closes first; virtual time goes on \
         {} ms for each: sockeye holds",
        BETWEEN_CONNECTIONS / 1000
    );
    println!(
        "          6,000 entries in TIME-WAIT (2 MSL = 4 min) and expires one for each that comes; smoltcp's socket is"
    );
    println!("          opened again out of TIME-WAIT at once, or (second line) stays its 10 s: 250 sockets");
    println!(
        "exchange  request and response of as many octets; idle-N: with N idle established connections at both ends,"
    );
    println!(
        "          which have exchanged data before; with smoltcp the active connection is the last of its set"
    );
    println!(
        "ratio     sockeye against smoltcp, above 1 is faster: median of pairs within clean rounds (quartiles)"
    );
    println!();
}

/// The tables.
pub fn print(rows: &[Row], run: &Run, memory: &Memory) {
    let dirty = run.measured.iter().filter(|m| !run.is_clean(m)).count();
    println!(
        "{} rounds, {} measurements, {dirty} of them dirty; calibration loop {:.2} ms",
        run.rounds,
        run.measured.len(),
        run.usual as f64 / 1e6
    );
    for (title, metric) in [
        (
            "goodput, Gbit/s; nanoseconds a data segment, both ends",
            Metric::Goodput,
        ),
        ("request and response, nanoseconds", Metric::Exchange),
        ("connections a second", Metric::Connections),
    ] {
        if !rows.iter().any(|row| row.metric == metric) {
            continue;
        }
        let unit = if metric == Metric::Goodput { "ns/seg" } else { "" };
        println!();
        println!("{title}");
        println!(
            "{:<28} {:<32} {:>10} {:>7} {:>8} {:>10} {:>11} {:>5}  ratio to smoltcp",
            "", "", "median", "spread", unit, "frames/op", "allocs/op", "clean"
        );
        for (i, row) in rows.iter().enumerate().filter(|(_, row)| row.metric == metric) {
            for (j, contender) in row.contenders.iter().enumerate() {
                let name = if j == 0 { row.name.as_str() } else { "" };
                println!("{name:<28} {:<32} {}", contender.label, line(rows, run, i, j));
            }
        }
    }
    if !memory.is_empty() {
        println!();
        println!(
            "octets for each idle established endpoint, after an exchange of 1,000 octets each way (as asked of the allocator)"
        );
        for (label, _, connections, octets) in memory {
            println!("{label:<40} {connections:>8} connections {octets:>10.0}");
        }
    }
}

/// The figures of one case.
fn line(rows: &[Row], run: &Run, i: usize, j: usize) -> String {
    let metric = rows[i].metric;
    let Some(summary) = Summary::of(run.clean(i, j).map(|m| figure(metric, &m.sample))) else {
        return format!("{:>10}", "no clean round");
    };
    let segment = Summary::of(
        run.clean(i, j)
            .map(|m| m.sample.nanos as f64 / m.sample.units as f64),
    );
    let (units, frames, allocations) = run.all(i, j).fold((0, 0, 0), |(u, f, a), m| {
        (u + m.sample.units, f + m.sample.frames, a + m.sample.allocations)
    });
    let median = match metric {
        Metric::Goodput => format!("{:.2}", summary.median),
        Metric::Exchange | Metric::Connections => format!("{:.0}", summary.median),
    };
    let segment = match (metric, segment) {
        (Metric::Goodput, Some(s)) => format!("{:.0}", s.median),
        _ => String::new(),
    };
    format!(
        "{median:>10} {:>6.1}% {segment:>8} {:>10.2} {:>11.5} {:>5}  {}{}",
        summary.spread(),
        frames as f64 / units as f64,
        allocations as f64 / units as f64,
        summary.count,
        ratio_text(rows, run, i, j),
        empty_text(rows, run, i, j),
    )
}

fn reference(row: &Row) -> Option<usize> {
    row.contenders.iter().position(|c| c.role == Role::Reference)
}

fn ratio_text(rows: &[Row], run: &Run, i: usize, j: usize) -> String {
    let Some(reference) = reference(&rows[i]).filter(|&r| r != j) else {
        return String::new();
    };
    match run.ratio((i, j), (i, reference)) {
        Some(r) => format!("{:.2} ({:.2} to {:.2})", r.median, r.low, r.high),
        None => "inconclusive".into(),
    }
}

fn empty_text(rows: &[Row], run: &Run, i: usize, j: usize) -> String {
    let label = rows[i].contenders[j].label;
    let Some(empty) = rows
        .iter()
        .position(|row| Some(&row.name) == rows[i].empty.as_ref())
    else {
        return String::new();
    };
    let Some(same) = rows[empty].contenders.iter().position(|c| c.label == label) else {
        return String::new();
    };
    match run.ratio((empty, same), (i, j)) {
        Some(r) => format!("  {:.2} times the time without idle ones", r.median),
        None => String::new(),
    }
}

/// JSON lines: the machine, each measurement, each result.
pub fn write_json(path: &str, rows: &[Row], run: &Run, memory: &Memory) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    writeln!(out, "{}", machine())?;
    for m in &run.measured {
        let (row, contender) = (&rows[m.row], &rows[m.row].contenders[m.contender]);
        let s = m.sample;
        let value = json!({
            "kind": "sample", "round": m.round, "row": row.name, "contender": contender.label,
            "nanos": s.nanos, "units": s.units, "octets": s.octets, "frames": s.frames, "allocations": s.allocations,
            "calibration": [m.before, m.after], "clean": run.is_clean(m),
        });
        writeln!(out, "{value}")?;
    }
    for (i, row) in rows.iter().enumerate() {
        for (j, contender) in row.contenders.iter().enumerate() {
            let summary = Summary::of(run.clean(i, j).map(|m| figure(row.metric, &m.sample)));
            let ratio = reference(row)
                .filter(|&r| r != j)
                .and_then(|r| run.ratio((i, j), (i, r)));
            let numbers =
                |s: Summary| json!({"median": s.median, "low": s.low, "high": s.high, "count": s.count});
            let value = json!({
                "kind": "result", "row": row.name, "contender": contender.label,
                "metric": match row.metric {
                    Metric::Goodput => "gbit_per_s",
                    Metric::Exchange => "ns_per_exchange",
                    Metric::Connections => "connections_per_s",
                },
                "value": summary.map(numbers), "ratio": ratio.map(numbers),
            });
            writeln!(out, "{value}")?;
        }
    }
    for (label, _, connections, octets) in memory {
        let value = json!({"kind": "memory", "contender": label, "connections": connections, "octets_per_endpoint": octets});
        writeln!(out, "{value}")?;
    }
    out.flush()
}

/// What falls short: Sockeye behind smoltcp, an allocation in steady goodput, a fat endpoint.
pub fn shortfalls(rows: &[Row], run: &Run, memory: &Memory) -> Vec<String> {
    let mut list = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        for (j, contender) in row
            .contenders
            .iter()
            .enumerate()
            .filter(|(_, c)| c.role == Role::Ours)
        {
            let ratio = reference(row).and_then(|r| run.ratio((i, j), (i, r)));
            if let Some(ratio) = ratio.filter(|r| r.median < 1.0) {
                list.push(format!(
                    "{}: {} reaches {:.2} of smoltcp",
                    row.name, contender.label, ratio.median
                ));
            }
            let allocations: u64 = run.all(i, j).map(|m| m.sample.allocations).sum();
            if row.metric == Metric::Goodput && allocations > 0 {
                let segments: u64 = run.all(i, j).map(|m| m.sample.units).sum();
                list.push(format!(
                    "{}: {} made {allocations} allocations in {segments} segments",
                    row.name, contender.label
                ));
            }
        }
    }
    for (label, role, connections, octets) in memory {
        if *role == Role::Ours && *octets > MOST_PER_ENDPOINT {
            list.push(format!(
                "{label}: {octets:.0} octets for each of {connections} idle endpoints"
            ));
        }
    }
    list
}
