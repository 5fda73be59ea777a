//! Several at once: names and rooms.
//!
//! What a client sends is a line. One that begins with `/` is a command: `/nick NAME`, `/join ROOM`, `/who`,
//! `/help`, `/quit`; every other goes to all in the same room. `Q` and `exit` are `/quit`.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sockeye_net::{Net, ToSocketAddrs};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

#[cfg(target_os = "linux")]
use super::LocalName;
use super::wire::{Listener, with_halves};
use super::{Input, Messages, Place, Stream, is_quit};
use crate::line::{Charset, Stop, shown};

/// The room in which everybody begins.
const HALL: &str = "hall";
/// The largest name of a person or a room, in characters.
const NAME: usize = 32;
/// The person at the server.
const HOST: u64 = 0;
/// How long a line may take on its way to a client that does not read, and how long a client may take to close.
const PATIENCE: Duration = Duration::from_secs(30);
const COMMANDS: &str = "* /nick NAME, /join ROOM, /who, /quit; everything else goes to all in your room";

/// The settings of a server with rooms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RoomSettings {
    /// How text becomes octets. What the encoding lacks goes out as `?`.
    pub charset: Charset,
    /// Clients at once. One more is told so and closed.
    pub clients: usize,
    /// Lines that may wait for a client that reads slowly. One more and it is let go, so that it neither
    /// holds up the others nor fills the memory.
    pub waiting: usize,
    /// The largest line in octets; a longer one comes in parts.
    pub limit: usize,
    /// After this time without more octets, what was sent without a newline is a line.
    pub grace: Duration,
    /// Complete connections that may wait: the argument of `listen`.
    pub backlog: u32,
}

impl Default for RoomSettings {
    /// UTF-8, 256 clients, 256 lines, 4 KiB a line, 300 ms of grace, a backlog of 128.
    fn default() -> Self {
        RoomSettings {
            charset: Charset::Utf8,
            clients: 256,
            waiting: 256,
            limit: 4096,
            grace: Duration::from_millis(300),
            backlog: 128,
        }
    }
}

/// What a server with rooms tells.
#[derive(Debug)]
pub enum RoomEvent {
    /// A client came, under this name.
    Joined(Place, String),
    /// A line for the person at the server: what is said in that person's room, and answers to commands.
    Line(String),
    /// A client left in good order.
    Left(Place, String),
    /// A client's connection broke off.
    Broken(Place, String, io::Error),
    /// A client was let go: it did not read, or there was no place.
    LetGo(Place, String),
}

/// A server with rooms.
#[derive(Debug)]
pub struct Rooms {
    listener: Listener,
    settings: RoomSettings,
}

impl Rooms {
    /// Listens at the first address of `address` that can be bound, with address reuse set.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, or that the name is unknown.
    pub async fn bind(net: &Net, address: impl ToSocketAddrs, settings: RoomSettings) -> io::Result<Rooms> {
        let listener = Listener::tcp(net, address, settings.backlog).await?;
        Ok(Rooms { listener, settings })
    }
    /// Listens at a name of AF_UNIX, as [`Server::bind_local`](super::Server::bind_local).
    ///
    /// # Errors
    /// As there.
    #[cfg(target_os = "linux")]
    pub async fn bind_local(net: &Net, name: &LocalName, settings: RoomSettings) -> io::Result<Rooms> {
        let listener = Listener::local(net, name).await?;
        Ok(Rooms { listener, settings })
    }
    /// Where it listens.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn place(&self) -> io::Result<Place> {
        self.listener.place()
    }
    /// Serves until it is stopped, or the person at the server says `/quit`: then all clients are told and
    /// closed in good order. The person at the server is in the hall like everybody, named `host`; the end of
    /// the input changes nothing for the others.
    ///
    /// # Errors
    /// Those of the operating system's `accept` that do not concern a single connection.
    pub async fn run(
        self,
        input: &mut Input,
        stop: &mut Stop,
        mut tell: impl FnMut(RoomEvent),
    ) -> io::Result<()> {
        let (to_host, mut for_host) = mpsc::channel(self.settings.waiting.max(1));
        // Each client tells its coming and its leaving, and waits until it is heard.
        let (teller, mut told) = mpsc::channel(16);
        let hub = Hub::new(to_host);
        let mut tasks = JoinSet::new();
        let mut open = true;
        let result = loop {
            tokio::select! {
                biased;
                () = stop.stopped() => break Ok(()),
                Some(event) = told.recv() => tell(event),
                Some(line) = for_host.recv() => tell(RoomEvent::Line(shown(&line))),
                line = input.recv(), if open => match line {
                    None => open = false,
                    Some(line) => if lock(&hub).say(HOST, &line) == Flow::Leave {
                        break Ok(());
                    },
                },
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        let client = Client { peer, settings: self.settings, hub: hub.clone() };
                        tasks.spawn(client.serve(stream, teller.clone()));
                    }
                    Err(error) => break Err(error),
                },
            }
            while tasks.try_join_next().is_some() {}
        };
        lock(&hub).close();
        drop(teller);
        let _ = timeout(Duration::from_secs(5), async {
            while let Some(event) = told.recv().await {
                tell(event);
            }
        })
        .await;
        result
    }
}

