//! A person's terminal: a line that is being edited, and above it what is told meanwhile.
//!
//! A thread edits: it reads a line, hands it on, and begins the next. Another one prints: each message waits until a line
//! is being edited, and then appears above it. Whoever has something to say puts it into the second one's queue and goes on.
//!
//! ```text
//!   Idle ──readline──▶ Starting ──first drawn──▶ Editing ──Enter, Ctrl-C, Ctrl-D──▶ Leaving ──line is out──▶ Idle
//! ```
//!
//! The editor has no way to be ended from outside but a signal; it takes SIGINT while it edits. So the end of the program
//! waits for `Editing`, sends itself one, and whoever hears signals lets [that one](take_our_interrupt) pass.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{
    Behavior, Cmd, ConditionalEventHandler, Config, Context, Editor, Event, EventContext, EventHandler,
    ExternalPrinter, Helper, KeyEvent, RepeatCount,
};

/// Lines that the history keeps.
const HISTORY: usize = 1000;
/// How long what is being printed at this moment may take before a line that is being left goes on. It takes no time,
/// unless the printer waits for the editor; then it waits for the next line.
const PRINTING: Duration = Duration::from_millis(50);
/// Goes up a row and down again. That it is taken says that the message before it has been shown.
const NOTHING: &str = "\x1b[A\n";
/// How long the editor may take to end.
const ENDING: Duration = Duration::from_secs(2);

/// The one terminal, while a line is edited on it.
static OPEN: Mutex<Option<Arc<Terminal>>> = Mutex::new(None);
/// Its state before we changed it.
static BEFORE: OnceLock<Option<Termios>> = OnceLock::new();
/// A SIGINT is on its way that we sent ourselves.
static OUR_INTERRUPT: AtomicBool = AtomicBool::new(false);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Idle,
    Starting,
    Editing,
    Leaving,
    Ended,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// A message is being handed to the editor.
    printing: bool,
    /// No further line is read.
    closing: bool,
}

/// What the printer does.
enum Order {
    Print(String),
    /// End the editor, then tell.
    Close(Option<Sender<()>>),
}

struct Terminal {
    state: Mutex<State>,
    changed: Condvar,
    orders: Sender<Order>,
}

/// Whether lines can be edited here: a person on both sides, at a terminal that can move its cursor.
pub fn can_edit() -> bool {
    let term = std::env::var("TERM").unwrap_or_default();
    let is_simple = ["", "dumb", "cons25", "emacs"].contains(&term.as_str());
    io::stdin().is_terminal() && io::stdout().is_terminal() && !is_simple
}

/// Begins to edit lines. Each goes to `line`, which says whether to go on; its drop says that the input has ended.
/// `history` is where lines of former times are, and these are added.
///
/// # Errors
/// If the terminal does not take it.
pub fn open(
    prompt: String,
    history: Option<PathBuf>,
    line: impl FnMut(String) -> bool + Send + 'static,
) -> io::Result<()> {
    keep_raw()?;
    let config = Config::builder()
        .behavior(Behavior::Stdio)
        .history_ignore_space(true)
        .max_history_size(HISTORY)
        .map_err(io::Error::other)?
        .build();
    let lines = FileHistory::with_config(&config);
    let mut editor = Editor::with_history(config, lines).map_err(io::Error::other)?;
    let printer = editor.create_external_printer().map_err(io::Error::other)?;
    if let Some(path) = &history {
        // There is none yet, or it cannot be read: then we begin without.
        let _ = editor.load_history(path);
    }
    let (orders, todo) = channel();
    let terminal = Arc::new(Terminal {
        state: Mutex::new(State {
            phase: Phase::Idle,
            printing: false,
            closing: false,
        }),
        changed: Condvar::new(),
        orders,
    });
    editor.set_helper(Some(Watch(terminal.clone())));
    for leaves in [
        KeyEvent::ctrl('M'),
        KeyEvent::ctrl('J'),
        KeyEvent::ctrl('C'),
        KeyEvent::ctrl('D'),
    ] {
        editor.bind_sequence(
            leaves,
            EventHandler::Conditional(Box::new(Watch(terminal.clone()))),
        );
    }
    let editing = terminal.clone();
    std::thread::Builder::new()
        .name("editor".into())
        .spawn(move || edit(&editing, editor, prompt, history.as_deref(), line))?;
    let printing = terminal.clone();
    std::thread::Builder::new()
        .name("printer".into())
        .spawn(move || print_all(&printing, printer, &todo))?;
    *lock(&OPEN) = Some(terminal);
    Ok(())
}

