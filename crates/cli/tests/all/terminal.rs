//! Chat and upper-casing at a terminal: a pseudo-terminal with the command on one side, and a model of its screen on the other.
#![cfg(unix)]

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

/// A guard against hanging, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory for the state of programs, gone with the test.
struct State(PathBuf);

impl State {
    fn new() -> State {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sockeye-terminal-{}-{n}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        State(path)
    }
}
impl Drop for State {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // it is in the directory for such
    }
}

/// The command at a terminal.
struct Terminal {
    child: Child,
    keyboard: File,
    line: OwnedFd,
    screen: Arc<(Mutex<vt100::Parser>, Condvar)>,
}

impl Terminal {
    fn new(arguments: &[&str], columns: u16, state: &Path) -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let line = File::options()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap();
        let size = Winsize {
            ws_row: 20,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&line, size).unwrap();
        // A terminal of its own, so that Ctrl-C is heard also while nothing is edited.
        let mut command = Command::new("setsid");
        let child = command
            .args(["--ctty", env!("CARGO_BIN_EXE_sockeye")])
            .args(arguments)
            .env("TERM", "xterm")
            .env("XDG_STATE_HOME", state)
            .env("LC_ALL", "C.UTF-8")
            .env_remove("NO_COLOR")
            .env_remove("SOCKEYE_NET")
            .env_remove("SOCKEYE_NO_HISTORY")
            .stdin(line.try_clone().unwrap())
            .stdout(line.try_clone().unwrap())
            .stderr(line.try_clone().unwrap())
            .spawn()
            .unwrap();
        let screen = Arc::new((
            Mutex::new(vt100::Parser::new(
                NonZeroU16::new(20).unwrap(),
                NonZeroU16::new(columns).unwrap(),
                0,
            )),
            Condvar::new(),
        ));
        let keyboard = File::from(master);
        let (mut shown, drawn) = (keyboard.try_clone().unwrap(), screen.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = shown.read(&mut buffer) {
                drawn.0.lock().unwrap().process(&buffer[..n]);
                drawn.1.notify_all();
            }
        });
        Terminal {
            child,
            keyboard,
            line: line.into(),
            screen,
        }
    }
    fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }
    /// Waits until the screen shows, from some row on, exactly these rows; the cursor stands in this column of the last.
    fn shows_at(&self, rows: &[&str], column: Option<u16>) {
        self.comes_to(&format!("{rows:?} at {column:?}"), |all, (row, now)| {
            let at = all.windows(rows.len()).position(|window| window == rows);
            at.is_some_and(|at| {
                column.is_none_or(|column| (usize::from(row), now) == (at + rows.len() - 1, column))
            })
        });
    }
    /// Waits until a row begins so.
    fn shows_start(&self, start: &str) {
        self.comes_to(start, |all, _| all.iter().any(|row| row.starts_with(start)));
    }
    /// Waits until no row begins so.
    fn shows_no_start(&self, start: &str) {
        self.comes_to(&format!("end of {start}"), |all, _| {
            !all.iter().any(|row| row.starts_with(start))
        });
    }
    /// Waits until rows and cursor are as wanted.
    fn comes_to(&self, wanted: &str, is_so: impl Fn(&[String], (u16, u16)) -> bool) {
        let (screen, drawn) = &*self.screen;
        let is_shown = |parser: &mut vt100::Parser| {
            let screen = parser.screen();
            let all: Vec<String> = screen
                .rows(0, u16::MAX)
                .map(|row| row.trim_end().into())
                .collect();
            is_so(&all, screen.cursor_position())
        };
        let guard = screen.lock().unwrap();
        let (parser, timed_out) = drawn
            .wait_timeout_while(guard, PATIENCE, |parser| !is_shown(parser))
            .unwrap();
        let cursor = parser.screen().cursor_position();
        let all = parser.screen().contents();
        assert!(
            !timed_out.timed_out(),
            "no {wanted}, cursor {cursor:?} in:\n{all}"
        );
    }
    fn shows(&self, rows: &[&str]) {
        self.shows_at(rows, None);
    }
    fn end(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
    /// Whether the terminal echoes and gathers lines, as at the beginning.
    fn is_as_before(&self) -> bool {
        use rustix::termios::LocalModes;
        let modes = tcgetattr(&self.line).unwrap().local_modes;
        modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG)
    }
}
impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
    }
}

