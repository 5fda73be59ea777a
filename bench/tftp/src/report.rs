//! What was measured, as tables for people, as Markdown and as JSON.

use std::fmt::Write as _;
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::cases::Case;
use crate::costs::{REQUESTS, Unanswered};
use crate::servers::{Server, says};

/// What one server did in one case, round by round.
#[derive(Clone, Default, Debug)]
pub struct Figure {
    /// How long it took, or why it failed.
    pub seconds: Vec<Result<f64, String>>,
    /// The server's processor time in seconds, where it did not fail and can be seen.
    pub processor: Vec<f64>,
}
impl Figure {
    /// The middle one; a failure counts as longer than any time.
    fn median(&self) -> Result<f64, String> {
        let mut runs = self.seconds.clone();
        runs.sort_by(|a, b| match (a, b) {
            (Ok(a), Ok(b)) => a.total_cmp(b),
            (a, b) => b.is_ok().cmp(&a.is_ok()),
        });
        let middle = runs.len() / 2;
        runs.into_iter()
            .nth(middle)
            .unwrap_or_else(|| Err("not run".into()))
    }
    /// Why there is no use in asking it once more.
    pub fn hopeless(&self) -> Option<String> {
        self.seconds
            .iter()
            .filter_map(|run| run.as_ref().err())
            .nth(1)
            .cloned()
    }
    fn processor(&self) -> Option<f64> {
        let mut times = self.processor.clone();
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied()
    }
}

/// A case with every server, ours the first.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was asked.
    pub case: Case,
    /// In the servers' order.
    pub figures: Vec<Figure>,
}
impl Row {
    fn medians(&self) -> Vec<Result<f64, String>> {
        self.figures.iter().map(Figure::median).collect()
    }
    /// Our time as a multiple of that of the server which does best against us: the median of the rounds, each compared
    /// within itself, since the machine is not as fast in all of them.
    fn ratio(&self) -> Option<f64> {
        let (ours, others) = self.figures.split_first()?;
        let against = |other: &Figure| {
            let rounds = ours.seconds.iter().zip(&other.seconds);
            let ratio = |(ours, theirs): (&Result<f64, _>, &Result<f64, _>)| {
                Some(ours.as_ref().ok()? / theirs.as_ref().ok()?)
            };
            let mut ratios: Vec<f64> = rounds.filter_map(ratio).collect();
            ratios.sort_by(f64::total_cmp);
            ratios
                .get(ratios.len() / 2)
                .copied()
                .filter(|_| other.median().is_ok())
        };
        others.iter().filter_map(against).max_by(f64::total_cmp)
    }
    /// The same, of processor time.
    fn processor_ratio(&self) -> Option<f64> {
        let times: Vec<_> = self.figures.iter().map(Figure::processor).collect();
        let best = times[1..].iter().flatten().copied().min_by(f64::total_cmp)?;
        // Hundredths of a second: less than ten of them say nothing.
        times[0].filter(|_| best >= 0.1).map(|ours| ours / best)
    }
}

/// All that was measured.
pub struct Report {
    machine: String,
    names: Vec<&'static str>,
    versions: Vec<String>,
    rows: Vec<Row>,
    costs: Vec<(&'static str, Unanswered)>,
}

fn multiple(ratio: Option<f64>) -> String {
    ratio.map_or("-".into(), |r| format!("{r:.2}"))
}

impl Report {
    /// A report on these servers.
    pub fn new(servers: &[Server], machine: String) -> Report {
        Report {
            machine,
            names: servers.iter().map(|s| s.name).collect(),
            versions: servers.iter().map(|s| s.version.clone()).collect(),
            rows: Vec::new(),
            costs: Vec::new(),
        }
    }
    /// Prints who takes part, and the head of the table.
    pub fn head(&self) {
        println!("{}", self.machine);
        for (name, version) in self.names.iter().zip(&self.versions) {
            println!("{name}: {version}");
        }
        for client in ["curl", "atftp"] {
            println!("{}", says(Command::new(client).arg("--version")));
        }
        print!("\nseconds, medians\n{:28}", "");
        for name in &self.names {
            print!("{name:>11}");
        }
        println!("{:>22}{:>18}", "ours / best of others", "processor time");
    }
    /// Keeps a case and prints it.
    pub fn add(&mut self, row: Row) {
        print!("{:28}", row.case.name);
        for median in row.medians() {
            match median {
                Ok(seconds) => print!("{seconds:11.3}"),
                Err(why) => print!("{:>11}", why.chars().take(10).collect::<String>()),
            }
        }
        println!(
            "{:>22}{:>18}",
            multiple(row.ratio()),
            multiple(row.processor_ratio())
        );
        self.rows.push(row);
    }
    /// Keeps what unanswered requests cost a server, and prints it.
    pub fn add_cost(&mut self, name: &'static str, cost: Unanswered) {
        if self.costs.is_empty() {
            println!(
                "\n{REQUESTS} unanswered requests   memory, MB more      threads    processes     answered"
            );
        }
        println!(
            "{name:24}{:16.1}{:>13}{:>13}{:>13}",
            cost.megabytes(),
            cost.after.threads,
            cost.after.processes,
            cost.answered
        );
        self.costs.push((name, cost));
    }
    /// Whether our server failed in any round.
    pub fn we_failed(&self) -> bool {
        let failed = |row: &Row| row.figures[0].seconds.iter().any(Result::is_err);
        self.rows.iter().any(failed)
    }

