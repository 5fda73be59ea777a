//! Sockeye's core beside smoltcp, in one process and one thread, over an in-memory link.

mod alloc;
mod cases;
mod clock;
mod measure;
mod pair;
mod pattern;
mod report;
mod smol;
mod sockeye;
mod work;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::cases::Row;
use crate::work::Limit;

#[global_allocator]
static COUNTING: alloc::Counting = alloc::Counting;

/// Sockeye's core beside smoltcp, in one process and one thread, over an in-memory link.
#[derive(Debug, Parser)]
struct Args {
    /// Rows to run: those whose name contains one of these. All, without any.
    rows: Vec<String>,
    /// Contenders to run: those whose label contains this.
    #[arg(long)]
    contender: Option<String>,
    /// Say what there is and stop.
    #[arg(long)]
    list: bool,
    /// How long to measure, all in all.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    seconds: u64,
    /// One stretch of one case.
    #[arg(long, default_value_t = 10, value_name = "MILLISECONDS")]
    stretch: u64,
    /// Only show that everything works: a few short rounds, at most 1,000 idle connections.
    #[arg(long)]
    quick: bool,
    /// Most idle connections.
    #[arg(long, default_value_t = 100_000, value_name = "COUNT")]
    idle: usize,
    /// Check every octet instead of measuring.
    #[arg(long)]
    verify: bool,
    /// Run each selected case for this many units and measure nothing (for profilers).
    #[arg(long, value_name = "COUNT")]
    units: Option<u64>,
    /// Write machine, measurements and results as JSON lines.
    #[arg(long, value_name = "FILE")]
    json: Option<String>,
    /// Fail if Sockeye is behind smoltcp anywhere, allocates in steady state, or needs more than 512 octets for an idle
    /// endpoint.
    #[arg(long)]
    check: bool,
    /// Leave out the memory of idle endpoints.
    #[arg(long)]
    no_memory: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let most_idle = if args.quick {
        args.idle.min(1_000)
    } else {
        args.idle
    };
    let rows = selected(cases::rows(most_idle), &args);
    if args.list {
        for row in &rows {
            println!("{}", row.name);
            for contender in &row.contenders {
                println!("    {}", contender.label);
            }
        }
        return ExitCode::SUCCESS;
    }
    if args.verify || args.units.is_some() {
        each(&rows, &args);
        return ExitCode::SUCCESS;
    }
    report::print_terms();
    let memory = if args.no_memory || !args.rows.is_empty() {
        Vec::new()
    } else {
        cases::memory(most_idle)
    };
    let (total, stretch) = if args.quick {
        (0, 1)
    } else {
        (args.seconds, args.stretch)
    };
    let run = measure::run(
        &rows,
        Duration::from_secs(total),
        Duration::from_millis(stretch),
        measure::ENOUGH,
    );
    report::print(&rows, &run, &memory);
    if let Some(path) = &args.json
        && let Err(error) = report::write_json(path, &rows, &run, &memory)
    {
        eprintln!("cannot write {path}: {error}");
        return ExitCode::FAILURE;
    }
    let shortfalls = report::shortfalls(&rows, &run, &memory);
    if !shortfalls.is_empty() {
        println!();
        println!("falls short");
        shortfalls.iter().for_each(|line| println!("  {line}"));
    }
    if args.check && !shortfalls.is_empty() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn selected(rows: Vec<Row>, args: &Args) -> Vec<Row> {
    rows.into_iter()
        .filter(|row| args.rows.is_empty() || args.rows.iter().any(|part| row.name.contains(part.as_str())))
        .filter_map(|mut row| {
            if let Some(part) = &args.contender {
                row.contenders
                    .retain(|contender| contender.label.contains(part.as_str()));
            }
            (!row.contenders.is_empty()).then_some(row)
        })
        .collect()
}

/// Runs each case on its own, checking every octet or counting units.
fn each(rows: &[Row], args: &Args) {
    for row in rows {
        for contender in &row.contenders {
            let mut work = (contender.make)();
            let sample = if args.verify {
                work.verify(
                    args.units
                        .map_or(Limit::Time(Duration::from_millis(200)), Limit::Units),
                )
            } else {
                work.run(Limit::Units(args.units.unwrap_or(1)))
            };
            println!(
                "{:<28} {:<32} {:>10} units {:>14} octets {:>10} frames {:>8} allocations",
                row.name, contender.label, sample.units, sample.octets, sample.frames, sample.allocations
            );
        }
    }
}