/// A command that is connected to us.
fn connected(columns: u16, state: &Path, arguments: &[&str]) -> (Terminal, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut all = vec!["chat", "connect", &address];
    all.extend(arguments);
    let terminal = Terminal::new(&all, columns, state);
    let (peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    terminal.shows_at(&[">"], Some(2));
    (terminal, peer)
}

fn hears(peer: &mut TcpStream, line: &str) {
    let mut buffer = vec![0; line.len()];
    peer.read_exact(&mut buffer).unwrap();
    assert_eq!(String::from_utf8_lossy(&buffer), line);
}

#[test]
fn messages_come_above_the_line_that_is_typed() {
    let state = State::new();
    let (mut terminal, mut peer) = connected(60, &state.0, &[]);
    terminal.types("你好 wor");
    terminal.shows_at(&["> 你好 wor"], Some(10));
    peer.write_all("第一条消息\n".as_bytes()).unwrap();
    terminal.shows_at(&["< 第一条消息", "> 你好 wor"], Some(10));
    // In the middle of the line, too.
    terminal.types("\x1b[D\x1b[D");
    terminal.shows_at(&["> 你好 wor"], Some(8));
    peer.write_all(b"a\x1b[2Jb\nthird\n").unwrap();
    terminal.shows_at(&["< a\\u{1b}[2Jb", "< third", "> 你好 wor"], Some(8));
    terminal.types("X\r");
    hears(&mut peer, "你好 wXor\n");
    // A line over several rows, wide characters across the margin.
    let long = "长".repeat(70);
    terminal.types(&format!("x{long}"));
    let rows = [
        format!("> x{}", "长".repeat(28)),
        "长".repeat(30),
        "长".repeat(12),
    ];
    let rows = rows.each_ref().map(String::as_str);
    terminal.shows(&rows);
    peer.write_all(b"above\n").unwrap();
    terminal.shows(&["< above", rows[0], rows[1], rows[2]]);
    terminal.types("\r");
    hears(&mut peer, &format!("x{long}\n"));
    // The last words are shown, whatever is being typed, and the terminal is given back.
    terminal.types("unsaid");
    terminal.shows(&["> unsaid"]);
    peer.write_all(b"last words\n").unwrap();
    drop(peer);
    assert_eq!(terminal.end(), Some(0));
    terminal.shows(&["< last words"]);
    assert!(terminal.is_as_before());
}

#[test]
fn ctrl_d_ends_our_side_and_the_answer_is_shown() {
    let state = State::new();
    let (mut terminal, mut peer) = connected(80, &state.0, &["--no-history"]);
    terminal.types("question\r");
    terminal.types("\x04");
    let mut all = String::new();
    peer.read_to_string(&mut all).unwrap();
    assert_eq!(all, "question\n");
    peer.write_all(b"answer\n").unwrap();
    terminal.shows(&["< answer"]);
    drop(peer);
    assert_eq!(terminal.end(), Some(0));
    assert!(terminal.is_as_before());
    assert!(
        std::fs::read_dir(&state.0).unwrap().next().is_none(),
        "no history was wanted"
    );
}

#[test]
fn ctrl_c_closes_and_a_second_one_aborts() {
    let state = State::new();
    let (mut terminal, mut peer) = connected(80, &state.0, &[]);
    terminal.types("half a li");
    terminal.shows(&["> half a li"]);
    terminal.types("\x03");
    terminal.shows(&["sockeye: closing in good order; Ctrl-C again aborts"]);
    // Our side has ended. This peer does not end its own, and is not waited for any longer.
    assert_eq!(peer.read(&mut [0; 9]).unwrap(), 0);
    terminal.types("\x03");
    assert_eq!(terminal.end(), Some(130));
    assert!(terminal.is_as_before());

    // One that closes as well.
    let (mut terminal, mut peer) = connected(80, &state.0, &[]);
    terminal.types("\x03");
    assert_eq!(peer.read(&mut [0; 9]).unwrap(), 0);
    drop(peer);
    assert_eq!(terminal.end(), Some(130));
    assert!(terminal.is_as_before());
}

#[test]
fn lines_of_former_times() {
    let state = State::new();
    let (mut terminal, mut peer) = connected(80, &state.0, &[]);
    terminal.types("first 你好\r second is nobody's business\r");
    hears(&mut peer, "first 你好\n second is nobody's business\n");
    terminal.types("Q\r");
    hears(&mut peer, "Q\n");
    drop(peer);
    assert_eq!(terminal.end(), Some(0));
    let file = state.0.join("sockeye/chat_history");
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(
        kept.contains("first 你好") && !kept.contains("business"),
        "{kept}"
    );
    let (mut terminal, mut peer) = connected(80, &state.0, &[]);
    terminal.types("\x1b[A\x1b[A");
    terminal.shows(&["> first 你好"]);
    terminal.types("\r");
    hears(&mut peer, "first 你好\n");
}

#[test]
fn upper_edits_lines_as_well() {
    let state = State::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut terminal = Terminal::new(&["upper", "connect", &address], 80, &state.0);
    let (mut peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    terminal.shows_at(
        &["sockeye: connected; type a line and press Enter, Q ends", ">"],
        Some(2),
    );
    // A line that is mended before it goes: back over a wide character, and a word removed.
    terminal.types("pyt你好\x7fhon wrong\x17");
    terminal.shows(&["> pyt你hon"]);
    terminal.types("\r");
    let mut buffer = [0; 64];
    let n = peer.read(&mut buffer).unwrap();
    assert_eq!(String::from_utf8_lossy(&buffer[..n]).trim_end(), "pyt你hon");
    // The answer comes above what is typed meanwhile; an earlier line comes back.
    terminal.types("nex");
    terminal.shows(&["> nex"]);
    let answer = buffer[..n].to_ascii_uppercase();
    peer.write_all(&answer).unwrap();
    terminal.shows_at(&["PYT你HON", "> nex"], Some(5));
    terminal.types("\x15\x1b[A");
    terminal.shows(&["> pyt你hon"]);
    terminal.types("\x15Q\r");
    assert_eq!(peer.read(&mut buffer).unwrap(), 0);
    drop(peer);
    assert_eq!(terminal.end(), Some(0));
    assert!(terminal.is_as_before());
    assert!(
        std::fs::read_dir(&state.0).unwrap().next().is_none(),
        "what was typed is kept nowhere"
    );
}

/// A server by hand: it stops in the middle until the bar has been seen there.
#[test]
fn a_bar_shows_how_far_a_download_is() {
    let state = State::new();
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let url = format!("tftp://{}/half", server.local_addr().unwrap());
    let copy = state.0.join("copy");
    let arguments = ["tftp", "get", &url, copy.to_str().unwrap(), "--blksize", "1024"];
    let mut terminal = Terminal::new(&arguments, 100, &state.0);
    let mut buffer = [0; 2048];
    let (n, client) = server.recv_from(&mut buffer).unwrap();
    assert_eq!(buffer[..7], *b"\0\x01half\0", "{:?}", &buffer[..n]);
    server
        .send_to(b"\0\x06blksize\x001024\0tsize\x002048\0", client)
        .unwrap();
    let mut acked = |number: u8| {
        // Repeated ones, if it took long to draw, are passed over.
        loop {
            let (n, _) = server.recv_from(&mut buffer).unwrap();
            assert!(
                buffer[..n].starts_with(&[0, 4, 0]) && n == 4,
                "{:?}",
                &buffer[..n]
            );
            if buffer[3] == number {
                return;
            }
        }
    };
    acked(0);
    let block = |number: u8, octets: usize| {
        let packet = [&[0, 3, 0, number][..], &[b'x'; 1024][..octets]].concat();
        server.send_to(&packet, client).unwrap();
    };
    block(1, 1024);
    acked(1);
    terminal.shows_start("[====================>                   ]  50 %");
    block(2, 1024);
    acked(2);
    block(3, 0);
    acked(3);
    assert_eq!(terminal.end(), Some(0));
    assert_eq!(std::fs::read(&copy).unwrap(), vec![b'x'; 2048]);
    terminal.shows_start(&format!("{}: 2048 octets", copy.display()));
    terminal.shows_no_start("[==");
}
