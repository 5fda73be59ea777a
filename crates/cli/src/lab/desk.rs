//! A person at a program in a lab: its time stands still while a line is typed, and nothing is read before the network has
//! come to rest.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use sockeye_apps::chat::Input;
use sockeye_lab::{Lab, NodeId, World};
use sockeye_stack::snapshot::SocketRow;
use sockeye_stack::tcp::State;
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};

use crate::console::Reader;

/// How long the network may take to come to rest before a person is asked all the same.
const REST: Duration = Duration::from_secs(600);
/// How long a person takes for a line, on the network's clock: long enough to tell one message from the next where only
/// time parts them.
const TYPING: Duration = Duration::from_secs(1);
/// After this time a line is read that nobody asked for.
const UNASKED: Duration = Duration::from_secs(60);

tokio::task_local! {
    /// Where the program that runs as this task has its person.
    static DESK: Desk;
}

/// What a program in a lab has instead of a terminal.
#[derive(Clone)]
pub struct Desk {
    lab: Lab,
    hosts: [NodeId; 2],
    asked: Arc<Notify>,
}

impl Desk {
    /// For a program in this lab.
    pub fn new(lab: Lab, hosts: [NodeId; 2]) -> Desk {
        Desk {
            lab,
            hosts,
            asked: Arc::default(),
        }
    }
    /// Runs a program at it.
    pub async fn at<F: Future>(self, program: F) -> F::Output {
        DESK.scope(self, program).await
    }
    /// Lets time pass until nothing is on its way, nothing waits for an acknowledgment, and all that came has been read.
    pub async fn rest(&self) {
        let (mut waited, mut step) = (Duration::ZERO, Duration::from_millis(1));
        while waited < REST {
            sleep(step).await;
            if self.lab.with(|world| is_quiet(world, self.hosts)) {
                return;
            }
            waited += step;
            step = (waited / 10).clamp(Duration::from_millis(1), Duration::from_millis(100));
        }
    }
}

/// Whether the program of this task runs in a lab.
pub fn is_here() -> bool {
    DESK.try_with(|_| ()).is_ok()
}

/// The program asks its person.
pub fn asked() {
    // Elsewhere a thread reads ahead, and nobody has to be told.
    let _ = DESK.try_with(|desk| desk.asked.notify_one());
}

/// The person's lines, if the program of this task runs in a lab.
pub fn lines() -> Option<Input> {
    let desk = DESK.try_with(Desk::clone).ok()?;
    let (to, input) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut reader = Reader::new(io::BufReader::new(io::stdin()));
        loop {
            let _ = timeout(UNASKED, desk.asked.notified()).await;
            desk.rest().await;
            sleep(TYPING).await;
            desk.rest().await;
            // This blocks, and the network's time with it.
            let Some(line) = reader.next_line() else { return };
            if to.send(line).await.is_err() {
                return;
            }
        }
    });
    Some(input)
}

fn is_quiet(world: &mut World, hosts: [NodeId; 2]) -> bool {
    world.in_flight() == 0
        && hosts
            .iter()
            .all(|&host| world.stack(host).snapshot().sockets.iter().all(rests))
}

fn rests(row: &SocketRow) -> bool {
    match row.state {
        Some(State::Listen) => row.receive_queue == 0,
        Some(State::SynSent | State::SynReceived | State::FinWait1 | State::Closing | State::LastAck) => {
            false
        }
        _ => row.receive_queue == 0 && row.send_queue == 0,
    }
}