/// The editor has the terminal raw for each line, and gives it back in between; what is typed at that moment would be
/// echoed, and Ctrl-D lost. So what it gives back is raw as well, until the end.
fn keep_raw() -> io::Result<()> {
    let before = BEFORE.get_or_init(|| tcgetattr(io::stdin()).ok());
    if let Some(mut raw) = before.clone() {
        raw.local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN);
        raw.input_modes
            .remove(InputModes::BRKINT | InputModes::ICRNL | InputModes::INPCK | InputModes::IXON);
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
    }
    Ok(())
}

/// Shows a line above the one that is being edited; false, if none is and it is for the caller to show it.
pub fn print(line: &str) -> bool {
    match &*lock(&OPEN) {
        Some(terminal) => terminal.orders.send(Order::Print(format!("{line}\n"))).is_ok(),
        None => false,
    }
}

/// Ends editing once all is shown, and gives the terminal back as it was. Without one it does nothing.
pub fn close() {
    let Some(terminal) = lock(&OPEN).take() else {
        return;
    };
    let (done, wait) = channel();
    let closing = terminal.orders.send(Order::Close(Some(done)));
    if closing.is_ok() && wait.recv_timeout(ENDING) == Err(RecvTimeoutError::Timeout) {
        // Somebody searches the history, and nothing is taken meanwhile: what waits is shown without an editor.
        terminal.end();
        let _ = wait.recv_timeout(ENDING); // all that can be done is done
    }
    restore();
}

/// Gives the terminal back as it was, whatever is on it: for one who ends the process now.
pub fn abandon() {
    if OPEN.try_lock().is_ok_and(|open| open.is_some()) {
        write("\x1b[?2004l\r\n"); // no brackets around what is pasted
    }
    restore();
}

fn restore() {
    if let Some(Some(before)) = BEFORE.get() {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, before); // it may be gone
    }
}

