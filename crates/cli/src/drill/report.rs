//! Verdicts and what is wrong, for people and for programs.

use std::fmt;
use std::io::Write;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use serde_json::json;
use sockeye_lab::drill::{Fault, Kind, Mode, Run, Script, line_of};

use super::{Counts, DrillArgs, lost};
use crate::exit::Failure;

/// A fault in its script, as miette draws it.
#[derive(Debug)]
struct Report {
    message: String,
    source: NamedSource<String>,
    label: LabeledSpan,
    help: Option<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
impl std::error::Error for Report {}
impl Diagnostic for Report {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help
            .as_ref()
            .map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(std::iter::once(self.label.clone())))
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::NotHeld => "failed",
        Kind::Script => "script-error",
        Kind::Unsupported => "unsupported",
    }
}

/// Who shows it all.
pub(super) struct Show<'a> {
    output: &'a mut dyn Write,
    errors: &'a mut dyn Write,
    verbose: bool,
    json: bool,
    handler: GraphicalReportHandler,
    /// The script and fault that were shown last: other modes mostly have the same.
    last: Option<(String, Fault)>,
}

impl<'a> Show<'a> {
    pub(super) fn new(args: &DrillArgs, output: &'a mut dyn Write, errors: &'a mut dyn Write) -> Show<'a> {
        let theme = if args.color.wanted() {
            GraphicalTheme::unicode()
        } else {
            GraphicalTheme::unicode_nocolor()
        };
        Show {
            output,
            errors,
            verbose: args.verbose,
            json: args.json,
            handler: GraphicalReportHandler::new_themed(theme)
                .with_width(110)
                .with_context_lines(1),
            last: None,
        }
    }
    /// A text that is no script.
    pub(super) fn unread(&mut self, name: &str, text: &str, fault: &Fault) -> Result<(), Failure> {
        if self.json {
            return self.line(&json_of(name, None, text, Err(fault)));
        }
        self.draw(name, text, None, fault)
    }
    /// A run.
    pub(super) fn ran(&mut self, script: &Script, mode: Mode, run: &Run) -> Result<(), Failure> {
        if self.json {
            let result = run.result.as_ref().copied();
            return self.line(&json_of(&script.name, Some(mode), &script.text, result));
        }
        if self.verbose {
            self.story(script, mode, run).map_err(lost)?;
        }
        let Err(fault) = &run.result else { return Ok(()) };
        let same = self
            .last
            .as_ref()
            .is_some_and(|(name, last)| *name == script.name && last == fault);
        if same && !self.verbose {
            return writeln!(self.errors, "  and the same with {mode}").map_err(lost);
        }
        self.draw(&script.name, &script.text, Some(mode), fault)?;
        self.last = Some((script.name.clone(), fault.clone()));
        Ok(())
    }
    fn story(&mut self, script: &Script, mode: Mode, run: &Run) -> std::io::Result<()> {
        writeln!(self.output, "{} ({mode})", script.name)?;
        for told in &run.story {
            let (line, _) = line_of(&script.text, told.span.start);
            let seconds = told.at as f64 / 1e6;
            writeln!(self.output, "  {line:4}  {seconds:12.6}  {}", told.what)?;
        }
        for line in &run.skipped {
            writeln!(self.output, "  passed over: {}", line.trim())?;
        }
        let verdict = match &run.result {
            Ok(()) => "passed",
            Err(fault) => word(fault.kind),
        };
        writeln!(self.output, "  {verdict}\n")
    }
    /// As a compiler would show it.
    fn draw(&mut self, name: &str, text: &str, mode: Option<Mode>, fault: &Fault) -> Result<(), Failure> {
        let help = fault
            .differences
            .iter()
            .map(|difference| {
                let (what, expected, came) = (&difference.what, &difference.expected, &difference.came);
                format!("{what}\n  expected  {expected}\n  came      {came}")
            })
            .chain(fault.help.clone());
        let help: Vec<_> = help.collect();
        let message = match (fault.kind, mode) {
            (Kind::NotHeld, Some(mode)) => format!("{} ({mode})", fault.message),
            (Kind::Unsupported, _) => format!("not supported: {}", fault.message),
            _ => fault.message.clone(),
        };
        let span = fault.span;
        let report = Report {
            message,
            source: NamedSource::new(name, text.to_string()),
            label: LabeledSpan::new(
                Some(fault.label.clone()),
                span.start.min(text.len()),
                span.end.min(text.len()) - span.start.min(text.len()),
            ),
            help: (!help.is_empty()).then(|| help.join("\n")),
        };
        let mut drawn = String::new();
        if self.handler.render_report(&mut drawn, &report).is_err() {
            drawn = report.message;
        }
        writeln!(self.errors, "{drawn}").map_err(lost)
    }
    fn line(&mut self, value: &serde_json::Value) -> Result<(), Failure> {
        writeln!(self.output, "{value}").map_err(lost)
    }
    /// How it went with all.
    pub(super) fn summary(&mut self, counts: &Counts) -> Result<(), Failure> {
        let Counts {
            scripts,
            runs,
            passed,
            failed,
            wrong,
            unsupported,
            unsuited,
        } = *counts;
        if self.json {
            return self.line(&json!({
                "scripts": scripts,
                "runs": runs,
                "passed": passed,
                "failed": failed,
                "script_errors": wrong,
                "unsupported": unsupported,
                "not_for_these_modes": unsuited,
            }));
        }
        let mut words = format!("{scripts} scripts in {runs} runs: {passed} passed, {failed} failed");
        for (n, what) in [
            (wrong, "with an error in the script"),
            (unsupported, "not supported"),
            (unsuited, "not for these modes"),
        ] {
            if n > 0 {
                words += &format!(", {n} {what}");
            }
        }
        writeln!(self.output, "{words}").map_err(lost)
    }
}

fn json_of(name: &str, mode: Option<Mode>, text: &str, result: Result<(), &Fault>) -> serde_json::Value {
    let mut value = json!({ "script": name });
    if let Some(mode) = mode {
        let words = mode.to_string();
        let (profile, family) = words.split_once(' ').unwrap_or((&words, ""));
        value["profile"] = profile.into();
        value["family"] = family.into();
    }
    let Err(fault) = result else {
        value["result"] = "passed".into();
        return value;
    };
    let (line, column) = line_of(text, fault.span.start);
    value["result"] = word(fault.kind).into();
    value["line"] = line.into();
    value["column"] = column.into();
    value["message"] = fault.message.clone().into();
    value["differences"] = fault
        .differences
        .iter()
        .map(|d| json!({ "what": d.what, "expected": d.expected, "came": d.came }))
        .collect();
    value["help"] = fault.help.clone().into();
    value
}