    /// The tables for the documentation: seconds, and processor time in parentheses.
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "\n{}; seconds, in parentheses the server's processor time\n\n",
            self.machine
        );
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut head = vec!["case".to_owned()];
        head.extend(self.versions.iter().map(|v| v.replace('|', " ")));
        head.extend(["ours / best".into(), "processor time".into()]);
        text += &line(head);
        let _ = writeln!(text, "|{}", "-|".repeat(self.names.len() + 3));
        for row in &self.rows {
            let mut cells = vec![row.case.name.to_owned()];
            cells.extend(
                row.figures
                    .iter()
                    .map(|figure| match (figure.median(), figure.processor()) {
                        (Ok(seconds), Some(processor)) => format!("{seconds:.2} ({processor:.2})"),
                        (Ok(seconds), None) => format!("{seconds:.2}"),
                        (Err(why), _) => why,
                    }),
            );
            cells.extend([multiple(row.ratio()), multiple(row.processor_ratio())]);
            text += &line(cells);
        }
        let mut cells = vec![format!("{REQUESTS} unanswered requests: MB, threads, processes")];
        cells.extend(self.costs.iter().map(|(_, cost)| {
            let after = &cost.after;
            format!("{:.1}, {}, {}", cost.megabytes(), after.threads, after.processes)
        }));
        cells.extend(["-".into(), "-".into()]);
        text + &line(cells)
    }
    /// Every figure.
    pub fn json(&self, rounds: usize) -> Value {
        let servers = self.names.iter().zip(&self.versions);
        let servers: Vec<_> = servers
            .map(|(name, version)| json!({ "name": name, "version": version }))
            .collect();
        let cases: Vec<_> = self.rows.iter().map(|row| self.case(row)).collect();
        let costs: Map<_, _> = self
            .costs
            .iter()
            .map(|(name, cost)| {
                let value = json!({ "megabytes_more": cost.megabytes(), "threads_before": cost.before.threads,
                    "threads": cost.after.threads, "processes": cost.after.processes, "answered": cost.answered });
                ((*name).to_owned(), value)
            })
            .collect();
        json!({ "machine": self.machine, "servers": servers, "rounds": rounds, "cases": cases,
            "unanswered": costs })
    }
    fn case(&self, row: &Row) -> Value {
        let figures = || self.names.iter().zip(&row.figures);
        let seconds: Map<_, _> = figures()
            .map(|(name, figure)| {
                let runs = figure.seconds.iter().map(|run| match run {
                    Ok(seconds) => json!(seconds),
                    Err(why) => json!(why),
                });
                ((*name).to_owned(), runs.collect())
            })
            .collect();
        let processor: Map<_, _> = figures()
            .map(|(name, figure)| ((*name).to_owned(), json!(figure.processor)))
            .collect();
        json!({ "case": row.case.name, "octets": row.case.size, "seconds": seconds, "processor_seconds": processor,
            "ratio_to_best": row.ratio(), "processor_ratio_to_best": row.processor_ratio() })
    }
}