/// Whether a SIGINT that has come is one that ended the editor, and nobody's wish.
pub fn take_our_interrupt() -> bool {
    OUR_INTERRUPT.swap(false, Ordering::SeqCst)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Terminal {
    fn enter(&self, phase: Phase) {
        lock(&self.state).phase = phase;
        self.changed.notify_all();
    }
    /// Begins a line, unless there is to be none.
    fn begin(&self) -> bool {
        let mut state = lock(&self.state);
        state.phase = match state.closing {
            true => Phase::Ended,
            false => Phase::Starting,
        };
        self.changed.notify_all();
        state.phase == Phase::Starting
    }
    /// The line is drawn for the first time: from here on it can be printed above it, and signals are the editor's.
    fn drawn(&self) {
        let mut state = lock(&self.state);
        if state.phase == Phase::Starting {
            state.phase = Phase::Editing;
            self.changed.notify_all();
        }
    }
    /// The line is being left. What is being printed is let through before.
    fn leave(&self) {
        let mut state = lock(&self.state);
        state.phase = Phase::Leaving;
        let waited = self
            .changed
            .wait_timeout_while(state, PRINTING, |state| state.printing);
        drop(waited);
    }
    /// Waits for a line to be edited, to print above it; false if there is none any more.
    fn begin_printing(&self) -> bool {
        let state = lock(&self.state);
        let waited = self.changed.wait_while(state, |state| {
            !matches!(state.phase, Phase::Editing | Phase::Ended)
        });
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.printing = state.phase == Phase::Editing;
        state.printing
    }
    fn end_printing(&self) {
        lock(&self.state).printing = false;
        self.changed.notify_all();
    }
    /// Ends the editor, and waits until it has.
    fn end(&self) {
        let mut state = lock(&self.state);
        state.closing = true;
        loop {
            match state.phase {
                Phase::Ended => break,
                Phase::Editing => {
                    OUR_INTERRUPT.store(true, Ordering::SeqCst);
                    let _ = kill_process(getpid(), Signal::INT); // ourselves: always allowed
                    state.phase = Phase::Leaving;
                }
                Phase::Idle | Phase::Starting | Phase::Leaving => {}
            }
            let waited = self.changed.wait_timeout(state, ENDING);
            let (next, timed_out) = waited.unwrap_or_else(PoisonError::into_inner);
            state = next;
            if timed_out.timed_out() {
                break; // it does not; the terminal is given back all the same
            }
        }
        OUR_INTERRUPT.store(false, Ordering::SeqCst);
    }
}

/// The editor's thread.
fn edit(
    terminal: &Terminal,
    mut editor: Editor<Watch, FileHistory>,
    mut prompt: String,
    history: Option<&Path>,
    line: impl FnMut(String) -> bool,
) {
    let mut line = Some(line);
    while terminal.begin() {
        let result = editor.readline(&prompt);
        terminal.enter(Phase::Idle);
        match result {
            Ok(text) => {
                remember(&mut editor, &text, history);
                // What was pasted may be several.
                let goes_on = line.as_mut().is_some_and(|line| {
                    let mut parts = text.split(['\n', '\r']);
                    parts.all(|part| line(part.into()))
                });
                if !goes_on {
                    line = None;
                }
            }
            Err(ReadlineError::Interrupted) if lock(&terminal.state).closing => {}
            Err(ReadlineError::Interrupted) => {
                // It is for whoever hears signals, which the editor no longer does.
                let _ = kill_process(getpid(), Signal::INT);
            }
            Err(ReadlineError::Eof) if line.is_some() => {
                // Ctrl-D. No more is read, and what comes is simply shown.
                line = None;
                prompt.clear();
                let _ = terminal.orders.send(Order::Close(None)); // the printer ends last
            }
            // The terminal is gone.
            Err(_) => return terminal.enter(Phase::Ended),
        }
    }
}

fn remember(editor: &mut Editor<Watch, FileHistory>, text: &str, history: Option<&Path>) {
    if text.trim().is_empty() || !matches!(editor.add_history_entry(text), Ok(true)) {
        return;
    }
    if let Some(path) = history {
        let _ = editor.append_history(path); // the line was said; that it is not kept hurts nobody
    }
}

/// The printer's thread.
fn print_all(terminal: &Terminal, printer: impl ExternalPrinter + Send + 'static, todo: &Receiver<Order>) {
    let mut printer = Some(printer);
    for order in todo {
        match order {
            Order::Print(line) => match &mut printer {
                Some(printer) if terminal.begin_printing() => {
                    let printed = printer.print(line.clone());
                    terminal.end_printing();
                    if printed.is_err() {
                        write(&line); // the editor has ended meanwhile
                    }
                }
                _ => write(&line),
            },
            Order::Close(done) => {
                if let Some(printer) = printer.take() {
                    if terminal.begin_printing() {
                        flush(printer);
                        terminal.end_printing();
                    }
                    terminal.end();
                    write("\x1b[A\r\x1b[2K"); // the row of the prompt
                    restore();
                }
                if let Some(done) = done {
                    let _ = done.send(()); // nobody waits for it any more
                    return;
                }
            }
        }
    }
}

/// Waits until the editor has taken what was printed. While somebody searches the history it takes nothing, and is not
/// waited for.
fn flush(mut printer: impl ExternalPrinter + Send + 'static) {
    let (done, wait) = channel();
    let flushing = std::thread::Builder::new().spawn(move || {
        let _ = printer.print(NOTHING.into());
        let _ = done.send(());
    });
    if flushing.is_ok() {
        let _ = wait.recv_timeout(ENDING);
    }
}

/// Writes to a terminal on which nothing is edited.
fn write(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush()); // it may be gone
}

/// What hears from the editor that a line is drawn or left.
struct Watch(Arc<Terminal>);

impl ConditionalEventHandler for Watch {
    fn handle(&self, event: &Event, _: RepeatCount, _: bool, context: &EventContext<'_>) -> Option<Cmd> {
        // Ctrl-D in a line removes a character, and the line goes on.
        if *event != Event::from(KeyEvent::ctrl('D')) || context.line().is_empty() {
            self.0.leave();
        }
        None
    }
}
impl Hinter for Watch {
    type Hint = String;
    fn hint(&self, _: &str, _: usize, _: &Context<'_>) -> Option<String> {
        self.0.drawn();
        None
    }
}
impl Completer for Watch {
    type Candidate = String;
}
impl Highlighter for Watch {}
impl Validator for Watch {}
impl Helper for Watch {}
