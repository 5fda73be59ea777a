//! `sockeye lab list` and `sockeye lab run`.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use sockeye_lab::scenarios::{self, Audience, Check, Scenario};
use sockeye_view::{Cast, LadderStyle, Record};

use crate::args::RunArgs;
use crate::exit::{Code, Failure};
use crate::output::{Files, Readers, Shared};
use crate::{Outcome, t};

/// Lists the scenarios.
///
/// # Errors
/// If the output fails.
pub fn list() -> Outcome {
    let mut out = io::stdout().lock();
    let wide = scenarios::ALL
        .iter()
        .map(|scenario| scenario.name.len())
        .max()
        .unwrap_or(0);
    for Scenario { name, about, .. } in scenarios::ALL {
        writeln!(out, "{name:wide$}  {about}").map_err(|error| Failure::output(&error))?;
    }
    Ok(Code::Well)
}

/// Runs a scenario, or all, on standard output.
///
/// # Errors
/// See [`scenario`].
pub fn command(args: &RunArgs) -> Outcome {
    scenario(args, io::stdout())
}

/// Runs a scenario, or all, and shows them. The code says whether every claim held.
///
/// # Errors
/// If a file or the output fails.
pub fn scenario<W: Write>(args: &RunArgs, output: W) -> Outcome {
    let chosen: Vec<&Scenario> = match args.name.as_str() {
        "all" => scenarios::ALL.iter().collect(),
        name => scenarios::find(name).into_iter().collect(),
    };
    if chosen.is_empty() {
        let text = t!("lab-no-scenario", name = args.name);
        return Err(Failure::new(Code::Usage, text));
    }
    play(&chosen, args, output)
}

/// As [`scenario`], with these.
///
/// # Errors
/// If a file or the output fails.
pub fn play<W: Write>(chosen: &[&Scenario], args: &RunArgs, output: W) -> Outcome {
    let mut show = Show {
        out: Shared::new(output),
        style: args.view.style(),
        quiet: args.view.quiet,
        files: Files::new(&args.view)?,
        readers: None,
        failed: None,
    };
    let (mut claims, mut not_held) = (0, Vec::new());
    for scenario in chosen {
        show.heading(&format!("{}: {}", scenario.name, scenario.about));
        let checks = scenario.run(args.seed, &mut show);
        claims += checks.len();
        let failed = checks.iter().filter(|check| !check.held);
        not_held.extend(failed.map(|check| format!("{}: {}", scenario.name, check.claim)));
    }
    show.verdict(chosen.len(), claims, &not_held);
    match show.failed {
        Some(failure) => Err(failure),
        None if not_held.is_empty() => Ok(Code::Well),
        None => Ok(Code::NotHeld),
    }
}

/// The audience: diagrams and verdicts on an output. The first error is kept; nothing is shown after it.
struct Show<W: Write> {
    out: Shared<W>,
    style: LadderStyle,
    quiet: bool,
    files: Files,
    readers: Option<Readers<Shared<W>>>,
    failed: Option<Failure>,
}

impl<W: Write> Show<W> {
    fn line(&mut self, style: Style, text: &str) {
        if self.failed.is_some() {
            return;
        }
        let text = if self.style.ascii {
            plain(text)
        } else {
            text.to_string()
        };
        let written = match self.style.color {
            true => writeln!(self.out, "{style}{text}{style:#}"),
            false => writeln!(self.out, "{text}"),
        };
        if let Err(error) = written {
            self.failed = Some(Failure::output(&error));
        }
    }
    fn heading(&mut self, text: &str) {
        self.line(Style::new().bold().underline(), text);
    }
    fn verdict(&mut self, scenarios: usize, claims: usize, not_held: &[String]) {
        for claim in not_held {
            self.line(bad(), &format!("did not hold: {claim}"));
        }
        let scenarios = match scenarios {
            1 => "1 scenario".to_string(),
            n => format!("{n} scenarios"),
        };
        let style = if not_held.is_empty() { good() } else { bad() };
        self.line(
            style.bold(),
            &format!("{scenarios}: {} of {claims} claims held", claims - not_held.len()),
        );
    }
    /// Keeps the first error.
    fn note(&mut self, result: Result<(), Failure>) {
        if let Err(failure) = result {
            self.failed.get_or_insert(failure);
        }
    }
}

fn good() -> Style {
    Style::new().fg_color(Some(AnsiColor::Green.into()))
}
fn bad() -> Style {
    Style::new().fg_color(Some(AnsiColor::Red.into()))
}

/// The few characters that stand outside ASCII in claims.
fn plain(text: &str) -> String {
    text.replace('✓', "+")
        .replace('✗', "x")
        .replace('→', "->")
        .replace('·', "|")
}

impl<W: Write> Audience for Show<W> {
    fn scene(&mut self, title: &str, cast: &Cast) {
        self.line(Style::new(), "");
        self.line(Style::new().bold(), title);
        if self.failed.is_some() {
            return;
        }
        let files = self.files.open_next();
        let readers =
            files.and_then(|files| Readers::new(self.out.clone(), cast, self.style, self.quiet, files));
        match readers {
            Ok(readers) => self.readers = Some(readers),
            Err(failure) => self.failed = Some(failure),
        }
    }
    fn record(&mut self, record: &Record) {
        if let Some(readers) = &mut self.readers {
            readers.handle_record(record);
        }
    }
    fn curtain(&mut self) {
        if let Some(readers) = self.readers.take() {
            let finished = readers.finish();
            self.note(finished);
        }
    }
    fn check(&mut self, check: &Check) {
        let (mark, style) = if check.held {
            ('✓', good())
        } else {
            ('✗', bad())
        };
        let seen = match check.seen.is_empty() {
            true => String::new(),
            false => format!(" · {}", check.seen),
        };
        match check.correction {
            None => self.line(style, &format!("  {mark} {}{seen}", check.claim)),
            Some(correction) => {
                self.line(
                    Style::new().dimmed(),
                    &format!("  {} a tutorial says: {}", correction.row, correction.says),
                );
                self.line(style, &format!("  {mark} right is: {}{seen}", check.claim));
            }
        }
    }
}