/// Whether one stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flow {
    Stay,
    Leave,
}

#[derive(Debug)]
struct Member {
    name: String,
    room: String,
    /// Lines for it. When it is gone, the member is let go.
    lines: Option<mpsc::Sender<Arc<str>>>,
}

/// Who is there. Held for moments only, never across a wait.
#[derive(Debug)]
struct Hub {
    members: BTreeMap<u64, Member>,
    next: u64,
}

fn lock(hub: &Mutex<Hub>) -> MutexGuard<'_, Hub> {
    hub.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    fn new(host: mpsc::Sender<Arc<str>>) -> Arc<Mutex<Hub>> {
        let host = Member {
            name: "host".into(),
            room: HALL.into(),
            lines: Some(host),
        };
        Arc::new(Mutex::new(Hub {
            members: BTreeMap::from([(HOST, host)]),
            next: HOST + 1,
        }))
    }
    /// Somebody came: its number and name. Nothing, if there is no place.
    fn join(&mut self, clients: usize, lines: mpsc::Sender<Arc<str>>) -> Option<(u64, String)> {
        if self.members.len() > clients || self.is_closed() {
            return None;
        }
        let id = self.next;
        self.next += 1;
        let mut name = format!("guest{id}");
        while self.is_taken(&name) {
            name.push('_');
        }
        self.tell_room(HALL, &format!("* {name} joined {HALL}"), None);
        let welcome = format!("* you are {name} in {HALL}; {}", &COMMANDS[2..]);
        let _ = lines.try_send(welcome.into()); // its first line: there is room
        self.members.insert(
            id,
            Member {
                name: name.clone(),
                room: HALL.into(),
                lines: Some(lines),
            },
        );
        Some((id, name))
    }
    /// Somebody went: its last name.
    fn leave(&mut self, id: u64) -> String {
        let Some(member) = self.members.remove(&id) else {
            return String::new();
        };
        self.tell_room(&member.room, &format!("* {} left", member.name), None);
        member.name
    }
    /// All are told, and their lines end.
    fn close(&mut self) {
        for id in self.members.keys().copied().collect::<Vec<_>>() {
            self.tell_one(id, "* the server closes");
        }
        for member in self.members.values_mut() {
            member.lines = None;
        }
        self.members.remove(&HOST);
    }
    fn is_closed(&self) -> bool {
        !self.members.contains_key(&HOST)
    }
    fn is_taken(&self, name: &str) -> bool {
        self.members.values().any(|member| member.name == name)
    }
    fn tell_one(&mut self, id: u64, line: &str) {
        if let Some(member) = self.members.get_mut(&id) {
            send(member, id, &line.into());
        }
    }
    fn tell_room(&mut self, room: &str, line: &str, except: Option<u64>) {
        let line: Arc<str> = line.into();
        for (&id, member) in &mut self.members {
            if member.room == room && Some(id) != except {
                send(member, id, &line);
            }
        }
    }
    /// A member's line: a command, or something for the room.
    fn say(&mut self, id: u64, line: &str) -> Flow {
        let line = line.trim();
        let Some(member) = self.members.get(&id) else {
            return Flow::Leave;
        };
        if is_quit(line) {
            return Flow::Leave;
        }
        let Some(command) = line.strip_prefix('/') else {
            if line.is_empty() {
                self.tell_one(id, "* an empty message is not sent: type something");
            } else {
                let (room, line) = (member.room.clone(), format!("{}: {line}", member.name));
                self.tell_room(&room, &line, Some(id));
            }
            return Flow::Stay;
        };
        let (command, argument) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        match command {
            "quit" => return Flow::Leave,
            "nick" => self.rename(id, argument.trim()),
            "join" => self.change_room(id, argument.trim()),
            "who" => self.who(id),
            _ => self.tell_one(id, COMMANDS),
        }
        Flow::Stay
    }
    fn rename(&mut self, id: u64, name: &str) {
        if !is_name(name) {
            return self.tell_one(id, "* /nick NAME: up to 32 letters, digits, - and _");
        }
        if self.is_taken(name) {
            return self.tell_one(id, &format!("* {name} is taken: choose another name"));
        }
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        let old = std::mem::replace(&mut member.name, name.into());
        let room = member.room.clone();
        self.tell_room(&room, &format!("* {old} is now {name}"), None);
    }
    fn change_room(&mut self, id: u64, room: &str) {
        if !is_name(room) {
            return self.tell_one(id, "* /join ROOM: up to 32 letters, digits, - and _");
        }
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        if member.room == room {
            return self.tell_one(id, &format!("* you are in {room}"));
        }
        let name = member.name.clone();
        let old = std::mem::replace(&mut member.room, room.into());
        self.tell_room(&old, &format!("* {name} left for {room}"), None);
        self.tell_room(room, &format!("* {name} joined {room}"), None);
    }
    fn who(&mut self, id: u64) {
        let mut rooms: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for member in self.members.values() {
            rooms.entry(&member.room).or_default().push(&member.name);
        }
        let lines: Vec<String> = rooms
            .iter()
            .map(|(room, names)| format!("* {room}: {}", names.join(", ")))
            .collect();
        for line in lines {
            self.tell_one(id, &line);
        }
    }
}

/// A line for a member. One that has let too many wait is let go; the person at the server only misses lines.
fn send(member: &mut Member, id: u64, line: &Arc<str>) {
    if let Some(lines) = &member.lines
        && lines.try_send(line.clone()).is_err()
        && id != HOST
    {
        member.lines = None;
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.chars().count() <= NAME
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
}

/// How a client's stay ended.
enum Stay {
    Left,
    LetGo,
}

struct Client {
    peer: Place,
    settings: RoomSettings,
    hub: Arc<Mutex<Hub>>,
}

impl Client {
    async fn serve(self, stream: Stream, tell: mpsc::Sender<RoomEvent>) {
        let peer = self.peer.clone();
        let (to, lines) = mpsc::channel(self.settings.waiting.max(16));
        let joined = lock(&self.hub).join(self.settings.clients, to);
        let Some((id, name)) = joined else {
            with_halves!(stream, |_read, write| {
                let _ = turn_away(write).await; // it was not let in: how it takes that changes nothing
            });
            let _ = tell.send(RoomEvent::LetGo(peer, "no place".into())).await;
            return;
        };
        let _ = tell.send(RoomEvent::Joined(peer.clone(), name)).await;
        let result = match stream.set_nodelay() {
            Ok(()) => with_halves!(stream, |read, write| self.stay(read, write, id, lines).await),
            Err(error) => Err(error),
        };
        let name = lock(&self.hub).leave(id);
        let event = match result {
            Ok(Stay::Left) => RoomEvent::Left(peer, name),
            Ok(Stay::LetGo) => RoomEvent::LetGo(peer, name),
            Err(error) => RoomEvent::Broken(peer, name, error),
        };
        let _ = tell.send(event).await; // the server may be gone
    }
    /// Reads while it writes. Who ends its side leaves.
    async fn stay(
        &self,
        read: impl AsyncRead + Unpin,
        mut write: impl AsyncWrite + Unpin,
        id: u64,
        mut lines: mpsc::Receiver<Arc<str>>,
    ) -> io::Result<Stay> {
        let RoomSettings {
            charset,
            grace,
            limit,
            ..
        } = self.settings;
        let mut messages = Messages::new(read, charset, grace, limit);
        let mut unsent: Vec<u8> = Vec::new();
        let mut stay = Stay::Left;
        loop {
            tokio::select! {
                biased;
                sent = timeout(PATIENCE, write.write(&unsent)), if !unsent.is_empty() => match sent {
                    Ok(sent) => drop(unsent.drain(..sent?)),
                    Err(_) => return Ok(Stay::LetGo),
                },
                line = lines.recv(), if unsent.is_empty() => match line {
                    Some(line) => put(&shown(&line), charset, &mut unsent),
                    None => {
                        if !lock(&self.hub).is_closed() {
                            stay = Stay::LetGo;
                        }
                        break;
                    }
                },
                message = messages.next() => match message? {
                    Some(text) => if lock(&self.hub).say(id, &text) == Flow::Leave {
                        put("* goodbye", charset, &mut unsent);
                        break;
                    },
                    None => break,
                },
            }
        }
        // All that waits, our FIN, then the client's.
        let closing = async {
            write.write_all(&unsent).await?;
            while let Ok(line) = lines.try_recv() {
                unsent.clear();
                put(&shown(&line), charset, &mut unsent);
                write.write_all(&unsent).await?;
            }
            write.shutdown().await?;
            messages.drain().await
        };
        match timeout(Duration::from_secs(5), closing).await {
            Ok(result) => result.map(|()| stay),
            Err(_) => Ok(stay),
        }
    }
}

fn put(line: &str, charset: Charset, out: &mut Vec<u8>) {
    match charset.encode(line) {
        Ok(octets) => out.extend(octets),
        Err(_) => {
            for c in line.chars() {
                match charset.encode(c.encode_utf8(&mut [0; 4])) {
                    Ok(octets) => out.extend(octets),
                    Err(_) => out.push(b'?'),
                }
            }
        }
    }
    out.push(b'\n');
}

/// No place: said in a line, which fits into any send buffer.
async fn turn_away(mut write: impl AsyncWrite + Unpin) -> io::Result<()> {
    let said = async {
        write.write_all(b"* no place: come again later\n").await?;
        write.shutdown().await
    };
    timeout(Duration::from_secs(5), said).await?
}
